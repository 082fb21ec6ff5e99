"""A receiver as an ASGI server sees it: what it answers, what it records, and what it hands over."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from charthero_ext.errors import ConfigurationError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import Event, Receiver, SQLiteStore, UnknownEvent, sign
from tests.payloads import EVENT

SECRET = "whsec_synthetic_1"


def body(number: int = 1, **changes: Any) -> bytes:
    return json.dumps({**EVENT, "id": f"evt_{number}", **changes}).encode()


async def deliver(app: Any, content: bytes | None = None, *, path: str = "/hooks", **headers: str) -> httpx.Response:
    content = body() if content is None else content
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, content=content, headers={**sign(content, SECRET), **headers})


class Memory:
    """A store that lives as long as the test; nothing of it is durable."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}
        self.completed: list[str] = []
        self.left: dict[str, str] = {}
        self.failures: list[Exception] = []
        self.asked = threading.Event()
        self.held = threading.Event()
        self.held.set()

    def claim(self, events: Mapping[str, str]) -> dict[str, str]:
        self.asked.set()
        assert self.held.wait(10)
        if self.failures:
            raise self.failures.pop()
        new = {name: pointer for name, pointer in events.items() if name not in self.events}
        self.events.update(new)
        new, self.left = {**new, **self.left}, {}
        return new

    def complete(self, event_id: str) -> None:
        self.completed.append(event_id)


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def on_disk(path: Path) -> Iterator[Callable[[], SQLiteStore]]:
    """Open the file anew, as a process that starts does."""
    made: list[SQLiteStore] = []

    def opened() -> SQLiteStore:
        made.append(SQLiteStore(path))
        return made[-1]

    yield opened
    for each in made:
        each.close()


def ids(handled: list[Event]) -> list[str]:
    return [event.id for event in handled]


def run(receiver: Receiver, *deliveries: bytes) -> list[httpx.Response]:
    """Start, deliver all at once, and stop when everything was handled."""

    async def live() -> list[httpx.Response]:
        async with receiver:
            return await asyncio.gather(*(deliver(receiver, content) for content in deliveries))

    return asyncio.run(live())


# What it answers


def test_a_genuine_event_is_accepted_recorded_and_handed_over(store: Memory) -> None:
    handled: list[Event] = []
    (response,) = run(Receiver(SECRET, store, handled.append), body())
    assert (response.status_code, response.content) == (204, b"")
    assert ids(handled) == store.completed == list(store.events) == ["evt_1"]
    assert isinstance(handled[0], TranscriptReadyEvent)
    assert handled[0].to_dict() == {**EVENT, "id": "evt_1"}


