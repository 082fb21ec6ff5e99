"""How the command ends early, and what it does on a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Run, read_lines, truth

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


def test_a_reader_that_leaves_ends_it_quietly(start: Start, sandbox: Sandbox) -> None:
    # Help is printed by rich, which has an exit code of its own for this.
    for arguments, code in ((["encounters", "--json"], 141), (["encounters"], 141), (["--help"], 1)):
        process = start(*arguments)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (code, b"")


@pytest.mark.usefixtures("_configured")
def test_head_takes_what_it_wants() -> None:
    line = " ".join([*COMMAND, "encounters", "--json", "|", "head", "-n", "2"])
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


def test_ctrl_c_ends_a_listing_with_all_it_read_written_and_says_how_to_go_on(
    start: Start, run: Run, sandbox: Sandbox
) -> None:
    sandbox.fail("latency", seconds=60, times=None, after=2, operation="encounters.list")
    process = start("encounters", "--json")
    assert process.stdout is not None
    written = [json.loads(process.stdout.readline()) for _ in range(100)]
    process.send_signal(signal.SIGINT)
    rest_of_out, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert rest_of_out == b""
    assert re.fullmatch(rb"\n100 encounters were written; charthero encounters .* goes on\n", err)
    sandbox.faults.clear()
    go_on = err.decode().split("charthero encounters ")[1].removesuffix(" goes on\n").split()
    ids = [encounter["encounter_id"] for encounter in written + run("encounters", *go_on).lines]
    assert ids == list(sandbox.encounter_ids())[::-1]


def test_ctrl_c_while_a_page_is_written_lets_it_be_written_whole(start: Start, run: Run, sandbox: Sandbox) -> None:
    process = start("encounters", "--json")
    assert process.stdout is not None
    # More than a pipe holds is on its way, so the command is in the middle of a page as long as nobody reads on.
    written = [process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=20)
    lines = [json.loads(line) for line in b"".join([*written, rest]).splitlines()]
    assert process.returncode == -signal.SIGINT
    go_on = err.decode().split("charthero encounters ")[1].removesuffix(" goes on\n").split()
    ids = [encounter["encounter_id"] for encounter in lines + run("encounters", *go_on).lines]
    assert ids == list(sandbox.encounter_ids())[::-1]


def test_ctrl_c_ends_an_export_at_once_and_running_it_again_goes_on(
    start: Start, run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    directory = tmp_path / "export"
    sandbox.fail("latency", seconds=60, times=None, after=150, operation="documents.get")
    process = start("export", directory)
    state = directory / "export-state.json"
    part = directory / "encounters.jsonl.part"
    wait_for(lambda: state.exists() and part.exists() and part.stat().st_size > 0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (-signal.SIGINT, b"")
    assert err == b"\nInterrupted; what was exported is safe; run the same command again to go on.\n"
    sandbox.faults.clear()
    assert run("export", directory).code == 0
    assert read_lines(directory / "encounters.jsonl") == truth(sandbox)["encounters"]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for another process; there is nothing else to be told by."""
    import time

    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def on_a_terminal(arguments: list[str], *, only: str = "both", **environment: str) -> tuple[int, str, str]:
    """Run a command line on a terminal; return its exit code, what the terminal got, and what a pipe got."""
    import pty

    terminal, end = pty.openpty()
    with tempfile.TemporaryFile() as piped:  # holds any amount, so that nobody waits for a reader
        streams: dict[str, Any] = {"stdout": piped if only == "stderr" else end, "stderr": end}
        surroundings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment}
        process = subprocess.Popen([*COMMAND, *arguments], env=surroundings, **streams)
        os.close(end)
        shown = b""
        with process:
            # Where the other end is closed, Linux has an error and others have an end.
            with suppress(OSError):
                while chunk := os.read(terminal, 65536):
                    shown += chunk
            os.close(terminal)
        piped.seek(0)
        return process.returncode, shown.decode(), piped.read().decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38;|9[0-7])[0-9;]*m")


@pytest.mark.usefixtures("_configured")
def test_a_terminal_gets_a_bar_with_rate_and_remaining_time_and_a_pipe_gets_the_data(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fail("latency", seconds=0.02, times=None, operation="documents.get")
    code, shown, piped = on_a_terminal(["export", str(tmp_path / "e")], only="stderr")
    assert code == 0
    assert "/120" in shown
    assert re.search(r"\d/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert re.fullmatch(r"120 encounters, .*manifest.json\n", piped)
    code, shown, piped = on_a_terminal(["encounters", "--json"], only="stderr")
    assert len([json.loads(line) for line in piped.splitlines()]) == 120


@pytest.mark.usefixtures("_configured")
def test_no_color_is_heeded_and_a_dumb_terminal_gets_no_bar(sandbox: Sandbox, tmp_path: Path) -> None:
    for number, arguments in enumerate(
        (["encounters"], ["--help"], ["export", "--since", "2026-03-01", str(tmp_path / "a")])
    ):
        coloured = on_a_terminal(arguments)[1]
        plain = on_a_terminal([*arguments[:-1], str(tmp_path / "b")] if number == 2 else arguments, NO_COLOR="1")[1]
        assert not COLOUR.search(plain)
        if number:
            assert COLOUR.search(coloured)
    assert "\x1b" not in on_a_terminal(["export", "--since", "2026-03-01", str(tmp_path / "c")], TERM="dumb")[1]


@pytest.mark.usefixtures("_configured")
def test_a_table_on_a_narrow_terminal_keeps_ids_whole_enough_to_copy(sandbox: Sandbox) -> None:
    _, shown, _ = on_a_terminal(["encounter", next(sandbox.encounter_ids())], COLUMNS="60")
    assert next(sandbox.encounter_ids()) in shown
    _, shown, _ = on_a_terminal(["encounters", "--limit", "1"], COLUMNS="80")
    assert "…" not in shown


@pytest.mark.usefixtures("_configured")
def test_patients_are_masked_on_a_terminal(sandbox: Sandbox) -> None:
    sandbox.append(patient={"patient_id": "pat_1", "last_name": "Canary"})
    assert "Canary" not in on_a_terminal(["encounters"])[1]
    assert "Canary" in on_a_terminal(["encounters", "--show-phi"])[1]
