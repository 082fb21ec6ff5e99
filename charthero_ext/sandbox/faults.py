"""Faults on demand: failures of networks and gateways, and data that changes during a walk.

A request asks for a fault in its ``ChartHero-Sandbox-Fault`` header. :meth:`Sandbox.fail` and the control route break
later requests. Random faults use a seed. All faults happen before the API's own checks, as at a gateway.

The header holds one fault, with its options after semicolons: ``status; status=429; retry_after=2``.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from attrs import Attribute, converters, evolve, field, fields, frozen, validators
from charthero_client.contract import ROUTES
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADER", "KINDS", "RANDOM", "Fault", "FaultLayer", "Faults", "build_fault", "one_of"]

HEADER = b"charthero-sandbox-fault"
KINDS = {
    "latency": "wait for `seconds`, then answer",
    "status": "answer `status` with an error body, and with Retry-After if `retry_after` is given",
    "html": "answer `status` with a gateway's HTML page, and with Retry-After if `retry_after` is given",
    "reset": "reset the connection before any answer",
    "truncate": "close the connection after half of the body",
    "slow": "spread the body over `seconds`",
    "clamp": "return at most `limit` encounters per list page, although the body repeats the requested limit",
    "shift": "before a list page, delete the oldest encounter and append a new one",
    "unknown": "add an unknown field to every object, and an unknown value to every enumeration",
}
RANDOM = (
    *("status; status=503; retry_after=0", "status; status=429; retry_after=0", "html", "html; status=520"),
    *("reset", "truncate", "latency; seconds=0.05", "slow; seconds=0.05", "clamp", "shift", "unknown"),
)
_OPERATIONS = (*ROUTES, "artifact", "audio_file")


def one_of(*values: str) -> Callable[[object, Attribute[Any], object], None]:
    """Return an attrs validator whose error lists the allowed values."""

    def validate(instance: object, attribute: Attribute[Any], value: object) -> None:
        if value not in values:
            raise ValueError(f"{value!r} is not a valid {attribute.name}; use one of {', '.join(values)}")

    return validate


@frozen(kw_only=True)
class Fault:
    """One fault. :data:`KINDS` names the options of each kind.

    ``operation`` limits the fault to one route, such as ``encounters.list``, ``audio_file`` or ``artifact``. The fault
    spares ``after`` requests, then breaks ``times`` requests; with None, it breaks all of them until it is removed.
    """

    kind: str = field(validator=one_of(*KINDS))
    status: int = field(default=502, converter=int, validator=[validators.ge(200), validators.lt(600)])
    retry_after: str | None = field(default=None, converter=converters.optional(str))
    seconds: float = field(default=0.1, converter=float, validator=[validators.ge(0), validators.le(600)])
    limit: int = field(default=10, converter=int, validator=validators.ge(0))
    operation: str | None = field(default=None, validator=validators.optional(one_of(*_OPERATIONS)))
    times: int | None = field(default=cast("int | None", 1), validator=validators.optional(validators.ge(1)))
    after: int = field(default=0, validator=validators.ge(0))


def build_fault(kind: str, options: dict[str, Any]) -> Fault:
    """Return a fault. Raises ValueError for an unknown kind or option."""
    known = [each.name for each in fields(Fault) if each.name != "kind"]
    for name in options.keys() - set(known):
        raise ValueError(f"{name!r} is not an option of a fault; use {', '.join(known)}")
    return Fault(kind=kind, **options)


def parse_fault(text: str) -> Fault:
    """Read a fault from its header. Raises ValueError for an invalid one."""
    kind, *options = (part.strip() for part in text.split(";"))
    if not all("=" in option for option in options):
        raise ValueError("an option of a fault is written as name=value")
    return build_fault(kind, dict(option.split("=", 1) for option in options))


class Faults:
    """The faults of later requests."""

    def __init__(self, *, seed: int, rate: float) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._waiting: list[Fault] = []
        self.strike_at_random(rate)

    def strike_at_random(self, rate: float, among: Sequence[str] = RANDOM) -> None:
        """Break this share of all requests, 0 to 1, with random faults from ``among``, written as in the header.

        The seed decides which requests break and how. Every call starts the random sequence again.
        """
        if not 0 <= rate <= 1 or not among:
            raise ValueError("random faults need a rate between 0 and 1, and at least one fault")
        faults = [parse_fault(text) for text in among]
        with self._lock:
            self._rate = rate
            self._among = faults
            self._random = random.Random(self._seed)  # noqa: S311 - must be repeatable

    def add(self, fault: Fault) -> None:
        """Break later requests."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Remove all faults, including random ones."""
        with self._lock:
            self._waiting.clear()
            self._rate = 0.0

    def waiting(self) -> list[Fault]:
        """Return the faults that still have requests to break."""
        with self._lock:
            return list(self._waiting)

    def take(self, operation: str) -> list[Fault]:
        """Return the faults of one request, and count them."""
        due: list[Fault] = []
        left: list[Fault] = []
        with self._lock:
            for fault in self._waiting:
                if fault.operation not in (None, operation):
                    left.append(fault)
                elif fault.after:
                    left.append(evolve(fault, after=fault.after - 1))
                else:
                    due.append(fault)
                    if fault.times is None:
                        left.append(fault)
                    elif fault.times > 1:
                        left.append(evolve(fault, times=fault.times - 1))
            self._waiting = left
            if self._random.random() < self._rate:
                due.append(self._random.choice(self._among))
        return due


