"""The walk with asyncio."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from charthero_ext.pagination.base_walk import BaseWalk
from charthero_ext.pagination.window import E, Page, PageRequest

__all__ = ["AsyncWalk"]


class AsyncWalk(BaseWalk[E]):
    """An asynchronous iterator over every encounter of a range, each exactly once.

    An error does not move the walk: iterating again repeats the request, and another walk can resume from `checkpoint`.
    After a ``break``, at most ``concurrency`` requests are in flight. They are cancelled once nothing refers to the
    walk; ``async with walk:`` and `aclose` cancel them at once. Tasks can share a walk.

    Raises, while iterating:
        PaginationError: The walk cannot return every encounter exactly once. The text names the instant.
        ChartHeroError: A request failed.
    """

    def __init__(self, fetch: Callable[[PageRequest], Awaitable[Page[E]]], **range_: Any) -> None:
        super().__init__(**range_)
        self._fetch = fetch
        self._tasks: set[asyncio.Task[list[Any]]] = set()
        weakref.finalize(self, _abandon, self._tasks).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if self._index == len(self._batch):
            self._collect()
            while not self._advance():
                self._request_pages()
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
            if self._is_over:
                await self.aclose()
                raise StopAsyncIteration
            self._request_pages()
        self._index += 1
        return self._batch[self._index - 1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the requests in flight, and wait until they have ended.

        The walk keeps its position: it can be iterated again, and `receipt` and `checkpoint` stay valid.
        """
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._collect()

    def _request_pages(self) -> None:
        for queue in self._to_request():
            queue.job = task = asyncio.create_task(_fetch_page(self._fetch, queue.machine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(_retrieve)


async def _fetch_page(fetch: Callable[[PageRequest], Awaitable[Any]], machine: Any) -> list[Any]:
    rows: list[Any] = machine.receive(await fetch(machine.request))
    return rows


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception. Otherwise asyncio logs it if the caller stopped iterating."""
    if not task.cancelled():
        task.exception()


def _abandon(tasks: set[asyncio.Task[Any]]) -> None:
    for task in list(tasks):
        with suppress(RuntimeError):  # Its loop is closed.
            task.get_loop().call_soon_threadsafe(task.cancel)
