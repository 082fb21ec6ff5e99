"""Run the sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path

from charthero_ext.sandbox.server import Sandbox

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Start a sandbox, print how to reach it, and serve until a signal arrives."""
    parser = argparse.ArgumentParser(
        prog="python -m charthero_ext.sandbox",
        description="A local ChartHero with synthetic data. It listens on this machine only.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8400, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--encounters", type=int, default=250, help="number of encounters (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the synthetic data (default: %(default)s)")
    parser.add_argument(
        "--ties", type=int, default=0, help="number of encounters with the same created_at (default: %(default)s)"
    )
    parser.add_argument("--now", type=datetime.fromisoformat, help="stop the clock at this instant")
    parser.add_argument("--production", action="store_true", help="refuse keys that begin with ch_sk_test_")
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="share of requests to break, 0 to 1 (default: %(default)s)"
    )
    parser.add_argument("--webhook-url", help="receiver of webhooks, on this machine")
    parser.add_argument("--artifact", type=Path, help="OpenAPI artifact to serve (default: the generated client's)")
    options = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Sandbox(**vars(options)) as sandbox:
            sys.stdout.write(
                f"ChartHero sandbox: CHARTHERO_BASE_URL={sandbox.base_url} CHARTHERO_API_KEY={sandbox.api_key}\n"
                f"Webhook secret: {sandbox.webhooks.secret}\n"
                f"Control routes: curl {sandbox.base_url}/_sandbox\n"
            )
            sys.stdout.flush()
            stop.wait()
    except (OSError, OverflowError, ValueError) as error:
        sys.stderr.write(f"The sandbox cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
