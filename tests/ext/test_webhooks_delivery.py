"""Deliveries over HTTP to receivers in processes of their own, some of which are killed."""

from __future__ import annotations

import asyncio
import json
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
from typing import Any, Self

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from charthero_ext.webhooks import sign
from tests.payloads import EVENT

SECRET = "whsec_synthetic_1"

#: A receiver as partners write it. Its handler says what it does, and never ends where it is told to hang.
PROGRAM = """
import asyncio, os, socket, sys
import uvicorn
from charthero_ext import AsyncChartHero
from charthero_ext.webhooks import Receiver, SQLiteStore

hanging = os.environ["HANGING"].split()
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))

def tell(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")  # whole lines, from whatever thread

async def handle(event):
    tell("began", event.id)
    if event.id in hanging:
        await asyncio.Event().wait()
    if os.environ["API"]:
        async with AsyncChartHero(api_key=os.environ["KEY"], base_url=os.environ["API"]) as ch:
            found = await ch.follow_up(event)
        tell("found", found.transcript.document_id)
    tell("ended", event.id)

def handle_in_thread(event):
    asyncio.run(handle(event))

class Telling(SQLiteStore):
    def complete(self, event_id):
        super().complete(event_id)
        tell("completed", event_id)

receiver = Receiver(
    os.environ["SECRET"],
    Telling(os.environ["STORE"]),
    handle_in_thread if os.environ["IN_THREAD"] else handle,
)
config = uvicorn.Config(receiver, lifespan=os.environ["LIFESPAN"], log_config=None, access_log=False)
tell("port", listener.getsockname()[1])
uvicorn.Server(config).run(sockets=[listener])
"""


