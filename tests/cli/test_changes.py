"""The changes that the command writes, and what it records of them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import Record, Run, truth
from .test_failures import assert_fails

SINCE = ("--since", "2026-04-01")


def summary(lines: list[Record]) -> list[tuple[str, str]]:
    return [(line["kind"], line["encounter_id"]) for line in lines]


def test_each_run_writes_what_changed_since_the_last(run: Run, sandbox: Sandbox) -> None:
    wanted = truth(sandbox, since="2026-04-01")["encounters"]
    first = run("changes", "l", *SINCE)
    assert (first.code, first.err) == (0, "")
    assert [line["encounter"] for line in first.lines] == wanted
    assert {line["kind"] for line in first.lines} == {"added"}
    assert run("changes", "l", *SINCE).out == ""
    ids = [row["encounter_id"] for row in wanted]
    added = sandbox.append()["encounter_id"]
    sandbox.change(ids[-1], status="canceled")
    sandbox.delete(ids[-2])
    assert summary(run("changes", "l", *SINCE).lines) == [("changed", ids[-1]), ("added", added), ("deleted", ids[-2])]
    assert run("changes", "l", *SINCE).out == ""
    assert stat.S_IMODE(Path("l").stat().st_mode) == 0o600


def test_with_adds_documents_and_transcripts(run: Run, sandbox: Sandbox) -> None:
    wanted = truth(sandbox, since="2026-04-01")
    lines = run("changes", "l", *SINCE, "--with", "documents,transcripts").lines
    for kind in ("documents", "transcripts"):
        assert [row for line in lines for row in line[kind]] == wanted[kind]
    assert_fails(run("changes", "l", "--with", "audio"), 2, "charthero export")


def test_a_finished_transcript_is_reported_once(run: Run, sandbox: Sandbox) -> None:
    run("changes", "l")
    encounter_id = sandbox.append(ready=False)["encounter_id"]
    assert [line["transcripts_ready"] for line in run("changes", "l").lines] == [[]]
    sandbox.finish_transcript(encounter_id)
    [line] = run("changes", "l").lines
    assert [event["resources"]["encounter_id"] for event in line["transcripts_ready"]] == [encounter_id]
    sandbox.change(encounter_id, status="canceled")
    assert [line["transcripts_ready"] for line in run("changes", "l").lines] == [[]]


def test_an_unreadable_document_is_listed_in_its_line(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=500, operation="documents.get", times=4)
    done = run("changes", "l", *SINCE, "--with", "documents")
    assert (done.code, len(done.lines)) == (4, 10)
    assert "the field unreadable lists them" in done.err
    [unreadable] = [row for line in done.lines for row in line.get("unreadable", [])]
    assert unreadable["part"] == "documents"


def test_a_line_that_failed_is_written_again(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, retry_after="3600", operation="documents.get", after=9, times=None)
    before = run("changes", "l", *SINCE, "--with", "documents")
    assert before.code == 4
    said = f"; {len(before.lines)} changes were written; to continue, run the same command again\n"
    assert before.err.endswith(said)
    sandbox.faults.clear()
    after = run("changes", "l", *SINCE, "--with", "documents")
    ids = [row["encounter_id"] for row in truth(sandbox, since="2026-04-01")["encounters"]]
    assert 0 < len(before.lines) < len(ids)
    assert [line["encounter_id"] for line in before.lines + after.lines] == ids


def test_a_file_that_is_no_ledger_of_changes_is_refused(run: Run, sandbox: Sandbox) -> None:
    Path("notes").write_text("mine" * 1000)
    assert_fails(run("changes", "notes"), 1, "notes is not a SQLite database")
    assert run("export", "e", "--since", "2026-04-20").code == 0
    assert_fails(run("changes", "e/export.ledger"), 1, "belongs to charthero export")
    assert_fails(run("changes", "nowhere/l"), 1, "nowhere/l: No such file or directory")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ends", ["reader leaves", "Ctrl-C", "kill"])
def test_what_the_reader_did_not_get_is_written_again(
    ends: str, start: Callable[..., subprocess.Popen[bytes]], run: Run, sandbox: Sandbox
) -> None:
    sandbox.fail("latency", seconds=60, times=None, after=10, operation="documents.get")
    process = start("changes", "l", *SINCE, "--with", "documents")
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    if ends == "reader leaves":
        sandbox.faults.clear()
        process.stdout.close()
        process.terminate()
    else:
        process.send_signal(signal.SIGINT if ends == "Ctrl-C" else signal.SIGKILL)
        lines += [json.loads(line) for line in process.communicate(timeout=20)[0].splitlines()]
    process.wait(20)
    sandbox.faults.clear()
    ids = [row["encounter_id"] for row in truth(sandbox, since="2026-04-01")["encounters"]]
    assert {line["encounter_id"] for line in lines + run("changes", "l", *SINCE).lines} == set(ids)
