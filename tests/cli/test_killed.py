"""An export that is killed, at whichever moment, and run again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from charthero_ext.cli.export_parts import PARTS
from charthero_ext.sandbox import Sandbox

from .conftest import Run, exported, truth

Start = Callable[..., "subprocess.Popen[bytes]"]

ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]


@pytest.mark.usefixtures("_configured")
def test_killed_at_any_step_it_goes_on_to_the_same_export(sandbox: Sandbox, tmp_path: Path) -> None:
    # Two encounters, of which one has a transcript and a recording, and the other has none yet.
    options = ["--with", "documents,transcripts,audio", "--since", "2026-03-25", "--until", "2026-04-01"]
    command = [sys.executable, "-m", "tests.cli.killed", str(tmp_path / "exports"), *options]
    (tmp_path / "exports").mkdir()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    exports = sorted((tmp_path / "exports").iterdir())
    assert len(exports) > 30
    wanted = truth(sandbox, since="2026-03-25", until="2026-04-01")
    assert {name: len(rows) for name, rows in wanted.items()} == {
        "encounters": 2,
        "documents": 3,
        "transcripts": 1,
        "missing": 1,
    }
    for export in exports:
        found = exported(export)
        [recording] = [line["file"] for line in found.pop("audio")]
        assert found.pop("missing") == wanted["missing"] + [{**gap, "part": "audio"} for gap in wanted["missing"]]
        assert found == {name: rows for name, rows in wanted.items() if name != "missing"}
        files = {str(path.relative_to(export)) for path in export.rglob("*") if path.is_file()}
        assert files == {f"{name}.jsonl" for name in (*PARTS, "encounters")} | {"manifest.json", recording}


@pytest.mark.parametrize("lines", [0, 1, 60])
def test_killed_from_outside_while_encounters_come_and_go_it_goes_on(
    lines: int, start: Start, run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    directory = tmp_path / "export"
    sandbox.fail("latency", seconds=0.02, times=None, operation="documents.get")
    process = start("export", directory, "--concurrency", 2)
    part, deadline = directory / "encounters.jsonl.part", time.monotonic() + 30
    while not part.exists() or part.read_bytes().count(b"\n") < lines:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (directory / "encounters.jsonl").exists()
    sandbox.faults.clear()
    added = sandbox.append()
    done = run("export", directory)
    assert done.code == 0, done.err
    found = exported(directory)
    assert found == truth(sandbox)
    assert found["encounters"][-1]["encounter_id"] == added["encounter_id"]


def test_an_interrupted_export_keeps_a_record_of_all_its_walks(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext.cli.export.BATCH", 20)
    sandbox.fail("status", status=503, retry_after="3600", times=None, after=200, operation="documents.get")
    broken_off = run("export", tmp_path / "e")
    assert broken_off.code == 4
    assert "run the same command again to continue" in broken_off.err
    sandbox.faults.clear()
    assert run("export", tmp_path / "e", "--concurrency", 1).code == 0
    first = truth(sandbox)["encounters"][0]["created_at"]
    manifest = json.loads((tmp_path / "e" / "manifest.json").read_text())
    assert manifest["receipt"]["rows"] == manifest["receipt"]["total_at_start"] == 120
    assert manifest["receipt"]["complete"] is True
    assert manifest["receipt"]["first_created_at"] == first
