"""Deliveries over HTTP to a receiver in its own process, which is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from charthero_ext.webhooks import sign

from .webhook_queue import SECRET, body

#: A receiver whose handler never ends for some events. Its clock may be ahead. It prints what it has completed.
PROGRAM = """
import asyncio, socket, sys, time, types
import uvicorn
from charthero_ext.webhooks import Receiver, SQLiteStore, worker

path, secret, ahead, *hanging = sys.argv[1:]
worker.time = types.SimpleNamespace(time=lambda: time.time() + int(ahead))
listener = socket.create_server(("127.0.0.1", 0))

async def handle(event):
    if event.id in hanging:
        await asyncio.Event().wait()

class Store(SQLiteStore):
    def complete(self, event_id):
        super().complete(event_id)
        print(event_id, flush=True)

print(listener.getsockname()[1], flush=True)
receiver = Receiver(secret, Store(path), handle)
uvicorn.Server(uvicorn.Config(receiver, log_config=None, access_log=False)).run(sockets=[listener])
"""


@contextmanager
def killed_at_the_end(*arguments: str) -> Iterator[IO[str]]:
    """Run the program. Yield what it prints."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            deadline.cancel()
            process.kill()


def test_events_of_a_killed_process_are_handled_after_the_restart(tmp_path: Path) -> None:
    arguments = (str(tmp_path / "events.db"), SECRET)
    with killed_at_the_end(*arguments, "0", "evt_1", "evt_3") as printed:
        url = f"http://127.0.0.1:{printed.readline().strip()}/"
        for number in range(5):
            content = body(number)
            answer = httpx.post(url, content=content, headers=sign(content, SECRET), timeout=30, trust_env=False)
            assert answer.status_code == 204
        assert {printed.readline() for _ in range(3)} == {"evt_0\n", "evt_2\n", "evt_4\n"}

    with killed_at_the_end(*arguments, "700") as printed:  # The leases of the first process have ended.
        printed.readline()
        assert {printed.readline() for _ in range(2)} == {"evt_1\n", "evt_3\n"}
