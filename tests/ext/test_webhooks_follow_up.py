"""What an event points at is fetched in order, and a transcript that is not there yet is waited for."""

from __future__ import annotations

import asyncio
import copy
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
    """Answers with the examples, once what is missing has been asked for often enough; notes what was asked."""

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


def test_the_encounter_the_document_and_the_transcript_are_fetched_in_this_order(client: MakeClient) -> None:
    server = Server()
    found = client(server).follow_up(HERE)
    assert server.asked == [ENCOUNTER, DOCUMENT, f"{DOCUMENT}/transcript"]
    assert found.encounter.encounter_id == found.transcript.encounter_id == "enc_synthetic_0001"
    assert found.transcript.transcript.turns[0].text
    assert found.audio is None
    assert found.transcript.transcript.turns[0].text not in repr(found)


def test_the_recording_is_asked_for_only_when_it_is_wanted(client: MakeClient) -> None:
    server = Server()
    found = client(server).follow_up(HERE, audio=True)
    assert server.asked[3:] == [f"{DOCUMENT}/audio"]
    assert found.audio is not None
    assert found.audio.audio_url not in repr(found)


def test_a_transcript_that_is_not_there_yet_is_asked_for_again_and_nothing_else_is(client: MakeClient) -> None:
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


def test_ids_of_an_event_are_sent_as_ids_and_never_as_a_path(client: MakeClient) -> None:
    event = copy.deepcopy(HERE)
    event.resources.encounter_id = ".."
    with pytest.raises(ValueError, match="encounter_id"):
        client(Server()).follow_up(event)


def test_the_asynchronous_client_does_the_same() -> None:
    server = Server({"documents.transcript": 2})

    async def follow() -> FollowUp:
        async with async_client(server) as ch:
            return await ch.follow_up(HERE, audio=True)

    found = asyncio.run(follow())
    assert server.asked == [ENCOUNTER, DOCUMENT, *[f"{DOCUMENT}/transcript"] * 3, f"{DOCUMENT}/audio"]
    assert found.audio is not None
