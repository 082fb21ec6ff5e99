"""Decides which pages to request so that a walk returns every encounter of a window exactly once. No I/O.

The list route pages by offset, over data that changes, and refuses offsets above 10,000. `WindowWalk` says which page
to request next, and takes the answer. It relies on three properties of the server. It filters ``start_at <= created_at
< end_at``. It sorts by ``created_at``, and encounters with the same ``created_at`` keep their order. A page holds at
least two rows if two are left. After every page, this is true:

* **Keys.** A key is ``created_at`` in microseconds, negated for ``desc``. So both directions walk upwards.
* **Passed.** If an encounter exists throughout the walk, and the server sorts it no later than the last one taken, it
  was taken too. A row is *passed* if its instant is earlier than the furthest one, or if its instant is the same and
  its id is known. So the walk holds the ids of one instant only, at most the 10,100 that offsets can reach.
* **Join.** A page counts only if it begins the window or contains a row that was passed. Then no unseen row is between
  the page and the rows taken before, even if rows were added or deleted. Otherwise the walk steps back, first by
  offset, then in time. A resumed walk reads the furthest instant again from its first row.
* **Ahead.** A page may be requested before the pages in front of it arrive. It counts only if it joins, whenever the
  server read it. Otherwise the walk ignores it: only the answer to `request` moves the walk back or proves the end.
* **Anchor.** The next query starts less than one step before the furthest instant. A step is the greatest common
  divisor of all instants seen, so it is larger if the server shows instants less exactly than it stores them. No
  remaining encounter is earlier, and the offset only has to pass the rows of that instant.
* **End.** Neither ``total`` nor a short page proves the end. An empty page does, if the page one offset before it then
  has a single row, which was passed. An empty window is proven by a ``total`` of 0 or a second empty page.

A walk raises if one instant has more than 10,000 encounters, or 10,100 if ``total`` confirms them. If the server shows
instants less exactly than it stores them, the limit applies to two neighbouring instants together.
"""

from __future__ import annotations

from copy import copy
from typing import Generic, Self, cast

from attrs import evolve

from charthero_ext.errors import PaginationError
from charthero_ext.pagination.position import Position
from charthero_ext.pagination.window import (
    MARGINS,
    MAX_LIMIT,
    MAX_OFFSET,
    E,
    Page,
    PageRequest,
    Row,
    SortOrder,
    Window,
    bounds_of,
    key_range,
    read_rows,
    total_of,
)

__all__ = ["WindowWalk"]

_MAX_UNJOINED = 50  # Pages that do not join, without a new encounter between them.
_REPEATS = 50  # The same page for another offset, in a row. Moving rows do not explain more.
_MAX_AHEAD = MAX_OFFSET // 2  # Beyond, pages are read in order, because their totals may prove the end of a tie.


