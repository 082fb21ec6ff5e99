"""Events are given to one process at a time, and to another only when that one has ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from charthero_ext.webhooks import SQLiteStore, event_store

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events [1].db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(path)
    yield made
    made.close()


def owners(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()} - {path.name}


def test_an_event_is_given_out_once_however_often_it_is_recorded(store: SQLiteStore) -> None:
    assert store.claim({"evt_1": "one"}) == {"evt_1": "one"}
    assert store.claim({"evt_1": "another"}) == {}
    store.complete("evt_1")
    assert store.claim({"evt_1": "one", "evt_2": "two"}) == {"evt_2": "two"}


def test_what_was_claimed_by_a_store_that_is_alive_is_nobody_else_s(store: SQLiteStore, path: Path) -> None:
    store.claim({"evt_1": "one"})
    other = SQLiteStore(path)
    assert other.claim({}) == {}
    assert other.claim({"evt_1": "one"}) == {}
    other.close()


def test_what_was_not_completed_goes_to_the_next_in_the_order_it_came(store: SQLiteStore, path: Path) -> None:
    for name in ("evt_3", "evt_1", "evt_2", "evt_0"):
        store.claim({name: f"pointer of {name}"})
    store.complete("evt_1")
    store.close()
    other = SQLiteStore(path)
    assert list(other.claim({"evt_9": "new"})) == ["evt_9", "evt_3", "evt_2", "evt_0"]
    assert other.claim({}) == {}
    assert store.claim({}) == {}
    other.close()


def test_a_process_that_is_killed_leaves_what_it_had_not_completed(store: SQLiteStore, path: Path) -> None:
    program = (
        "import sys; from charthero_ext.webhooks import SQLiteStore; store = SQLiteStore(sys.argv[1]);"
        "store.claim({'evt_1': 'one', 'evt_2': 'two'}); store.complete('evt_1'); print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert store.claim({}) == {}
        process.send_signal(signal.SIGKILL)
    assert store.claim({"evt_1": "one"}) == {"evt_2": "two"}


def test_what_processes_left_behind_is_tidied_up(path: Path) -> None:
    for _ in range(3):
        store = SQLiteStore(path)
        store.claim({})
        left = owners(path)
        assert len(left) == 1
        for connection in store._connections:
            connection.close()  # as the end of a process does
    store = SQLiteStore(path)
    store.claim({})
    assert len(owners(path)) == 1
    assert owners(path).isdisjoint(left)
    store.close()
    assert owners(path) == set()


def test_of_two_that_open_the_file_at_once_neither_takes_the_other_for_dead(path: Path) -> None:
    stores = [SQLiteStore(path) for _ in range(8)]
    found: list[str] = []
    barrier = threading.Barrier(len(stores))

    def claim(store: SQLiteStore, number: int) -> None:
        barrier.wait()
        found.extend(store.claim({"evt_shared": "s", f"evt_{number}": "o"}))
        found.extend(store.claim({}))

    threads = [threading.Thread(target=claim, args=each) for each in zip(stores, range(8), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(found) == sorted(["evt_shared", *(f"evt_{number}" for number in range(8))])


def test_nobody_else_can_open_the_file_between_a_lock_file_and_its_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, outcomes = event_store._lock, []

    def late(connection: sqlite3.Connection) -> None:
        monkeypatch.setattr(event_store, "_lock", lock)
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            SQLiteStore(path, timeout=0).claim({})
        outcomes.append(caught.type)
        lock(connection)

    monkeypatch.setattr(event_store, "_lock", late)
    store = SQLiteStore(path)
    assert store.claim({"evt_1": "one"}) == {"evt_1": "one"}
    assert len(outcomes) == len(owners(path)) == 1
    store.close()


def test_threads_may_share_a_store(store: SQLiteStore) -> None:
    found: list[str] = []

    def claim() -> None:
        for number in range(50):
            found.extend(store.claim({f"evt_{number}": "x"}))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"evt_{number}" for number in range(50))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_a_process_of_its_own(store: SQLiteStore) -> None:
    store.claim({"evt_1": "one"})
    context = multiprocessing.get_context("fork")
    found = context.Queue()

    def in_child() -> None:
        found.put((store.claim({"evt_1": "one", "evt_2": "two"}), store._owner))

    child = context.Process(target=in_child)
    child.start()
    claimed, owner = found.get(timeout=30)
    child.join()
    assert claimed == {"evt_2": "two"}
    assert owner != store._owner
    # The parent is still the owner of its own, and inherits what the child left.
    assert store.claim({}) == {"evt_2": "two"}


def test_only_the_owner_of_the_file_can_read_it(store: SQLiteStore, path: Path) -> None:
    store.claim({"evt_1": "one"})
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_of_an_event_that_was_handled_only_the_id_is_kept(store: SQLiteStore, path: Path) -> None:
    store.claim({"evt_1": "pointer one"})
    store.complete("evt_1")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT id, at > 1700000000 FROM received").fetchall() == [("evt_1", 1)]
        assert database.execute("SELECT * FROM unhandled").fetchall() == []
    database.close()


def test_what_cannot_be_recorded_is_an_error_and_is_not_claimed(path: Path) -> None:
    store = SQLiteStore(path, timeout=0)
    store.claim({"evt_0": "zero"})
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.claim({"evt_1": "one"})
    blocker.close()
    assert store.claim({"evt_1": "one"}) == {"evt_1": "one"}
    store.close()


def test_a_file_that_is_no_database_is_an_error_that_leaves_nothing_behind(path: Path) -> None:
    path.write_text("this is a text of somebody else, and longer than the header of a database is, by far" * 9)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        SQLiteStore(path).claim({})
    assert path.read_bytes() == before
    assert owners(path) == set()
    with pytest.raises(FileNotFoundError):
        SQLiteStore(path.parent / "nowhere" / "x.db").claim({})


def test_a_store_that_was_closed_can_be_used_again(store: SQLiteStore) -> None:
    store.claim({"evt_1": "one"})
    store.close()
    store.close()
    assert store.claim({"evt_1": "one"}) == {"evt_1": "one"}
