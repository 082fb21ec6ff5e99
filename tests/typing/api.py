"""What an editor and a type checker see of the public names. Checked by mypy and pyright, never run."""

from collections.abc import Awaitable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_type

from charthero_ext import AsyncChartHero, ChartHero, ChartHeroError, Settings, Timeouts, decoding_surprises
from charthero_ext.changes import Change, Delete, Ledger, LedgerStore, Upsert
from charthero_ext.client import RawResponse, SpecReport
from charthero_ext.errors import ApiStatusError, NotFoundError, PermissionDeniedError, RateLimitedError
from charthero_ext.models import (
    ApiError,
    AudioUrl,
    Document,
    DocumentContent,
    DocumentSummary,
    Encounter,
    EncounterPage,
    EventResources,
    Patient,
    Transcript,
    TranscriptContent,
    TranscriptReadyEvent,
    TranscriptTurn,
    Unset,
)
from charthero_ext.pagination import Receipt, Walk, Window
from charthero_ext.scopes import AccessReport, RouteAccess, required_scopes
from charthero_ext.webhooks import FollowUp, Receiver, SQLiteStore, UnknownEvent, sign, verify


def settings() -> None:
    assert_type(Settings.load(api_key="k", base_url="https://x", profile="p", attempts=2), Settings)
    assert_type(Timeouts(connect=1, read=2.5), Timeouts)
    assert_type(decoding_surprises(), dict[str, int])
    ChartHero(api_key=lambda: "k", base_url="https://x")


def synchronous(ch: ChartHero) -> None:
    page = ch.encounters.list(limit=1, offset=0, sort_order="asc", start_at="2026-05-01T00:00:00Z", end_at=datetime.max)
    assert_type(page, EncounterPage)
    assert_type(page.items, list[Encounter])
    assert_type(page.total, int)
    assert_type(ch.encounters.get("e", timeout=1.0), Encounter)
    assert_type(ch.documents.get("e", "d"), Document)
    assert_type(ch.documents.transcript("e", "d"), Transcript)
    assert_type(ch.documents.audio("e", "d"), AudioUrl)
    assert_type(ch.documents.download_audio("e", "d", "a.wav", progress=lambda received, total: None), Path)
    assert_type(ch.get("/external/v1/encounters", limit="1"), RawResponse)
    assert_type(ch.check_access("documents.audio"), AccessReport)
    assert_type(ch.check_spec(), SpecReport)
    with ch as same:
        assert_type(same, ChartHero)


def walking(ch: ChartHero) -> None:
    walk = ch.encounters.iter(start_at="2026-05-01T00:00:00Z", sort_order="desc", max_items=5, concurrency=2)
    assert_type(walk, Walk[Encounter])
    for encounter in walk:
        assert_type(encounter, Encounter)
    assert_type(walk.receipt, Receipt)
    assert_type(walk.receipt.complete, bool)
    assert_type(ch.encounters.iter(resume_from=walk.checkpoint()), Walk[Encounter])
    assert_type(ch.encounters.windows(max_rows=1000), list[Window])
    assert_type([ch.encounters.iter_window(window) for window in ch.encounters.windows()], list[Walk[Encounter]])


def changes(ch: ChartHero, store: LedgerStore) -> None:
    with Ledger("clinic.ledger") as ledger:
        feed = ch.encounters.changes(ledger, start_at="2026-05-01T00:00:00Z", look_back=timedelta(days=7))
    for change in feed:
        assert_type(change, Upsert | Delete)
        if change.kind == "deleted":
            assert_type(change.encounter, None)
        else:
            assert_type(change.encounter, Encounter)
        assert_type(change.transcripts_ready, list[TranscriptReadyEvent])
    assert_type(ch.encounters.changes(store, allow_mass_delete=True), Iterator[Change])


def access(report: AccessReport) -> None:
    assert_type(required_scopes("encounters.list"), frozenset[str])
    assert_type(report.exit_code, int)
    assert_type(report.routes, tuple[RouteAccess, ...])
    assert_type(report.routes[0].required_scopes, frozenset[str])


def webhooks(ch: ChartHero, headers: dict[str, str], body: bytes, store: SQLiteStore) -> None:
    event = verify(headers, body, ["whsec_old", "whsec_new"])
    if not isinstance(event, UnknownEvent):
        assert_type(event, TranscriptReadyEvent)
        assert_type(ch.follow_up(event, audio=True), FollowUp)
        assert_type(ch.follow_up(event).transcript, Transcript)
    assert_type(sign(body, "whsec_new"), dict[str, str])
    Receiver("whsec_new", store, lambda event: None)


async def asynchronous(ch: AsyncChartHero) -> None:
    assert_type(await ch.encounters.list(), EncounterPage)
    assert_type(await ch.encounters.get("e"), Encounter)
    assert_type(await ch.documents.get("e", "d"), Document)
    assert_type(await ch.documents.transcript("e", "d"), Transcript)
    assert_type(await ch.documents.audio("e", "d"), AudioUrl)
    assert_type(await ch.documents.download_audio("e", "d", Path("a.wav")), Path)
    async for encounter in ch.encounters.iter():
        assert_type(encounter, Encounter)
    async for change in ch.encounters.changes(Ledger("clinic.ledger")):
        assert_type(change, Upsert | Delete)
    assert_type(await ch.encounters.windows(), list[Window])
    assert_type(await ch.check_access(), AccessReport)
    waiting: Awaitable[Encounter] = ch.encounters.get("e")
    await waiting
    async with ch as same:
        assert_type(same, AsyncChartHero)


def encounter(encounter: Encounter) -> None:
    assert_type(encounter.encounter_id, str)
    assert_type(encounter.organization_id, str)
    assert_type(encounter.created_at, datetime)
    assert_type(encounter.updated_at, datetime)
    assert_type(encounter.encounter_type, str | None)
    assert_type(encounter.status, str | None)
    assert_type(encounter.date_of_service, str | None)
    assert_type(encounter.patient, Patient | None)
    if encounter.patient is not None:
        assert_type(encounter.patient.patient_id, str)
        assert_type(encounter.patient.first_name, str | Unset | None)
    assert_type(encounter.documents, list[DocumentSummary])
    assert_type(encounter.documents[0].document_id, str)
    assert_type(encounter.documents[0].schema_type, str | None)


def document(document: Document, transcript: Transcript, audio: AudioUrl) -> None:
    assert_type(document.document_id, str)
    assert_type(document.created_at, datetime)
    if not isinstance(document.content, Unset):
        assert_type(document.content, DocumentContent)
        assert_type(document.content.text, str)
    assert_type(transcript.transcript, TranscriptContent)
    assert_type(transcript.transcript.turns, list[TranscriptTurn])
    assert_type(transcript.transcript.provider, str | None)
    assert_type(transcript.transcript.turns[0].speaker, str | None)
    assert_type(transcript.transcript.turns[0].start, float)
    assert_type(audio.audio_url, str)
    assert_type(audio.expires_at, datetime)


def event(event: TranscriptReadyEvent, error: ApiError) -> None:
    assert_type(event.id, str)
    assert_type(event.occurred_at, datetime)
    assert_type(event.resources, EventResources)
    assert_type(event.resources.encounter_id, str)
    assert_type(error.reason_code, str)


def failures(error: ChartHeroError) -> None:
    if isinstance(error, ApiStatusError):
        assert_type(error.status_code, int)
        assert_type(error.reason_code, str | None)
        assert_type(error.retry_after, float | None)
    if isinstance(error, (PermissionDeniedError, NotFoundError, RateLimitedError)):
        assert_type(error.required_scopes, frozenset[str])
