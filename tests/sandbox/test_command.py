"""``python -m charthero_ext.sandbox``."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from charthero_ext.sandbox.__main__ import main

COMMAND = [sys.executable, "-m", "charthero_ext.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_a_working_url_and_key_and_stops_at_a_signal(number: signal.Signals) -> None:
    arguments = ["--port", "0", "--encounters", "7", "--host", "localhost"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"ChartHero sandbox: CHARTHERO_BASE_URL=(\S+) CHARTHERO_API_KEY=(\S+)\n", line)
        secret, control = process.stdout.readline(), process.stdout.readline()
        assert match is not None
        headers = {"Authorization": f"Bearer {match[2]}"}
        page = httpx.get(f"{match[1]}/external/v1/encounters", headers=headers, trust_env=False).json()
        process.send_signal(number)
        rest = process.communicate(timeout=60)
    assert page["total"] == 7
    assert secret == "Webhook secret: whsec_sandbox_synthetic\n"
    assert control == f"Control routes: curl {match[1]}/_sandbox\n"
    assert (process.returncode, rest) == (0, ("", ""))


def test_the_command_explains_in_one_line_why_it_cannot_start(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (f"--port {port}", "--host 0.0.0.0", "--port 70000", "--encounters -1", "--now 2026-01-01"):
            assert main(arguments.split()) == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert re.fullmatch(r"The sandbox cannot start: .+\n", err)
    for number, handler in handlers.items():
        signal.signal(number, handler)
