"""The client for asyncio.

Every method has the arguments, guarantees and exceptions of the synchronous method with the same name. See there.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from attrs import asdict, field, frozen

from charthero_ext import _operations
from charthero_ext._async_http import AsyncDriver
from charthero_ext._audio import Progress, download_audio
from charthero_ext._call import RawResponse, Session
from charthero_ext._follow_up import FollowUp, follow_up
from charthero_ext._key_source import ApiKey
from charthero_ext._operations import Instant, as_instant
from charthero_ext._resources import WalkProgress
from charthero_ext._secret import Secret, opaque
from charthero_ext._spec import PUBLISHED, SpecReport, check_spec
from charthero_ext._steps import Steps
from charthero_ext.client import chosen_settings, client_repr, refuse_copy
from charthero_ext.config import Settings, Timeouts
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript, TranscriptReadyEvent
from charthero_ext.pagination.async_walk import AsyncWalk
from charthero_ext.pagination.planner import cut_windows
from charthero_ext.pagination.window import MAX_LIMIT, PageRequest, SortOrder, Window
from charthero_ext.scopes import AccessReport, check_access

if TYPE_CHECKING:
    import httpx

    from charthero_ext.changes import Change, LedgerStore

__all__ = ["AsyncChartHero", "AsyncDocuments", "AsyncEncounters"]


@frozen
class AsyncEncounters:
    """The encounters of the organizations that the key may read."""

    _session: Session = field(repr=False)
    _driver: AsyncDriver = field(repr=False)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        sort_order: SortOrder | None = None,
        start_at: Instant | None = None,
        end_at: Instant | None = None,
        timeout: float | Timeouts | None = None,
    ) -> EncounterPage:
        """Return one page of encounters, with one request."""
        operation = _operations.encounters(
            limit=limit, offset=offset, sort_order=sort_order, start_at=start_at, end_at=end_at
        )
        return await self._driver.run(self._session.call(operation, timeout))

    async def get(self, encounter_id: str, *, timeout: float | Timeouts | None = None) -> Encounter:
        """Return one encounter."""
        return await self._driver.run(self._session.call(_operations.encounter(encounter_id), timeout))

    def iter(
        self,
        *,
        start_at: Instant | None = None,
        end_at: Instant | None = None,
        sort_order: SortOrder | None = None,
        max_items: int | None = None,
        concurrency: int = 1,
        limit: int = MAX_LIMIT,
        resume_from: str | None = None,
        progress: WalkProgress | None = None,
    ) -> AsyncWalk[Encounter]:
        """Iterate over every encounter of a range, each exactly once, while data changes: ``async for``."""
        return AsyncWalk(
            self._fetch,
            start_at=as_instant(start_at, "start_at"),
            end_at=as_instant(end_at, "end_at"),
            sort_order=sort_order,
            max_items=max_items,
            concurrency=concurrency,
            limit=limit,
            resume_from=resume_from,
            progress=progress,
        )

    async def windows(
        self, *, start_at: Instant | None = None, end_at: Instant | None = None, max_rows: int = 1000
    ) -> builtins.list[Window]:
        """Cut a range into windows of about ``max_rows`` encounters, without gaps, with a few small requests."""
        start, end = as_instant(start_at, "start_at"), as_instant(end_at, "end_at")
        return await self._driver.run(cut_windows(self._page, start_at=start, end_at=end, max_rows=max_rows))

    def iter_window(self, window: Window) -> AsyncWalk[Encounter]:
        """Iterate over one window, as :meth:`iter` does over a range."""
        return self.iter(start_at=window.start_at, end_at=window.end_at, sort_order=window.sort_order)

    def changes(
        self,
        ledger: LedgerStore,
        *,
        start_at: Instant | None = None,
        look_back: timedelta = timedelta(days=30),
        allow_mass_delete: bool = False,
    ) -> AsyncIterator[Change]:
        """Iterate over what changed since the last pass with this ledger: additions, changes and deletions."""
        from charthero_ext.changes import Pass, iterate_async

        base_url, start = self._session.settings.base_url, as_instant(start_at, "start_at")
        current = Pass(self._page, ledger, base_url, start, look_back, allow_mass_delete)
        return iterate_async(self._driver.run, current.feed())

    def _page(self, request: PageRequest) -> Steps[EncounterPage]:
        return self._session.call(_operations.encounters(**asdict(request)))

    async def _fetch(self, request: PageRequest) -> EncounterPage:
        return await self._driver.run(self._page(request))


@frozen
class AsyncDocuments:
    """The documents of an encounter, and their transcripts and recordings."""

    _session: Session = field(repr=False)
    _driver: AsyncDriver = field(repr=False)

    async def get(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Document:
        """Return one document. For an ambient transcript, it contains metadata only."""
        return await self._driver.run(self._session.call(_operations.document(encounter_id, document_id), timeout))

    async def transcript(
        self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None
    ) -> Transcript:
        """Return the transcript of a document. The times of its turns are seconds from the start of the recording."""
        return await self._driver.run(self._session.call(_operations.transcript(encounter_id, document_id), timeout))

    async def audio(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> AudioUrl:
        """Return a short-lived signed URL of the recording."""
        return await self._driver.run(self._session.call(_operations.audio(encounter_id, document_id), timeout))

    async def download_audio(
        self, encounter_id: str, document_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """Download the recording of a document to *path*, and return *path*."""
        return await self._driver.run(download_audio(self._session, encounter_id, document_id, path, progress))


class AsyncChartHero:
    """A client for asyncio. One event loop uses it; its tasks may share it.

    Close it with ``await aclose()``, or use it in an ``async with`` statement.
    """

    # Declared on the class for mock.create_autospec. Every client has its own.
    settings: Settings = cast("Settings", None)
    encounters: AsyncEncounters = AsyncEncounters.__new__(AsyncEncounters)
    documents: AsyncDocuments = AsyncDocuments.__new__(AsyncDocuments)

    @opaque
    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        http_client: httpx.AsyncClient | None = None,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Use *settings*, or load them from the arguments, the environment and the profile."""
        self.settings = chosen_settings(settings, api_key, base_url)
        self._session = Session(self.settings)
        self._driver = AsyncDriver(self.settings, Secret(httpx_args), http_client)
        self.encounters = AsyncEncounters(self._session, self._driver)
        self.documents = AsyncDocuments(self._session, self._driver)

    async def get(self, path: str, *, timeout: float | Timeouts | None = None, **query: str | int) -> RawResponse:
        """Request any path of the configured host, with the same key, retries and exceptions."""
        return await self._driver.run(self._session.get(path, query, timeout))

    async def check_spec(self, url: str = PUBLISHED) -> SpecReport:
        """Compare the artifact that this package was built from with the one published at *url*, which gets no key."""
        return await self._driver.run(check_spec(self._session, url))

    async def check_access(self, *operations: str) -> AccessReport:
        """Find out which routes this key may use, without reading patient data."""
        return await self._driver.run(check_access(self._session, operations))

    async def follow_up(self, event: TranscriptReadyEvent, *, audio: bool = False, patience: float = 60.0) -> FollowUp:
        """Fetch what an event points at: encounter, document, transcript and recording."""
        return await self._driver.run(follow_up(self._session, event, audio=audio, patience=patience))

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing."""
        await self._driver.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return client_repr(self)

    def __reduce__(self) -> NoReturn:
        refuse_copy()
