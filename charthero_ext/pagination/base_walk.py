"""What both walks share, without I/O: which page to request next, what to hand out, and the caller's position.

With ``concurrency`` above 1, the range is cut into windows, and that many windows are open at once. Encounters are
handed out window by window, so their order and the checkpoint are the same as without concurrency.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from attrs import Factory, define

from charthero_ext.pagination.planner import WindowPlanner
from charthero_ext.pagination.position import Position, begin, write_checkpoint
from charthero_ext.pagination.window import MAX_LIMIT, E, Receipt, SortOrder, Window
from charthero_ext.pagination.window_walk import WindowWalk

if TYPE_CHECKING:
    import asyncio

__all__ = ["BaseWalk"]

WINDOW_PAGES = 10  # Full pages, which overlap by one row.
LOOK_AHEAD = 11  # Pages of one window that may wait for the caller. A whole window fits.

#: A request in flight: in a thread, or in a task.
Job: TypeAlias = "Future[list[Any]] | asyncio.Task[list[Any]]"


@define(eq=False)
class PageQueue:
    """The pages of one machine: one may be in flight, the others wait for the caller."""

    machine: WindowWalk[Any] | WindowPlanner
    look_ahead: int
    ready: deque[list[Any]] = Factory(deque)
    job: Job | None = None
    failure: BaseException | None = None

    @property
    def is_idle(self) -> bool:
        """Whether a page can be requested now."""
        is_blocked = self.job is not None or self.failure is not None or len(self.ready) >= self.look_ahead
        return not is_blocked and self.machine.request is not None


class BaseWalk(Generic[E]):
    """What :class:`Walk` and :class:`AsyncWalk` share."""

    def __init__(
        self,
        *,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        sort_order: SortOrder | None = None,
        max_items: int | None = None,
        concurrency: int = 1,
        limit: int = MAX_LIMIT,
        resume_from: str | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency has to be at least 1")
        if max_items is not None and max_items < 0:
            raise ValueError("max_items has to be at least 0")
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"limit has to be 1 to {MAX_LIMIT}")
        self._window, self._start = begin(
            start_at=start_at, end_at=end_at, sort_order=sort_order, resume_from=resume_from
        )
        self._position = self._start.copy()  # The caller's, before the batch.
        self._max_items, self._limit, self._progress = max_items, limit, progress
        self._queues: deque[PageQueue] = deque()  # The open windows, in order.
        self._planner: PageQueue | None = None
        rows = WINDOW_PAGES * (max(limit, 2) - 1)
        if concurrency == 1 or (max_items is not None and max_items <= rows):
            self._concurrency = 1
            self._open(self._window, look_ahead=1, max_rows=max_items)
        else:
            self._concurrency = concurrency
            planner = WindowPlanner(self._window, max_rows=rows, position=self._start)
            self._planner = PageQueue(planner, look_ahead=concurrency)
        self._batch: list[E] = []
        self._index = 0  # Of the next encounter of the batch.
        self._rows = self._requests = 0  # Rows handed out before the batch.
        self._done: Counter[str] = Counter()  # The counts of finished windows.
        self._first_created_at: datetime | None = None
        self._total_at_start: int | None = None
        self._has_answer = self._is_over = self._is_complete = False
        self._lock = RLock()  # A progress callback may ask for a checkpoint.

    def __repr__(self) -> str:
        start, end = (at.isoformat() if at else "open" for at in (self._window.start_at, self._window.end_at))
        rows = self._rows + self._index
        return f"<{type(self).__name__} {start} to {end}: {rows} rows, complete={self._is_complete}>"

    def __length_hint__(self) -> int:
        """Return how many more encounters to expect, by the server's ``total``; for progress bars."""
        expected = self._expected()
        left = 0 if expected is None else max(0, expected - self._rows - self._index)
        return left if self._max_items is None else min(left, self._max_items - self._rows - self._index)

    @property
    def receipt(self) -> Receipt:
        """What was requested, received and handed out until now. It is final once the walk is over."""
        rows = self._rows + self._index
        return Receipt(
            start_at=self._window.start_at,
            end_at=self._window.end_at,
            sort_order=self._window.sort_order,
            requests=self._requests,
            rows=rows,
            duplicates=self._count("duplicates"),
            anchors_moved=self._count("anchors_moved"),
            first_created_at=self._first_created_at if rows else None,
            last_created_at=self._caller_position().instant(self._window.sort_order) if rows else None,
            total_at_start=self._total_at_start,
            total_at_end=self._expected(),
            complete=self._is_complete,
        )

    def checkpoint(self) -> str:
        """Return the caller's position: ``iter(resume_from=...)`` continues after it, in any process.

        Pages that were read ahead do not count, and ``max_items`` counts from 0 again. The text contains the range, the
        direction, an instant and hashed ids. It has about 65 characters, and 11 more for each further encounter that
        was handed out and has the same ``created_at``.
        """
        return write_checkpoint(self._window, self._caller_position())

    def _caller_position(self) -> Position:
        with self._lock:
            position = self._position.copy()
            position.take_all(self._batch[: self._index], self._window.sort_order)
            return position

    def _open(self, window: Window, *, look_ahead: int, max_rows: int | None = None) -> None:
        self._latest: WindowWalk[E] = WindowWalk(window, position=self._start, limit=self._limit, max_rows=max_rows)
        self._queues.append(PageQueue(self._latest, look_ahead))

    def _open_planned(self) -> None:
        planner = self._planner
        if planner is None:
            return
        while planner.ready and len(self._queues) < self._concurrency:
            for window in planner.ready.popleft():
                self._open(window, look_ahead=LOOK_AHEAD)
        if planner.machine.request is None and planner.job is None and not planner.ready:
            self._planner = None

    def _all_queues(self) -> list[PageQueue]:
        return [self._planner, *self._queues] if self._planner else list(self._queues)

    def _count(self, name: str) -> int:
        return self._done[name] + sum(int(getattr(queue.machine, name)) for queue in self._queues)

    def _expected(self) -> int | None:
        if self._planner is not None or len(self._queues) > 1:
            return self._total_at_start
        remaining = self._latest.remaining
        return None if remaining is None else self._count("received") + remaining

    def _to_request(self) -> Iterator[PageQueue]:
        """Yield the queues that request their next page now."""
        queues = self._all_queues()
        free = self._concurrency - sum(queue.job is not None for queue in queues)
        for queue in queues:
            if free > 0 and queue.is_idle:
                free -= 1
                self._requests += 1
                yield queue

    def _collect(self) -> None:
        """Take the pages that arrived."""
        for queue in self._all_queues():
            job = queue.job
            if job is None or not job.done():
                continue
            queue.job = None
            if job.cancelled():
                continue  # The next iteration requests the page again.
            queue.failure = job.exception()
            if queue.failure is None:
                if job.result():
                    queue.ready.append(job.result())
                if not self._has_answer:
                    self._has_answer, remaining = True, queue.machine.remaining
                    self._total_at_start = None if remaining is None else self._count("received") + remaining

    def _advance(self) -> bool:
        """Go to the next batch, or to the end of the walk. Return False if a page has to arrive first.

        Raises the exception of the page that the caller has reached. The next call requests that page again.
        """
        if self._is_over or self._index < len(self._batch):
            return True
        self._position.take_all(self._batch, self._window.sort_order)
        self._rows, self._batch, self._index = self._rows + len(self._batch), [], 0
        while True:
            self._open_planned()
            left = None if self._max_items is None else self._max_items - self._rows
            queue = self._queues[0] if self._queues else self._planner
            if queue is None or left == 0:
                self._is_over, self._is_complete = True, queue is None
                break
            if queue.ready:
                self._batch = queue.ready.popleft()[:left]
                self._first_created_at = self._first_created_at or cast("datetime", self._batch[0].created_at)
                break
            if queue.failure is not None:
                failure, queue.failure = queue.failure, None
                raise failure
            if queue.job is not None or queue.machine.request is not None:
                return False
            for name in ("received", "duplicates", "anchors_moved"):
                self._done[name] += getattr(queue.machine, name)
            self._queues.popleft()
        if self._progress is not None:
            expected = self._expected()
            if expected is not None and left is not None:
                expected = min(expected, self._rows + left)
            self._progress(self._rows, expected)
        return True
