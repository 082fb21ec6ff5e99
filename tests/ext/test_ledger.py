"""The ledger file: who can read it, what it contains, and what a killed process leaves."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from charthero_ext import ChartHero
from charthero_ext.changes import Ledger
from charthero_ext.errors import ConfigurationError
from charthero_ext.sandbox import Sandbox
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_repeats_at_most_one_page(tmp_path: Path) -> None:
    program = (
        "import sys; from charthero_ext import ChartHero; from charthero_ext.changes import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for change in ChartHero().encounters.changes(ledger): print(change.encounter_id, flush=True)\n"
    )
    with Sandbox(encounters=350) as sandbox:
        environment = {**os.environ, "CHARTHERO_BASE_URL": sandbox.base_url, "CHARTHERO_API_KEY": sandbox.api_key}
        command = [sys.executable, "-c", program, str(tmp_path / "ledger")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = [next(process.stdout).strip() for _ in range(250)]
            process.send_signal(signal.SIGKILL)
            first += [line.strip() for line in process.stdout if line.endswith("\n")]
        with ChartHero(base_url=sandbox.base_url, api_key=sandbox.api_key) as ch:
            everything = {each.encounter_id for each in ch.encounters.iter()}
            with Ledger(tmp_path / "ledger") as ledger:
                second = [change.encounter_id for change in ch.encounters.changes(ledger)]
    assert {*first, *second} == everything
    assert len(set(first) & set(second)) <= 100
