"""A run that is killed at any moment and then repeated loses nothing and writes nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import Run, exported, merged, truth, wait_for_lines

ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]


@pytest.mark.usefixtures("_configured")
def test_an_export_killed_at_any_step_continues_to_the_same_files(sandbox: Sandbox, tmp_path: Path) -> None:
    # Two encounters: one has a transcript and a recording, the other has none yet.
    command = [sys.executable, "-m", "tests.cli.killed", str(tmp_path), "--since", "2026-04-20"]
    for encounter_id in list(sandbox.encounter_ids())[-3:-1]:
        sandbox.delete(encounter_id)
    sandbox.append(ready=False)
    wanted = truth(sandbox, since="2026-04-20")
    assert [len(rows) for rows in wanted.values()] == [2, 4, 1, 1]
    sandbox.fail("clamp", limit=2, times=None, operation="encounters.list")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    exports = [path for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(exports) > 30
    wanted["missing"] += [{**row, "part": "audio"} for row in wanted["missing"]]
    for export in exports:
        found = exported(export)
        [recording] = [row["file"] for row in found.pop("audio")]
        assert found == wanted
        if (export / "0002").exists():  # The set was complete when the first process was killed.
            assert [path.name for path in (export / "0002").iterdir()] == ["manifest.json"]
        files = {str(path.relative_to(export / "0001")) for path in (export / "0001").rglob("*") if path.is_file()}
        kinds = ("encounters", "documents", "transcripts", "audio", "missing")
        assert files == {*(f"{kind}.jsonl" for kind in kinds), "manifest.json", recording}


@pytest.mark.parametrize("lines", [0, 1, 60])
def test_an_export_killed_while_encounters_come_and_go_continues(
    lines: int, start: Callable[..., subprocess.Popen[bytes]], run: Run, sandbox: Sandbox
) -> None:
    sandbox.fail("latency", seconds=0.02, times=None, operation="documents.get")
    sandbox.fail("clamp", limit=10, times=None, operation="encounters.list")
    process: Any = start("export", "e", "--concurrency", 2)
    wait_for_lines(Path("e/.0001/encounters.jsonl"), lines)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not Path("e/0001").exists()
    sandbox.faults.clear()
    ids = list(sandbox.encounter_ids())
    sandbox.append()
    sandbox.change(ids[-1], status="canceled")
    sandbox.delete(ids[-2])
    assert run("export", "e").code == 0
    assert run("export", "e", "--look-back", 1000).code == 0
    assert merged(Path("e")) == {row["encounter_id"]: row for row in truth(sandbox)["encounters"]}
