"""Run the sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from charthero_ext.sandbox.server import Sandbox

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve, and say on one line of standard output where, once requests will be answered."""
    parser = argparse.ArgumentParser(
        prog="python -m charthero_ext.sandbox",
        description="A local ChartHero over synthetic data. It listens on this machine only.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8400, help="0 takes any free one (default: %(default)s)")
    parser.add_argument(
        "--encounters", type=int, default=250, help="how many there are at first (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides every value (default: %(default)s)")
    parser.add_argument(
        "--ties", type=int, default=0, help="how many were created at one instant (default: %(default)s)"
    )
    parser.add_argument("--production", action="store_true", help="refuse keys that begin with ch_sk_test_")
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="share of requests to break (default: %(default)s)"
    )
    parser.add_argument("--webhook-url", help="receiver of events, on this machine")
    parser.add_argument("--artifact", type=Path, help="OpenAPI artifact to serve (default: the generated client's)")
    options = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Sandbox(**vars(options)) as sandbox:
            sys.stdout.write(
                f"ChartHero sandbox: CHARTHERO_BASE_URL={sandbox.base_url} CHARTHERO_API_KEY={sandbox.api_key}\n"
            )
            sys.stdout.flush()
            stop.wait()
    except (OSError, OverflowError, ValueError) as error:
        sys.stderr.write(f"The sandbox cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
