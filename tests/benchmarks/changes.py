"""What a change feed costs: a first pass over many encounters, and a later pass that finds nothing new."""

from __future__ import annotations

import argparse
import json
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict, frozen

from charthero_ext import ChartHero
from charthero_ext.changes import Ledger
from tests.benchmarks.processes import running
from tests.benchmarks.walks import SANDBOX, peak_megabytes, where

__all__ = ["Synced", "main", "passes"]


@frozen
class Synced:
    """One pass over *encounters* encounters, and the most memory its process ever had."""

    encounters: int
    changes: int
    seconds: float
    peak_megabytes: float
    ledger_megabytes: float


def passes(encounters: int) -> list[Synced]:
    """Make a first pass and one more over all encounters. For a process of its own."""
    synced = []
    with (
        running(SANDBOX, "--encounters", str(encounters)) as line,
        ChartHero(**where(line)) as client,
        TemporaryDirectory() as directory,
        Ledger(Path(directory, "ledger")) as ledger,
    ):
        for _ in range(2):
            started = time.perf_counter()
            changes = sum(1 for _ in client.encounters.changes(ledger, look_back=timedelta.max))
            size = sum(file.stat().st_size for file in Path(directory).iterdir()) / 1_000_000
            synced.append(Synced(encounters, changes, time.perf_counter() - started, peak_megabytes(), size))
    return synced


def main() -> None:
    """Print both passes as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.changes", description=__doc__)
    parser.add_argument("--encounters", type=int, default=1_000_000)
    options = parser.parse_args()
    print(json.dumps([asdict(each) for each in passes(options.encounters)]))


if __name__ == "__main__":
    main()
