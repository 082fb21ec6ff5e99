"""The ledger file: who can read it, what it contains, and when it is refused."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from charthero_ext.changes import Ledger
from charthero_ext.errors import ConfigurationError
from tests.ext.changing_world import TRANSCRIPT, World, deliver, world_of


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_owner_alone_can_read_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    umask = os.umask(0)
    try:
        for mode in (0o600, 0o666):
            with Ledger(path) as ledger:
                list(deliver(world_of(3), ledger))
                assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
                assert len(list(tmp_path.iterdir())) > 1
            path.chmod(mode)
    finally:
        os.umask(umask)
    Ledger(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_ledger_contains_nothing_about_a_patient(tmp_path: Path) -> None:
    world = World()
    patient = {"patient_id": "pat_canary", "first_name": "Canary", "last_name": "Canary", "date_of_birth": "1970-01-01"}
    world.add(patient=patient, documents=[TRANSCRIPT | {"title": "Canary"}], note="Canary", Canary=1)
    with Ledger(tmp_path / "ledger") as ledger:
        (change,) = deliver(world, ledger)
        world.delete(change.encounter_id)
        list(deliver(world, ledger))
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert change.encounter_id.encode() in content
    assert b"doc_1" in content
    assert not re.search(b"canary|1970-01-01|ambient", content, re.IGNORECASE)
    assert "Canary" not in repr(change)


def test_a_second_process_or_object_is_refused_at_once(tmp_path: Path) -> None:
    program = f"from charthero_ext.changes import Ledger; Ledger({str(tmp_path / 'ledger')!r})"
    with Ledger(tmp_path / "ledger"):
        with pytest.raises(ConfigurationError, match="is in use by another process"):
            Ledger(tmp_path / "ledger")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "ConfigurationError" in done.stderr
        assert "is in use by another process" in done.stderr
    Ledger(tmp_path / "ledger").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_cannot_use_or_close_the_ledger_of_its_parent(tmp_path: Path) -> None:
    program = """
        import os, sys
        from charthero_ext.changes import Ledger
        from charthero_ext.errors import ConfigurationError

        with Ledger(sys.argv[1]) as ledger:
            ledger.save("first")
            files = os.listdir(os.path.dirname(sys.argv[1]))
            child = os.fork()
            if child == 0:
                try:
                    ledger.save("child")
                except ConfigurationError:
                    ledger.close()
                    os._exit(os.listdir(os.path.dirname(sys.argv[1])) != files)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            assert ledger.load() == "first"
            ledger.save("last")
        with Ledger(sys.argv[1]) as ledger:
            assert ledger.load() == "last"
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), str(tmp_path / "ledger")]
    subprocess.run(command, check=True, timeout=60)


def test_a_file_of_something_else_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a text, and not a database " * 100)
    with closing(sqlite3.connect(tmp_path / "database")) as database:
        database.execute("CREATE TABLE important (content)")
    for name in ("text", "database"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConfigurationError, match=f"{name} is not a (ledger|SQLite database)"):
            Ledger(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(ConfigurationError, match="is not a file"):
        Ledger(tmp_path)


def test_a_damaged_ledger_is_refused_with_the_reason(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()
    content = (tmp_path / "ledger").read_bytes()
    (tmp_path / "ledger").write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(ConfigurationError, match="cannot be used: database disk image is malformed"):
        Ledger(tmp_path / "ledger")


def test_a_closed_ledger_can_be_closed_again_but_not_used(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.close()
    ledger.close()
    with pytest.raises(sqlite3.ProgrammingError):
        list(deliver(World(), ledger))


def test_a_cancelled_pass_can_save_at_the_same_time_as_the_next_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger, ThreadPoolExecutor(2) as threads:
        list(threads.map(ledger.save, ["a state"] * 200))


@pytest.fixture
def limit_files() -> Iterator[Callable[[int], None]]:
    """Return a function that limits the size of files, as a full disk does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of a file")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fails", ["in a pass", "at the end"])
def test_after_a_full_disk_the_next_pass_continues(
    fails: str, limit_files: Callable[[int], None], tmp_path: Path
) -> None:
    world, delivered = world_of(500), list[str]()

    def sync(size: int) -> None:
        with Ledger(tmp_path / "ledger") as ledger:
            for change in deliver(world, ledger):
                delivered.append(change.encounter_id)
                if len(delivered) == 50:
                    limit_files(size)
                    if fails == "at the end":
                        break

    with pytest.raises(sqlite3.OperationalError):
        sync(100_000 if fails == "in a pass" else 1_000)
    limit_files(-1)
    sync(-1)
    assert {*delivered} == {*world.bodies}
    assert len(delivered) <= 600
