"""What an editor and a type checker see of the public names. Checked by mypy and pyright, never run."""

from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import assert_type

from charthero_ext import AsyncChartHero, ChartHero, ChartHeroError, Settings, Timeouts, drift_counts
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


def settings() -> None:
    assert_type(Settings.load(api_key="k", base_url="https://x", profile="p", attempts=2), Settings)
    assert_type(Timeouts(connect=1, read=2.5), Timeouts)
    assert_type(drift_counts(), dict[str, int])
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
    with ch as same:
        assert_type(same, ChartHero)


async def asynchronous(ch: AsyncChartHero) -> None:
    assert_type(await ch.encounters.list(), EncounterPage)
    assert_type(await ch.encounters.get("e"), Encounter)
    assert_type(await ch.documents.get("e", "d"), Document)
    assert_type(await ch.documents.transcript("e", "d"), Transcript)
    assert_type(await ch.documents.audio("e", "d"), AudioUrl)
    assert_type(await ch.documents.download_audio("e", "d", Path("a.wav")), Path)
    waiting: Awaitable[Encounter] = ch.encounters.get("e")
    await waiting
    async with ch as same:
        assert_type(same, AsyncChartHero)


def encounter(encounter: Encounter) -> None:
    assert_type(encounter.encounter_id, str)
    assert_type(encounter.organization_id, str)
    assert_type(encounter.created_at, datetime)
    assert_type(encounter.updated_at, datetime)
    assert_type(encounter.encounter_type, str)
    assert_type(encounter.status, str)
    assert_type(encounter.patient, Patient)
    assert_type(encounter.patient.patient_id, str)
    assert_type(encounter.patient.first_name, str | Unset | None)
    assert_type(encounter.documents, list[DocumentSummary])
    assert_type(encounter.documents[0].document_id, str)
    assert_type(encounter.documents[0].schema_type, str)


def document(document: Document, transcript: Transcript, audio: AudioUrl) -> None:
    assert_type(document.document_id, str)
    assert_type(document.created_at, datetime)
    if not isinstance(document.content, Unset):
        assert_type(document.content, DocumentContent)
        assert_type(document.content.text, str)
    assert_type(transcript.transcript, TranscriptContent)
    assert_type(transcript.transcript.turns, list[TranscriptTurn])
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
