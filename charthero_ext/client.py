"""The client for synchronous code."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from attrs import asdict, field, frozen

from charthero_ext import _operations
from charthero_ext._audio import Progress, download_audio
from charthero_ext._call import RawResponse, Session
from charthero_ext._follow_up import FollowUp, follow_up
from charthero_ext._http import Driver
from charthero_ext._key_source import ApiKey
from charthero_ext._lazy import lazily
from charthero_ext._operations import Instant, as_instant
from charthero_ext._secret import hide
from charthero_ext._spec import PUBLISHED, SpecReport, check_spec
from charthero_ext._steps import Steps
from charthero_ext.config import Settings, Timeouts
from charthero_ext.errors import ConfigurationError
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript, TranscriptReadyEvent
from charthero_ext.pagination.planner import cut_windows
from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import MAX_LIMIT, PageRequest, SortOrder, Window
from charthero_ext.scopes import AccessReport, check_access

if TYPE_CHECKING:
    import httpx

    from charthero_ext.async_client import AsyncChartHero, AsyncDocuments, AsyncEncounters
    from charthero_ext.changes import Change, LedgerStore

__all__ = [
    "AsyncChartHero",
    "AsyncDocuments",
    "AsyncEncounters",
    "ChartHero",
    "Documents",
    "Encounters",
    "FollowUp",
    "RawResponse",
    "SpecReport",
]

#: Called with the number of rows handed out, and the expected number if the server says so.
WalkProgress = Callable[[int, int | None], object]


@frozen
class Encounters:
    """The encounters of the organizations that the key may read."""

    _session: Session = field(repr=False)
    _driver: Driver = field(repr=False)

    def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        sort_order: SortOrder | None = None,
        start_at: Instant | None = None,
        end_at: Instant | None = None,
        timeout: float | Timeouts | None = None,
    ) -> EncounterPage:
        """Return one page of encounters, with one request.

        The server's defaults are 50 rows, from offset 0, newest first.

        Args:
            limit: Rows in the page, 1 to 100.
            offset: Rows to skip, 0 to 10,000. Rows move while pages are read, so a loop over offsets loses some; use
                :meth:`iter`.
            sort_order: The direction of ``created_at``.
            start_at: Only encounters with ``created_at >= start_at``. A date means midnight in UTC.
            end_at: Only encounters with ``created_at < end_at``.
            timeout: Seconds for each part of a request; ``Timeouts(total=...)`` limits the whole call.

        Raises:
            ValueError: An instant has no time zone or cannot be read.
            ChartHeroError: The call failed.
        """
        operation = _operations.encounters(
            limit=limit, offset=offset, sort_order=sort_order, start_at=start_at, end_at=end_at
        )
        return self._driver.run(self._session.call(operation, timeout))

    def get(self, encounter_id: str, *, timeout: float | Timeouts | None = None) -> Encounter:
        """Return one encounter.

        Raises:
            ValueError: The id is empty.
            NotFoundError: The encounter is gone, or not available through the public API.
            ChartHeroError: The call failed otherwise.
        """
        return self._driver.run(self._session.call(_operations.encounter(encounter_id), timeout))

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
    ) -> Walk[Encounter]:
        """Iterate over every encounter of a range, each exactly once, while data changes.

        An encounter that exists throughout the walk is yielded exactly once. One that is created or deleted meanwhile
        is yielded at most once. If the walk cannot guarantee this, it raises; it never ends early in silence.
        ``receipt`` says what was received, and another walk can resume from ``checkpoint()``.

        Args:
            start_at: Only encounters with ``created_at >= start_at``. A date means midnight in UTC.
            end_at: Only encounters with ``created_at < end_at``.
            sort_order: The direction of ``created_at``; ``asc`` by default.
            max_items: The most encounters to yield. The receipt is complete only if there were no more.
            concurrency: The most requests in flight. The order stays the same. Above 1, about a third more requests are
                needed to cut the range into windows.
            limit: Rows in a page, 1 to 100.
            resume_from: A checkpoint of another walk over the same range.
            progress: Called with the number of rows handed out, and the expected number if the server says so.

        Raises:
            ValueError: An argument is out of its range, or an instant has no time zone.
            ConfigurationError: ``resume_from`` is not a checkpoint, or is one of another range.
        """
        stopped = Event()
        return Walk(
            lambda request: self._fetch(request, stopped),
            stopped=stopped,
            start_at=as_instant(start_at, "start_at"),
            end_at=as_instant(end_at, "end_at"),
            sort_order=sort_order,
            max_items=max_items,
            concurrency=concurrency,
            limit=limit,
            resume_from=resume_from,
            progress=progress,
        )

    def windows(
        self, *, start_at: Instant | None = None, end_at: Instant | None = None, max_rows: int = 1000
    ) -> builtins.list[Window]:
        """Cut a range into windows of about ``max_rows`` encounters, without gaps, with a few small requests.

        Windows can be pickled. Walk each with :meth:`iter_window`, in any thread, process or machine.

        Raises:
            ValueError: An argument is out of its range, or an instant has no time zone.
            ChartHeroError: A request failed.
        """
        start, end = as_instant(start_at, "start_at"), as_instant(end_at, "end_at")
        return self._driver.run(cut_windows(self._page, start_at=start, end_at=end, max_rows=max_rows))

    def iter_window(self, window: Window) -> Walk[Encounter]:
        """Iterate over one window, as :meth:`iter` does over a range."""
        return self.iter(start_at=window.start_at, end_at=window.end_at, sort_order=window.sort_order)

    def changes(
        self,
        ledger: LedgerStore,
        *,
        start_at: Instant | None = None,
        look_back: timedelta = timedelta(days=30),
        allow_mass_delete: bool = False,
    ) -> Iterator[Change]:
        """Iterate over what changed since the last pass with this ledger: additions, changes and deletions.

        A change is recorded in the ledger when the next one is requested, or when the iteration ends. Otherwise it is
        yielded again in the next pass. :mod:`charthero_ext.changes` explains passes, windows and deletions.

        Args:
            ledger: What was yielded before, such as ``Ledger("clinic.ledger")``. One pass at a time may use it.
            start_at: Where the first pass starts. No pass starts before it.
            look_back: How long after its creation an encounter may still change. A later pass starts this long before
                the newest encounter.
            allow_mass_delete: Also yield deletions if unusually many encounters disappeared at once.

        Raises:
            ValueError: ``look_back`` is negative, or ``start_at`` has no time zone.
            ConfigurationError: The ledger belongs to another host.
            MassDeletionError: Unusually many encounters disappeared at once.
            ChartHeroError: A request failed. The next pass resumes this one.
        """
        from charthero_ext.changes import Pass, change_feed, iterate

        current = Pass(ledger, self._session.settings.base_url, as_instant(start_at, "start_at"), look_back)
        feed = change_feed(self._page, current, allow_mass_delete=allow_mass_delete)
        return iterate(self._driver, feed)

    def _page(self, request: PageRequest) -> Steps[EncounterPage]:
        return self._session.call(_operations.encounters(**asdict(request)))

    def _fetch(self, request: PageRequest, stopped: Event) -> EncounterPage:
        return self._driver.run(self._page(request), stopped)


@frozen
class Documents:
    """The documents of an encounter, and their transcripts and recordings."""

    _session: Session = field(repr=False)
    _driver: Driver = field(repr=False)

    def get(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Document:
        """Return one document. For an ambient transcript, it contains metadata only.

        Raises:
            ValueError: An id is empty.
            NotFoundError: The document is gone, or not available through the public API.
            ChartHeroError: The call failed otherwise.
        """
        return self._driver.run(self._session.call(_operations.document(encounter_id, document_id), timeout))

    def transcript(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Transcript:
        """Return the transcript of a document. The times of its turns are seconds from the start of the recording.

        Raises:
            ValueError: An id is empty.
            NotFoundError: There is no transcript, or none yet.
            ChartHeroError: The call failed otherwise.
        """
        return self._driver.run(self._session.call(_operations.transcript(encounter_id, document_id), timeout))

    def audio(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> AudioUrl:
        """Return a short-lived signed URL of the recording.

        The URL is a secret while it is valid: do not store or log it, send it no API key, and do not use it after
        ``expires_at``.

        Raises:
            ValueError: An id is empty.
            NotFoundError: There is no recording.
            ChartHeroError: The call failed otherwise.
        """
        return self._driver.run(self._session.call(_operations.audio(encounter_id, document_id), timeout))

    def download_audio(
        self, encounter_id: str, document_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """Download the recording of a document to *path*, and return *path*.

        The recording is streamed to a partial file, which replaces *path* once it is complete. Only its owner may read
        it. A broken download is resumed with a fresh URL, if the host supports it.

        Args:
            encounter_id: The encounter.
            document_id: The document.
            path: A path that does not exist, or a regular file to replace.
            progress: Called with the number of bytes received, and the total number if the host states it.

        Raises:
            OSError: The file cannot be written, or *path* is a directory, link, pipe or device.
            ChartHeroError: The download failed; *path* is unchanged.
        """
        return self._driver.run(download_audio(self._session, encounter_id, document_id, path, progress))


class ChartHero:
    """A client for synchronous code. Threads may share it. A forked process makes its own connections.

    Close it, or use it in a ``with`` statement.
    """

    # Declared on the class for mock.create_autospec. Every client has its own.
    settings: Settings = cast("Settings", None)
    encounters: Encounters = Encounters.__new__(Encounters)
    documents: Documents = Documents.__new__(Documents)

    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        http_client: httpx.Client | None = None,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Use *settings*, or load them from the arguments, the environment and the profile.

        The first call makes the connections. It reads the certificates and proxies of the machine. *http_client* and
        *httpx_args* are checked now.

        Args:
            api_key: The key, or a callable that returns it.
            base_url: The host, with or without ``/external/v1``.
            settings: The settings, instead of *api_key* and *base_url*.
            http_client: Your own httpx client, used unchanged. Its event hooks see responses, and requests with the
                key. You close it.
            httpx_args: For the connections: ``proxy``, ``verify``, ``cert``, ``limits``, ``transport``, ….

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt. The text says what to set.
        """
        api_key, base_url, httpx_args = hide(api_key), hide(base_url), hide(httpx_args)
        self.settings = chosen_settings(settings, api_key, base_url)
        self._session = Session(self.settings)
        self._driver = Driver(self.settings, httpx_args, http_client)
        self.encounters = Encounters(self._session, self._driver)
        self.documents = Documents(self._session, self._driver)

    def get(self, path: str, *, timeout: float | Timeouts | None = None, **query: str | int) -> RawResponse:
        """Request any path of the configured host, with the same key, retries and exceptions.

        Use it for routes that this version does not know.

        Args:
            path: The path, such as ``/external/v1/encounters``.
            timeout: Seconds for each part of a request.
            query: The query parameters.

        Raises:
            ValueError: The path does not begin with one ``/``.
            ChartHeroError: The call failed.
        """
        return self._driver.run(self._session.get(path, query, timeout))

    def check_spec(self, url: str = PUBLISHED) -> SpecReport:
        """Compare the artifact that this package was built from with the one published at *url*, which gets no key.

        An unusable response is never reported as *same*.
        """
        return self._driver.run(check_spec(self._session, url))

    def check_access(self, *operations: str) -> AccessReport:
        """Find out which routes this key may use, without reading patient data.

        Each route gets a query that the server refuses before it reads a record. The report covers all routes.
        *operations* are those that you need, such as ``"documents.audio"``; by default all.

        Raises:
            ValueError: There is no such operation.
            ConfigurationError: There is no usable key.
        """
        return self._driver.run(check_access(self._session, operations))

    def follow_up(self, event: TranscriptReadyEvent, *, audio: bool = False, patience: float = 60.0) -> FollowUp:
        """Fetch what an event points at: the encounter, the document, its transcript, and its recording if requested.

        Args:
            event: The event, as a webhook receiver hands it over.
            audio: Also get the signed URL of the recording; the key then needs ``recordings:read``.
            patience: Seconds to wait for a transcript that is not ready yet.

        Raises:
            TypeError: It is an event of another type.
            NotFoundError: The encounter or the document is gone, or there was no transcript in time.
            ChartHeroError: A call failed otherwise.
        """
        return self._driver.run(follow_up(self._session, event, audio=audio, patience=patience))

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return client_repr(self)

    def __reduce__(self) -> NoReturn:
        refuse_copy()


def chosen_settings(settings: Settings | None, api_key: Any, base_url: Any) -> Settings:
    """Return *settings*, or load them from the other arguments, which are secrets."""
    if settings is None:
        return Settings.load(api_key=api_key, base_url=base_url)
    if api_key.reveal() is not None or base_url.reveal() is not None:
        raise ConfigurationError("give either settings, or api_key and base_url; settings already hold both")
    return settings


def client_repr(client: object) -> str:
    """Return the repr of a client, also of one whose settings were refused."""
    settings = vars(client).get("settings")
    return f"{type(client).__name__}(base_url={settings.base_url!r})" if settings else f"<{type(client).__name__}>"


def refuse_copy() -> NoReturn:
    """Refuse to pickle or copy a client."""
    raise ConfigurationError("a client cannot be pickled or copied; pass its settings, and make a client from them")


if not TYPE_CHECKING:  # asyncio takes as long to load as half of httpx.
    __getattr__, __dir__ = lazily(
        __name__,
        dict.fromkeys(("AsyncChartHero", "AsyncDocuments", "AsyncEncounters"), "charthero_ext.async_client"),
    )