class Process:
    """A receiver that runs; `said` is what its handler said so far."""

    def __init__(self, store: Path, **environment: str) -> None:
        defaults = {
            "PORT": "0",
            "HANGING": "",
            "API": "",
            "KEY": "",
            "SECRET": SECRET,
            "IN_THREAD": "",
            "LIFESPAN": "on",
        }
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

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """End it in good order: uvicorn then raises the signal again, as is the custom."""
        self._process.terminate()
        self._end()
        assert self._process.returncode == -signal.SIGTERM

    def _end(self) -> None:
        self._process.wait(30)
        self._reader.join(30)
        while not self._lines.empty():
            self.said.append(self._lines.get())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a receiver on the store of this test."""
    started: list[Process] = []

    def begin(**environment: str) -> Process:
        started.append(Process(tmp_path / "events.db", **environment))
        return started[-1]

    yield begin
    for process in started:
        process.__exit__()


def body(number: int) -> bytes:
    return json.dumps({**EVENT, "id": f"evt_{number}"}).encode()


def deliver(numbers: range, *urls: str, copies: int = 1) -> Counter[int]:
    """Deliver events to every receiver, all at once; count the answers."""

    async def post(client: httpx.AsyncClient, url: str, number: int) -> int:
        content = body(number)
        return (await client.post(url, content=content, headers=sign(content, SECRET))).status_code

    async def every() -> Counter[int]:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            return Counter(
                await asyncio.gather(*(post(client, url, n) for _ in range(copies) for n in numbers for url in urls))
            )

    return asyncio.run(every())


def count(what: str, *processes: Process) -> Counter[str]:
    return Counter(line.split()[1] for process in processes for line in process.said if line.startswith(what))


def every(numbers: range) -> dict[str, int]:
    return {f"evt_{number}": 1 for number in numbers}


@pytest.mark.parametrize("in_thread", ["", "yes"])
def test_duplicates_delivered_at_once_to_several_processes_are_handled_once(
    start: Callable[..., Process], in_thread: str
) -> None:
    processes = [start(IN_THREAD=in_thread) for _ in range(2)]
    urls = [process.url for process in processes]
    assert deliver(range(20), *urls, copies=3) == {204: 120}
    for process in processes:
        process.stop()
    assert count("ended", *processes) == count("began", *processes) == every(range(20))


def test_an_event_that_is_being_handled_when_the_process_is_killed_is_handled_after_the_restart(
    start: Callable[..., Process],
) -> None:
    first = start(HANGING="evt_1 evt_3")
    assert deliver(range(5), first.url) == {204: 5}
    for _ in range(3):
        first.wait_for("completed")
    first.kill()
    assert count("ended", first) == {"evt_0": 1, "evt_2": 1, "evt_4": 1}

    second = start(PORT=first.port)
    for _ in range(2):
        second.wait_for("completed")
    assert deliver(range(6), second.url) == {204: 6}
    second.stop()
    assert count("ended", first, second) == every(range(6))
    assert count("began", second) == {"evt_1": 1, "evt_3": 1, "evt_5": 1}


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_what_a_killed_process_left_is_taken_up_by_its_sibling_with_the_next_delivery(
    start: Callable[..., Process], lifespan: str
) -> None:
    survivor, victim = start(LIFESPAN=lifespan), start(HANGING="evt_0", LIFESPAN=lifespan)
    deliver(range(1), victim.url)
    victim.wait_for("began evt_0")
    deliver(range(1), survivor.url)
    deliver(range(1, 2), survivor.url)
    survivor.wait_for("ended evt_1")
    assert count("began", survivor) == every(range(1, 2))
    victim.kill()
    deliver(range(2, 3), survivor.url)
    survivor.wait_for("ended evt_0")
    survivor.stop()
    assert count("ended", survivor, victim) == every(range(3))


def test_a_process_that_is_killed_over_and_over_loses_nothing(start: Callable[..., Process]) -> None:
    processes = [start()]
    answered: Counter[int] = Counter()
    for round_ in range(3):
        numbers = range(round_ * 10, round_ * 10 + 10)
        sender = threading.Thread(target=lambda numbers=numbers: deliver_until_accepted(numbers, processes, answered))
        sender.start()
        processes[-1].wait_for("began")
        processes[-1].kill()
        processes.append(start(PORT=processes[0].port))
        sender.join()
    processes[-1].stop()
    assert answered == {204: 30}
    ended = count("ended", *processes)
    assert set(ended) == set(every(range(30)))
    # Killed between the handler's end and its being noted: only then may an event be handled again.
    assert sum(ended.values()) <= 30 + 3 * 8


def deliver_until_accepted(numbers: range, processes: list[Process], answered: Counter[int]) -> None:
    """As ChartHero does: what fails is delivered again."""
    with httpx.Client(timeout=30, trust_env=False) as client:
        for number in numbers:
            while True:
                try:
                    response = client.post(processes[-1].url, content=body(number), headers=sign(body(number), SECRET))
                except httpx.TransportError:
                    continue
                answered[response.status_code] += 1
                break


def test_a_large_body_and_a_broken_sender_do_not_harm_it(start: Callable[..., Process]) -> None:
    process = start()
    with httpx.Client(timeout=30, trust_env=False) as client:
        headers = {**sign(body(1), SECRET), "Content-Length": "50000000"}

        def large() -> Iterator[bytes]:
            for _ in range(500):
                yield b"x" * 100_000

        with suppress(httpx.WriteError):  # it was answered, and the rest no longer read
            assert client.post(process.url, content=large(), headers=headers).status_code == 413

        def broken() -> Iterator[bytes]:
            yield body(2)[:20]
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            client.post(process.url, content=broken(), headers=sign(body(2), SECRET))
    assert deliver(range(1), process.url) == {204: 1}
    process.stop()
    assert count("ended", process) == every(range(1))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr("charthero_ext.sandbox.webhooks.RETRY_AFTER", (0.05,) * 600)
    with Sandbox(encounters=5, webhook_secret=SECRET) as running:
        yield running


def test_what_the_sandbox_delivers_is_verified_followed_up_and_handled_once(
    sandbox: Sandbox, start: Callable[..., Process]
) -> None:
    access = {"API": sandbox.base_url, "KEY": sandbox.api_key}
    process = start(**access)
    sandbox.webhooks.url = process.url
    encounters = [sandbox.append() for _ in range(3)]
    events: list[Any] = [sandbox.deliver(encounter["encounter_id"], copies=3) for encounter in encounters]
    sandbox.webhooks.wait(timeout=30)
    process.stop()

    # Delivered while nobody listens, and again and again until somebody does.
    encounters.append(sandbox.append())
    other = start(PORT=process.port, **access)
    sandbox.webhooks.wait(timeout=30)
    other.stop()

    delivered = {attempt.event_id for attempt in sandbox.webhooks.attempts}
    assert len(delivered) == len(encounters) + len(events)
    assert count("ended", process, other) == dict.fromkeys(delivered, 1)
    transcripts = {encounter["documents"][-1]["document_id"] for encounter in encounters}
    found = count("found", process, other)
    assert len(found) == len(transcripts)


def test_what_the_sandbox_forges_or_delays_is_not_handled(sandbox: Sandbox, start: Callable[..., Process]) -> None:
    process = start()
    encounter_id = sandbox.append()["encounter_id"]
    with httpx.Client(trust_env=False) as client:
        statuses = []
        for signing in ({}, {"bad_signature": True}, {"timestamp_offset": -301}, {"secret": "whsec_other"}):
            signed = sandbox.signed_event(encounter_id, **signing)
            statuses.append(client.post(process.url, content=signed.body, headers=signed.headers).status_code)
    assert statuses == [204, 401, 401, 401]
    process.stop()
    assert len(count("ended", process)) == 1
