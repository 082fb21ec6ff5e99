"""What a receiver answers, reads and records, as an ASGI server sees it."""

from __future__ import annotations

import asyncio
import sqlite3
import textwrap
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from charthero_ext import webhooks
from charthero_ext.sandbox import Sandbox
from charthero_ext.webhooks import Event, Receiver, sign

from .webhook_queue import SECRET, MemoryStore, body, deliver


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def http_scope(content: bytes, **headers: str) -> dict[str, Any]:
    every = {**sign(content, SECRET), **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": pairs}


async def answer(receiver: Receiver, scope: dict[str, Any], receive: Any) -> list[dict[str, Any]]:
    """Serve one connection. Return the messages that the receiver sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver(scope, receive, send)
    return sent


def serve(receiver: Receiver, scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Serve one connection. Return the messages that the receiver sends, and how many of *messages* it takes."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return asyncio.run(answer(receiver, scope, receive)), len(messages) - len(left)


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
def test_a_refused_delivery_gets_a_status_and_a_reason_and_is_not_recorded(
    case: str, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    status, reason, content, headers = REFUSED[case]
    receiver = Receiver(SECRET, store, lambda event: pytest.fail("handed over"))
    response = asyncio.run(deliver(receiver, content, **headers))
    assert (response.status_code, response.text) == (status, reason)
    assert store.rows == {}
    assert [record.getMessage() for record in caplog.records] == [f"webhook refused: HTTP {status} {reason}"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_is_allowed(method: str, store: MemoryStore) -> None:
    sent, taken = serve(Receiver(SECRET, store, print), {**http_scope(body()), "method": method})
    assert (sent[0]["status"], (b"allow", b"POST") in sent[0]["headers"], taken) == (405, True, 0)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_the_case_and_parameters_of_the_media_type_are_ignored(content_type: str, store: MemoryStore) -> None:
    receiver = Receiver(SECRET, store, lambda event: None)
    assert asyncio.run(deliver(receiver, **{"Content-Type": content_type})).status_code == 204


def part(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_body_may_come_in_parts(store: MemoryStore) -> None:
    parts = [part(bytes([byte])) for byte in body()]
    sent, _ = serve(Receiver(SECRET, store, print), http_scope(body()), *parts, part(b"", more=False))
    assert sent[0]["status"] == 204


@pytest.mark.parametrize("length", ["0", "10", "999999999999", "-1", "x" * 5000])
def test_reading_stops_at_the_size_limit_whatever_length_was_announced(length: str, store: MemoryStore) -> None:
    receiver = Receiver(SECRET, store, print, max_body=1000)
    scope = http_scope(body(), **{"Content-Length": length})
    sent, taken = serve(receiver, scope, *[part(b"x" * 400)] * 50)
    assert (sent[0]["status"], taken) == (413, 3)


async def stalled() -> dict[str, Any]:
    return await asyncio.Event().wait()  # type: ignore[return-value]


async def dripping() -> dict[str, Any]:
    await asyncio.sleep(0)
    return part(b"")


@pytest.mark.parametrize("receive", [stalled, dripping])
def test_slow_bodies_are_dropped_after_a_time_limit(
    receive: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext.webhooks.receiver.BODY_TIMEOUT", 0.01)

    async def live() -> list[Any]:
        receiver = Receiver(SECRET, store, print)
        return await asyncio.gather(*(answer(receiver, http_scope(body()), receive) for _ in range(100)))

    starts = [start for start, _ in asyncio.run(live())]
    assert [start["status"] for start in starts] == [408] * 100
    assert all((b"connection", b"close") in start["headers"] for start in starts)


@pytest.mark.parametrize("headers", [{"ChartHero-Signature": ""}, {"ChartHero-Timestamp": "now"}])
def test_a_delivery_with_a_bad_header_is_refused_before_its_body_is_read(
    headers: dict[str, str], store: MemoryStore
) -> None:
    sent, taken = serve(Receiver(SECRET, store, print), http_scope(body(), **headers), part(body()))
    assert (sent[0]["status"], taken) == (400, 0)


def test_a_sender_that_disconnects_gets_no_answer_and_nothing_is_recorded(store: MemoryStore) -> None:
    receiver = Receiver(SECRET, store, print)
    sent, _ = serve(receiver, http_scope(body()), part(body()), {"type": "http.disconnect"})
    assert (sent, store.rows) == ([], {})


def test_other_connection_types_are_ignored(store: MemoryStore) -> None:
    sent, taken = serve(Receiver(SECRET, store, print), {"type": "websocket"})
    assert (sent, taken) == ([], 0)


def test_nothing_is_acknowledged_before_it_is_recorded(store: MemoryStore) -> None:
    async def live() -> None:
        store.released.clear()
        answer = asyncio.create_task(deliver(Receiver(SECRET, store, lambda event: None)))
        assert await asyncio.to_thread(store.asked.wait, 10)
        assert not answer.done()
        store.released.set()
        assert (await answer).status_code == 204

    asyncio.run(live())
    assert list(store.rows) == ["evt_1"]


def test_an_event_that_cannot_be_recorded_is_a_503_and_accepted_when_it_comes_again(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(SECRET, store, lambda event: None)
    store.failures = [sqlite3.OperationalError("canary: disk is full")]

    async def live() -> list[int]:
        return [(await deliver(receiver)).status_code for _ in range(2)]

    assert asyncio.run(live()) == [503, 204]
    assert "webhook event 'evt_1' could not be recorded (OperationalError at " in caplog.text
    assert "canary" not in caplog.text


async def lifespan(receiver: Receiver, between: Callable[[], Any]) -> list[str]:
    """Serve a lifespan, and call a function between its two events. Return what the receiver sent."""
    kinds = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        kind = next(kinds)
        if kind == "lifespan.shutdown":
            await between()
        return {"type": kind}

    return [message["type"] for message in await answer(receiver, {"type": "lifespan"}, receive)]


def test_the_answer_does_not_wait_for_handlers_but_the_end_of_the_lifespan_does(store: MemoryStore) -> None:
    async def live() -> list[str]:
        started, finished = asyncio.Event(), asyncio.Event()

        async def handle(event: Event) -> None:
            started.set()
            await finished.wait()

        receiver = Receiver(SECRET, store, handle)

        async def between() -> None:
            assert (await deliver(receiver)).status_code == 204
            await started.wait()
            assert store.completed == []
            asyncio.get_running_loop().call_soon(finished.set)

        return await lifespan(receiver, between)

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert store.completed == ["evt_1"]


def test_a_store_that_fails_at_the_start_fails_the_start(store: MemoryStore) -> None:
    store.failures = [OSError("canary")]
    assert asyncio.run(lifespan(Receiver(SECRET, store, print), pytest.fail)) == ["lifespan.startup.failed"]


@pytest.mark.parametrize("mount", [Route, Mount])
@pytest.mark.parametrize("has_lifespan", [True, False])
def test_a_mounted_receiver_hands_over_events_with_and_without_a_lifespan(
    mount: Any, has_lifespan: bool, store: MemoryStore
) -> None:
    store.add("evt_1", body(1).decode(), 0)

    async def live() -> set[str]:
        handled: asyncio.Queue[Event] = asyncio.Queue()
        receiver = Receiver(SECRET, store, handled.put)
        app = Starlette(routes=[mount("/hooks", receiver)], lifespan=lambda app: receiver)
        async with app.router.lifespan_context(app) if has_lifespan else nullcontext():
            path = "/hooks" if mount is Route else "/hooks/"
            assert (await deliver(app, body(2), path=path)).status_code == 204
            return {(await handled.get()).id for _ in range(2)}

    assert asyncio.run(live()) == {"evt_1", "evt_2"}


def test_the_example_in_the_docstring_follows_up_a_delivery_of_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (webhooks.__doc__ or "").split("::\n\n")[1].split("\n\nAn event is")[0]
    example = textwrap.dedent(text)
    assert len([line for line in example.splitlines() if line]) <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTHERO_WEBHOOK_SECRET", SECRET)
    with Sandbox(encounters=1, webhook_secret=SECRET) as sandbox:
        monkeypatch.setenv("CHARTHERO_API_KEY", sandbox.api_key)
        monkeypatch.setenv("CHARTHERO_BASE_URL", sandbox.base_url)
        names: dict[str, Any] = {}
        exec(compile(example, "the docstring", "exec"), names)
        app = names["app"]
        encounter_id = sandbox.append()["encounter_id"]
        signed = sandbox.signed_event(encounter_id)

        async def live() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
                url = "http://localhost/webhooks/charthero"
                answer = await client.post(url, content=signed.body, headers=signed.headers)
                assert answer.status_code == 204
                await names["receiver"].run_pending()
                return await client.get(f"http://localhost/encounters/{encounter_id}/status")

        assert asyncio.run(live()).json() == "completed"
    assert capsys.readouterr().out.startswith("evt_")
