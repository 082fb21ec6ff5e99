"""Schemathesis over the sandbox, from the artifact it serves: all phases, all checks but one.

``positive_data_acceptance`` is left out, because the contract refuses requests that the schema cannot tell from good
ones: a window whose start is not before its end, and a transcript asked of a document that is none. What has to be
accepted is tested as a property in ``test_list.py`` and document by document in ``test_bodies.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import DEVELOPER_PAGES


def test_schemathesis_finds_no_answer_that_departs_from_the_artifact(tmp_path: Path) -> None:
    with Sandbox(encounters=100, ties=10, artifact=DEVELOPER_PAGES) as sandbox:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{sandbox.base_url}/openapi/v1/openapi.json"),
            *("--url", sandbox.base_url, "--header", f"Authorization: Bearer {sandbox.api_key}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--mode", "all", "--max-examples", "10", "--seed", "1"),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout
    assert "Operations:       5 selected / 5 total" in done.stdout
