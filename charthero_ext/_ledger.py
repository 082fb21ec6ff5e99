"""The ledger of a change feed: which encounters were delivered, in which version, and how far the current pass is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, Self

from attrs import astuple, field, frozen
from charthero_client.showing import show_id

from charthero_ext._private_file import keep_private
from charthero_ext.errors import ConfigurationError

__all__ = ["Entry", "Ledger", "LedgerStore"]

APPLICATION_ID = 0x43484C31  # "CHL1" marks the file as a ledger.
# Row ids follow the order of insertion, which is nearly the order of a walk. So a pass writes few pages of the file.
SCHEMA = f"""
    BEGIN;
    CREATE TABLE state (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE entry (encounter_id TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, delivered TEXT NOT NULL,
        seen INTEGER NOT NULL);
    CREATE INDEX entry_created_at ON entry (created_at);
    PRAGMA application_id = {APPLICATION_ID};
    COMMIT;
"""
RECORD = """
    INSERT INTO entry VALUES (?, ?, ?, ?) ON CONFLICT (encounter_id)
    DO UPDATE SET created_at = excluded.created_at, delivered = excluded.delivered, seen = max(seen, excluded.seen)
"""
FIND = "SELECT * FROM entry WHERE encounter_id IN (%s)"
UNSEEN = "FROM entry WHERE created_at >= ? AND seen < ?"
PROBLEMS = {
    sqlite3.SQLITE_BUSY: "is in use by another process, or by another Ledger of this one",
    sqlite3.SQLITE_NOTADB: "is not a ledger",
}


@frozen
class Entry:
    """What a ledger knows about one encounter.

    Attributes:
        encounter_id: The opaque id.
        created_at: When the encounter was created, in microseconds since 1970.
        delivered: A JSON list: the digest of the delivered encounter, and the ids of documents with a delivered event.
        seen: The number of the last pass that saw the encounter.
    """

    encounter_id: str = field(repr=show_id)
    created_at: int
    delivered: str = field(repr=False)
    seen: int


class LedgerStore(Protocol):
    """What a ledger in another database, such as PostgreSQL, has to provide.

    One pass at a time uses a ledger. Later calls see what a method wrote, but only ``save`` makes it durable. The
    asynchronous client calls the methods in threads, one after another.
    """

    def load(self) -> str | None:
        """Return the state that was saved last, or None."""
        ...

    def save(self, state: str) -> None:
        """Replace the state, about 300 characters. Commit it in one transaction with everything written before."""
        ...

    def find(self, encounter_ids: Sequence[str]) -> Mapping[str, Entry]:
        """Return the entries of at most 100 encounters, by id. Leave out ids without an entry."""
        ...

    def record(self, entries: Sequence[Entry]) -> None:
        """Insert entries. Replace entries with the same ``encounter_id``, but keep the larger ``seen``."""
        ...

    def remove(self, encounter_id: str) -> None:
        """Delete an entry."""
        ...

    def unseen(self, created_at: int, seen: int, limit: int) -> Sequence[Entry]:
        """Return entries with at least this ``created_at`` and a smaller ``seen``: the first *limit* by creation."""
        ...

    def count_unseen(self, created_at: int, seen: int) -> int:
        """Count these entries."""
        ...


class Ledger:
    """A ledger in one SQLite file, for one process at a time. Close it, or use it in a ``with`` statement.

    Only the owner of the file may read it. It contains opaque ids, instants, digests and the random key of the digests.
    Use a local disk: SQLite's locks do not work on many network file systems.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file, or create it.

        Raises:
            ConfigurationError: The file is in use, is not a ledger, or SQLite cannot use it.
            OSError: The file cannot be created, or others may read it and you do not own it.
        """
        keep_private(Path(path))
        self._lock = Lock()
        self._process = os.getpid()
        self._database = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            # SQLite keeps the lock from the first write until the file is closed.
            self._database.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
            if not self._execute("SELECT name FROM sqlite_schema"):
                self._database.executescript(SCHEMA)
            if self._execute("PRAGMA application_id") != [(APPLICATION_ID,)]:
                raise sqlite3.DatabaseError
            self._execute("PRAGMA journal_mode = WAL")
        except sqlite3.DatabaseError as error:
            self._database.close()
            # Without the details of an extended code. Only the error raised above has no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
            raise ConfigurationError(f"{path} {PROBLEMS.get(code, f'cannot be used: {error}')}") from None

    def close(self) -> None:
        """Commit what was written, and close the file. A second call does nothing, and so does one after a fork."""
        if os.getpid() != self._process:
            return
        # It is closed even if the commit fails, such as on a full disk.
        with self._lock, suppress(sqlite3.ProgrammingError), closing(self._database):
            self._database.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def load(self) -> str | None:
        """Return the state that was saved last, or None."""
        rows = self._execute("SELECT text FROM state")
        return rows[0][0] if rows else None

    def save(self, state: str) -> None:
        """Replace the state, and commit it with everything written before."""
        self._execute("REPLACE INTO state VALUES (1, ?)", state)
        with self._lock:
            # Unlike a COMMIT statement, it does nothing if a thread of a cancelled pass has just committed.
            self._database.commit()

    def find(self, encounter_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of these encounters, by id."""
        marks = ", ".join("?" * len(encounter_ids))
        return {row[0]: Entry(*row) for row in self._execute(FIND % marks, *encounter_ids)}

    def record(self, entries: Sequence[Entry]) -> None:
        """Insert or replace entries. Keep the larger ``seen``, because an older pass may still record."""
        for entry in entries:
            self._execute(RECORD, *astuple(entry))

    def remove(self, encounter_id: str) -> None:
        """Delete an entry."""
        self._execute("DELETE FROM entry WHERE encounter_id = ?", encounter_id)

    def unseen(self, created_at: int, seen: int, limit: int) -> list[Entry]:
        """Return the first entries since *created_at* that a pass did not see."""
        rows = self._execute(f"SELECT * {UNSEEN} ORDER BY created_at LIMIT ?", created_at, seen, limit)
        return [Entry(*row) for row in rows]

    def count_unseen(self, created_at: int, seen: int) -> int:
        """Count the entries since *created_at* that a pass did not see."""
        return int(self._execute(f"SELECT count(*) {UNSEEN}", created_at, seen)[0][0])

    def _execute(self, statement: str, *values: object) -> list[Any]:
        if os.getpid() != self._process:  # SQLite would believe that the child has the lock of its parent.
            raise ConfigurationError("the ledger was opened before a fork; open it in the process that uses it")
        with self._lock:
            return self._database.execute(statement, values).fetchall()
