"""The ASGI application that receives deliveries: verify, record, answer. A worker calls the handler."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeAlias

from charthero_client.showing import show_id

from charthero_ext._log import logger
from charthero_ext._secret import Secret, opaque, place_of
from charthero_ext.errors import WebhookVerificationError
from charthero_ext.webhooks import verification
from charthero_ext.webhooks.event_store import Store
from charthero_ext.webhooks.verification import MAX_BODY, MAX_HEADER, Event, UnknownEvent
from charthero_ext.webhooks.worker import Handler, Worker

__all__ = ["Receiver"]


Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: How many seconds a sender has for the whole body.
BODY_TIMEOUT = 10.0


class Receiver:
    """An ASGI application that receives deliveries at the path where it is mounted.

    It records a genuine event in the store, answers 204, and calls *handler* in a task outside the request. Every
    event is handled **once**, no matter how often and to how many processes it is delivered. If the handler raises,
    takes longer than ten minutes or its process dies, the event is handed over again, up to 20 times within about half
    a day. So the handler must be idempotent. A redelivery hands over a failed event at once.

    A failure of the handler is only logged, by the logger ``charthero_ext``: configure logging to see it. The log names
    the event's id, the class of an exception and where it was raised, never its text.

    Responses: 204 recorded, now or earlier; 400 malformed; 401 bad signature or old timestamp; 405 not a POST; 408 slow
    body; 413 too large; 415 not JSON; 503 not recorded, so that ChartHero delivers it again.

    Due events are handed over during the server's lifespan or ``async with receiver``, whose end waits for running
    handlers. A mounted application gets no lifespan events: use ``async with receiver`` in the lifespan of the outer
    one. Without it, the first delivery starts the work. If the server stops after each response, call
    :meth:`run_pending`.
    """

    @opaque
    def __init__(
        self, secrets: str | Iterable[str], store: Store, handler: Handler, *, max_body: int = MAX_BODY
    ) -> None:
        """Configure the receiver of one endpoint.

        Args:
            secrets: The endpoint's signing secret, or all valid secrets during a rotation.
            store: The queue. All processes of the endpoint use the same one.
            handler: A function or coroutine function that gets each event as a thin pointer. Ignore an
                ``UnknownEvent``: this package does not know its type or version. Functions run in threads.
            max_body: The size limit of a body in bytes.

        Raises:
            ConfigurationError: There is no secret, or one is blank.
        """
        self._secrets = Secret(verification.checked_secrets(secrets))
        self._store = store
        self._handler = handler
        self._max_body = max_body
        # The thread that calls the store, by process id, because threads do not survive a fork.
        self._storing: dict[int, ThreadPoolExecutor] = {}
        self._workers: dict[asyncio.AbstractEventLoop, Worker] = {}

    async def run_pending(self) -> None:
        """Hand over all events that are due, and wait for their handlers.

        Call it after each request, or from a scheduled job, if the server stops after a response. An event whose
        handler fails is due again later. Raises what the store raises.
        """
        await self._worker().run_pending()

    async def submit(self, event: Event) -> None:
        """Put an event from elsewhere into the queue, as if it had been delivered. Raises what the store raises."""
        recorded = self._store_thread().submit(self._store.add, event.id, _pointer(event), time.time())
        await asyncio.wrap_future(recorded)
        self._worker().poll()

    def failed(self) -> list[tuple[str, str]]:
        """Return the id, and the class name of the last exception, of each event that used up its attempts."""
        return list(self._store_thread().submit(self._store.failed).result())

    async def __aenter__(self) -> Self:
        # Find a broken store at the start, not at the first delivery.
        await asyncio.wrap_future(self._store_thread().submit(self._store.failed))
        self._worker().poll()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._worker().stop()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                status, reason = await self._answer(scope, receive)
            except WebhookVerificationError as refusal:
                status, reason = refusal.status_code, refusal.reason
            except TimeoutError:
                status, reason = 408, "body_timeout"
            except ConnectionAbortedError:
                return
            if 400 <= status < 500:
                logger.warning("webhook refused: HTTP %d %s", status, reason)
            await _send(scope, send, status, reason)

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self:
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            message = f"the webhook store failed ({place_of(error)})"
            await send({"type": "lifespan.startup.failed", "message": message})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> tuple[int, str]:
        if scope["method"] != "POST":
            return 405, "method_not_allowed"
        if not _is_json(scope["headers"]):
            return 415, "unsupported_media_type"
        verification.required_headers(scope["headers"])  # Refuse bad headers before the body is read.
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _body(receive, self._max_body)
        event = verification.verify(scope["headers"], body.reveal(), self._secrets.reveal(), max_body=self._max_body)
        try:
            await self.submit(event)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            logger.error("webhook event %s could not be recorded (%s)", show_id(event.id), place_of(error))
            return 503, "not_recorded"
        return 204, ""

    def _worker(self) -> Worker:
        loop = asyncio.get_running_loop()
        if loop not in self._workers:
            self._workers = {each: worker for each, worker in self._workers.items() if not each.is_closed()}
            self._workers[loop] = Worker(self._store, self._store_thread(), self._handler)
        return self._workers[loop]

    def _store_thread(self) -> ThreadPoolExecutor:
        return self._storing.setdefault(os.getpid(), ThreadPoolExecutor(1, "charthero-webhooks-store"))


async def _body(receive: Receive, max_body: int) -> Secret[bytes]:
    """Read a body, but stop once it is too large."""
    body = Secret(bytearray())
    has_more = True
    while has_more and len(body.reveal()) <= max_body:
        message = Secret(await receive())
        if message.reveal()["type"] == "http.disconnect":
            raise ConnectionAbortedError
        body.reveal().extend(message.reveal().get("body", b""))
        has_more = message.reveal().get("more_body", False)
    return Secret(bytes(body.reveal()))


def _is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the body is uncompressed JSON. Long values are not read, because they are not authenticated."""
    known = {b"content-type": b"application/json", b"content-encoding": b"identity"}
    return all(
        len(value) <= MAX_HEADER and value.partition(b";")[0].strip().lower() == known[name.lower()]
        for name, value in headers
        if name.lower() in known
    )


def _pointer(event: Event) -> str:
    """Return the part of an event that is stored: ids and codes, nothing else that was sent."""
    payload = event.payload if isinstance(event, UnknownEvent) else event.to_dict()
    pointer: dict[str, Any] = _texts(payload, ("id", "type", "api_version", "occurred_at", "organization_id"))
    resources = payload.get("resources")
    if isinstance(resources, dict):
        pointer["resources"] = _texts(resources, (name for name in resources if name.endswith("_id")))
    return json.dumps(pointer)


def _texts(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: values[name] for name in names if isinstance(values.get(name), str)}


async def _send(scope: Mapping[str, Any], send: Send, status: int, reason: str) -> None:
    headers = [(b"allow", b"POST")] if status == 405 else []
    if reason:
        headers += [(b"content-type", b"text/plain"), (b"content-length", str(len(reason)).encode())]
        # Drop the rest of the body, which is not read. HTTP/2 and WSGI, as a2wsgi announces it, forbid this header.
        if scope.get("http_version", "1.1").startswith("1") and "wsgi_environ" not in scope:
            headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
