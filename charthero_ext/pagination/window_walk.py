"""Every encounter exactly once, worked out without any I/O.

The list route pages by offset over data that moves, and refuses offsets above 10,000. `WindowWalk` says which page to
ask for next and takes the answer; whoever drives it does the asking. It relies on this alone: the server filters
``start_at <= created_at < end_at`` and sorts by ``created_at`` in the direction asked, encounters with an equal
``created_at`` stay in the order they are in, whichever that is, and a page holds at least two rows where two are left.
After every page this is true:

* **Keys.** Times are whole microseconds, negated for ``desc``: both directions walk upwards.
* **Passed.** Every encounter that is there throughout, and is not behind the furthest one taken in the server's order,
  has been taken. A row is passed if it shows an earlier instant than the furthest, or the same one and a known id; so
  only the ids of one instant are held, at most the 10,100 that offsets can reach.
* **Join.** A page counts only if it begins the window or holds a row that this very walk went past: then nothing lies
  unseen between it and what was taken, whatever came or went. If not, the walk steps back, first by offset, then in
  time. A walk that goes on from another's checkpoint reads the furthest instant again from its first row.
* **Anchor.** What is still to come is less than one step before the furthest instant shown, where a step is the
  greatest common divisor of all instants seen: times shown less exactly than the server keeps them widen it by
  themselves. There the next query starts, and the offset only has to get through what shows that one instant.
* **End.** Neither ``total`` nor a short page is believed. A window ends with an empty page, and after it, from one
  offset before, a page of one row that is passed; or with nothing in it at all.

An instant may hold 10,000 encounters, and 100 more where the server's ``total`` vouches for them. With times shown less
exactly than they are kept, that goes for two neighbouring instants together. Beyond that a walk raises.
"""

from __future__ import annotations

from typing import Generic, cast

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

_PATIENCE = 50  # pages that do not join, without one new encounter between them
_REPEATS = 5  # the same page for another offset, in a row: more than rows that move could explain


