"""The client for synchronous code."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import asdict, field, frozen
from charthero_client.api.documents import get_audio, get_document, get_transcript
from charthero_client.api.encounters import get_encounter, list_encounters

from charthero_ext._arguments import Instant, SortOrder, as_instant, ids, page_query
from charthero_ext._audio import AudioFile, Progress, fresh_urls
from charthero_ext._follow_up import FollowUp, pointed_at, until_there
from charthero_ext._key_source import ApiKey, KeySource, given_key
from charthero_ext._spec import PUBLISHED, SpecReport, check_spec
from charthero_ext._transport import LastResponse, Transport
from charthero_ext.config import Settings, Timeouts
from charthero_ext.errors import ConfigurationError
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript, TranscriptReadyEvent
from charthero_ext.pagination.planner import cut_windows
from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import MAX_LIMIT, PageRequest, Window
from charthero_ext.scopes import AccessReport, check_access

if TYPE_CHECKING:
    import httpx

__all__ = ["ChartHero", "Documents", "Encounters", "WalkProgress", "chosen_settings", "described"]

WalkProgress = Callable[[int, int | None], object]


@frozen
class Encounters:
    """The encounters of the organizations the key may read."""

    _transport: Transport = field(repr=False)

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
        """Return one page, by one request.

        What is left out is decided by the server: 50 rows from offset 0, the newest first.

        Args:
            limit: Rows in the page, 1 to 100.
            offset: Rows to skip, 0 to 10,000. Rows move while pages are read, so a loop over offsets loses some.
            sort_order: The direction of ``created_at``.
            start_at: Only encounters with ``created_at >= start_at``.
            end_at: Only encounters with ``created_at < end_at``.
            timeout: For this call; seconds.

        Raises:
            ValueError: An instant has no time zone or cannot be read.
            ChartHeroError: The call failed.
        """
        query = page_query(limit=limit, offset=offset, sort_order=sort_order, start_at=start_at, end_at=end_at)
        return self._transport.call("encounters.list", list_encounters.sync_detailed, timeout=timeout, **query)

    def get(self, encounter_id: str, *, timeout: float | Timeouts | None = None) -> Encounter:
        """Return one encounter.

        Raises:
            ValueError: The id is empty.
            NotFoundError: It is gone, or not available through the public API.
            ChartHeroError: The call failed otherwise.
        """
        return self._transport.call(
            "encounters.get", get_encounter.sync_detailed, timeout=timeout, **ids(encounter_id=encounter_id)
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
    ) -> Walk[Encounter]:
        """Walk over every encounter of a range: each exactly once, however many, while rows come and go.

        An encounter that exists throughout the walk is yielded exactly once, one that comes or goes meanwhile at most
        once. Where that cannot be kept, the walk raises; it never ends early in silence. ``receipt`` says what was
        seen, ``checkpoint()`` where another walk can go on.

        Args:
            start_at: Only encounters with ``created_at >= start_at``.
            end_at: Only encounters with ``created_at < end_at``.
            sort_order: The direction of ``created_at``; ``asc`` where left out.
            max_items: How many encounters in all; the walk is then complete only if there were no more.
            concurrency: How many requests at once; the order stays the same. Above 1, about a third more are made, by
                which the range is cut.
            limit: Rows in a page, 1 to 100.
            resume_from: A checkpoint of another walk over the same range.
            progress: Called with the rows handed out and how many are expected, where the server says so.

        Raises:
            ValueError: An argument is out of its range, or an instant has no time zone.
            ConfigurationError: ``resume_from`` is no checkpoint, or one of another range.
        """
        return Walk(
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

    def windows(
        self, *, start_at: Instant | None = None, end_at: Instant | None = None, max_rows: int = 1000
    ) -> builtins.list[Window]:
        """Cut a range into windows of about ``max_rows`` encounters, without gaps, by a few small requests.

        Windows can be pickled, and each walked by :meth:`iter_window` in another thread, process or machine.

        Raises:
            ValueError: An argument is out of its range, or an instant has no time zone.
            ChartHeroError: A request failed.
        """
        return cut_windows(
            self._fetch,
            start_at=as_instant(start_at, "start_at"),
            end_at=as_instant(end_at, "end_at"),
            max_rows=max_rows,
        )

    def iter_window(self, window: Window) -> Walk[Encounter]:
        """Walk over one window, as :meth:`iter` does over a range."""
        return Walk(self._fetch, start_at=window.start_at, end_at=window.end_at, sort_order=window.sort_order)

    def _fetch(self, request: PageRequest) -> EncounterPage:
        return self.list(**asdict(request))


@frozen
class Documents:
    """The documents of an encounter, with the transcript and the recording that some have."""

    _transport: Transport = field(repr=False)

    def get(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Document:
        """Return one document; an ambient transcript comes as metadata only.

        Raises:
            ValueError: An id is empty.
            NotFoundError: It is gone, or not available through the public API.
            ChartHeroError: The call failed otherwise.
        """
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return self._transport.call("documents.get", get_document.sync_detailed, timeout=timeout, **given)

    def transcript(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> Transcript:
        """Return the transcript of a document; its turns are timed in seconds from the start of the audio.

        Raises:
            ValueError: An id is empty.
            NotFoundError: There is none, or none yet.
            ChartHeroError: The call failed otherwise.
        """
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return self._transport.call("documents.transcript", get_transcript.sync_detailed, timeout=timeout, **given)

    def audio(self, encounter_id: str, document_id: str, *, timeout: float | Timeouts | None = None) -> AudioUrl:
        """Return a short-lived signed URL of the recording.

        The URL is a secret while it lives: do not store or log it, send it no API key, and do not use it after
        ``expires_at``.

        Raises:
            ValueError: An id is empty.
            NotFoundError: There is no recording.
            ChartHeroError: The call failed otherwise.
        """
        given = ids(encounter_id=encounter_id, document_id=document_id)
        return self._transport.call("documents.audio", get_audio.sync_detailed, timeout=timeout, **given)

    def download_audio(
        self, encounter_id: str, document_id: str, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """Download the recording of a document to *path*, and return it.

        It is streamed to a file beside *path*, which takes its place when it is whole; only its owner may read it. A
        URL that failed or expired is asked for anew, and where the host can, the rest is fetched and not all of it.

        Args:
            encounter_id: The encounter.
            document_id: The document.
            path: Where it goes.
            progress: Called with the bytes received and, where the host states it, how many there are in all.

        Raises:
            OSError: It cannot be written.
            ChartHeroError: It cannot be had; *path* is as it was.
        """
        with AudioFile(Path(path), progress) as file:
            for attempt in fresh_urls(self._transport.settings.attempts):
                with attempt:
                    self._transport.receive(file.ask(self.audio(encounter_id, document_id)))
        return Path(path)


class ChartHero:
    """A client for synchronous code. Threads may share it; processes may not share its connections.

    Close it, or use it in a ``with`` statement.
    """

    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        http_client: httpx.Client | None = None,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Take settings as given, or put them together from arguments, the environment and the profile.

        Connections are made by the first call, which then looks at the certificates and proxies of the machine; what
        is given here for them is looked at here.

        Args:
            api_key: The key, or a callable that returns it.
            base_url: The host, with or without ``/external/v1``.
            settings: Everything, in place of both.
            http_client: An httpx client of your own. It gets the key, for the configured host alone, while it makes
                calls for this client; you close it.
            httpx_args: Passed to the httpx client that is made: ``proxy``, ``verify``, ``cert``, ``limits``, ….

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt; the text says what to set.
        """
        key = given_key(api_key)
        del api_key  # tracebacks are shown with locals
        self.settings = chosen_settings(settings, key, base_url)
        self._transport = Transport(self.settings, httpx_args or {}, http_client)
        self.encounters = Encounters(self._transport)
        self.documents = Documents(self._transport)

    @property
    def last_response(self) -> LastResponse | None:
        """Status and headers of the last response this thread or task got through this client."""
        return self._transport.last_response

    def check_spec(self, url: str = PUBLISHED) -> SpecReport:
        """Compare the artifact this package was built from with the one published at *url*, which gets no key.

        An answer that cannot be had is told as such, and never as *same*.
        """
        return check_spec(self._transport, url)

    def check_access(self, *operations: str) -> AccessReport:
        """Find out which routes this key may use, without reading anything about a patient.

        Every route is asked with a query that it refuses, which a server does before it looks anything up. The report
        is about all of them; *operations*, such as ``"documents.audio"``, are those you need, and all where left out.

        Raises:
            ValueError: There is no such operation.
            ConfigurationError: There is no usable key.
        """
        return check_access(self._transport, operations)

    def follow_up(self, event: TranscriptReadyEvent, *, audio: bool = False, patience: float = 60.0) -> FollowUp:
        """Fetch what an event points at: the encounter, the document, its transcript, and its recording if asked for.

        Args:
            event: The event, as a webhook receiver hands it over.
            audio: Also ask for the signed URL of the recording; the key then needs ``recordings:read``.
            patience: Seconds within which a transcript that is not there yet is asked for again.

        Raises:
            TypeError: It is an event of another type.
            NotFoundError: The encounter or the document is gone, or there was no transcript in time.
            ChartHeroError: A call failed otherwise.
        """
        encounter_id, document_id = pointed_at(event)
        encounter = self.encounters.get(encounter_id)
        document = self.documents.get(encounter_id, document_id)
        for attempt in until_there(patience):
            with attempt:
                transcript = self.documents.transcript(encounter_id, document_id)
                recording = self.documents.audio(encounter_id, document_id) if audio else None
                return FollowUp(encounter, document, transcript, recording)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return described(self)


def chosen_settings(settings: Settings | None, key: KeySource | None, base_url: str | None) -> Settings:
    """Return the settings that were given, or those that the rest amounts to."""
    if settings is None:
        return Settings.load(api_key=key, base_url=base_url)
    if key is not None or base_url is not None:
        raise ConfigurationError("give either settings, or api_key and base_url; settings already hold both")
    return settings


def described(client: object) -> str:
    """Return the repr of a client."""
    # A client whose settings were refused is shown too, in the traceback of the refusal.
    settings = getattr(client, "settings", None)
    return f"{type(client).__name__}(base_url={settings.base_url!r})" if settings else f"<{type(client).__name__}>"
