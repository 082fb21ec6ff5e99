"""How the command ends early, and what it does on a terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Run, continuation, exported, newest, truth, wait_for_lines

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


def test_a_reader_that_leaves_ends_it_quietly(start: Start, sandbox: Sandbox) -> None:
    for arguments in (["encounters", "--json"], ["encounters"], ["--help"]):
        process = start(*arguments)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (141, b"")


@pytest.mark.parametrize(("waits_for", "lines"), [("the API", 100), ("its reader", 1)])
def test_ctrl_c_ends_a_listing_with_all_it_read_written_and_says_how_to_go_on(
    waits_for: str, lines: int, start: Start, run: Run, sandbox: Sandbox
) -> None:
    if waits_for == "the API":
        sandbox.fail("latency", seconds=60, times=None, after=2, operation="encounters.list")
    process = start("encounters", "--json")
    assert process.stdout is not None
    # A page is larger than a pipe, so after its first line the command waits for its reader.
    written = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=20)
    listed = [json.loads(line)["encounter_id"] for line in b"".join([*written, rest]).splitlines()]
    assert process.returncode == -signal.SIGINT
    said = f"\ncharthero: interrupted; {len(listed)} encounters were written; to continue: charthero encounters "
    assert err.decode().startswith(said)
    assert err.count(b"\n") == 2
    sandbox.faults.clear()
    listed += [encounter["encounter_id"] for encounter in run(*continuation(err.decode())).lines]
    assert listed == list(sandbox.encounter_ids())[::-1]


def test_ctrl_c_while_modules_load_ends_it_quietly() -> None:
    program = (
        "import os, signal, sys; from charthero_ext.cli import main\n"
        "class Typer:\n"
        "    def find_spec(name, *_): name == 'typer' and os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Typer)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(main(['encounters']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_ends_an_export_at_once_and_running_it_again_goes_on(
    start: Start, run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    directory = tmp_path / "export"
    sandbox.fail("clamp", limit=10, times=None, operation="encounters.list")
    sandbox.fail("latency", seconds=60, times=None, after=150, operation="documents.get")
    process = start("export", directory)
    part = directory / ".0001" / "encounters.jsonl"
    wait_for_lines(part, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (-signal.SIGINT, b"")
    assert err == b"\ncharthero: interrupted; what was exported is safe; run the same command again to continue\n"
    sandbox.faults.clear()
    assert run("export", directory).code == 0
    assert exported(directory) == truth(sandbox)


def on_a_terminal(arguments: list[str], *, only: str = "both", **environment: str) -> tuple[int, str, str]:
    """Run a command line on a terminal; return its exit code, what the terminal got, and what a pipe got."""
    import pty

    terminal, end = pty.openpty()
    with tempfile.TemporaryFile() as piped:  # The command never waits for a reader.
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
    assert re.fullmatch(r".*e/0001: 120 encounters, .*\n", piped)
    code, shown, piped = on_a_terminal(["encounters", "--json"], only="stderr")
    assert len([json.loads(line) for line in piped.splitlines()]) == 120


@pytest.mark.usefixtures("_configured")
def test_a_bar_has_no_colour_with_no_color_and_a_dumb_terminal_gets_none(sandbox: Sandbox, tmp_path: Path) -> None:
    def shown(name: str, **environment: str) -> str:
        return on_a_terminal(["export", "--since", "2026-03-01", str(tmp_path / name)], **environment)[1]

    assert COLOUR.search(shown("a"))
    assert not COLOUR.search(shown("b", NO_COLOR="1"))
    assert "\x1b" not in shown("c", TERM="dumb")


@pytest.mark.parametrize("columns", [300, 100, 80, 60, 30, 10])
def test_ids_stay_on_one_line_at_every_width(
    columns: int, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    encounter = newest(sandbox, "document", "ambient_transcript")
    ids = {encounter["encounter_id"], *(document["document_id"] for document in encounter["documents"])}

    def on_terminal(*arguments: str) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            return run(*arguments).out.splitlines()

    lines = on_terminal("encounters", "--max-items", "20")
    assert len(lines) == 21
    assert all(re.search(r"\benc_\w{20,}", line) for line in lines[1:])
    assert max(map(len, lines)) <= max(columns, 30)
    lines = on_terminal("encounter", encounter["encounter_id"])
    assert ids <= {word for line in lines for word in line.split()}
    assert max(map(len, lines)) <= max(columns, 35) or columns > 35


@pytest.mark.usefixtures("_configured")
@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [(">&-", 1, "charthero: standard output is closed"), ("2>&-", 0, ""), (">&- 2>&-", 1, "")],
)
def test_a_closed_stream_is_no_traceback(redirection: str, code: int, said: str) -> None:
    line = f"{shlex.join(COMMAND)} encounters {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(said), "Traceback" in done.stderr) == (code, True, False)
    assert done.stderr.count("\n") == bool(said)
