"""What a walk over many encounters costs: time, requests and memory; and what a loop over offsets makes of the same."""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path

import httpx
from attrs import frozen

from charthero_ext import ChartHero
from tests.benchmarks.page import PATH
from tests.benchmarks.processes import running

__all__ = ["LATENCY", "Loop", "Stage", "Walked", "growth", "loops", "peak_megabytes", "walks_at_once", "where"]

LATENCY = 0.02
MOVING = "before each of 80 pages the oldest goes and a new one comes"
SANDBOX = "tests.benchmarks.sandbox_server"


@frozen
class Walked:
    """A walk over *rows* encounters, with every answer *LATENCY* seconds late.

    ``computing`` are the seconds of *seconds* that this process had a core: Python has the use of one.
    """

    concurrency: int
    rows: int
    requests: int
    seconds: float
    computing: float

    @property
    def to_waiting(self) -> float:
        """The ratio to the least that waiting alone takes: requests x latency / concurrency."""
        return self.seconds / (self.requests * LATENCY / self.concurrency)


@frozen
class Stage:
    """How far one long walk was, what it had cost up to there, and the most memory its process ever had."""

    rows: int
    requests: int
    seconds: float
    peak_megabytes: float


@frozen
class Loop:
    """What somebody got of encounters that were there all the time."""

    how: str
    world: str
    there: int
    got: int
    lost: int
    repeated: int
    ended: str


def walks_at_once(encounters: int) -> list[Walked]:
    """Walk over the same encounters with one, four and eight requests at once."""
    walked = []
    options = ("--encounters", str(encounters), "--latency", str(LATENCY))
    with running(SANDBOX, *options) as line:
        base_url, key = line.split()
        for concurrency in (1, 4, 8):
            for _ in range(2):  # the first fills the server's memory, the second is measured
                with ChartHero(base_url=base_url, api_key=key) as client:
                    walk = client.encounters.iter(concurrency=concurrency)
                    started, computing = time.perf_counter(), time.process_time()
                    rows = sum(1 for _ in walk)
                    seconds, computing = time.perf_counter() - started, time.process_time() - computing
            assert walk.receipt.complete
            walked.append(Walked(concurrency, rows, walk.receipt.requests, seconds, computing))
    return walked


def growth(stages: list[int]) -> list[Stage]:
    """Make one walk as long as the last of the stages, and look at it at each. For a process of its own."""
    passed = []
    with (
        running(SANDBOX, "--encounters", str(stages[-1])) as line,
        ChartHero(**where(line)) as client,
    ):
        walk = client.encounters.iter()
        started = time.perf_counter()
        left = iter(stages)
        stage = next(left)
        for rows, _ in enumerate(walk, 1):
            if rows == stage:
                passed.append(Stage(rows, walk.receipt.requests, time.perf_counter() - started, peak_megabytes()))
                stage = next(left, 0)
        assert walk.receipt.complete
    return passed


def loops(encounters: int) -> list[Loop]:
    """Read everything by a loop over offsets and by a walk: while nothing changes, and while rows move."""
    compared = []
    with running(SANDBOX, "--encounters", str(encounters)) as line, ChartHero(**where(line)) as client:
        for world in ("nothing changes", MOVING):
            for how, read in (("a loop over offsets", _by_offset), ("encounters.iter()", _by_walk)):
                httpx.post(f"{client.settings.base_url}/_sandbox/reset").raise_for_status()
                before = set(_by_walk(client)[0])
                if world != "nothing changes":
                    _let_rows_move(client)
                got, ended = read(client)
                httpx.delete(f"{client.settings.base_url}/_sandbox/faults").raise_for_status()
                there = before & set(_by_walk(client)[0])
                lost = len(there - set(got))
                compared.append(Loop(how, world, len(there), len(got), lost, len(got) - len(set(got)), ended))
    return compared


def _by_walk(client: ChartHero) -> tuple[list[str], str]:
    walk = client.encounters.iter()
    ids = [encounter.encounter_id for encounter in walk]
    return ids, "complete, and says so" if walk.receipt.complete else "incomplete"


def _by_offset(client: ChartHero) -> tuple[list[str], str]:
    """Page as one would without this client: until a page is not full, or the server refuses the offset."""
    ids: list[str] = []
    headers = {"Authorization": f"Bearer {client.settings.key_source.read().reveal()}"}
    with httpx.Client(base_url=client.settings.base_url, headers=headers) as plain:
        while True:
            query = {"limit": 100, "offset": len(ids), "sort_order": "asc"}
            response = plain.get(PATH, params=query)
            if response.status_code != 200:
                return ids, f"row {len(ids):,}: HTTP {response.status_code} {response.json()['reason_code']}"
            items = response.json()["items"]
            ids += [item["encounter_id"] for item in items]
            if len(items) < 100:
                return ids, "as if complete"


def _let_rows_move(client: ChartHero) -> None:
    # Not for ever: a walk with an open end has none while every request brings another encounter.
    fault = {"kind": "shift", "times": 80, "operation": "encounters.list"}
    httpx.post(f"{client.settings.base_url}/_sandbox/faults", json=fault).raise_for_status()


def where(line: str) -> dict[str, str]:
    """Return the arguments of a client, from the first line of the sandbox."""
    base_url, api_key = line.split()
    return {"base_url": base_url, "api_key": api_key}


def peak_megabytes() -> float:
    """Return the most memory that this process ever had."""
    # Where the kernel tells it, of this program alone: what getrusage tells includes the one that started it.
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0]) * 1024 / 1_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1_000_000 if sys.platform == "darwin" else 1_000)
