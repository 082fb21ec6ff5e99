"""Every Python block of the README runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.sandbox import Sandbox

README = Path(__file__).parent.parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TESTS = [block for block in BLOCKS if re.search(r"^def test_", block, re.MULTILINE)]
SPARK = [block for block in BLOCKS if "pyspark" in block]  # tests/connectors runs them where Spark is installed
PROGRAMS = [block for block in BLOCKS if block not in TESTS + SPARK]


def first_words(block: str) -> str:
    return next(line for line in block.splitlines() if "ch." in line or "(ch" in line or "def " in line).strip()[:60]


def marked(block: str) -> Any:
    """Return a block as a parameter. A pipeline of dlt takes several seconds."""
    return pytest.param(block, marks=[pytest.mark.slow] if "dlt" in block else [])


def run(command: list[str], directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(directory), **environment}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def host_and_key(sandbox: Sandbox) -> dict[str, str]:
    return {"CHARTHERO_BASE_URL": sandbox.base_url, "CHARTHERO_API_KEY": sandbox.api_key}


@pytest.mark.parametrize("block", [marked(each) for each in PROGRAMS], ids=first_words)
def test_a_program_runs_against_a_sandbox(block: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", block]
    with Sandbox(encounters=300) as sandbox:
        # For root, dlt does not look at HOME.
        done = run(command, tmp_path, DLT_DATA_DIR=str(tmp_path / "dlt"), **host_and_key(sandbox))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", TESTS, ids=first_words)
def test_a_test_passes_in_a_project_of_its_own(block: str, tmp_path: Path) -> None:
    (tmp_path / "test_integration.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    other = {"CHARTHERO_API_KEY": "ch_sk_not_for_tests", "CHARTHERO_BASE_URL": "https://x.example.test"}
    done = run(command, tmp_path, **other)
    assert re.search(rf"{block.count('def test_')} passed", done.stdout), done.stdout + done.stderr


def test_the_readme_has_both_kinds() -> None:
    assert PROGRAMS
    assert TESTS


@pytest.mark.parametrize(
    "block", re.findall(r"^```console\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
def test_a_shell_session_prints_what_is_shown(block: str, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "charthero"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charthero_ext.cli "$@"\n')
    program.chmod(0o700)
    with Sandbox(encounters=300, newest_at=datetime(2026, 5, 1, tzinfo=UTC), span=timedelta(days=365)) as sandbox:
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = shown.partition("\n")
            done = run(["/bin/sh", "-c", f"{line} 2>&1"], tmp_path, PATH=path, **host_and_key(sandbox))
            # An ellipsis stands for what differs each time.
            assert re.fullmatch(".*".join(map(re.escape, output.split("…"))), done.stdout, re.DOTALL), done.stdout


def test_the_files_that_the_readme_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    named = re.findall(r"`((?:charthero_ext|scripts|openapi|\.github|\.ci)/[\w./-]+)`", text)
    assert len(named) > 8
    assert [name for name in named if not (README.parent / name).exists()] == []


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200
