"""The walk with threads. It does not know how a page is fetched.

Requests are sent only when the caller takes a new page, at most ``concurrency`` at once. Each has its own thread, which
ends with the answer. So pages are read ahead while the caller works, and no new request starts after the caller stops.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import Any, Self

from charthero_ext._steps import StoppedError
from charthero_ext.errors import PaginationError
from charthero_ext.pagination.base_walk import BaseWalk
from charthero_ext.pagination.window import E, Page, PageRequest

__all__ = ["Walk"]


class ThreadJob(futures.Future[Any]):
    """A request in its own thread, in the caller's context."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call
        self.thread = Thread(target=copy_context().run, args=(self._run,), name="charthero-walk", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.set_result(self._call())
        except StoppedError:
            self.cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.set_exception(error)


class Walk(BaseWalk[E]):
    """An iterator over every encounter of a range, each exactly once.

    An error does not move the walk: iterating again repeats the request, and another walk can resume from `checkpoint`.
    After a ``break``, at most ``concurrency`` requests are in flight. `close`, or the end of a ``with`` block, cancels
    retries and waits for requests in flight. If an exception such as Ctrl-C ends the block, it does not wait. Threads
    can share a walk.

    Raises, while iterating:
        PaginationError: The walk cannot return every encounter exactly once. The text names the instant.
        ChartHeroError: A request failed.
    """

    def __init__(self, fetch: Callable[[PageRequest], Page[E]], *, stopped: Event | None = None, **range_: Any) -> None:
        super().__init__(**range_)
        self._fetch = fetch
        self._stopped = stopped or Event()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        with self._lock:
            if self._batch.is_over:
                self._next_batch()
                if self._is_over:
                    raise StopIteration
            return self._batch.next()

    def __length_hint__(self) -> int:
        """Return how many more encounters to expect, by the server's ``total``. The first call reads the first page."""
        with self._lock:
            if not self._requests:
                self._next_batch()
            return super().__length_hint__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._stopped.set()

    def close(self) -> None:
        """Cancel retries, and wait for requests in flight until they are answered or time out.

        The walk keeps its position: it can be iterated again, and `receipt` and `checkpoint` stay valid.
        """
        self._stopped.set()
        with self._lock:
            for _, job in self._pages:
                job.thread.join()

    def _next_batch(self) -> None:
        self._stopped.clear()
        while not self._advance():
            job = self._pages[0][1]
            if not job.thread.is_alive() and job.cancel():
                continue  # The process forked, and the thread exists in the parent only. Request the page again.
            futures.wait([job])
            if self._stopped.is_set():  # By another thread or a signal handler. No request would be sent.
                raise PaginationError("the walk was closed while it waited for a page; iterate again to continue")
        self._begin_batch()

    def _start(self, request: PageRequest) -> ThreadJob:
        return ThreadJob(partial(self._fetch, request))
