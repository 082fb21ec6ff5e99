"""The command, in this process and as one of its own, over a sandbox."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from charthero_ext.cli import main
from charthero_ext.sandbox import Sandbox
from charthero_ext.sandbox.data import document_detail, transcript

COMMAND = [sys.executable, "-W", "error", "-m", "charthero_ext.cli"]

Record = dict[str, Any]


@frozen
class Done:
    """What a command line ended with."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output, read as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox(
        encounters=120, ties=10, newest_at=datetime(2026, 5, 1, tzinfo=UTC), span=timedelta(days=365)
    ) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine reaches a test, in this process or in one it starts; retries do not wait.

    A relative path is one of the test's own directory.
    """
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CHARTHERO_") or name.lower().endswith("_proxy") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("charthero_ext._call.WAIT_INITIAL", 0.001)
    monkeypatch.setattr("charthero_ext._call.WAIT_JITTER", 0.001)


@pytest.fixture
def _configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("CHARTHERO_API_KEY", sandbox.api_key)


@pytest.fixture
def run(_configured: None, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def start(_configured: None) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command line in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, **others: Any) -> subprocess.Popen[bytes]:
        # Unbuffered, since communicate() does not give back what an earlier readline() has read ahead.
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **others}
        started.append(subprocess.Popen([*COMMAND, *map(str, arguments)], **pipes))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


def continuation(message: str) -> list[str]:
    """Return the arguments that a message gives to continue a listing."""
    return shlex.split(message.rpartition("to continue: charthero ")[2])


def newest(sandbox: Sandbox, *schema_types: str) -> Record:
    """The newest completed encounter that has a document of each type."""
    for encounter in reversed(list(sandbox.store)):
        if encounter["status"] == "completed" and {each["schema_type"] for each in encounter["documents"]} >= set(
            schema_types
        ):
            return encounter
    raise AssertionError("no such encounter")


def wait_for_lines(path: Path, lines: int) -> None:
    """Wait until another process has written lines to a file."""
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def document_id(encounter: Record, schema_type: str) -> str:
    return next(each["document_id"] for each in encounter["documents"] if each["schema_type"] == schema_type)


def truth(sandbox: Sandbox, since: str = "") -> dict[str, list[Record]]:
    """Return what a first export of everything, or of what was created since an instant, contains."""
    files: dict[str, list[Record]] = {"encounters": [], "documents": [], "transcripts": [], "missing": []}
    for encounter in sandbox.store:
        if sandbox.timestamp(encounter["created_at"]) < since:
            continue
        files["encounters"].append(encounter)
        for summary in encounter["documents"]:
            files["documents"].append(document_detail(encounter, summary))
            if summary["schema_type"] == "ambient_transcript":
                if summary["status"] == "completed":
                    files["transcripts"].append(transcript(encounter, summary))
                else:
                    keys = {"encounter_id": encounter["encounter_id"], "document_id": summary["document_id"]}
                    files["missing"].append({"part": "transcripts", **keys, "reason": "not_found"})
    read: dict[str, list[Record]] = json.loads(json.dumps(files, default=sandbox.timestamp))
    return read


def manifest_of(directory: Path, number: int = 1) -> Any:
    return json.loads((directory / f"{number:04}" / "manifest.json").read_text())


def exported(directory: Path, number: int = 1) -> dict[str, list[Record]]:
    """Return the rows of a set of an export by kind. Kinds without rows are left out, except those of `truth`."""
    empty: dict[str, list[Record]] = {"encounters": [], "documents": [], "transcripts": [], "missing": []}
    files = [name for name in manifest_of(directory, number)["files"] if name.endswith(".jsonl")]
    path = directory / f"{number:04}"
    return empty | {name.removesuffix(".jsonl"): read_lines(path / name) for name in files}


def merged(directory: Path) -> dict[str, Record]:
    """Return the encounters that a reader of all sets ends up with."""
    found: dict[str, Record] = {}
    for path in sorted(directory.glob("????")):
        rows = exported(directory, int(path.name))
        ids = [row["encounter_id"] for row in rows["encounters"]]
        assert len(ids) == len(set(ids))
        found |= {row["encounter_id"]: row for row in rows["encounters"]}
        for row in rows.get("deleted", []):
            found.pop(row["encounter_id"], None)
    return found


def read_lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]
