"""The client for asynchronous code: the names of the one for threads, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import asdict, field, frozen
from charthero_client.api.documents import get_audio, get_document, get_transcript
from charthero_client.api.encounters import get_encounter, list_encounters

from charthero_ext._arguments import Instant, SortOrder, as_instant, ids, page_query
from charthero_ext._audio import AudioFile, Progress, fresh_urls
from charthero_ext._follow_up import FollowUp, pointed_at, until_there
from charthero_ext._key_source import ApiKey, given_key
from charthero_ext._spec import PUBLISHED, SpecReport, check_spec_async
from charthero_ext._transport import LastResponse
from charthero_ext._transport.asynchronous import AsyncTransport
from charthero_ext.client.sync import WalkProgress, chosen_settings, described
from charthero_ext.config import Settings, Timeouts
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript, TranscriptReadyEvent
from charthero_ext.pagination.async_walk import AsyncWalk
from charthero_ext.pagination.planner import cut_windows_async
from charthero_ext.pagination.window import MAX_LIMIT, PageRequest, Window
from charthero_ext.scopes import AccessReport, check_access_async

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncChartHero", "AsyncDocuments", "AsyncEncounters"]


@frozen
class AsyncEncounters:
    """As :class:`Encounters`, awaited."""

    _transport: AsyncTransport = field(repr=False)

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
        """As :meth:`Encounters.list`."""
        query = page_query(limit=limit, offset=offset, sort_order=sort_order, start_at=start_at, end_at=end_at)
        return await self._transport.call("encounters.list", list_encounters.asyncio_detailed, timeout=timeout, **query)

    async def get(self, encounter_id: str, *, timeout: float | Timeouts | None = None) -> Encounter:
        """As :meth:`Encounters.get`."""
        return await self._transport.call(
            "encounters.get", get_encounter.asyncio_detailed, timeout=timeout, **ids(encounter_id=encounter_id)
        )

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
        """As :meth:`Encounters.iter`."""
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
        """As :meth:`Encounters.windows`."""
        return await cut_windows_async(
            self._fetch,
            start_at=as_instant(start_at, "start_at"),
            end_at=as_instant(end_at, "end_at"),
            max_rows=max_rows,
        )

    def iter_window(self, window: Window) -> AsyncWalk[Encounter]:
        """As :meth:`Encounters.iter_window`."""
        return AsyncWalk(self._fetch, start_at=window.start_at, end_at=window.end_at, sort_order=window.sort_order)

    async def _fetch(self, request: PageRequest) -> EncounterPage:
        return await self.list(**asdict(request))


@frozen
class AsyncDocuments:
    """As :class:`Documents`, awaited."""

    _transport: AsyncTransport = field(repr=False)

    async def get(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Document:
        """As :meth:`Documents.get`."""
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return await self._transport.call("documents.get", get_document.asyncio_detailed, timeout=timeout, **given)

    async def transcript(
        self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None
    ) -> Transcript:
        """As :meth:`Documents.transcript`."""
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return await self._transport.call(
            "documents.transcript", get_transcript.asyncio_detailed, timeout=timeout, **given
        )

    async def audio(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> AudioUrl:
        """As :meth:`Documents.audio`."""
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return await self._transport.call("documents.audio", get_audio.asyncio_detailed, timeout=timeout, **given)

    async def download_audio(
        self, encounter_id: str, document_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """As :meth:`Documents.download_audio`."""
        with AudioFile(Path(path), progress) as file:
            async for attempt in fresh_urls(self._transport.settings.attempts):
                with attempt:
                    await self._transport.receive(file.ask(await self.audio(encounter_id, document_id)))
        return Path(path)


class AsyncChartHero:
    """A client for asynchronous code: the names of :class:`ChartHero`, awaited. One event loop uses it.

    Close it with ``await aclose()``, or use it in an ``async with`` statement.
    """

    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        http_client: httpx.AsyncClient | None = None,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        """As :class:`ChartHero`; ``api_key`` may also be an asynchronous callable."""
        key = given_key(api_key)
        del api_key  # tracebacks are shown with locals
        self.settings = chosen_settings(settings, key, base_url)
        self._transport = AsyncTransport(self.settings, httpx_args or {}, http_client)
        self.encounters = AsyncEncounters(self._transport)
        self.documents = AsyncDocuments(self._transport)

    @property
    def last_response(self) -> LastResponse | None:
        """As :attr:`ChartHero.last_response`."""
        return self._transport.last_response

    async def check_spec(self, url: str = PUBLISHED) -> SpecReport:
        """As :meth:`ChartHero.check_spec`."""
        return await check_spec_async(self._transport, url)

    async def check_access(self, *operations: str) -> AccessReport:
        """As :meth:`ChartHero.check_access`."""
        return await check_access_async(self._transport, operations)

    async def follow_up(self, event: TranscriptReadyEvent, *, audio: bool = False, patience: float = 60.0) -> FollowUp:
        """As :meth:`ChartHero.follow_up`."""
        encounter_id, document_id = pointed_at(event)
        encounter = await self.encounters.get(encounter_id)
        document = await self.documents.get(encounter_id, document_id)
        async for attempt in until_there(patience):
            with attempt:
                transcript = await self.documents.transcript(encounter_id, document_id)
                recording = await self.documents.audio(encounter_id, document_id) if audio else None
                return FollowUp(encounter, document, transcript, recording)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return described(self)
