"""The loop around `WindowWalk` with asyncio: the twin of the one with threads, awaited."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from charthero_ext.pagination.course import Course
from charthero_ext.pagination.window import E, Page, PageRequest

__all__ = ["AsyncWalk"]


class AsyncWalk(Course[E]):
    """Every encounter of a range exactly once: an asynchronous iterator.

    An error leaves it where it was: iterating again asks again, and `checkpoint` lets another walk go on. After a
    ``break``, which an asynchronous iterator cannot notice, at most ``concurrency`` requests are still under way, each
    in a task that ends with it, or is cancelled once nothing refers to the walk. ``async with walk:``, or `aclose`,
    cancels them at once and waits until they are gone. Several tasks can share a walk.

    Raises, while iterating:
        PaginationError: The promise cannot be kept; it names the instant and what was seen.
        ChartHeroError: A request failed.
    """

    def __init__(self, fetch: Callable[[PageRequest], Awaitable[Page[E]]], **what: Any) -> None:
        super().__init__(**what)
        self._fetch = fetch
        self._tasks: set[asyncio.Task[list[Any]]] = set()
        weakref.finalize(self, _abandon, self._tasks).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if self._index == len(self._batch):
            self._collect()
            while not self._turn():
                self._ask()
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
            if self._over:
                await self.aclose()
                raise StopAsyncIteration
            self._ask()
        self._index += 1
        return self._batch[self._index - 1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what runs in the background, and wait until it is gone.

        The walk stays where it is: it can be iterated again, and `receipt` and `checkpoint` are still there.
        """
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._collect()

    def _ask(self) -> None:
        for source in self._to_ask():
            source.job = task = asyncio.create_task(_fetch_page_async(self._fetch, source.machine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(_look_at)


async def _fetch_page_async(fetch: Callable[[PageRequest], Awaitable[Any]], machine: Any) -> list[Any]:
    rows: list[Any] = machine.receive(await fetch(machine.request))
    return rows


def _look_at(task: asyncio.Task[Any]) -> None:
    """Or asyncio complains about a failure that a caller who left did not see."""
    if not task.cancelled():
        task.exception()


def _abandon(tasks: set[asyncio.Task[Any]]) -> None:
    for task in list(tasks):
        with suppress(RuntimeError):  # its loop is closed
            task.get_loop().call_soon_threadsafe(task.cancel)
