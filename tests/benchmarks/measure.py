"""Measure in the environment of the peers, and write the results as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attrs import asdict

from tests.benchmarks.page import page
from tests.benchmarks.page_server import serving
from tests.benchmarks.pages import measure_pages, present
from tests.benchmarks.walks import growth, loops, passes, walks_at_once

__all__ = ["main"]

SHOWN = ("httpx", "msgspec", "attrs", "pydantic", "urllib3", "openapi-python-client", "openapi-generator-cli")
STAGES = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]


def main(arguments: list[str] | None = None) -> None:
    """Measure everything. With ``--only``, measure in this process something that needs a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--encounters", type=int, default=50_000, help="of the walks with several requests at once")
    parser.add_argument("--compared", type=int, default=12_000, help="encounters of the loop over offsets")
    parser.add_argument("--growth", type=int, default=1_000_000, help="encounters of the one long walk")
    parser.add_argument("--only", choices=("growth", "changes"))
    options = parser.parse_args(arguments)
    if options.only is not None:
        stages = [stage for stage in STAGES if stage <= options.growth]
        measured = growth(stages) if options.only == "growth" else passes(options.growth)
        print(json.dumps([asdict(each) for each in measured]))
        return
    peers, absent = present()
    with serving() as base_url:
        _say("pages ...")
        pages = measure_pages(peers, base_url, rounds=options.rounds)
    _say("walks ...")
    walked = walks_at_once(options.encounters)
    compared = loops(options.compared)
    stages = _apart("growth", options.growth)
    _say("changes ...")
    synced = _apart("changes", options.growth)
    results: dict[str, Any] = {
        "machine": _machine(),
        "page_bytes": len(page(100)),
        "rounds": options.rounds,
        "absent": absent,
        "pages": [asdict(each) for each in pages],
        "walks": [{**asdict(each), "to_waiting": each.to_waiting} for each in walked],
        "loops": [asdict(each) for each in compared],
        "growth": stages,
        "changes": synced,
    }
    options.results.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _apart(what: str, encounters: int) -> Any:
    """Measure in another process, so that its memory is that of the measurement."""
    command = [sys.executable, "-m", "tests.benchmarks.measure", "--only", what, "--growth", str(encounters)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "packages": {name: found for name in SHOWN if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
