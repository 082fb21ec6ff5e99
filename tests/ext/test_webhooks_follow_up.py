"""Fetching what an event points at, in order, and waiting for a transcript that is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import NotFoundError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import FollowUp, UnknownEvent
from tests.payloads import EVENT

from .conftest import async_client, example

MakeClient = Callable[..., ChartHero]
HERE = TranscriptReadyEvent.from_dict(EVENT)
ENCOUNTER = "/external/v1/encounters/enc_synthetic_0001"
DOCUMENT = f"{ENCOUNTER}/documents/doc_synthetic_0002"
OPERATIONS = {
    ENCOUNTER: "encounters.get",
    DOCUMENT: "documents.get",
    f"{DOCUMENT}/transcript": "documents.transcript",
    f"{DOCUMENT}/audio": "documents.audio",
}


class Server:
    """Answers with the examples, and with 404 as often as an operation is missing. ``asked`` has the paths."""

    def __init__(self, missing: dict[str, int] | None = None) -> None:
        self.missing = missing or {}
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        name = OPERATIONS[request.url.path]
        if self.missing.get(name, 0):
            self.missing[name] -= 1
            return httpx.Response(404, json={"error": "e", "reason_code": "not_found", "message": "m", "field": None})
        return httpx.Response(200, json=example(name))


@pytest.mark.parametrize("audio", [False, True])
def test_the_encounter_document_transcript_and_if_wanted_the_recording_are_fetched(
    client: MakeClient, audio: bool
) -> None:
    server = Server()
    found = client(server).follow_up(HERE, audio=audio)
    assert server.asked == list(OPERATIONS)[: 4 if audio else 3]
    assert found.encounter.encounter_id == found.transcript.encounter_id == "enc_synthetic_0001"
    assert found.transcript.transcript.turns[0].text not in repr(found)
    assert (found.audio is not None) == audio
    assert found.audio is None or found.audio.audio_url not in repr(found)


def test_a_missing_transcript_alone_is_requested_again(client: MakeClient) -> None:
    server = Server({"documents.transcript": 3})
    assert isinstance(client(server).follow_up(HERE), FollowUp)
    assert server.asked == [ENCOUNTER, DOCUMENT, *[f"{DOCUMENT}/transcript"] * 4]


@pytest.mark.parametrize(("missing", "count"), [("encounters.get", 1), ("documents.get", 2), ("documents.audio", 4)])
def test_anything_else_that_is_missing_is_not_waited_for(client: MakeClient, missing: str, count: int) -> None:
    server = Server({missing: 1})
    with pytest.raises(NotFoundError):
        client(server).follow_up(HERE, audio=True)
    assert len(server.asked) == count


def test_patience_ends(client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charthero_ext._follow_up.WAIT_INITIAL", 0.5)
    server = Server({"documents.transcript": 10**9})
    with pytest.raises(NotFoundError) as caught:
        client(server).follow_up(HERE, patience=0.01)
    assert caught.value.operation == "documents.transcript"
    assert 3 <= len(server.asked) <= 4
    server.asked.clear()
    with pytest.raises(NotFoundError):
        client(server).follow_up(HERE, patience=0)
    assert server.asked == [ENCOUNTER, DOCUMENT, f"{DOCUMENT}/transcript"]


@pytest.mark.parametrize("event", [UnknownEvent("evt_1", "other", "2026-05-01", {}), EVENT, None])
def test_only_an_event_that_points_at_a_transcript_can_be_followed_up(client: MakeClient, event: Any) -> None:
    with pytest.raises(TypeError, match="TranscriptReadyEvent"):
        client(Server()).follow_up(event)


def test_the_asynchronous_client_does_the_same() -> None:
    server = Server({"documents.transcript": 2})

    async def follow() -> FollowUp:
        async with async_client(server) as ch:
            return await ch.follow_up(HERE, audio=True)

    found = asyncio.run(follow())
    assert server.asked == [ENCOUNTER, DOCUMENT, *[f"{DOCUMENT}/transcript"] * 3, f"{DOCUMENT}/audio"]
    assert found.audio is not None
