"""Fetching what an event points at, in order, and waiting for a transcript that is missing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import NotFoundError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import FollowUp, UnknownEvent
from tests.payloads import EVENT

from .conftest import EITHER_CLIENT, connected, ok, perform

ENCOUNTER = "/external/v1/encounters/enc_synthetic_0001"
DOCUMENT = f"{ENCOUNTER}/documents/doc_synthetic_0002"
OPERATIONS = {
    ENCOUNTER: "encounters.get",
    DOCUMENT: "documents.get",
    f"{DOCUMENT}/transcript": "documents.transcript",
    f"{DOCUMENT}/audio": "documents.audio",
}


class Server:
    """Answers with the examples, and with 404 as often as an operation is missing. ``requested`` has the operations."""

    def __init__(self, **missing: int) -> None:
        self.missing = missing
        self.requested: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        operation = OPERATIONS[request.url.path]
        self.requested.append(operation)
        if self.missing.get(operation, 0):
            self.missing[operation] -= 1
            return httpx.Response(404, json={"error": "e", "reason_code": "not_found", "message": "m", "field": None})
        return ok(operation)

    def follow_up(self, kind: Any = ChartHero, event: Any = None, **options: Any) -> FollowUp:
        event = event or TranscriptReadyEvent.from_dict(EVENT)
        found: FollowUp = perform(connected(kind, self), lambda ch: ch.follow_up(event, **options))
        return found


@EITHER_CLIENT
@pytest.mark.parametrize("audio", [False, True])
def test_encounter_document_transcript_and_if_requested_the_recording_are_fetched(kind: Any, audio: bool) -> None:
    server = Server()
    found = server.follow_up(kind, audio=audio)
    assert server.requested == list(OPERATIONS.values())[: 4 if audio else 3]
    assert found.encounter.encounter_id == found.transcript.encounter_id == "enc_synthetic_0001"
    assert found.transcript.transcript.turns[0].text not in repr(found)
    assert (found.audio is not None) == audio
    assert found.audio is None or found.audio.audio_url not in repr(found)


@EITHER_CLIENT
def test_only_a_missing_transcript_is_requested_again(kind: Any) -> None:
    server = Server(**{"documents.transcript": 3})
    server.follow_up(kind)
    assert server.requested == ["encounters.get", "documents.get", *["documents.transcript"] * 4]
    for count, missing in enumerate(("encounters.get", "documents.get", "documents.audio"), start=1):
        server = Server(**{missing: 1})
        with pytest.raises(NotFoundError):
            server.follow_up(kind, audio=True)
        assert server.requested == list(OPERATIONS.values())[: 4 if count == 3 else count]


@pytest.mark.parametrize("patience", [0, 0.4])
def test_a_wait_that_would_exceed_the_patience_is_an_error_at_once(
    patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext._follow_up.WAIT_INITIAL", 0.5)
    server = Server(**{"documents.transcript": 10**9})
    with pytest.raises(NotFoundError) as caught:
        server.follow_up(patience=patience)
    assert caught.value.operation == "documents.transcript"
    assert server.requested == ["encounters.get", "documents.get", "documents.transcript"]


@pytest.mark.parametrize("event", [UnknownEvent("evt_1", "other", "2026-05-01", {}), EVENT, 1])
def test_only_an_event_that_points_at_a_transcript_can_be_followed_up(event: Any) -> None:
    with pytest.raises(TypeError, match="TranscriptReadyEvent"):
        Server().follow_up(event=event)
