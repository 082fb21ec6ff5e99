"""The queue of received events, and its default, a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from charthero_ext._private_file import keep_private

__all__ = ["SQLiteStore", "Store"]

SCHEMA = """
    CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, received_at REAL NOT NULL, pointer TEXT,
        attempts INTEGER NOT NULL DEFAULT 0, next_attempt_at REAL, leased_until REAL NOT NULL DEFAULT 0, error TEXT);
    CREATE INDEX IF NOT EXISTS due ON events (next_attempt_at);
"""
ADD = """
    INSERT INTO events (id, pointer, received_at, next_attempt_at) VALUES (?, ?, ?, ?) ON CONFLICT (id)
    DO UPDATE SET next_attempt_at = excluded.next_attempt_at, attempts = iif(next_attempt_at IS NULL, 0, attempts)
    WHERE pointer IS NOT NULL
"""
CLAIM = """
    UPDATE events SET leased_until = ?, attempts = attempts + 1 WHERE id IN (
        SELECT id FROM events WHERE next_attempt_at <= ? AND leased_until <= ? ORDER BY next_attempt_at, rowid LIMIT ?
    ) RETURNING id, pointer, attempts
"""
RETRY = "UPDATE events SET leased_until = 0, next_attempt_at = ?, error = ? WHERE id = ? AND pointer IS NOT NULL"
COMPLETE = "UPDATE events SET pointer = NULL, next_attempt_at = NULL WHERE id = ?"
FAILED = "SELECT id, error FROM events WHERE pointer IS NOT NULL AND next_attempt_at IS NULL ORDER BY rowid"


class Store(Protocol):
    """A queue in a SQL table, shared by all processes that receive for one endpoint.

    Implement it over your own database to receive on several hosts. The columns are those of ``SQLiteStore``. The
    receiver decides when to retry and when to give up; the store only records it. Times are seconds since 1970. The
    receiver calls the methods from one thread. Each is one durable transaction, and may raise any exception.
    """

    def add(self, event_id: str, pointer: str, now: float) -> None:
        """Record an event that is due now.

        A known id keeps its pointer and its lease. If it used up its attempts, it starts again with none. If it is
        completed, nothing changes.
        """
        ...

    def claim(self, now: float, leased_until: float, limit: int) -> Sequence[tuple[str, str, int]]:
        """Lease up to *limit* events that are due and not leased, the longest due first, and count one more attempt.

        Return id, pointer and attempts of each, in any order. In PostgreSQL, select them ``FOR UPDATE SKIP LOCKED``.
        """
        ...

    def complete(self, event_id: str) -> None:
        """Delete the pointer of an event and keep its id."""
        ...

    def retry(self, event_id: str, next_attempt_at: float | None, error: str) -> None:
        """End the lease of an event that is not completed. None means that it used up its attempts."""
        ...

    def failed(self) -> Sequence[tuple[str, str]]:
        """Return the id and the last error of each event that used up its attempts."""
        ...


class SQLiteStore:
    """A queue in a file, for all processes of one machine. Threads and forked processes may share it.

    Only the owner can read the file. It keeps the ids of all events, and the thin pointers of those that are not
    completed. Delete old ids with ``DELETE FROM events WHERE pointer IS NULL AND received_at < ?``.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 10.0) -> None:
        """Take the path of the file. The first use creates it.

        Args:
            path: The file, on a local disk: SQLite cannot lock files of a network file system.
            timeout: How many seconds to wait for another process that writes.
        """
        self._path = Path(path).resolve()
        self._timeout = timeout
        self._is_prepared = False

    def add(self, event_id: str, pointer: str, now: float) -> None:
        """As :meth:`Store.add`. Like all methods, raises sqlite3.Error or OSError on failure."""
        self._execute(ADD, event_id, pointer, now, now)

    def claim(self, now: float, leased_until: float, limit: int) -> list[tuple[str, str, int]]:
        """As :meth:`Store.claim`."""
        return self._execute(CLAIM, leased_until, now, now, limit)

    def complete(self, event_id: str) -> None:
        """As :meth:`Store.complete`."""
        self._execute(COMPLETE, event_id)

    def retry(self, event_id: str, next_attempt_at: float | None, error: str) -> None:
        """As :meth:`Store.retry`."""
        self._execute(RETRY, next_attempt_at, error, event_id)

    def failed(self) -> list[tuple[str, str]]:
        """As :meth:`Store.failed`."""
        return self._execute(FAILED)

    def _execute(self, statement: str, *values: object) -> list[Any]:
        must_prepare = not (self._is_prepared and self._path.exists())
        if must_prepare:
            keep_private(self._path)
        # A new connection for each statement is cheap, and safe with threads and forks.
        with closing(sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None)) as database:
            if must_prepare:
                database.executescript(SCHEMA)
                self._is_prepared = True
            database.execute("PRAGMA secure_delete = ON")
            return database.execute(statement, values).fetchall()
