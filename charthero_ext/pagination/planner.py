"""Cuts a range into windows that can be walked concurrently, or in other processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from charthero_ext._steps import Steps
from charthero_ext.pagination.position import DAY, Position
from charthero_ext.pagination.window import (
    MAX_OFFSET,
    E,
    Page,
    PageRequest,
    SortOrder,
    Window,
    bounds_of,
    key_range,
    read_rows,
    total_of,
)

__all__ = ["WindowPlanner", "cut_windows"]


class WindowPlanner:
    """Cuts a window into windows of about ``max_rows``, with one small request per window.

    The next window begins at the row at offset ``max_rows``. Data may change meanwhile, because every cut is correct:
    it leaves no gap and keeps the outer bounds. Send `request` and pass the answer to `receive`, until `request` is
    None.
    """

    def __init__(self, window: Window, *, max_rows: int, position: Position | None = None) -> None:
        if max_rows < 1:
            raise ValueError("max_rows has to be at least 1")
        self.remaining: int | None = None  # According to the last ``total``.
        self._order: SortOrder = window.sort_order
        self._low, self._high = key_range(window)
        start = position.start(self._high) if position else None
        self._from = self._low if start is None or (self._low is not None and start < self._low) else start
        self._offset = min(max_rows, MAX_OFFSET)
        self._step, self._stride = DAY, 0
        self._done = False

    @property
    def request(self) -> PageRequest | None:
        """The next page to request; None once the last window was cut."""
        if self._done:
            return None
        return PageRequest(**bounds_of(self._from, self._high, self._order), limit=1, offset=self._offset)

    def receive(self, page: Page[E]) -> list[Window]:
        """Take the answer to `request`. Return the next window, in a list.

        Raises:
            PaginationError: The page is not what was requested. The same request can be sent again.
        """
        request = self.request
        if request is None:
            raise RuntimeError("receive() was called although request is None")
        rows = read_rows(page, request, self._step)
        self.remaining = total_of(page)
        cut = self._high
        if rows:
            key = rows[0][0]
            self._step = math.gcd(self._step, key)
            if self._from is None or key > self._from:
                self._stride = 0
            else:  # More than max_rows share one instant.
                self._stride = self._stride * 10 or self._step
                key = self._from + self._stride
            if self._high is None or key < self._high:
                cut = key
        bounds = bounds_of(self._low, cut, self._order)
        self._done = bounds == bounds_of(self._low, self._high, self._order)
        self._low = self._from = cut
        return [Window(**bounds)]


def cut_windows(
    fetch: Callable[[PageRequest], Steps[Page[E]]],
    *,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    max_rows: int = 1000,
) -> Steps[list[Window]]:
    """Cut a range into windows of about ``max_rows`` encounters, in order and without gaps, with a small request each.

    A window can hold more if many encounters share one instant, or if some were created since. Open ends stay open.

    Raises:
        ValueError: ``start_at`` is not before ``end_at``, or ``max_rows`` is below 1.
        ChartHeroError: A request failed.
    """
    planner = WindowPlanner(Window(start_at=start_at, end_at=end_at), max_rows=max_rows)
    windows = []
    while (request := planner.request) is not None:
        windows += planner.receive((yield from fetch(request)))
    return windows
