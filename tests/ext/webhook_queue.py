"""A second implementation of the store, and events to put into it."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
from attrs import define, field

from charthero_ext.webhooks import sign
from tests.payloads import EVENT

SECRET = "whsec_synthetic_1"


def body(number: int = 1, **changes: Any) -> bytes:
    return json.dumps({**EVENT, "id": f"evt_{number}", **changes}).encode()


@define
class Row:
    pointer: str | None
    next_attempt_at: float | None
    attempts: int = 0
    leased_until: float = 0.0
    error: str = ""


@define
class MemoryStore:
    """A queue that lives as long as the test. ``add`` sets ``asked`` and waits for ``released``."""

    rows: dict[str, Row] = field(factory=dict)
    failures: list[Exception] = field(factory=list)
    asked: threading.Event = field(factory=threading.Event)
    released: threading.Event = field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.released.set()

    def add(self, event_id: str, pointer: str, now: float) -> None:
        self.asked.set()
        assert self.released.wait(10)
        self._fail()
        row = self.rows.setdefault(event_id, Row(pointer, now))
        if row.pointer is not None and row.leased_until <= now:
            row.attempts = 0 if row.next_attempt_at is None else row.attempts
            row.next_attempt_at = now

    def claim(self, now: float, leased_until: float, limit: int) -> list[tuple[str, str, int]]:
        self._fail()
        due = [
            (row.next_attempt_at, event_id)
            for event_id, row in self.rows.items()
            if row.next_attempt_at is not None and row.next_attempt_at <= now and row.leased_until <= now
        ]
        claimed = []
        for _, event_id in sorted(due, key=lambda pair: pair[0])[:limit]:
            row = self.rows[event_id]
            row.attempts, row.leased_until = row.attempts + 1, leased_until
            claimed.append((event_id, row.pointer or "", row.attempts))
        return claimed

    def complete(self, event_id: str) -> None:
        self.rows[event_id] = Row(None, None)

    def retry(self, event_id: str, next_attempt_at: float | None, error: str) -> None:
        row = self.rows[event_id]
        if row.pointer is not None:
            row.leased_until, row.next_attempt_at, row.error = 0.0, next_attempt_at, error

    def failed(self) -> list[tuple[str, str]]:
        self._fail()
        return [
            (event_id, row.error)
            for event_id, row in self.rows.items()
            if row.pointer is not None and row.next_attempt_at is None
        ]

    @property
    def completed(self) -> list[str]:
        return [event_id for event_id, row in self.rows.items() if row.pointer is None]

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


async def deliver(
    app: Any, content: bytes | None = None, *, path: str = "/hooks", secret: str = SECRET, **headers: str
) -> httpx.Response:
    """Deliver an event to an ASGI application."""
    content = body() if content is None else content
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, content=content, headers={**sign(content, secret), **headers})
