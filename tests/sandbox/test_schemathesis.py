"""Schemathesis tests the sandbox with the artifact it serves: all phases, all checks except one.

``positive_data_acceptance`` is excluded, because the schema cannot express all rules of the contract, such as
``start_at`` before ``end_at``. ``test_list.py`` and ``test_bodies.py`` test which requests must be accepted.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import DEVELOPER_PAGES


@pytest.mark.slow
def test_schemathesis_finds_no_response_that_violates_the_artifact(tmp_path: Path) -> None:
    with Sandbox(encounters=100, ties=10, artifact=DEVELOPER_PAGES) as sandbox:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{sandbox.base_url}/openapi/v1/openapi.json"),
            *("--url", sandbox.base_url, "--header", f"Authorization: Bearer {sandbox.api_key}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--mode", "all", "--max-examples", "10", "--seed", "1"),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout
    assert "Operations:       5 selected / 5 total" in done.stdout
