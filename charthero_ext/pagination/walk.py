"""The loop around `WindowWalk` with threads. It does not know how a page is fetched.

Nothing runs unless the caller takes a new page: then the answers that came in are noted and the next requests sent, at
most ``concurrency`` at once, each in a thread of its own that ends with its answer. So there is look-ahead while the
caller works, and a caller who stops leaves nothing but those last answers to come in.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, Self, cast

from charthero_ext.pagination.course import Course
from charthero_ext.pagination.window import E, Page, PageRequest

__all__ = ["Walk"]


class ThreadJob(futures.Future[list[Any]]):
    """A call in a thread of its own, in the caller's context."""

    def __init__(self, call: Callable[[], list[Any]]) -> None:
        super().__init__()
        self._call = call
        self.thread = Thread(target=copy_context().run, args=(self._run,), name="charthero-walk", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.set_result(self._call())
        except BaseException as error:  # noqa: BLE001  (raised again where the caller is)
            self.set_exception(error)


class Walk(Course[E]):
    """Every encounter of a range exactly once: an iterator.

    An error leaves it where it was: iterating again asks again, and `checkpoint` lets another walk go on. After a
    ``break`` at most ``concurrency`` requests are still under way, each in a thread that ends with it; `close`, or
    leaving a ``with`` block, waits for them. A walk can be handed from thread to thread, or shared by several.

    Raises, while iterating:
        PaginationError: The promise cannot be kept; it names the instant and what was seen.
        ChartHeroError: A request failed.
    """

    def __init__(self, fetch: Callable[[PageRequest], Page[E]], **what: Any) -> None:
        super().__init__(**what)
        self._fetch = fetch

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        with self._lock:
            if self._index == len(self._batch):
                self._collect()
                while not self._turn():
                    self._ask()
                    futures.wait(self._jobs(), return_when=futures.FIRST_COMPLETED)
                    self._collect()
                if self._over:
                    self._wait()
                    raise StopIteration
                self._ask()
            self._index += 1
            return self._batch[self._index - 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until nothing runs in the background: at most for one request, until it is answered or times out.

        The walk stays where it is: it can be iterated again, and `receipt` and `checkpoint` are still there.
        """
        with self._lock:
            self._wait()

    def _jobs(self) -> list[ThreadJob]:
        return [cast("ThreadJob", source.job) for source in self._everything() if source.job is not None]

    def _ask(self) -> None:
        for source in self._to_ask():
            source.job = ThreadJob(partial(_fetch_page, self._fetch, source.machine))

    def _wait(self) -> None:
        for job in self._jobs():
            job.thread.join()
        self._collect()


def _fetch_page(fetch: Callable[[PageRequest], Any], machine: Any) -> list[Any]:
    rows: list[Any] = machine.receive(fetch(machine.request))
    return rows
