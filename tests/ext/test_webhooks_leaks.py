"""No failing path of the webhooks shows a secret or a body, whatever renders it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pprint
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import pytest
import rich.console
import rich.traceback
import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import Event, Receiver, sign, verify
from tests.payloads import EVENT

from .webhook_queue import MemoryStore

SECRET = "canary-secret"
BODY = json.dumps({**EVENT, "note": "canary-note"}).encode()
NOW = 1_777_649_395


class Memory(sentry_sdk.transport.Transport):
    """Keeps what would be sent, without the stack frames of this file, which hold the canaries themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def capture_envelope(self, envelope: sentry_sdk.envelope.Envelope) -> None:
        event: Any = envelope.get_event()
        for shown in (*event.get("exception", {}).get("values", ()), *event.get("threads", {}).get("values", ())):
            frames = shown["stacktrace"]["frames"]
            shown["stacktrace"]["frames"] = [frame for frame in frames if frame["abs_path"] != __file__]
        self.sent.append(json.dumps(event))


@pytest.fixture
def sentry() -> Iterator[Memory]:
    memory = Memory()
    sentry_sdk.init(
        "http://key@localhost/1",
        transport=memory,
        default_integrations=False,
        integrations=[LoggingIntegration(level=logging.DEBUG, event_level=logging.WARNING)],
        attach_stacktrace=True,
        max_value_length=100_000,
    )
    yield memory
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def below(error: BaseException) -> TracebackType | None:
    """Return the traceback below the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def with_locals(error: BaseException) -> str:
    shown = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True, compact=False)
    return "".join(shown.format())


def with_rich(error: BaseException) -> str:
    console = rich.console.Console(file=io.StringIO(), width=200)
    shown = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
    )
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def like_cgitb(error: BaseException) -> str:
    """Show every local variable, and every attribute of the exception."""
    shown = [getattr(error, name, None) for name in dir(error)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        shown += frame.f_locals.items()
    return pprint.pformat(shown)


def with_sentry(error: BaseException) -> str:
    sentry_sdk.capture_exception(error)
    return ""  # the fixture keeps what it sends


def signed(**changes: str) -> dict[str, str]:
    return {**sign(BODY, SECRET, timestamp=NOW), **changes}


def receiver(**others: Any) -> Receiver:
    return Receiver(SECRET, MemoryStore(**others), print)


async def deliver_and_break_off() -> None:
    messages = iter([{"type": "http.request", "body": BODY[:-9], "more_body": True}])

    async def receive() -> Any:
        for message in messages:
            return message
        raise ConnectionResetError

    headers = [(name.lower().encode(), value.encode()) for name, value in sign(BODY, SECRET).items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await receiver()(scope, receive, lambda message: pytest.fail("answered"))


def submit(**others: Any) -> None:
    asyncio.run(receiver(**others).submit(TranscriptReadyEvent.from_dict({**EVENT, "note": "canary"})))


FAILING: dict[str, Callable[[], object]] = {
    "signature": lambda: verify(signed(), BODY + b" ", SECRET, now=NOW),
    "secret": lambda: verify(signed(), BODY, [SECRET + "2", SECRET + "3"], now=NOW),
    "missing header": lambda: verify(signed(**{"ChartHero-Event-Id": ""}), BODY, SECRET, now=NOW),
    "repeated header": lambda: verify([*signed().items()] * 2, BODY, SECRET, now=NOW),
    "bad timestamp": lambda: verify(signed(**{"ChartHero-Timestamp": "canary"}), BODY, SECRET, now=NOW),
    "old timestamp": lambda: verify(signed(), BODY, SECRET),
    "unsupported signature": lambda: verify(signed(**{"ChartHero-Signature": "v2=canary"}), BODY, SECRET, now=NOW),
    "large body": lambda: verify(signed(), BODY, SECRET, now=NOW, max_body=10),
    "other event": lambda: verify(signed(**{"ChartHero-Event-Id": "canary"}), BODY, SECRET, now=NOW),
    "no event": lambda: verify(sign(BODY.replace(b'"type"', b'"kind"'), SECRET, timestamp=NOW), BODY, SECRET, now=NOW),
    "text body": lambda: verify(signed(), BODY.decode(), SECRET, now=NOW),  # type: ignore[arg-type]
    "no headers": lambda: verify(None, BODY, SECRET, now=NOW),  # type: ignore[arg-type]
    "blank secret": lambda: verify(signed(), BODY, [SECRET, f" {SECRET}"], now=NOW),
    "number as secrets": lambda: verify(signed(), BODY, {SECRET: 1, 5: SECRET}, now=NOW),  # type: ignore[arg-type]
    "signing no JSON": lambda: sign(BODY[:-1], SECRET),
    "signing no event": lambda: sign(b'["canary"]', SECRET),
    "signing without a secret": lambda: sign(BODY, f"{SECRET} "),
    "a receiver with a blank secret": lambda: Receiver([SECRET, ""], MemoryStore(), print),
    "a broken connection": lambda: asyncio.run(deliver_and_break_off()),
    "a broken store": lambda: submit(failures=[OSError()]),
}


@pytest.mark.parametrize("case", FAILING)
def test_an_exception_shows_no_secret_and_no_body(case: str, sentry: Memory) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of many classes
        FAILING[case]()
    error = caught.value.with_traceback(below(caught.value))
    assert error.__traceback__ is not None
    for render in (with_locals, with_rich, like_cgitb, with_sentry):
        assert "canary" not in render(error), render.__name__
    assert len(sentry.sent) == 1
    assert "canary" not in sentry.sent[0]
    assert "canary" not in f"{error} {error!r} {vars(error)}"


@pytest.mark.parametrize("is_async", [True, False])
def test_log_records_of_failing_deliveries_and_handlers_show_no_secret_and_no_body(
    is_async: bool, sentry: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    class Broken(MemoryStore):
        def complete(self, event_id: str) -> None:
            raise OSError

    def handle(event: Event) -> None:
        fetched = "canary"
        if event.id == "evt_1":
            raise RuntimeError(fetched)

    async def handle_async(event: Event) -> None:
        await asyncio.to_thread(handle, event)

    async def post(app: Receiver, content: bytes, **changes: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": content}

        async def send(message: Any) -> None:
            """Ignore the answer."""

        headers = {**sign(content, SECRET), **changes}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await app({"type": "http", "method": "POST", "path": "/", "headers": pairs}, receive, send)

    async def live() -> None:
        store = Broken()
        app = Receiver(SECRET, store, handle_async if is_async else handle)
        contents = [json.dumps({**EVENT, "id": f"evt_{number}", "note": "canary"}).encode() for number in range(4)]
        for content in contents[:2]:
            await post(app, content)
        await post(app, contents[2], **{"ChartHero-Signature": "v1=" + "0" * 64})
        store.failures = [OSError()]
        await post(app, contents[3])
        await app.run_pending()

    asyncio.run(live())
    assert [record.levelname for record in caplog.records if record.name == "charthero_ext"].count("ERROR") == 3
    assert len(sentry.sent) == 4
    assert "canary" not in "".join([*sentry.sent, *(str(vars(record)) for record in caplog.records)])
