"""The ASGI application that takes deliveries: verify, record, answer, and then handle.

Source in the contract: "Webhooks".
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeAlias

from charthero_client.showing import show_id

from charthero_ext._secret import Secret
from charthero_ext.errors import BodyTooLargeError, WebhookVerificationError
from charthero_ext.webhooks.event_store import Store
from charthero_ext.webhooks.verification import (
    MAX_BODY,
    MAX_HEADER,
    Event,
    UnknownEvent,
    delivery_headers,
    event_from,
    genuine_event,
    signing_keys,
)

__all__ = ["Handler", "Receiver"]

logger = logging.getLogger("charthero_ext")

Handler: TypeAlias = Callable[[Event], Awaitable[object] | object]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

#: How many events are handled at once; the others wait.
CONCURRENCY = 8
#: How many seconds a sender has for the whole body.
BODY_TIMEOUT = 10.0


class Receiver:
    """An ASGI application that takes deliveries at whatever path it is mounted.

    A genuine event is recorded in the store, answered with 204 and handed to *handler*, outside the request: as a task
    of the event loop, or in a thread where *handler* is no coroutine function. It is handed over **once for each event
    id**, however often, at once and to however many processes of one store it is delivered. There is one exception:
    when a process dies, or a handler raises, nobody knows how far the handler came, so the event is handed over again:
    what a dead process left, at the start of the next or with the next delivery to any process of the store; what
    raised, when its process has restarted. So what the handler does must bear being done twice.

    The handler gets the thin pointer and nothing else that was sent, as a ``TranscriptReadyEvent`` or, for a type or a
    version that this package does not know, as an ``UnknownEvent``, which it may ignore. Where it raises, the log gets
    the event's id, the class of the exception and where it was raised, not its text.

    Answers: 204 recorded, now or before; 400 malformed; 401 not signed by ChartHero, or not lately; 405 not a POST; 413
    too large; 415 not JSON; 503 could not be recorded, so that ChartHero delivers it again.

    The server's lifespan events take up what is unhandled at the start, and wait for running handlers at the end. A
    mounted application gets no such events: use the receiver in an ``async with`` statement in the lifespan of the
    application it is mounted in, or go without, and what was left is taken up with the first delivery.
    """

    def __init__(
        self,
        secrets: str | Iterable[str],
        store: Store,
        handler: Handler,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        """Take the endpoint's signing secret, or all that are valid while it is rotated.

        Args:
            secrets: The secret, or several.
            store: Where events are recorded; every process of the endpoint uses the same.
            handler: Your code, called with each event.
            max_body: The most bytes to accept.

        Raises:
            ConfigurationError: There is no secret, or one is blank.
        """
        secrets = hidden = Secret(secrets)  # type: ignore[assignment]
        self._keys = signing_keys(hidden)
        self._store = store
        self._handler = handler
        self._max_body = max_body
        # Each has threads of its own, so that recording never waits for handling.
        self._recording = ThreadPoolExecutor(1, "charthero-webhooks-store")
        self._handling = ThreadPoolExecutor(CONCURRENCY, "charthero-webhooks-handler")
        self._places = asyncio.Semaphore(CONCURRENCY)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._take({})
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                status, reason = await self._delivered(scope, receive)
            except WebhookVerificationError as refusal:
                status, reason = refusal.status_code, refusal.reason
            except _GoneError:
                return
            if 400 <= status < 500:
                logger.warning("webhook refused: HTTP %d %s", status, reason)
            await _answer(scope, send, status, reason)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.__aenter__()
        except Exception as error:  # noqa: BLE001 - the server is told, and says so
            await send({"type": "lifespan.startup.failed", "message": f"the event store failed ({_place(error)})"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.__aexit__()
        await send({"type": "lifespan.shutdown.complete"})

    async def _delivered(self, scope: Mapping[str, Any], receive: Receive) -> tuple[int, str]:
        if scope["method"] != "POST":
            return 405, "method_not_allowed"
        if not _is_json(scope["headers"]):
            return 415, "unsupported_media_type"
        headers = delivery_headers(Secret(scope["headers"]))
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await self._body(receive)
        except TimeoutError:
            return 408, "body_timeout"
        event = genuine_event(headers, body, self._keys, max_body=self._max_body)
        # A request that is cancelled must not leave an event that was claimed and that nobody handles.
        taking = self._spawn(self._take({event.id: _pointer(event)}))
        try:
            await asyncio.shield(taking)
        except Exception as error:  # noqa: BLE001 - a store can fail in its own ways, and none is the sender's fault
            logger.error("webhook event %s could not be recorded (%s)", show_id(event.id), _place(error))
            return 503, "not_recorded"
        return 204, ""

    async def _body(self, receive: Receive) -> Secret[bytes]:
        body = Secret(bytearray())
        while True:
            message = Secret(await receive())
            if message.reveal()["type"] == "http.disconnect":
                raise _GoneError
            body.reveal().extend(message.reveal().get("body", b""))
            if len(body.reveal()) > self._max_body:
                raise BodyTooLargeError(f"the body is larger than {self._max_body:,} bytes")
            if not message.reveal().get("more_body", False):
                return Secret(bytes(body.reveal()))

    async def _take(self, events: Mapping[str, str]) -> None:
        """Record events, and begin to handle what is to be handled."""
        loop = asyncio.get_running_loop()
        claimed = await loop.run_in_executor(self._recording, self._store.claim, events)
        for event_id, pointer in claimed.items():
            self._spawn(self._handle(event_id, pointer))

    async def _handle(self, event_id: str, pointer: str) -> None:
        loop = asyncio.get_running_loop()
        async with self._places:
            try:
                event = event_from(Secret(json.loads(pointer)))
                if inspect.iscoroutinefunction(self._handler):
                    await self._handler(event)
                else:
                    handled = await loop.run_in_executor(self._handling, self._handler, event)
                    if inspect.isawaitable(handled):
                        await handled
                await loop.run_in_executor(self._recording, self._store.complete, event_id)
            except Exception as error:  # noqa: BLE001 - whatever the handler raises may hold what it fetched
                logger.error(
                    "webhook event %s was not handled (%s); it is handed over again after a restart",
                    show_id(event_id),
                    _place(error),
                )

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the body is uncompressed JSON. The headers are not authenticated, so long values are not read."""
    known = {b"content-type": b"application/json", b"content-encoding": b"identity"}
    return all(
        len(value) <= MAX_HEADER and value.partition(b";")[0].strip().lower() == known[name.lower()]
        for name, value in headers
        if name.lower() in known
    )


class _GoneError(Exception):
    """The sender went away before its request was whole."""


def _pointer(event: Event) -> str:
    """Return what may be stored of an event: the ids and codes of the thin pointer, whatever else was sent."""
    payload = event.payload if isinstance(event, UnknownEvent) else event.to_dict()
    names = ("id", "type", "api_version", "occurred_at", "organization_id")
    kept: dict[str, Any] = {name: payload[name] for name in names if isinstance(payload.get(name), str)}
    if isinstance(resources := payload.get("resources"), dict):
        kept["resources"] = {
            name: value for name, value in resources.items() if name.endswith("_id") and isinstance(value, str)
        }
    return json.dumps(kept)


def _place(error: Exception) -> str:
    """Say what was raised and where, and not what it says."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


async def _answer(scope: Mapping[str, Any], send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"allow", b"POST")] if status == 405 else []
    # The rest of the body is not read. HTTP/2 has no such header and needs none.
    if status in (408, 413) and scope.get("http_version", "1.1").startswith("1"):
        headers.append((b"connection", b"close"))
    if body:
        headers += [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
