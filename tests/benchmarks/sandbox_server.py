"""The sandbox as a program; with ``--latency``, one whose answers are late by that much, and by nothing else.

To compute a page of encounters takes the sandbox ten milliseconds, which at eight requests at once would be all that a
walk waits for. So an answer is kept once it was given: a walk is made once, unmeasured, and the next one gets the same
answers after the wait alone.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from typing import Any

from charthero_ext.sandbox import Sandbox

__all__: list[str] = []


class _Prepared:
    """An ASGI layer around the sandbox."""

    def __init__(self, app: Any, latency: float) -> None:
        self._app, self._latency = app, latency
        self._kept: dict[tuple[str, bytes], list[Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = scope["path"], scope["query_string"]
        if request not in self._kept:
            messages: list[Any] = []

            async def keep(message: Any) -> None:
                messages.append(message)
                await send(message)

            await self._app(scope, receive, keep)
            self._kept[request] = messages
            return
        await asyncio.sleep(self._latency)
        for message in self._kept[request]:
            await send(message)


def main() -> None:
    """Serve until the process is ended; say on one line where, and with which key."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--encounters", type=int, required=True)
    parser.add_argument("--latency", type=float, help="seconds")
    options = parser.parse_args()
    sandbox = Sandbox(encounters=options.encounters)
    if options.latency is not None:
        sandbox.app = _Prepared(sandbox.app, options.latency)
    with sandbox:
        print(sandbox.base_url, sandbox.api_key, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
