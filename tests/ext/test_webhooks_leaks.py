"""No failing path of the webhooks shows a secret or a body, whatever renders it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any
from unittest.mock import AsyncMock

import pytest
import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import Event, Receiver, SQLiteStore, sign, verify
from tests.payloads import EVENT

from .tracebacks import RENDERERS
from .webhook_queue import QueueStore, deliver, store_in_memory  # noqa: F401

#: Source lines that use this name do not contain the text, so a renderer that shows them shows no canary.
CANARY = "canary"
SECRET = f"{CANARY}-secret"
BODY = json.dumps({**EVENT, "note": CANARY}).encode()
NOW = 1_777_649_395


def below(error: BaseException) -> TracebackType | None:
    """Return the traceback below the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def signed(**changes: str) -> dict[str, str]:
    return {**sign(BODY, SECRET, timestamp=NOW), **changes}


def receiver() -> Receiver:
    return Receiver(SECRET, SQLiteStore("."), print)


async def deliver_and_break_off() -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in sign(BODY, SECRET).items()]
    receive = AsyncMock(side_effect=[{"type": "http.request", "body": BODY, "more_body": True}, RuntimeError()])
    await receiver()({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, AsyncMock())


def submit() -> None:
    asyncio.run(receiver().submit(TranscriptReadyEvent.from_dict({**EVENT, "note": CANARY})))


FAILING: dict[str, Callable[[], object]] = {
    "signature": lambda: verify(signed(), BODY + b" ", SECRET, now=NOW),
    "secrets": lambda: verify(signed(), BODY, [SECRET + "2", SECRET + "3"], now=NOW),
    "unsupported signature": lambda: verify(signed(**{"ChartHero-Signature": f"v2={CANARY}"}), BODY, SECRET, now=NOW),
    "bad timestamp": lambda: verify(signed(**{"ChartHero-Timestamp": CANARY}), BODY, SECRET, now=NOW),
    "other event": lambda: verify(signed(**{"ChartHero-Event-Id": CANARY}), BODY, SECRET, now=NOW),
    "no event": lambda: verify(sign(BODY.replace(b'"type"', b'"kind"'), SECRET, timestamp=NOW), BODY, SECRET, now=NOW),
    "text body": lambda: verify(signed(), BODY.decode(), SECRET, now=NOW),  # type: ignore[arg-type]
    "text as now": lambda: verify(signed(), BODY, SECRET, now="noon"),  # type: ignore[arg-type]
    "no headers": lambda: verify(None, BODY, SECRET, now=NOW),  # type: ignore[arg-type]
    "blank secret": lambda: verify(signed(), BODY, [SECRET, f" {SECRET}"], now=NOW),
    "number as secrets": lambda: verify(signed(), BODY, {SECRET: 1, 5: SECRET}, now=NOW),  # type: ignore[arg-type]
    "signing no JSON": lambda: sign(BODY[:-1], SECRET),
    "signing no event": lambda: sign(json.dumps([CANARY]).encode(), SECRET),
    "signing without a secret": lambda: sign(BODY, f"{SECRET} "),
    "a receiver with a blank secret": lambda: Receiver([SECRET, ""], SQLiteStore("."), print),
    "a broken connection": lambda: asyncio.run(deliver_and_break_off()),
    "a broken store": submit,
}


@pytest.mark.parametrize("case", FAILING)
def test_an_exception_shows_no_secret_and_no_body(case: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of many classes
        FAILING[case]()
    error = caught.value.with_traceback(below(caught.value))
    for render in RENDERERS:
        assert CANARY not in render(error), render.__name__
    assert CANARY not in f"{error} {error!r} {vars(error)}"


def is_shown(frame: dict[str, Any]) -> bool:
    """Return whether a frame is the receiver's or an event loop's. Those of the sender hold the canaries."""
    return frame["module"].split(".")[0] in ("charthero_ext", "asyncio", "concurrent", "threading", "logging")


class Memory(sentry_sdk.Transport):
    """Keeps the events that Sentry would send, without the stack frames of the sender."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        for thread in event["threads"]["values"]:
            frames = thread["stacktrace"]["frames"]
            thread["stacktrace"]["frames"] = [frame for frame in frames if is_shown(frame)]
        self.sent.append(json.dumps(event))


@pytest.fixture
def sentry() -> Iterator[Memory]:
    memory = Memory()
    logs = LoggingIntegration(level=logging.DEBUG, event_level=logging.WARNING)
    options: Any = {"default_integrations": False, "integrations": [logs], "attach_stacktrace": True}
    sentry_sdk.init("http://key@localhost/1", transport=memory, max_value_length=100_000, **options)
    yield memory
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.parametrize("is_async", [True, False])
def test_log_records_of_failing_deliveries_and_handlers_show_no_secret_and_no_body(
    is_async: bool, store: QueueStore, sentry: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(event: Event) -> None:
        fetched = CANARY
        raise RuntimeError(fetched)

    async def handle_async(event: Event) -> None:
        await asyncio.to_thread(handle, event)

    async def live() -> None:
        app = Receiver(SECRET, store, handle_async if is_async else handle)
        await deliver(app, BODY, secret=SECRET)
        await app.run_pending()
        await deliver(app, BODY, secret=SECRET, **{"ChartHero-Signature": "v1=" + "0" * 64})
        store.path.unlink()
        store.path.mkdir()
        await deliver(app, BODY, secret=SECRET)

    asyncio.run(live())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "ERROR"]
    assert len(sentry.sent) == 3
    assert CANARY not in "".join([*sentry.sent, *(str(vars(record)) for record in caplog.records)])
