"""Which events were received, which are still to be handled, and by whom.

Source in the contract: "Webhooks".
"""

from __future__ import annotations

import glob
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Protocol
from uuid import uuid4

__all__ = ["SQLiteStore", "Store"]

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS received"
    " (id TEXT PRIMARY KEY, at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS unhandled (id TEXT PRIMARY KEY, pointer TEXT NOT NULL, owner TEXT NOT NULL)",
)


class Store(Protocol):
    """Remembers events for all processes that receive for one endpoint.

    A receiver on several hosts brings its own, over a database they share. It calls both methods from one thread of its
    own. An exception of ``claim`` makes ChartHero deliver the event again.
    """

    def claim(self, events: Mapping[str, str]) -> Mapping[str, str]:
        """Record events, and return those that the caller has to handle, by id; nobody else is given them meanwhile.

        Those are the events whose ids were not known yet, and all that were claimed by a process which ended without
        having completed them. What is recorded is durable when this returns.
        """
        ...

    def complete(self, event_id: str) -> None:
        """Record, durably, that an event was handled. Its id stays known; its content is no longer needed."""
        ...


class SQLiteStore:
    """Events in a file of this machine, for any number of its processes. Threads may share a store.

    It holds ids for good, and of an event that is still to be handled the thin pointer; only its owner may read it. Ids
    older than ChartHero could deliver again may be deleted: ``DELETE FROM received WHERE at < ?``, seconds since 1970.

    A process that works on events holds a lock on a file beside this one, which the system releases when the process
    ends, in whatever way. That does not work on a network file system, and neither does SQLite.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 10.0) -> None:
        """Name the file; it is opened when it is first used.

        Args:
            path: The file; it is made where there is none.
            timeout: Seconds to wait for another process that is writing.
        """
        self._path = Path(path).absolute()
        self._timeout = timeout
        self._mutex = Lock()
        self._connections: list[sqlite3.Connection] = []
        self._inherited: list[list[sqlite3.Connection]] = []
        self._process = 0
        self._owner = ""

    def claim(self, events: Mapping[str, str]) -> dict[str, str]:
        """As :meth:`Store.claim`. Raises sqlite3.Error or OSError where it cannot be recorded."""
        with self._transaction() as database:
            claimed = dict[str, str]()
            for event_id, pointer in events.items():
                if database.execute("INSERT OR IGNORE INTO received (id) VALUES (?)", (event_id,)).rowcount:
                    database.execute("INSERT INTO unhandled VALUES (?, ?, ?)", (event_id, pointer, self._owner))
                    claimed[event_id] = pointer
            owners = database.execute("SELECT DISTINCT owner FROM unhandled WHERE owner <> ?", (self._owner,))
            for (owner,) in owners.fetchall():
                if not self._is_alive(owner):
                    left = "SELECT id, pointer FROM unhandled WHERE owner = ? ORDER BY rowid"
                    claimed.update(database.execute(left, (owner,)).fetchall())
                    database.execute("UPDATE unhandled SET owner = ? WHERE owner = ?", (self._owner, owner))
        return claimed

    def complete(self, event_id: str) -> None:
        """As :meth:`Store.complete`. Raises sqlite3.Error or OSError where it cannot be recorded."""
        with self._transaction() as database:
            database.execute("DELETE FROM unhandled WHERE id = ?", (event_id,))

    def close(self) -> None:
        """Let go of the file. What was claimed and not completed is there for others; using the store reopens it."""
        with self._mutex:
            if self._connections and self._process == os.getpid():
                for connection in self._connections:
                    connection.close()
                self._lock_file(self._owner).unlink(missing_ok=True)
                self._connections = []

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            if not self._connections or self._process != os.getpid():
                self._open()
            database = self._connections[0]
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database

    def _open(self) -> None:
        if self._connections:
            # They belong to the process this one was forked from, and closing them here could harm it.
            self._inherited.append(self._connections)
        _make_private(self._path)
        with ExitStack() as opened:
            database = opened.enter_context(closing(self._connect(self._path, self._timeout)))
            with database:
                # One process at a time, or a lock file that is being made could be taken for one that was left behind.
                database.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    database.execute(statement)
                for file in self._path.parent.glob(f"{glob.escape(self._path.name)}-owner-*"):
                    if not self._is_alive(file.name.rpartition("-")[2]):
                        file.unlink(missing_ok=True)
                self._owner = uuid4().hex
                _make_private(self._lock_file(self._owner))
                lock = opened.enter_context(closing(self._connect(self._lock_file(self._owner), 0)))
                _lock(lock)
            opened.pop_all()
        self._connections, self._process = [database, lock], os.getpid()

    def _is_alive(self, owner: str) -> bool:
        path = self._lock_file(owner)
        if not path.exists():
            return False
        with closing(self._connect(path, 0)) as connection:
            try:
                _lock(connection)
            except sqlite3.OperationalError:
                return True
        return False

    def _lock_file(self, owner: str) -> Path:
        return self._path.with_name(f"{self._path.name}-owner-{owner}")

    @staticmethod
    def _connect(path: Path, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


def _lock(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # which would be one more file to tidy up
    connection.execute("BEGIN EXCLUSIVE")


def _make_private(path: Path) -> None:
    # Never opened where it is there: closing it again would take away the locks SQLite holds in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
