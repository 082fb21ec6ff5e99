"""Cuts a range into windows that other threads, processes or machines can walk."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from charthero_ext._steps import Steps
from charthero_ext.pagination.position import DAY
from charthero_ext.pagination.window import MAX_OFFSET, E, Page, PageRequest, Window, bounds_of, key_range, read_rows

__all__ = ["cut_windows"]


def cut_windows(
    fetch: Callable[[PageRequest], Steps[Page[E]]],
    *,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    max_rows: int = 1000,
) -> Steps[list[Window]]:
    """Cut a range into windows of about ``max_rows`` encounters, in order and without gaps, with a small request each.

    The next window begins at the row at offset ``max_rows``. A window can hold more if many encounters share one
    instant, or if some were created since. Open ends stay open.

    Raises:
        ValueError: ``start_at`` is not before ``end_at``, or ``max_rows`` is below 1.
        PaginationError: A page is not what was requested.
        ChartHeroError: A request failed.
    """
    if max_rows < 1:
        raise ValueError("max_rows must be at least 1")
    low, high = key_range(Window(start_at=start_at, end_at=end_at))
    step, stride = DAY, 0
    windows = []
    while True:
        request = PageRequest(**bounds_of(low, high, "asc"), limit=1, offset=min(max_rows, MAX_OFFSET))
        rows = read_rows((yield from fetch(request)), request, step)
        cut = high
        if rows:
            key = rows[0][0]
            step = math.gcd(step, key)
            if low is None or key > low:
                stride = 0
            else:  # More than max_rows share one instant.
                stride = stride * 10 or step
                key = low + stride
            if high is None or key < high:
                cut = key
        window = Window(**bounds_of(low, cut, "asc"))
        windows.append(window)
        # A cut after the last instant of the calendar is an open end.
        if window.end_at == request.end_at:
            return windows
        low = cut
