"""How the command fails: one line on standard error with the next step, an exit code, and no standard output."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from charthero_ext import ChartHero
from charthero_ext.cli import listing
from charthero_ext.cli.failures import described, exit_code
from charthero_ext.errors import PaginationError
from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Done, Run, continuation, document_id, newest, truth


def assert_fails(done: Done, code: int, *words: str) -> None:
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("charthero: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "charthero --help"),
        (("nope",), "'nope'"),
        (("encounters", "--nope"), "charthero encounters --help"),
        (("encounters", "--max-items", "0"), "--max-items"),
        (("encounters", "--max-items", "many"), "--max-items"),
        (("encounters", "--since", "yesterday"), "2026-05-01T15:00:00Z"),
        (("encounters", "--since", "2026-05-01T15:00:00"), "no time zone"),
        (("encounters", "--since", "2026-05-01", "--until", "2026-04-01"), "--since must be before --until"),
        (("encounter",), "ENCOUNTER"),
        (("encounter", ""), "encounter_id"),
        (("audio", "enc_1", "doc_1"), "--output"),
        (("export", "x", "--with", "pictures"), "'pictures'"),
        (("changes", "x", "--look-back", "-1"), "--look-back"),
        (("export", "x", "--concurrency", "0"), "--concurrency"),
        # As from an unset variable. An empty path would mean the current directory.
        (("export", ""), "empty"),
        (("audio", "enc_1", "doc_1", "-o", ""), "empty"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], word: str, run: Run, tmp_path: Path) -> None:
    assert_fails(run(*arguments), 2, word, "--help")
    assert not (tmp_path / "x").exists()


def test_a_refused_key_ends_with_3_and_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_canary")
    done = run("encounters")
    assert_fails(done, 3, "401", "charthero doctor")
    assert "canary" not in done.err


def test_a_missing_permission_ends_with_3_and_names_the_scopes(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    sandbox.set_key(sandbox.api_key, scopes=["encounters:read", "documents:read"])
    audio = ("audio", encounter["encounter_id"], document_id(encounter, "ambient_transcript"), "-o", "x")
    assert_fails(run(*audio), 3, "recordings:read", "charthero doctor")
    assert_fails(run("encounters", "--json"), 3, "patients:read")
    assert_fails(run("export", "x"), 3, "patients:read")


def test_missing_settings_say_what_to_set_in_a_shell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CHARTHERO_API_KEY", "CHARTHERO_BASE_URL"):
        monkeypatch.delenv(variable)
        done = run("encounters")
        assert_fails(done, 1, f"set {variable}")
        assert "pass " not in done.err


def test_a_wrong_checkpoint_is_refused_in_terms_of_the_command_line(run: Run) -> None:
    assert_fails(run("encounters", "--resume", "nope"), 1, "--resume is not a checkpoint", "as it was printed")
    with ChartHero() as ch:
        checkpoint = ch.encounters.iter(sort_order="desc", start_at="2026-01-01").checkpoint()
    done = run("encounters", "--resume", checkpoint, "--since", "2026-02-01")
    assert_fails(done, 1, "--resume is a checkpoint of a walk with another --since; leave out --since")


def test_a_missing_record_ends_with_1(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "document")
    assert_fails(run("encounter", "enc_nope"), 1, "404", "charthero encounters")
    note = document_id(encounter, "document")
    assert_fails(run("transcript", encounter["encounter_id"], note), 1, "unsupported_document_type")


def test_a_host_that_does_not_answer_ends_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "http://127.0.0.1:1")
    assert_fails(run("encounters"), 1, "charthero doctor")


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"kind": "status", "status": 503, "retry_after": "3600"}, "try again later"),
        ({"kind": "status", "status": 429, "retry_after": "3600"}, "try again later"),
        ({"kind": "html", "status": 200}, "charthero doctor"),
    ],
)
def test_an_outage_ends_with_1_and_says_what_to_do(fault: Any, word: str, run: Run, sandbox: Sandbox) -> None:
    sandbox.fail(**fault, times=None)
    assert_fails(run("encounters", "--json"), 1, word)


def test_an_interrupted_listing_ends_with_4_and_says_how_to_continue(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, retry_after="3600", times=None, after=1, operation="encounters.list")
    wanted = [each["encounter_id"] for each in truth(sandbox)["encounters"][::-1] if each["status"] == "completed"]
    done = run("encounters", "--json", "--status", "completed", "--max-items", len(wanted) - 1)
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert f"{len(done.lines)} encounters were written" in done.err
    sandbox.faults.clear()
    rest = run(*continuation(done.err))
    assert rest.code == 0
    assert [encounter["encounter_id"] for encounter in done.lines + rest.lines] == wanted[:-1]


def test_an_incomplete_walk_ends_with_4() -> None:
    error = PaginationError("the page at offset 0: there is no list of items")
    assert exit_code(error) == 4
    assert "there is no list of items" in described(error)


def test_an_unwritable_file_ends_with_1(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    keys = (encounter["encounter_id"], document_id(encounter, "ambient_transcript"))
    assert_fails(run("audio", *keys, "-o", tmp_path / "nowhere" / "x"), 1, "No such file or directory")
    (tmp_path / "file").touch()
    for options in ((), ("--verify",)):
        assert_fails(run("export", tmp_path / "file", *options), 1, "file: Not a directory")


def test_the_text_of_an_unexpected_exception_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise KeyError("canary")

    monkeypatch.setattr(listing, "encounters_table", break_down)
    done = run("encounters")
    assert_fails(done, 1, "KeyError at test_failures.py", "report it")
    assert "canary" not in done.err


def test_no_local_variable_reaches_the_terminal(sandbox: Sandbox) -> None:
    program = (
        "from charthero_ext.cli import commands, listing\n"
        "def break_down(encounters, shows_all): local = 'can' + 'ary'; raise KeyError(1)\n"
        "listing.encounters_table = break_down\n"
        "commands.app(['encounters'])\n"
    )
    environment = {**os.environ, "CHARTHERO_BASE_URL": sandbox.base_url, "CHARTHERO_API_KEY": sandbox.api_key}
    done = subprocess.run([COMMAND[0], "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    for word in ("canary", "locals", sandbox.api_key, "Synthetic-"):
        assert word not in done.stdout + done.stderr


def test_a_retry_writes_nothing(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, retry_after="0", times=2)
    done = run("encounters", "--json", "--max-items", 1)
    assert (done.code, len(done.lines), done.err) == (0, 1, "")
