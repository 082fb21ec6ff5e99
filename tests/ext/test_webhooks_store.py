"""What every store promises the receiver, and what the SQLite file promises its users."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.changes import Ledger
from charthero_ext.errors import ConfigurationError
from charthero_ext.webhooks import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events [1].db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    return SQLiteStore(path)


def ids(claimed: Iterable[tuple[str, str, int]]) -> list[str]:
    return [event_id for event_id, _, _ in claimed]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_event_is_claimed_once_while_its_lease_lasts(store: SQLiteStore) -> None:
    store.add("evt_1", "one", 100)
    assert store.claim(100, 110, 8) == [("evt_1", "one", 1)]
    assert store.claim(109, 120, 8) == []
    assert store.claim(110, 120, 8) == [("evt_1", "one", 2)]


def test_events_are_claimed_in_the_order_they_became_due_up_to_the_limit(store: SQLiteStore) -> None:
    for number, now in enumerate([103, 101, 101, 105, 102]):
        store.add(f"evt_{number}", "pointer", now)
    assert sorted(ids(store.claim(104, 200, 3))) == ["evt_1", "evt_2", "evt_4"]
    assert ids(store.claim(104, 200, 3)) == ["evt_0"]
    assert ids(store.claim(105, 200, 3)) == ["evt_3"]


def test_an_event_that_used_up_its_attempts_is_listed_with_its_error(store: SQLiteStore) -> None:
    for name in ("evt_1", "evt_2"):
        store.add(name, "pointer", 100)
    store.claim(100, 500, 8)
    store.retry("evt_1", None, "RuntimeError")
    assert store.claim(10**9, 10**9, 8) == [("evt_2", "pointer", 2)]
    assert store.failed() == [("evt_1", "RuntimeError")]
    store.add("evt_1", "ignored", 200)
    assert store.failed() == []
    assert store.claim(200, 500, 8) == [("evt_1", "pointer", 1)]


def test_an_event_that_waits_is_due_at_its_next_attempt_or_when_it_is_added_again(store: SQLiteStore) -> None:
    store.add("evt_1", "one", 100)
    store.claim(100, 110, 8)
    store.add("evt_1", "another", 105)  # It is still leased.
    assert store.claim(105, 120, 8) == []
    store.retry("evt_1", 150, "RuntimeError")
    assert store.claim(149, 160, 8) == []
    assert store.claim(150, 160, 8) == [("evt_1", "one", 2)]
    store.retry("evt_1", 1000, "RuntimeError")
    store.add("evt_1", "another", 200)
    assert store.claim(200, 210, 8) == [("evt_1", "one", 3)]


def test_only_the_id_of_a_completed_event_is_kept_and_it_is_never_claimed_again(store: SQLiteStore, path: Path) -> None:
    store.add("evt_1", "pointer-of-the-event", 100)
    assert b"pointer-of-the-event" in path.read_bytes()
    store.claim(100, 110, 8)
    store.complete("evt_1")
    assert b"pointer-of-the-event" not in path.read_bytes()
    store.retry("evt_1", 100, "a late report of a holder whose lease had ended")
    store.add("evt_1", "pointer-of-the-event", 200)
    assert (store.claim(1000, 1010, 8), store.failed()) == ([], [])
    with closing(sqlite3.connect(path)) as database:
        old = database.execute("DELETE FROM events WHERE pointer IS NULL AND received_at < ?", (101,))
        assert old.rowcount == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_processes_share_a_file_and_claim_each_event_once(store: SQLiteStore) -> None:
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    store.add("evt_0", "pointer", 0)

    def work() -> None:
        for number in range(20):
            store.add(f"evt_{number}", "pointer", 100)
            found.put(ids(store.claim(100, 200, 8)))

    workers = [context.Process(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    claimed = [event_id for _ in range(80) for event_id in found.get()]
    for worker in workers:
        worker.join()
    assert sorted(claimed) == sorted(f"evt_{number}" for number in range(20))


@pytest.mark.parametrize("is_link", [False, True])
def test_only_the_owner_can_read_a_new_file_and_its_replacement(is_link: bool, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if is_link:
        path.symlink_to(target)
    store, before = SQLiteStore(path), os.umask(0)
    for _ in range(2):
        store.add("evt_1", "one", 100)
        assert (ids(store.claim(100, 200, 8)), mode(path)) == (["evt_1"], 0o600)
        (target if is_link else path).unlink()
    os.umask(before)


@pytest.mark.parametrize("open_mode", [0o660, 0o604])
def test_an_existing_file_and_its_siblings_are_made_readable_for_the_owner_only(open_mode: int, path: Path) -> None:
    files = [path, *(path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm"))]
    for file in files:
        file.touch()
        file.chmod(open_mode)
    SQLiteStore(path).add("evt_1", "one", 100)
    assert {mode(file) for file in files if file.exists()} == {0o600}


def test_an_open_file_of_another_user_is_refused_and_stays_as_it_is(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path.touch()
    path.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(PermissionError):
        store.add("evt_1", "one", 100)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("open_path", [SQLiteStore, Ledger])
def test_a_file_of_another_kind_keeps_its_permissions_and_content(open_path: Any, tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("synthetic:x:0:0\n" * 40)
    before = path.read_bytes()
    for file_mode, error in ((0o644, ConfigurationError), (0o600, (ConfigurationError, sqlite3.DatabaseError))):
        path.chmod(file_mode)
        with pytest.raises(error):
            open_path(path).failed()
        assert (path.read_bytes(), mode(path)) == (before, file_mode)


def test_a_directory_and_a_missing_directory_are_refused(tmp_path: Path) -> None:
    before = mode(tmp_path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        SQLiteStore(tmp_path).add("evt_1", "one", 100)
    with pytest.raises(FileNotFoundError):
        SQLiteStore(tmp_path / "missing" / "x.db").add("evt_1", "one", 100)
    assert mode(tmp_path) == before


def test_a_failed_write_is_an_error_and_changes_nothing(path: Path) -> None:
    store = SQLiteStore(path, timeout=0)
    store.add("evt_0", "zero", 100)
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.add("evt_1", "one", 100)
    assert ids(store.claim(100, 200, 8)) == ["evt_0"]
