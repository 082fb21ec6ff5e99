"""Deliveries over HTTP to a receiver in its own process, which is killed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from charthero_ext.webhooks import sign

from .webhook_queue import SECRET, body

#: A receiver as partners write it. Its handler prints what it does, and never ends for the events in HANGING.
PROGRAM = """
import asyncio, os, socket, time, types
import uvicorn
from charthero_ext import AsyncChartHero
from charthero_ext.webhooks import Receiver, SQLiteStore, worker

worker.time = types.SimpleNamespace(time=lambda: time.time() + float(os.environ["AHEAD"]))
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))

def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

async def handle(event):
    say("began", event.id)
    if event.id in os.environ["HANGING"].split():
        await asyncio.Event().wait()
    if os.environ["API"]:
        async with AsyncChartHero(api_key=os.environ["KEY"], base_url=os.environ["API"]) as ch:
            found = await ch.follow_up(event)
        say("found", found.transcript.document_id)

class Store(SQLiteStore):
    def complete(self, event_id):
        super().complete(event_id)
        say("completed", event_id)

receiver = Receiver(os.environ["SECRET"], Store(os.environ["STORE"]), handle)
say("port", listener.getsockname()[1])
uvicorn.Server(uvicorn.Config(receiver, log_config=None, access_log=False)).run(sockets=[listener])
"""


class Process:
    """A running receiver. `said` is what it has printed."""

    def __init__(self, store: Path, **environment: str) -> None:
        defaults = {"PORT": "0", "AHEAD": "0", "HANGING": "", "API": "", "KEY": "", "SECRET": SECRET}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **defaults, "STORE": str(store), **environment},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.said: list[str] = []
        self.port = self.wait_for("port").split()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._process.stdout.close()

    def wait_for(self, start: str) -> str:
        while True:
            self.said.append(self._lines.get(timeout=30))
            if self.said[-1].startswith(start):
                return self.said[-1]

    def end(self, by: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(by)
            self._process.wait(30)
            self._reader.join(30)
        while not self._lines.empty():
            self.said.append(self._lines.get())
        assert self._process.returncode == -by

    def count(self, what: str) -> Counter[str]:
        return Counter(line.split()[1] for line in self.said if line.startswith(what))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a receiver on the store of this test."""
    started: list[Process] = []

    def begin(**environment: str) -> Process:
        started.append(Process(tmp_path / "events.db", **environment))
        return started[-1]

    yield begin
    for process in started:
        with suppress(AssertionError):
            process.end(signal.SIGKILL)


def test_events_of_a_killed_process_are_handled_after_the_restart(start: Callable[..., Process]) -> None:
    first = start(HANGING="evt_1 evt_3")
    with httpx.Client(timeout=30, trust_env=False) as client:
        for number in range(5):
            answer = client.post(first.url, content=body(number), headers=sign(body(number), SECRET))
            assert answer.status_code == 204
    for _ in range(3):
        first.wait_for("completed")
    first.end(signal.SIGKILL)
    assert set(first.count("completed")) == {"evt_0", "evt_2", "evt_4"}

    second = start(PORT=first.port, AHEAD="700")  # the leases of the first process have ended
    for _ in range(2):
        second.wait_for("completed")
    second.end(signal.SIGTERM)
    assert second.count("began") == second.count("completed") == {"evt_1": 1, "evt_3": 1}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr("charthero_ext.sandbox.webhooks.RETRY_AFTER", (0.05,) * 600)
    with Sandbox(encounters=5, webhook_secret=SECRET) as running:
        yield running


def test_genuine_sandbox_deliveries_are_followed_up_once_and_forged_ones_are_refused(
    sandbox: Sandbox, start: Callable[..., Process]
) -> None:
    access = {"API": sandbox.base_url, "KEY": sandbox.api_key}
    first = start(**access)
    sandbox.webhooks.url = first.url
    encounters = [sandbox.append()]
    sandbox.deliver(encounters[0]["encounter_id"], copies=3)
    sandbox.webhooks.wait(timeout=30)
    with httpx.Client(trust_env=False) as client:
        for forged in ({"bad_signature": True}, {"timestamp_offset": -301}, {"secret": "whsec_other"}):
            signed = sandbox.signed_event(encounters[0]["encounter_id"], **forged)
            assert client.post(first.url, content=signed.body, headers=signed.headers).status_code == 401
    first.end(signal.SIGTERM)

    encounters.append(sandbox.append())  # delivered again and again until a receiver listens
    second = start(PORT=first.port, **access)
    sandbox.webhooks.wait(timeout=30)
    second.wait_for("completed")
    second.end(signal.SIGTERM)

    delivered = {attempt.event_id for attempt in sandbox.webhooks.attempts}
    assert first.count("completed") + second.count("completed") == dict.fromkeys(delivered, 1)
    documents = [document for encounter in encounters for document in encounter["documents"]]
    transcripts = {each["document_id"] for each in documents if each["schema_type"] == "ambient_transcript"}
    assert set(first.count("found") + second.count("found")) == transcripts
