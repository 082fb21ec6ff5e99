"""Faults on demand: what networks, gateways and a living data set do to a client.

A fault is asked for by one request in its ``ChartHero-Sandbox-Fault`` header, by the control route or
:meth:`Sandbox.fail` for the requests to come, or strikes at random with a seed. All happen in front of the checks of
the API, as a gateway would.

A header holds one fault, with its options after semicolons: ``status; status=429; retry_after=2``.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve, field, frozen, validators
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charthero_ext.sandbox.checks import OPERATIONS

__all__ = ["HEADER", "KINDS", "RANDOM", "Fault", "FaultLayer", "Faults"]

HEADER = b"charthero-sandbox-fault"
KINDS = {
    "latency": "wait for `seconds`, then answer",
    "status": "answer `status` with an error body of the contract, and Retry-After where `retry_after` says so",
    "html": "answer `status` with a gateway's HTML page, and Retry-After where `retry_after` says so",
    "reset": "reset the connection before any answer",
    "truncate": "close the connection half-way through the body",
    "slow": "spread the body over `seconds`",
    "clamp": "list pages hold at most `limit` encounters, although the body repeats the limit that was asked for",
    "shift": "before a list page, the oldest encounter disappears and a new one is appended",
    "unknown": "every object gains a field, and every enumeration holds a value nobody has seen",
}
RANDOM = (
    *("status; status=503; retry_after=0", "status; status=429; retry_after=0", "html", "html; status=520"),
    *("reset", "truncate", "latency; seconds=0.05", "slow; seconds=0.05", "clamp", "shift", "unknown"),
)
_OPERATIONS = frozenset(OPERATIONS) | {"artifact", "audio_file"}


def _at_least_once(instance: object, attribute: object, times: int | None) -> None:
    if times is not None and times < 1:
        raise ValueError("times has to be at least 1, or None")


@frozen(kw_only=True)
class Fault:
    """One fault; which of the options matter is said in :data:`KINDS`.

    ``operation`` limits it to one route (``encounters.list``, ``audio_file``, ``artifact``, …), ``times`` to so many
    requests (None: until cleared), after ``after`` of them have been spared.
    """

    kind: str = field(validator=validators.in_(KINDS))
    status: int = field(default=502, converter=int, validator=[validators.ge(200), validators.lt(600)])
    retry_after: str | None = None
    seconds: float = field(default=0.1, converter=float, validator=[validators.ge(0), validators.le(600)])
    limit: int = field(default=10, converter=int, validator=validators.ge(0))
    operation: str | None = field(default=None, validator=validators.optional(validators.in_(_OPERATIONS)))
    times: int | None = field(default=1, validator=_at_least_once)
    after: int = field(default=0, validator=validators.ge(0))


def parse_fault(text: str) -> Fault:
    """Read a fault from its header. Raises ValueError where it is none."""
    kind, *options = (part.strip() for part in text.split(";"))
    pairs: dict[str, Any] = dict(option.split("=", 1) for option in options)
    try:
        return Fault(kind=kind, **pairs)
    except TypeError as error:
        raise ValueError(str(error)) from None


class Faults:
    """The faults to come."""

    def __init__(self, *, seed: int, rate: float) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._waiting: list[Fault] = []
        self.strike_at_random(rate)

    def strike_at_random(self, rate: float, among: Sequence[str] = RANDOM) -> None:
        """Let faults ``among`` these, written as in a header, strike this share of requests, 0 to 1.

        Which requests they strike, and how, is decided by the seed and begins anew.
        """
        if not 0 <= rate <= 1 or not among:
            raise ValueError("random faults need a rate between 0 and 1, and something to be among")
        faults = [parse_fault(text) for text in among]
        with self._lock:
            self._rate = rate
            self._among = faults
            self._random = random.Random(self._seed)  # noqa: S311 - has to be repeatable

    def add(self, fault: Fault) -> None:
        """Let a fault strike requests to come."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Forget the faults that wait, and random ones."""
        with self._lock:
            self._waiting.clear()
            self._rate = 0.0

    def waiting(self) -> list[Fault]:
        """The faults that have not struck as often as they should."""
        with self._lock:
            return list(self._waiting)

    def take(self, operation: str) -> list[Fault]:
        """The faults that strike a request now."""
        striking: list[Fault] = []
        left: list[Fault] = []
        with self._lock:
            for fault in self._waiting:
                if fault.operation not in (None, operation):
                    left.append(fault)
                elif fault.after:
                    left.append(evolve(fault, after=fault.after - 1))
                else:
                    striking.append(fault)
                    if fault.times is None:
                        left.append(fault)
                    elif fault.times > 1:
                        left.append(evolve(fault, times=fault.times - 1))
            self._waiting = left
            if self._random.random() < self._rate:
                striking.append(self._random.choice(self._among))
        return striking