class WindowWalk(Generic[E]):
    """The walk over one window: send `request`, hand the answer to `receive`, until `request` is None.

    Attributes:
        proven: The end of the window was proven.
        received: Encounters that `receive` has returned.
        duplicates: Rows that were passed.
        anchors_moved: How often the query was narrowed instead of raising the offset.
        remaining: How many are still to come, by the ``total`` of the last page; None if it had none.
    """

    def __init__(
        self, window: Window, *, position: Position | None = None, limit: int = MAX_LIMIT, max_rows: int | None = None
    ) -> None:
        self.proven = False
        self.received = self.duplicates = self.anchors_moved = 0
        self.remaining: int | None = None
        self._order: SortOrder = window.sort_order
        self._low, self._high = key_range(window)
        self._position = position.copy() if position else Position()
        self._limit = max(limit, 2)  # pages overlap by one row
        self._left = max_rows
        self._capacity = self._limit  # what a full page holds
        self._fruitful = True  # the last page brought something new
        self._ahead: list[Row[E]] | None = None  # the page before, where it was unjoined and one offset further on
        self._back = self._unjoined = self._widened = 0
        self._totals: set[int | None] = set()  # all that this query has reported
        self._previous: tuple[int, list[str]] = (0, [])  # the offset and the ids of the page before
        self._repeated = 0
        self._anchor, self._offset = self._low, 0
        start = self._position.start(self._high)
        if start is not None and (self._low is None or start >= self._low):
            self._anchor = start

    @property
    def request(self) -> PageRequest | None:
        """What to ask next; the same until it is answered. None: the end is proven, or ``max_rows`` were received."""
        if self.proven or self._left == 0:
            return None
        limit = self._limit
        if self._left is not None and self._fruitful:
            limit = min(limit, self._left + min(self._position.count, 1))
        return PageRequest(**bounds_of(self._anchor, self._high, self._order), limit=limit, offset=self._offset)

    def receive(self, page: Page[E]) -> list[E]:
        """Take the answer to `request`, and return the encounters to hand out, in order.

        Raises:
            PaginationError: The page is not what was asked for, or the walk cannot get past an instant. Nothing of
                the page was taken: the same request can be sent again.
        """
        request, position = self.request, self._position
        if request is None:
            raise RuntimeError("a page was received that nobody asked for")
        rows = read_rows(page, request, position.step)
        self._refuse_repeats(request, [encounter_id for _, encounter_id, _ in rows])
        meets = position.joins if self._offset else position.passed
        known = sum(meets(key, encounter_id) for key, encounter_id, _ in rows)
        if not known and (self._offset or (self._anchor != self._low and self._widened < len(MARGINS))):
            self._step_back(request, rows)
            return []
        ahead, self._ahead, self._back = self._ahead, None, 0
        total = total_of(page)
        self.remaining = None if total is None else max(0, total - self._offset - len(rows))
        short = len(rows) == 1 or len(rows) < min(request.limit, self._capacity)
        if ahead is not None and len(rows) == known <= 1:
            if not ahead:
                return self._end(known)
            if known and not self._offset:
                # The server sends single rows. The passed row is the first in its query now; it was not further back
                # then, unless behind newcomers. So what stood at offset 1 a moment ago follows it without a gap.
                rows = rows + ahead
        if not rows:
            if total == 0 and position.last is None:
                return self._end(0)
            self._ahead = []  # which a second empty page confirms
            return []
        return self._take(request, rows, total, short=short)

    def _refuse_repeats(self, request: PageRequest, ids: list[str]) -> None:
        offset, before = self._previous
        self._previous = (request.offset, ids)
        self._repeated = self._repeated + 1 if ids and ids == before and request.offset != offset else 0
        if self._repeated == _REPEATS:
            self._repeated = 0
            raise PaginationError(f"{request}: the server ignores the offset; it sent the same page {_REPEATS} times")

    def _take(self, request: PageRequest, rows: list[Row[E]], total: int | None, *, short: bool) -> list[E]:
        position = self._position
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
            # Nothing further on can be asked for. Only here the total is a witness, if this query told no other.
            if self._totals == {reach}:
                return self._end(len(rows))
            raise PaginationError(
                f"{request}: offsets go no further, after {position.count} encounters created at"
                f" {position.instant(self._order)}; total says {total}"
            )
        # A row of overlap joins the pages, but what looks like the end is probed just behind the last row.
        self._offset = min(reach if short else reach - 1, MAX_OFFSET)
        self._fruitful = bool(fresh)
        self._unjoined = 0 if fresh else self._unjoined
        self.duplicates += len(rows) - len(fresh)
        if self._left is not None:
            fresh = fresh[: self._left]
            self._left -= len(fresh)
        self.received += len(fresh)
        return fresh

    def _step_back(self, request: PageRequest, rows: list[Row[E]]) -> None:
        """Go back until a page joins: rows before this one are gone, or it only probed for the end."""
        if self._unjoined == _PATIENCE:
            self._unjoined = 0
            raise PaginationError(
                f"{request}: {_PATIENCE} pages did not join the {self._position.count} encounters taken of those"
                f" created at {self._position.instant(self._order)}; this one holds {len(rows)}"
            )
        self._unjoined += 1
        self._ahead = None
        if not self._offset:
            start = cast("int", self._position.start(self._high)) - MARGINS[self._widened]
            self._anchor = start if self._low is None else max(self._low, start)
            self._widened += 1
            self._totals.clear()
        elif not self._back:
            self._ahead = rows
            if rows:  # the page before was not short: the server makes them so
                self._capacity = len(rows)
        self._back = self._back * 10 or 1
        self._offset = max(0, self._offset - self._back)
        self._fruitful = False

    def _end(self, duplicates: int) -> list[E]:
        self.proven = True
        self.duplicates += duplicates
        return []
