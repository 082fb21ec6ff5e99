"""What a walk or a change feed over many encounters costs, and what a loop over offsets loses."""

from __future__ import annotations

import re
import resource
import sys
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from attrs import frozen

from charthero_ext import ChartHero
from charthero_ext.changes import Ledger
from tests.benchmarks.page import PATH
from tests.benchmarks.processes import running

__all__ = ["growth", "loops", "passes", "walks_at_once"]

LATENCY = 0.02
MOVING = "before each of 80 pages the oldest goes and a new one comes"
SANDBOX = "tests.benchmarks.sandbox_server"


@frozen
class Walked:
    """A walk over *rows* encounters, with every answer *LATENCY* seconds late.

    ``computing`` is how many of the *seconds* this process used a core.
    """

    concurrency: int
    rows: int
    requests: int
    seconds: float
    computing: float

    @property
    def to_waiting(self) -> float:
        """The ratio to the time of waiting alone: requests x latency / concurrency."""
        return self.seconds / (self.requests * LATENCY / self.concurrency)


@frozen
class Stage:
    """How far one long walk was, its cost until then, and the peak memory of its process."""

    rows: int
    requests: int
    seconds: float
    peak_megabytes: float


@frozen
class Synced:
    """One pass of a change feed over *encounters* encounters, and the peak memory of its process."""

    encounters: int
    changes: int
    seconds: float
    peak_megabytes: float
    ledger_megabytes: float


@frozen
class Loop:
    """How many of the encounters that were there all the time were read."""

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
        for concurrency in (1, 4, 8):
            for _ in range(2):  # the first fills the server's memory, the second is measured
                with ChartHero(**_where(line)) as client:
                    walk = client.encounters.iter(concurrency=concurrency)
                    started, computing = time.perf_counter(), time.process_time()
                    rows = sum(1 for _ in walk)
                    seconds, computing = time.perf_counter() - started, time.process_time() - computing
            assert walk.receipt.complete
            walked.append(Walked(concurrency, rows, walk.receipt.requests, seconds, computing))
    return walked


def growth(stages: list[int]) -> list[Stage]:
    """Measure one walk as long as the last stage at each stage. Needs its own process, because it measures memory."""
    passed = []
    with running(SANDBOX, "--encounters", str(stages[-1])) as line, ChartHero(**_where(line)) as client:
        walk = client.encounters.iter()
        started = time.perf_counter()
        left = iter(stages)
        stage = next(left)
        for rows, _ in enumerate(walk, 1):
            if rows == stage:
                passed.append(Stage(rows, walk.receipt.requests, time.perf_counter() - started, _peak_megabytes()))
                stage = next(left, 0)
        assert walk.receipt.complete
    return passed


def passes(encounters: int) -> list[Synced]:
    """Make two passes of a change feed. The second finds nothing new. Needs its own process."""
    synced = []
    with (
        running(SANDBOX, "--encounters", str(encounters)) as line,
        ChartHero(**_where(line)) as client,
        TemporaryDirectory() as directory,
        Ledger(Path(directory, "ledger")) as ledger,
    ):
        for _ in range(2):
            started = time.perf_counter()
            changes = sum(1 for _ in client.encounters.changes(ledger, look_back=timedelta.max))
            size = sum(file.stat().st_size for file in Path(directory).iterdir()) / 1_000_000
            synced.append(Synced(encounters, changes, time.perf_counter() - started, _peak_megabytes(), size))
    return synced


def loops(encounters: int) -> list[Loop]:
    """Read everything with a loop over offsets and with a walk, while nothing changes and while rows move."""
    compared = []
    with running(SANDBOX, "--encounters", str(encounters)) as line, ChartHero(**_where(line)) as client:
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
    """Read pages until one is not full or the server refuses the offset, as a program without this client would."""
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
    # Only 80 times: a walk with an open end never ends while each request adds an encounter.
    fault = {"kind": "shift", "times": 80, "operation": "encounters.list"}
    httpx.post(f"{client.settings.base_url}/_sandbox/faults", json=fault).raise_for_status()


def _where(line: str) -> dict[str, str]:
    """Return the arguments of a client, from the first line of the sandbox."""
    base_url, api_key = line.split()
    return {"base_url": base_url, "api_key": api_key}


def _peak_megabytes() -> float:
    """Return the peak memory of this process."""
    # getrusage includes the program that started this one, so ask the kernel where it tells.
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0]) * 1024 / 1_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1_000_000 if sys.platform == "darwin" else 1_000)