class FaultLayer:
    """The ASGI layer of one operation. It passes faults of the data to the operation in ``scope["faults"]``."""

    def __init__(self, app: ASGIApp, faults: Faults, operation: str) -> None:
        self._app = app
        self._faults = faults
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Apply the faults of the request, then call the operation unless a fault has answered."""
        try:
            asked = [parse_fault(value.decode("latin-1")) for name, value in scope["headers"] if name == HEADER]
        except ValueError as error:
            await Response(f"Invalid fault: {error}\n", 400)(scope, receive, send)
            return
        scope["faults"] = {}
        for fault in asked + self._faults.take(self._operation):
            if fault.kind == "latency":
                await _pause(fault.seconds, receive)
            elif fault.kind in ("status", "html"):
                await _answer(fault)(scope, receive, send)
                return
            elif fault.kind == "reset":
                await _hang_up(scope["transport"], receive, reset=True)
                return
            elif fault.kind == "truncate":
                send = _truncating(scope["transport"], receive, send)
            elif fault.kind == "slow":
                send = _slow(receive, send, fault.seconds)
            else:
                scope["faults"][fault.kind] = fault
        await self._app(scope, receive, send)


def _answer(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.kind == "html":
        page = f"<!DOCTYPE html><html><head><title>{fault.status}</title></head><body>Bad gateway</body></html>"
        return Response(page, fault.status, headers, "text/html")
    body = {"error": "unavailable", "reason_code": "sandbox_fault", "message": "A sandbox fault.", "field": None}
    return JSONResponse(body, fault.status, headers)


async def _hang_up(transport: Any, receive: Receive, *, reset: bool) -> None:
    """Close or reset the connection. The transport is None without a socket."""
    if transport is None:
        raise ConnectionResetError("The sandbox reset the connection.")
    if reset:
        # With a linger time of zero, the kernel sends a reset.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    # uvicorn logs an unfinished answer as an error, unless it has seen the disconnect before.
    await _wait_for_disconnect(receive)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(seconds: float, receive: Receive) -> None:
    """Wait, but stop when the client disconnects."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _wait_for_disconnect(receive)


def _truncating(transport: Any, receive: Receive, send: Send) -> Send:
    async def truncated(message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message["body"]
            message = {**message, "body": body[: len(body) // 2], "more_body": transport is not None}
        await send(message)
        if message.get("more_body"):
            await _hang_up(transport, receive, reset=False)

    return truncated


def _slow(receive: Receive, send: Send, seconds: float) -> Send:
    async def slowed(message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message["body"]
            piece = len(body) // 10 + 1
            for start in range(0, len(body), piece):
                await send({**message, "body": body[start : start + piece], "more_body": True})
                await _pause(seconds / 10, receive)
            message = {**message, "body": b""}
        await send(message)

    return slowed
