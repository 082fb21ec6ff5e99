"""The sandbox as a program. With ``--latency``, its answers come late by exactly this time.

The sandbox computes a page in ten milliseconds, which would hide the latency. So it keeps each answer. The first walk
is not measured. The next one gets the same answers, after the latency alone.
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
    """Print the URL and the key in one line, and serve until the process ends."""
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
