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
        weakref.finalize(self, _abandon, self._pages).atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if self._batch.is_over:
            while not self._advance():
                await asyncio.wait([self._pages[0][1]])
            self._begin_batch()
            if self._is_over:
                raise StopAsyncIteration
        return self._batch.next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the requests in flight, and wait until they have ended.

        The walk keeps its position: it can be iterated again, and `receipt` and `checkpoint` stay valid.
        """
        jobs = [job for _, job in self._pages if not job.done()]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def _start(self, request: PageRequest) -> asyncio.Future[Page[E]]:
        job = asyncio.ensure_future(self._fetch(request))
        job.add_done_callback(_retrieve)
        return job


def _retrieve(job: asyncio.Future[Any]) -> None:
    """Retrieve the exception. Otherwise asyncio logs it if the caller stopped iterating."""
    if not job.cancelled():
        job.exception()


def _abandon(pages: Any) -> None:
    for _, job in list(pages):
        with suppress(RuntimeError):  # Its loop is closed.
            job.get_loop().call_soon_threadsafe(job.cancel)