REFUSED: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "malformed header": (400, "invalid_timestamp", body(), {"ChartHero-Timestamp": "now"}),
    "missing header": (400, "missing_header", body(), {"ChartHero-Delivery-Id": ""}),
    "other event": (400, "mismatched_event", body(), {"ChartHero-Event-Id": "evt_2"}),
    "no event": (400, "malformed_event", body(type=1), {}),
    "bad signature": (401, "signature_mismatch", body(), {"ChartHero-Signature": "v1=" + "0" * 64}),
    "no signature of v1": (401, "unsupported_signature", body(), {"ChartHero-Signature": "v2=" + "0" * 64}),
    "stale": (401, "stale_timestamp", body(), sign(body(), SECRET, timestamp=1_777_649_395)),
    "too large": (413, "body_too_large", body(filler="x" * 65_536), {}),
    "a form": (415, "unsupported_media_type", body(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "a media type that is too long": (415, "unsupported_media_type", body(), {"Content-Type": ";" * 2**20}),
    "compressed": (415, "unsupported_media_type", body(), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_gets_a_status_and_a_reason_and_goes_nowhere(
    case: str, store: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    status, reason, content, headers = REFUSED[case]
    receiver = Receiver(SECRET, store, lambda event: pytest.fail("handed over"))
    response = asyncio.run(deliver(receiver, content, **headers))
    assert (response.status_code, response.text) == (status, reason)
    assert store.events == {}
    assert [record.getMessage() for record in caplog.records] == [f"webhook refused: HTTP {status} {reason}"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_is_allowed(method: str, store: Memory) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Receiver(SECRET, store, print))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, "/hooks")

    response = asyncio.run(ask())
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_may_be_said_in_several_ways(content_type: str, store: Memory) -> None:
    receiver = Receiver(SECRET, store, lambda event: None)
    assert asyncio.run(deliver(receiver, **{"Content-Type": content_type})).status_code == 204


def test_a_genuine_event_of_another_kind_is_accepted_and_handed_over_as_such(store: Memory) -> None:
    handled: list[Event] = []
    responses = run(
        Receiver(SECRET, store, handled.append),
        body(1, type="webhook.endpoint_test"),
        body(2, api_version="2031-01-01"),
    )
    assert {response.status_code for response in responses} == {204}
    assert {type(event) for event in handled} == {UnknownEvent}
    assert {event.type for event in handled} == {"webhook.endpoint_test", "recording.transcript_ready"}


def test_every_secret_is_accepted_while_one_is_rotated(store: Memory) -> None:
    receiver = Receiver(["whsec_synthetic_new", SECRET], store, lambda event: None)
    assert asyncio.run(deliver(receiver)).status_code == 204


@pytest.mark.parametrize("secrets", ["", [], ["whsec_synthetic_1", " "]])
def test_a_receiver_without_a_usable_secret_cannot_be_made(secrets: Any, store: Memory) -> None:
    with pytest.raises(ConfigurationError):
        Receiver(secrets, store, print)


# What it reads


def http_scope(content: bytes, **headers: str) -> dict[str, Any]:
    every = {**sign(content, SECRET), **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": pairs}


async def served(receiver: Receiver, scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[list[Any], int]:
    """Return what was sent, and how many of *messages* were taken for it."""
    left, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver(scope, receive, send)
    return sent, len(messages) - len(left)


def part(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_body_may_come_in_parts(store: Memory) -> None:
    parts = [part(bytes([byte])) for byte in body()]
    sent, _ = asyncio.run(served(Receiver(SECRET, store, print), http_scope(body()), *parts, part(b"", more=False)))
    assert sent[0]["status"] == 204


@pytest.mark.parametrize("length", ["0", "10", "999999999999", "-1", "x" * 5000])
def test_reading_stops_at_the_allowed_size_whatever_length_was_announced(length: str, store: Memory) -> None:
    receiver = Receiver(SECRET, store, print, max_body=1000)
    scope = http_scope(body(), **{"Content-Length": length})
    sent, taken = asyncio.run(served(receiver, scope, *[part(b"x" * 400)] * 50))
    assert (sent[0]["status"], taken) == (413, 3)


async def stalled() -> dict[str, Any]:
    return await asyncio.get_running_loop().create_future()


async def dripping() -> dict[str, Any]:
    await asyncio.sleep(0)
    return part(b"")


@pytest.mark.parametrize("receive", [stalled, dripping])
def test_slow_bodies_are_dropped_after_a_time_limit(
    receive: Any, store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext.webhooks.receiver.BODY_TIMEOUT", 0.01)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def live() -> None:
        receiver = Receiver(SECRET, store, print)
        await asyncio.gather(*(receiver(http_scope(body()), receive, send) for _ in range(100)))

    asyncio.run(live())
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [start["status"] for start in starts] == [408] * 100
    assert all((b"connection", b"close") in start["headers"] for start in starts)
    assert store.events == {}


@pytest.mark.parametrize("headers", [{"ChartHero-Signature": ""}, {"ChartHero-Timestamp": "now"}])
def test_a_delivery_with_a_bad_header_is_refused_before_its_body_is_read(
    headers: dict[str, str], store: Memory
) -> None:
    sent, taken = asyncio.run(served(Receiver(SECRET, store, print), http_scope(body(), **headers), part(body())))
    assert (sent[0]["status"], taken) == (400, 0)


def test_a_sender_that_goes_away_is_not_answered_and_nothing_is_recorded(store: Memory) -> None:
    receiver = Receiver(SECRET, store, print)
    sent, _ = asyncio.run(served(receiver, http_scope(body()), part(body()), {"type": "http.disconnect"}))
    assert (sent, store.events) == ([], {})


def test_other_kinds_of_connections_are_left_to_the_server(store: Memory) -> None:
    sent, taken = asyncio.run(served(Receiver(SECRET, store, print), {"type": "websocket"}))
    assert (sent, taken) == ([], 0)


# What it records


def test_nothing_is_acknowledged_before_it_is_recorded(store: Memory) -> None:
    async def live() -> None:
        store.held.clear()
        answer = asyncio.create_task(deliver(Receiver(SECRET, store, lambda event: None)))
        assert await asyncio.to_thread(store.asked.wait, 10)
        assert not answer.done()
        store.held.set()
        assert (await answer).status_code == 204

    asyncio.run(live())


def test_what_could_not_be_recorded_is_a_503_and_is_handled_when_it_comes_again(
    store: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[Event] = []
    receiver = Receiver(SECRET, store, handled.append)

    async def live() -> list[int]:
        async with receiver:
            store.failures = [sqlite3.OperationalError("canary: disk is full")]
            return [(await deliver(receiver)).status_code for _ in range(2)]

    assert asyncio.run(live()) == [503, 204]
    assert ids(handled) == ["evt_1"]
    assert "OperationalError" in caplog.text
    assert "canary" not in caplog.text


def test_only_the_thin_pointer_is_stored_and_handed_over(store: Memory) -> None:
    handled: list[Event] = []
    extra = {"note": "canary", "resources": {**EVENT["resources"], "text": "canary", "recording_id": "rec_1"}}
    run(
        Receiver(SECRET, store, handled.append),
        body(1, **extra),
        body(2, **extra, type="other", occurred_at={"canary": 1}),
    )
    assert "canary" not in f"{store.events} {[getattr(event, 'payload', '') for event in handled]}"
    assert json.loads(store.events["evt_2"])["resources"] == {**EVENT["resources"], "recording_id": "rec_1"}
    first = next(event for event in handled if isinstance(event, TranscriptReadyEvent))
    assert "canary" not in json.dumps(first.to_dict())


# What it hands over


def test_the_answer_does_not_wait_for_the_handler(store: Memory) -> None:
    async def live() -> None:
        going_on, finished = asyncio.Event(), asyncio.Event()

        async def handler(event: Event) -> None:
            going_on.set()
            await finished.wait()

        receiver = Receiver(SECRET, store, handler)
        async with receiver:
            assert (await deliver(receiver)).status_code == 204
            await going_on.wait()
            assert store.completed == []
            finished.set()
        assert store.completed == ["evt_1"]

    asyncio.run(live())


def test_handlers_that_block_do_not_keep_deliveries_from_being_recorded(store: Memory) -> None:
    released = threading.Event()
    receiver = Receiver(SECRET, store, lambda event: released.wait(30))

    async def live() -> list[int]:
        async with receiver:
            statuses = [(await deliver(receiver, body(number))).status_code for number in range(30)]
            assert store.completed == []
            released.set()
        return statuses

    assert asyncio.run(live()) == [204] * 30
    assert sorted(store.completed) == sorted(f"evt_{number}" for number in range(30))


def test_only_so_many_events_are_handled_at_once(store: Memory) -> None:
    running, most = 0, 0

    async def handler(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await asyncio.sleep(0)
        running -= 1

    run(Receiver(SECRET, store, handler), *(body(number) for number in range(40)))
    assert len(store.completed) == 40
    assert 1 < most <= 8


class Recording:
    def __init__(self) -> None:
        self.handled: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.handled.append(event)


def test_a_handler_may_be_any_callable(store: Memory) -> None:
    found: list[Event] = []

    async def append(where: list[Event], event: Event) -> None:
        where.append(event)

    called = Recording()
    for number, handler in enumerate([found.append, functools.partial(append, found), called, lambda e: called(e)]):
        run(Receiver(SECRET, store, handler), body(number))
    assert ids(found) == ["evt_0", "evt_1"]
    assert ids(called.handled) == ["evt_2", "evt_3"]
    assert len(store.completed) == 4


def test_concurrent_duplicates_are_handed_over_once(on_disk: Callable[[], SQLiteStore]) -> None:
    handled: list[Event] = []
    receivers = [Receiver(SECRET, on_disk(), handled.append) for _ in range(3)]

    async def live() -> list[httpx.Response]:
        async with receivers[0], receivers[1], receivers[2]:
            return await asyncio.gather(
                *(deliver(receiver, body(number)) for number in range(10) for receiver in receivers * 3)
            )

    assert {response.status_code for response in asyncio.run(live())} == {204}
    assert sorted(ids(handled)) == sorted(f"evt_{number}" for number in range(10))


def test_a_request_that_is_cancelled_leaves_no_event_behind(store: Memory) -> None:
    handled: list[Event] = []

    async def live() -> None:
        receiver = Receiver(SECRET, store, handled.append)
        store.held.clear()
        request = asyncio.create_task(served(receiver, http_scope(body()), part(body(), more=False)))
        assert await asyncio.to_thread(store.asked.wait, 10)
        request.cancel()
        await asyncio.wait([request])
        assert request.cancelled()
        store.held.set()
        async with receiver:
            pass

    asyncio.run(live())
    assert ids(handled) == store.completed == ["evt_1"]


@pytest.mark.parametrize("is_async", [True, False])
def test_a_handler_that_fails_is_logged_without_what_it_says_and_called_again_after_a_restart(
    is_async: bool, on_disk: Callable[[], SQLiteStore], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    called: list[str] = []

    def fail(event: Event) -> None:
        called.append(event.id)
        raise RuntimeError(f"canary about a patient of {event!r}")

    async def fail_async(event: Event) -> None:
        fail(event)

    store = on_disk()
    receiver = Receiver(SECRET, store, fail_async if is_async else fail)
    run(receiver, body(1))
    run(receiver, body(1), body(2))
    assert called == ["evt_1", "evt_2"]
    (line, _) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert line.startswith("webhook event 'evt_1' was not handled (RuntimeError at test_webhooks_receiver.py:")
    assert "canary" not in caplog.text + "".join(str(record.__dict__) for record in caplog.records)

    store.close()
    handled: list[Event] = []
    run(Receiver(SECRET, on_disk(), handled.append))
    run(Receiver(SECRET, on_disk(), handled.append))
    assert ids(handled) == ["evt_1", "evt_2"]


def test_what_a_store_gives_back_that_is_no_event_is_logged_and_harms_no_other(
    store: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[Event] = []
    store.left = {"evt_7": "canary", "evt_8": "[]", "evt_9": body(9).decode()}
    run(Receiver(SECRET, store, handled.append))
    assert ids(handled) == store.completed == ["evt_9"]
    assert caplog.text.count("was not handled") == 2
    assert "canary" not in caplog.text


# When it starts and stops


async def lifespan(receiver: Receiver, between: Callable[[], Any]) -> list[str]:
    """Serve a lifespan, doing something between its two events; return what the receiver said."""
    said: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        kind = next(events)
        if kind == "lifespan.shutdown":
            await between()
        return {"type": kind}

    async def send(message: Any) -> None:
        said.append(message["type"])

    await receiver({"type": "lifespan"}, receive, send)
    return said


def test_with_a_lifespan_it_takes_up_what_was_left_and_waits_for_handlers(store: Memory) -> None:
    async def live() -> None:
        finished = asyncio.Event()

        async def handler(event: Event) -> None:
            await finished.wait()

        receiver = Receiver(SECRET, store, handler)

        async def between() -> None:
            assert (await deliver(receiver, body(2))).status_code == 204
            asyncio.get_running_loop().call_soon(finished.set)

        store.left = {"evt_1": body(1).decode()}
        assert await lifespan(receiver, between) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert sorted(store.completed) == ["evt_1", "evt_2"]

    asyncio.run(live())


def test_a_store_that_cannot_be_opened_fails_the_start(store: Memory) -> None:
    store.failures = [OSError("canary")]

    async def between() -> None:
        raise AssertionError("it went on")

    assert asyncio.run(lifespan(Receiver(SECRET, store, print), between)) == ["lifespan.startup.failed"]


@asynccontextmanager
async def started(receiver: Receiver) -> AsyncIterator[None]:
    async with receiver:
        yield


@pytest.mark.parametrize("path", ["/hooks", "/hooks/"])
def test_without_a_lifespan_the_first_delivery_takes_up_what_was_left(path: str, store: Memory) -> None:
    handled: list[Event] = []
    receiver = Receiver(SECRET, store, handled.append)
    route = Route("/hooks", receiver) if path == "/hooks" else Mount("/hooks", receiver)
    store.left = {"evt_1": body(1).decode()}

    async def live() -> int:
        response = await deliver(Starlette(routes=[route]), body(2), path=path)
        async with receiver:
            pass
        return response.status_code

    assert asyncio.run(live()) == 204
    assert ids(handled) == ["evt_2", "evt_1"]


def test_it_lives_in_the_lifespan_of_the_application_it_is_mounted_in(store: Memory) -> None:
    handled: list[Event] = []
    receiver = Receiver(SECRET, store, handled.append)
    store.left = {"evt_1": body(1).decode()}
    app = Starlette(routes=[Route("/hooks", receiver)], lifespan=lambda app: started(receiver))

    async def live() -> int:
        async with app.router.lifespan_context(app):
            return (await deliver(app, body(2))).status_code

    assert asyncio.run(live()) == 204
    assert ids(handled) == ["evt_1", "evt_2"]
