"""A queue to look into, and deliveries to put into it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from charthero_ext.webhooks import SQLiteStore, sign
from tests.payloads import EVENT

SECRET = "whsec_synthetic_1"


def body(number: int = 1, **changes: Any) -> bytes:
    return json.dumps({**EVENT, "id": f"evt_{number}", **changes}).encode()


class QueueStore(SQLiteStore):
    """The default store, and what is in its table."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def rows(self, column: str, where: str = "true") -> list[Any]:
        """Return a column of the events that match a condition."""
        self.failed()  # Creates the file.
        with closing(sqlite3.connect(self.path)) as database:
            return [row[0] for row in database.execute(f"SELECT {column} FROM events WHERE {where} ORDER BY rowid")]

    @property
    def ids(self) -> list[str]:
        return self.rows("id")

    @property
    def completed(self) -> list[str]:
        return self.rows("id", "pointer IS NULL")


@pytest.fixture(name="store")
def store_in_memory() -> Iterator[QueueStore]:
    """Return a store whose commits wait for no disk, if the system has a directory in memory."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield QueueStore(Path(directory) / "events.db")


async def deliver(
    app: Any, content: bytes | None = None, *, path: str = "/hooks", secret: str = SECRET, **headers: str
) -> httpx.Response:
    """Deliver an event to an ASGI application."""
    content = body() if content is None else content
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, content=content, headers={**sign(content, secret), **headers})
