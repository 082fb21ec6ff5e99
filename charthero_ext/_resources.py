"""The encounters and documents of the synchronous client."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from datetime import timedelta
from os import PathLike
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from attrs import asdict, field, frozen

from charthero_ext import _operations
from charthero_ext._audio import Progress, download_audio
from charthero_ext._call import Session
from charthero_ext._http import Driver
from charthero_ext._operations import Instant, as_instant
from charthero_ext._steps import Steps
from charthero_ext.config import Timeouts
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript
from charthero_ext.pagination.planner import cut_windows
from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import MAX_LIMIT, PageRequest, SortOrder, Window

if TYPE_CHECKING:
    from charthero_ext.changes import Change, LedgerStore

__all__ = ["Documents", "Encounters", "WalkProgress"]

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
            concurrency: The most requests in flight. The order stays the same.
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
        from charthero_ext.changes import Pass, iterate

        base_url, start = self._session.settings.base_url, as_instant(start_at, "start_at")
        current = Pass(self._page, ledger, base_url, start, look_back, allow_mass_delete)
        return iterate(self._driver.run, current.feed())

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