class WindowWalk(Generic[E]):
    """Walks one window: send `request` and pass the answer to `receive`, until `request` is None.

    Attributes:
        proven: Whether the end of the window was proven.
        received: How many encounters `receive` has returned.
        duplicates: How many rows were dropped because they were passed.
        anchors_moved: How often the walk continued from a later instant instead of a higher offset.
        remaining: How many encounters are left, by the ``total`` of the last page; None if it had none.
        position: The position behind the last page that counted.
    """

    def __init__(
        self, window: Window, *, position: Position | None = None, limit: int = MAX_LIMIT, max_rows: int | None = None
    ) -> None:
        self.proven = False
        self.received = self.duplicates = self.anchors_moved = 0
        self.remaining: int | None = None
        self._order: SortOrder = window.sort_order
        self._low, self._high = key_range(window)
        self.position = position.copy() if position else Position()
        self._limit = max(limit, 2)  # Pages overlap by one row.
        self._left = max_rows
        self._capacity = self._limit  # The rows of a full page.
        self._has_new_rows = True  # The last page had some.
        self._follows: list[Row[E]] | None = None  # The page before, if it did not join and began one row later.
        self._back = self._unjoined = self._widened = 0
        self._totals: set[int | None] = set()  # All that this query has reported.
        self._previous: tuple[int, list[str]] = (0, [])  # The offset and the ids of the page before.
        self._repeated = 0
        self._anchor, self._offset = self._low, 0
        start = self.position.start(self._high)
        if start is not None and (self._low is None or start >= self._low):
            self._anchor = start

    @property
    def request(self) -> PageRequest | None:
        """The next page to request; None once the end is proven or ``max_rows`` are received."""
        if self.proven or self._left == 0:
            return None
        limit = self._limit
        if self._left is not None and self._has_new_rows:
            limit = min(limit, self._left + min(self.position.count, 1))
        return PageRequest(**bounds_of(self._anchor, self._high, self._order), limit=limit, offset=self._offset)

    def request_ahead(self, pages: int) -> PageRequest | None:
        """Return the request for the page that many full pages after `request`; None if it would hardly join."""
        request, rows = self.request, pages * max(self._capacity - 1, 1)
        if request is None or pages == 0:
            return request
        if not self.received or not self._has_new_rows or request.offset + rows > _MAX_AHEAD:
            return None
        if any(most is not None and most <= rows for most in (self.remaining, self._left)):
            return None
        return evolve(request, offset=request.offset + rows)

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = copy(self)
        twin.position, twin._totals = self.position.copy(), self._totals.copy()
        return twin

    def receive(self, page: Page[E], ahead: PageRequest | None = None) -> list[E]:
        """Take the answer to `request`, or to a request that was sent ahead. Return the encounters to hand out.

        Raises:
            PaginationError: The page is not what was requested, or the walk cannot get past an instant. The walk took
                nothing from the page, so the same request can be sent again.
        """
        request, position = ahead or self.request, self.position
        if request is None:
            raise RuntimeError("receive() was called although request is None")
        rows = read_rows(page, request, position.step)
        known = sum(position.passed(key, encounter_id) for key, encounter_id, _ in rows)
        if ahead is not None:
            if not known:
                self._has_new_rows = False
                return []
            self._anchor, self._offset = key_range(ahead)[0], ahead.offset
        self._refuse_repeats(request, [encounter_id for _, encounter_id, _ in rows])
        if not known and (self._offset or (self._anchor != self._low and self._widened < len(MARGINS))):
            self._step_back(request, rows)
            return []
        follows, self._follows, self._back = self._follows, None, 0
        total = total_of(page)
        self.remaining = None if total is None else max(0, total - self._offset - len(rows))
        short = len(rows) == 1 or len(rows) < min(request.limit, self._capacity)
        if follows is not None and len(rows) == known <= 1:
            if not follows:
                return self._end(known)
            if known and not self._offset:
                # The server sends single rows, and the passed row is now the first of its query. When the page before
                # was read, only rows created since could precede it. So that page follows this one without a gap.
                rows = rows + follows
        if not rows:
            if total == 0 and position.last is None:
                return self._end(0)
            self._follows = []  # A second empty page confirms it.
            return []
        return self._take(request, rows, total, short=short)

    def _refuse_repeats(self, request: PageRequest, ids: list[str]) -> None:
        offset, before = self._previous
        self._previous = (request.offset, ids)
        self._repeated = self._repeated + 1 if ids and ids == before and request.offset != offset else 0
        if self._repeated >= _REPEATS:
            raise PaginationError(f"{request}: the server ignores the offset; it sent the same page {_REPEATS} times")

    def _take(self, request: PageRequest, rows: list[Row[E]], total: int | None, *, short: bool) -> list[E]:
        position = self.position
        fresh = [encounter for key, encounter_id, encounter in rows if position.take(key, encounter_id)]
        self._totals.add(total)
        reach = self._offset + len(rows)
        start = position.start(self._high)
        if fresh and start is not None and (self._anchor is None or start > self._anchor):
            self._anchor, reach = start, position.count
            self._widened = 0
            self._totals.clear()
            self.anchors_moved += 1
        elif not fresh and self._offset == MAX_OFFSET:
            # No higher offset is allowed. Only here is the total trusted, if this query reported no other.
            if self._totals == {reach}:
                return self._end(len(rows))
            raise PaginationError(
                f"{request}: more encounters were created at {position.instant(self._order)} than offsets can reach;"
                f" {position.count} were returned, and total says {total}"
            )
        # Pages overlap by one row, which joins them. After a short page, look for the end just behind its last row.
        self._offset = min(reach if short else reach - 1, MAX_OFFSET)
        self._has_new_rows = bool(fresh)
        self._unjoined = 0 if fresh else self._unjoined
        self.duplicates += len(rows) - len(fresh)
        if self._left is not None:
            fresh = fresh[: self._left]
            self._left -= len(fresh)
        self.received += len(fresh)
        return fresh

    def _step_back(self, request: PageRequest, rows: list[Row[E]]) -> None:
        """Step back until a page joins. Rows before this page were deleted, or it only looked for the end."""
        if self._unjoined >= _MAX_UNJOINED:
            raise PaginationError(
                f"{request}: {_MAX_UNJOINED} pages contained none of the {self.position.count} encounters already"
                f" returned that were created at {self.position.instant(self._order)}; iterate again to retry"
            )
        self._unjoined += 1
        self._follows = None
        if not self._offset:
            start = cast("int", self.position.start(self._high)) - MARGINS[self._widened]
            self._anchor = start if self._low is None else max(self._low, start)
            self._widened += 1
            self._totals.clear()
        elif not self._back:
            self._follows = rows
            if rows:  # The page before was full: the server sends smaller pages than requested.
                self._capacity = len(rows)
        self._back = self._back * 10 or 1
        self._offset = max(0, self._offset - self._back)
        self._has_new_rows = False

    def _end(self, duplicates: int) -> list[E]:
        self.proven = True
        self.duplicates += duplicates
        return []