class FaultLayer:
    """The outermost ASGI layer. Faults of the data are left in ``scope["faults"]`` for the API to act on."""

    def __init__(self, app: ASGIApp, faults: Faults, operation_of: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._faults = faults
        self._operation_of = operation_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Strike the request with the faults it asks for and those that wait, then pass on what is left of it."""
        operation = self._operation_of(scope) if scope["type"] == "http" else None
        scope["faults"] = {}
        if operation is None:
            await self._app(scope, receive, send)
            return
        try:
            asked = [parse_fault(value.decode("latin-1")) for name, value in scope["headers"] if name == HEADER]
        except ValueError as error:
            await Response(f"No such fault: {error}\n", 400)(scope, receive, send)
            return
        for fault in asked + self._faults.take(operation):
            if fault.kind == "latency":
                await _pause(fault.seconds, receive)
            elif fault.kind in ("status", "html"):
                await _answer(fault)(scope, receive, send)
                return
            elif fault.kind == "reset":
                await _hang_up(receive, send, reset=True)
                return
            elif fault.kind == "truncate":
                send = _truncating(receive, send)
            elif fault.kind == "slow":
                send = _slow(receive, send, fault.seconds)
            else:
                scope["faults"][fault.kind] = fault
        await self._app(scope, receive, send)


def _answer(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.kind == "html":
        page = (
            f"<!DOCTYPE html><html><head><title>{fault.status}</title></head><body><h1>Bad gateway</h1></body></html>"
        )
        return Response(page, fault.status, headers, "text/html")
    body = {"error": "unavailable", "reason_code": "sandbox_fault", "message": "A fault of the sandbox.", "field": None}
    return JSONResponse(body, fault.status, headers)


def _transport(send: Send) -> Any:
    """The transport of the connection, or None without a socket."""
    # ASGI has no word for it, but ``send`` is a method of uvicorn's that knows.
    return getattr(getattr(send, "__self__", None), "transport", None)


async def _hang_up(receive: Receive, send: Send, *, reset: bool) -> None:
    transport = _transport(send)
    if transport is None:
        raise ConnectionResetError("The sandbox reset the connection.")
    if reset:
        # Lingering for no time turns the closing handshake into a reset.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    # uvicorn takes an answer that was never finished for a bug, unless it has seen the connection go first.
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(seconds: float, receive: Receive) -> None:
    """Wait, but not for a client that has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _gone(receive)


def _truncating(receive: Receive, send: Send) -> Send:
    async def truncated(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        await send({**message, "body": body[: len(body) // 2], "more_body": _transport(send) is not None})
        if _transport(send) is not None:
            await _hang_up(receive, send, reset=False)

    return truncated


def _slow(receive: Receive, send: Send, seconds: float) -> Send:
    async def slowed(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        piece = len(body) // 10 + 1
        for start in range(piece, len(body), piece):
            await send({**message, "body": body[start - piece : start], "more_body": True})
            await _pause(seconds / 10, receive)
        await send({**message, "body": body[(len(body) - 1) // piece * piece :]})

    return slowed
