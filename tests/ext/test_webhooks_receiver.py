"""What a receiver answers, reads and records, as an ASGI server sees it."""

from __future__ import annotations

import asyncio
import textwrap
import threading
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

from .conftest import awaited
from .webhook_queue import SECRET, QueueStore, body, deliver, store_in_memory  # noqa: F401


@pytest.fixture
def receiver(store: QueueStore) -> Receiver:
    return Receiver(SECRET, store, lambda event: None, max_body=1000)


def http_scope(**headers: str) -> dict[str, Any]:
    every = {**sign(body(), SECRET), **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": pairs}


def part(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


async def answer(receiver: Receiver, scope: dict[str, Any], receive: Any) -> list[Any]:
    """Serve one connection. Return the messages that the receiver sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver(scope, receive, send)
    return sent


def serve(receiver: Receiver, scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[int | None, int]:
    """Serve one connection. Return the status, and how many of *messages* the receiver takes."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    sent = asyncio.run(answer(receiver, scope, receive))
    return sent[0]["status"] if sent else None, len(messages) - len(left)


REFUSED: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "malformed header": (400, "invalid_timestamp", body(), {"ChartHero-Timestamp": "now"}),
    "missing header": (400, "missing_header", body(), {"ChartHero-Delivery-Id": ""}),
    "other event": (400, "mismatched_event", body(), {"ChartHero-Event-Id": "evt_2"}),
    "no event": (400, "malformed_event", body(type=1), {}),
    "bad signature": (401, "signature_mismatch", body(), {"ChartHero-Signature": "v1=" + "0" * 64}),
    "no signature of v1": (401, "unsupported_signature", body(), {"ChartHero-Signature": "v2=" + "0" * 64}),
    "stale": (401, "stale_timestamp", body(), sign(body(), SECRET, timestamp=1_777_649_395)),
    "too large": (413, "body_too_large", body(filler="x" * 1000), {}),
    "a form": (415, "unsupported_media_type", body(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "a media type that is too long": (
        415,
        "unsupported_media_type",
        body(),
        {"Content-Type": "application/json" + ";" * 2**20},
    ),
    "compressed": (415, "unsupported_media_type", body(), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_delivery_gets_a_status_and_a_reason_and_is_not_recorded(
    case: str, receiver: Receiver, store: QueueStore, caplog: pytest.LogCaptureFixture
) -> None:
    status, reason, content, headers = REFUSED[case]
    response = asyncio.run(deliver(receiver, content, **headers))
    assert (response.status_code, response.text) == (status, reason)
    assert response.headers["connection"] == "close"  # Else an unsigned body could hold the connection.
    assert store.ids == []
    assert [record.getMessage() for record in caplog.records] == [f"webhook refused: HTTP {status} {reason}"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@awaited
async def test_only_post_is_allowed(method: str, receiver: Receiver) -> None:
    start, _ = await answer(receiver, {**http_scope(), "method": method}, pytest.fail)
    assert (start["status"], start["headers"][0]) == (405, (b"allow", b"POST"))


@pytest.mark.parametrize("server", [{"http_version": "2"}, {"http_version": "1.1", "wsgi_environ": {}}])
@awaited
async def test_servers_that_forbid_the_header_connection_do_not_get_it(server: Any, receiver: Receiver) -> None:
    start, _ = await answer(receiver, {**http_scope(), "method": "GET", **server}, pytest.fail)
    assert b"connection" not in dict(start["headers"])


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_the_case_and_parameters_of_the_media_type_are_ignored(content_type: str, receiver: Receiver) -> None:
    assert asyncio.run(deliver(receiver, **{"Content-Type": content_type})).status_code == 204


def test_a_body_may_come_in_parts(receiver: Receiver) -> None:
    parts = [*(part(bytes([byte])) for byte in body()), part(b"", more=False)]
    assert serve(receiver, http_scope(), *parts) == (204, len(parts))


@pytest.mark.parametrize("length", ["0", "10", "999999999999", "-1", "x" * 5000])
def test_reading_stops_at_the_size_limit_whatever_length_was_announced(length: str, receiver: Receiver) -> None:
    assert serve(receiver, http_scope(**{"Content-Length": length}), *[part(b"x" * 400)] * 50) == (413, 3)


async def stalled() -> Any:
    await asyncio.Event().wait()


async def dripping() -> dict[str, Any]:
    await asyncio.sleep(0)
    return part(b"")


@pytest.mark.parametrize("receive", [stalled, dripping])
@awaited
async def test_slow_bodies_are_dropped_after_a_time_limit(
    receive: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext.webhooks.receiver.BODY_TIMEOUT", 0.01)
    answers = await asyncio.gather(*(answer(receiver, http_scope(), receive) for _ in range(100)))
    assert [start["status"] for start, _ in answers] == [408] * 100
    assert all((b"connection", b"close") in start["headers"] for start, _ in answers)


@pytest.mark.parametrize(("name", "value"), [("ChartHero-Signature", ""), ("ChartHero-Timestamp", "now")])
def test_a_delivery_with_a_bad_header_is_refused_before_its_body_is_read(
    name: str, value: str, receiver: Receiver
) -> None:
    assert serve(receiver, http_scope(**{name: value}), part(body())) == (400, 0)


def test_a_sender_that_disconnects_gets_no_answer_and_nothing_is_recorded(
    receiver: Receiver, store: QueueStore
) -> None:
    assert serve(receiver, http_scope(), part(body()), {"type": "http.disconnect"}) == (None, 2)
    assert store.ids == []


def test_other_connection_types_are_ignored(receiver: Receiver) -> None:
    assert serve(receiver, {"type": "websocket"}) == (None, 0)


@awaited
async def test_nothing_is_acknowledged_before_it_is_recorded(
    receiver: Receiver, store: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, released = threading.Event(), threading.Event()

    def add(self: QueueStore, *arguments: Any) -> None:
        called.set()
        assert released.wait(10)
        super(QueueStore, self).add(*arguments)

    monkeypatch.setattr(QueueStore, "add", add)
    delivery = asyncio.create_task(deliver(receiver))
    assert await asyncio.to_thread(called.wait, 10)
    assert (delivery.done(), store.ids) == (False, [])
    released.set()
    assert (await delivery).status_code == 204
    assert store.ids == ["evt_1"]


@awaited
async def test_an_event_that_cannot_be_recorded_is_a_503_and_accepted_when_it_comes_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(SECRET, QueueStore(tmp_path / "canary" / "events.db"), lambda event: None)
    assert (await deliver(receiver)).status_code == 503
    assert "webhook event 'evt_1' could not be recorded (FileNotFoundError at " in caplog.text
    assert "canary" not in caplog.text
    (tmp_path / "canary").mkdir()
    assert (await deliver(receiver)).status_code == 204


async def lifespan(receiver: Receiver, between: Callable[[], Any]) -> list[dict[str, str]]:
    """Serve a lifespan, and call a function between its two events. Return what the receiver sends."""
    kinds = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        kind = next(kinds)
        if kind == "lifespan.shutdown":
            await between()
        return {"type": kind}

    return await answer(receiver, {"type": "lifespan"}, receive)


@awaited
async def test_the_answer_does_not_wait_for_handlers_but_the_end_of_the_lifespan_does(store: QueueStore) -> None:
    started, finished = asyncio.Event(), asyncio.Event()

    async def handle(event: Event) -> None:
        started.set()
        await finished.wait()

    async def between() -> None:
        assert (await deliver(receiver)).status_code == 204
        await started.wait()
        assert store.completed == []
        asyncio.get_running_loop().call_soon(finished.set)

    receiver = Receiver(SECRET, store, handle)
    sent = await lifespan(receiver, between)
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert store.completed == ["evt_1"]


@awaited
async def test_a_store_that_fails_at_the_start_fails_the_start(tmp_path: Path) -> None:
    receiver = Receiver(SECRET, QueueStore(tmp_path / "canary" / "events.db"), print)
    (sent,) = await lifespan(receiver, pytest.fail)
    assert sent["type"] == "lifespan.startup.failed"
    assert "FileNotFoundError" in sent["message"]
    assert "canary" not in sent["message"]


@pytest.mark.parametrize("mount", [Route, Mount])
@pytest.mark.parametrize("has_lifespan", [True, False])
@awaited
async def test_a_mounted_receiver_hands_over_events_with_and_without_a_lifespan(
    mount: Any, has_lifespan: bool, store: QueueStore
) -> None:
    store.add("evt_1", body(1).decode(), 0)
    handled: asyncio.Queue[Event] = asyncio.Queue()
    receiver = Receiver(SECRET, store, handled.put)
    app = Starlette(routes=[mount("/hooks", receiver)], lifespan=lambda app: receiver)
    async with app.router.lifespan_context(app) if has_lifespan else nullcontext():
        path = "/hooks" if mount is Route else "/hooks/"
        assert (await deliver(app, body(2), path=path)).status_code == 204
        assert {(await handled.get()).id for _ in range(2)} == {"evt_1", "evt_2"}


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
