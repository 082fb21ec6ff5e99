"""What both walks share, without I/O: which pages to request now, what to hand out, and the caller's position.

With ``concurrency`` above 1, the pages after the next one are requested ahead. They are taken in order, so a walk hands
out the same encounters in the same order as without concurrency.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from threading import RLock
from typing import Any, Generic

from attrs import Factory, asdict, define

from charthero_ext.pagination.position import Position, begin, write_checkpoint
from charthero_ext.pagination.window import MAX_LIMIT, E, Page, PageRequest, Receipt, SortOrder
from charthero_ext.pagination.window_walk import WindowWalk

__all__ = ["BaseWalk"]


@define(eq=False)
class Batch(Generic[E]):
    """The encounters of a page: which of them were handed out, the position before them, and the walk after them."""

    position: Position
    machine: WindowWalk[E]
    encounters: list[E] = Factory(list)
    index: int = 0

    @property
    def is_over(self) -> bool:
        """Whether every encounter was handed out."""
        return self.index == len(self.encounters)

    @property
    def rows(self) -> int:
        """How many encounters the walk has handed out."""
        return self.machine.received - len(self.encounters) + self.index

    @property
    def total(self) -> int | None:
        """How many encounters the walk will hand out, by the server's ``total``."""
        remaining = self.machine.remaining
        return None if remaining is None else self.machine.received + remaining

    def next(self) -> E:
        """Hand out one encounter."""
        self.index += 1
        return self.encounters[self.index - 1]


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
            raise ValueError("concurrency must be at least 1")
        if max_items is not None and max_items < 0:
            raise ValueError("max_items must be at least 0")
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"limit must be 1 to {MAX_LIMIT}")
        self._window, start = begin(start_at=start_at, end_at=end_at, sort_order=sort_order, resume_from=resume_from)
        self._max_items, self._concurrency, self._progress = max_items, concurrency, progress
        self._batch: Batch[E] = Batch(start, WindowWalk(self._window, position=start, limit=limit, max_rows=max_items))
        # The pages that were requested, in order: the request if it was sent ahead of another, and its Future or Task.
        self._pages: deque[tuple[PageRequest | None, Any]] = deque()
        self._requests = 0
        self._first_created_at: datetime | None = None
        self._total_at_start: int | None = None
        self._is_over = False
        self._lock = RLock()  # A progress callback may ask for a checkpoint.

    def __repr__(self) -> str:
        start, end = (at.isoformat() if at else "open" for at in (self._window.start_at, self._window.end_at))
        complete = self._batch.machine.proven
        return f"<{type(self).__name__} {start} to {end}: {self._batch.rows} rows, complete={complete}>"

    def __length_hint__(self) -> int:
        """Return how many more encounters to expect, by the server's ``total``; for progress bars."""
        return max(0, (self._expected() or 0) - self._batch.rows)

    @property
    def receipt(self) -> Receipt:
        """What was requested, received and handed out until now. It is final once the walk is over."""
        machine, rows = self._batch.machine, self._batch.rows
        return Receipt(
            **asdict(self._window),
            requests=self._requests,
            rows=rows,
            duplicates=machine.duplicates,
            anchors_moved=machine.anchors_moved,
            first_created_at=self._first_created_at if rows else None,
            last_created_at=self._position().instant(self._window.sort_order) if rows else None,
            total_at_start=self._total_at_start,
            total_at_end=self._batch.total,
            complete=machine.proven,
        )

    def checkpoint(self) -> str:
        """Return the caller's position: ``iter(resume_from=...)`` continues after it, in any process.

        Pages that were read ahead do not count, and ``max_items`` counts from 0 again. The text contains the range, the
        direction, an instant and hashed ids. It has about 65 characters, and 11 more for each further encounter that
        was handed out and has the same ``created_at``.
        """
        return write_checkpoint(self._window, self._position())

    def _position(self) -> Position:
        """Return the caller's position: that of the last encounter handed out."""
        batch = self._batch
        position = batch.position.copy()
        position.take_all(batch.encounters[: batch.index], self._window.sort_order)
        return position

    def _expected(self) -> int | None:
        total = self._batch.total
        return total if total is None or self._max_items is None else min(total, self._max_items)

    def _start(self, request: PageRequest) -> Any:
        """Send a request. Return its ``Future`` or ``Task``."""
        raise NotImplementedError

    def _advance(self) -> bool:
        """Take the pages that arrived, and request more. Return False if a page has to arrive first.

        Raises the failure of the next page. The following call requests that page again.
        """
        while self._needs_page() and self._pages and self._pages[0][1].done():
            ahead, job = self._pages.popleft()
            if not job.cancelled():
                self._receive(job.result(), ahead)
        while (count := len(self._pages)) < self._concurrency:
            request = self._batch.machine.request_ahead(count)
            if request is None:
                break
            self._requests += 1
            self._pages.append((request if count else None, self._start(request)))
        return not self._needs_page()

    def _needs_page(self) -> bool:
        return self._batch.is_over and self._batch.machine.request is not None

    def _receive(self, page: Page[E], ahead: PageRequest | None) -> None:
        # On a copy that is stored at once, so that an exception or Ctrl-C in between loses no encounters.
        machine = self._batch.machine.copy()
        encounters = machine.receive(page, ahead)
        if encounters and self._first_created_at is None:
            first: Any = encounters[0]
            self._first_created_at = first.created_at
        self._batch = Batch(self._batch.machine.position, machine, encounters)
        if self._total_at_start is None:
            self._total_at_start = self._batch.total

    def _begin_batch(self) -> None:
        """Report the progress, and notice the end of the walk."""
        if not self._is_over:
            self._is_over = self._batch.is_over
            if self._progress is not None:
                self._progress(self._batch.rows, self._expected())
