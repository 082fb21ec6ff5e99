"""Every encounter exactly once, worked out without any I/O.

The list route pages by offset over data that moves, and refuses offsets above 10,000. `WindowWalk` says which page to
ask for next and takes the answer; whoever drives it does the asking. It relies on this alone: the server filters
``start_at <= created_at < end_at`` and sorts by ``created_at`` in the direction asked, and encounters with an equal
``created_at`` stay in the order they are in, whichever that is. After every page this is true:

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

Source in the contract: "List parameters".
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast

from attrs import Attribute, Factory, asdict, define, evolve, field, frozen
from attrs.validators import in_

from charthero_ext.errors import ConfigurationError, PaginationError

__all__ = [
    "Listed",
    "Page",
    "PageRequest",
    "Position",
    "Receipt",
    "SortOrder",
    "Window",
    "WindowPlanner",
    "WindowWalk",
    "begin",
    "read_checkpoint",
    "write_checkpoint",
]

MAX_LIMIT = 100
MAX_OFFSET = 10_000

SortOrder: TypeAlias = Literal["asc", "desc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000_000
# How far to step back in time for a page to join: a server may read its filters less exactly than they are sent.
_MARGINS = (1_000, 1_000_000, 60_000_000)
_PATIENCE = 50  # pages that do not join, without one new encounter between them
_MARK_SIZE, _CHECKSUM_SIZE = 8, 4
_CHECKPOINT = "ch1."
_HEAD = struct.Struct(">?qqqq")  # desc, start, end, furthest instant, step
_NONE = -(2**63)


class Listed(Protocol):
    """An encounter, as far as the walk looks at it. What these hold is checked when a page is read."""

    @property
    def encounter_id(self) -> object:
        """Text."""

    @property
    def created_at(self) -> object:
        """A ``datetime`` with a time zone."""


E = TypeVar("E", bound=Listed)
_E_co = TypeVar("_E_co", bound=Listed, covariant=True)
_Row: TypeAlias = tuple[int, str, E]  # key, id, encounter


class Page(Protocol[_E_co]):
    """An answer of the list route. ``total`` is read where there is one."""

    @property
    def items(self) -> Sequence[_E_co]:
        """The encounters of the page, in order."""
        ...


def _aware(_: object, attribute: Attribute[Any], value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{attribute.name} needs a time zone")


@frozen(kw_only=True)
class Window:
    """A range of encounters, ``start_at <= created_at < end_at``; None leaves a side open. Can be pickled.

    Raises:
        ValueError: A bound has no time zone, ``start_at`` is not before ``end_at``, or the order is unknown.
    """

    start_at: datetime | None = field(default=None, validator=_aware)
    end_at: datetime | None = field(default=None, validator=_aware)
    sort_order: SortOrder = field(default="asc", validator=in_(("asc", "desc")))

    def __attrs_post_init__(self) -> None:
        if self.start_at is not None and self.end_at is not None and self.start_at >= self.end_at:
            raise ValueError("start_at must be before end_at")


@frozen(kw_only=True)
class PageRequest(Window):
    """One call of the list route: the parameters to send."""

    limit: int
    offset: int

    def __str__(self) -> str:
        start, end = (bound.isoformat() if bound else "open" for bound in (self.start_at, self.end_at))
        return f"the page at offset {self.offset} of {start} to {end}, {self.sort_order}"


@frozen(kw_only=True)
class Receipt:
    """What a walk asked, saw and dropped. It holds no ids and no patient data.

    Attributes:
        start_at: Start of the range asked for, inclusive; None where open.
        end_at: Its end, exclusive; None where open.
        sort_order: The direction asked for.
        requests: Calls of the list route, with those that failed and those that only cut windows.
        rows: Encounters handed out.
        duplicates: Rows that came again, or came into being behind the walk, and were dropped.
        anchors_moved: How often the walk went on from a later instant instead of a higher offset.
        first_created_at: Of the first encounter handed out.
        last_created_at: Of the last one.
        total_at_start: How many this walk was to hand out, by the ``total`` of the first answer; None if it had none.
        total_at_end: The same by the last answer. It is the server's word, and decides nothing.
        complete: The end of the range was proven, and everything before it handed out.
    """

    start_at: datetime | None
    end_at: datetime | None
    sort_order: SortOrder
    requests: int
    rows: int
    duplicates: int
    anchors_moved: int
    first_created_at: datetime | None
    last_created_at: datetime | None
    total_at_start: int | None
    total_at_end: int | None
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """Ready for ``json.dumps``; times in ISO 8601."""
        return {name: at.isoformat() if isinstance(at, datetime) else at for name, at in asdict(self).items()}


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int | None) -> datetime | None:
    """The instant, or None, which filters nothing, beyond the calendar."""
    try:
        return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _keys(window: Window) -> tuple[int | None, int | None]:
    """The half-open range of keys in a window; `_bounds` is the inverse."""
    start, end = (None if at is None else _microseconds(at) for at in (window.start_at, window.end_at))
    if window.sort_order == "asc":
        return start, end
    return None if end is None else 1 - end, None if start is None else 1 - start


def _bounds(low: int | None, high: int | None, sort_order: SortOrder) -> dict[str, Any]:
    if sort_order == "desc":
        low, high = None if high is None else 1 - high, None if low is None else 1 - low
    return {"start_at": _instant(low), "end_at": _instant(high), "sort_order": sort_order}


def _read(page: Page[E], request: PageRequest, step: int) -> list[_Row[E]]:
    """The rows of a page, or PaginationError where they cannot be what was asked for."""
    items = getattr(page, "items", None)
    if not isinstance(items, (list, tuple)):
        raise PaginationError(f"{request}: there is no list of items")
    sign = 1 if request.sort_order == "asc" else -1
    rows: list[_Row[E]] = []
    for index, encounter in enumerate(items):
        created_at = getattr(encounter, "created_at", None)
        if not isinstance(created_at, datetime) or created_at.utcoffset() is None:
            raise PaginationError(f"{request}: created_at of item {index} is not a date-time with a time zone")
        encounter_id = getattr(encounter, "encounter_id", None)
        if not isinstance(encounter_id, str):
            raise PaginationError(f"{request}: encounter_id of item {index} is not text")
        rows.append((sign * _microseconds(created_at), encounter_id, encounter))
    keys = [key for key, _, _ in rows]
    for index, (before, after) in enumerate(pairwise(keys), 1):
        if after < before:
            at = _instant(sign * after)
            raise PaginationError(f"{request}: item {index}, created at {at}, is out of order")
    low, high = _keys(request)
    margin = math.gcd(step, *keys) + _MARGINS[-1]
    for key in keys[:1] + keys[-1:]:
        if (low is not None and key < low - margin) or (high is not None and key >= high + margin):
            at = _instant(sign * key)
            raise PaginationError(f"{request}: an encounter created at {at} is outside the range asked for")
    return rows


def _total(page: Page[E]) -> int | None:
    total = getattr(page, "total", None)
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None


def _mark(encounter_id: str) -> bytes:
    return hashlib.blake2b(encounter_id.encode(), digest_size=_MARK_SIZE).digest()


@define
class Position:
    """How far a walk has come: the furthest instant shown, and which encounters of that instant were taken.

    ``step`` is the precision shown so far, a day at most. ``marks`` are hashed ids of what the resumed walk took
    and this one has not met. They say what was taken, but not that whatever lies before it was: that walk may have cut
    its windows within the instant.
    """

    last: int | None = None
    step: int = _DAY
    ids: set[str] = Factory(set)
    marks: set[bytes] = Factory(set)

    def copy(self) -> Position:
        """One that goes on by itself."""
        return evolve(self, ids=set(self.ids), marks=set(self.marks))

    @property
    def count(self) -> int:
        """How many encounters of the furthest instant were taken."""
        return len(self.ids) + len(self.marks)

    def instant(self, sort_order: SortOrder) -> datetime | None:
        """The furthest instant shown, in UTC."""
        return _instant(self.last if self.last is None or sort_order == "asc" else -self.last)

    def start(self, high: int | None) -> int | None:
        """The smallest key below ``high`` that an encounter still to come can have."""
        if self.last is None:
            return None
        start = self.last - self.step + 1
        return start if high is None else min(start, high - 1)

    def joins(self, key: int, encounter_id: str) -> bool:
        """Whether this walk went past the row itself: then it has seen all that lies before."""
        return self.last is not None and (key < self.last or (key == self.last and encounter_id in self.ids))

    def passed(self, key: int, encounter_id: str) -> bool:
        """Whether the row was taken, or came into being behind the walk."""
        marked = bool(self.marks) and key == self.last and _mark(encounter_id) in self.marks
        return marked or self.joins(key, encounter_id)

    def take(self, key: int, encounter_id: str) -> bool:
        """Go on to this row. False if it was passed."""
        passed = self.passed(key, encounter_id)
        if not passed and key != self.last:
            self.last, self.ids, self.marks = key, set(), set()
            self.step = math.gcd(self.step, key)
        if key == self.last:
            self.ids.add(encounter_id)
            if self.marks:
                self.marks.discard(_mark(encounter_id))
        return not passed

    def take_all(self, encounters: Iterable[Listed], sort_order: SortOrder) -> None:
        """Go on over encounters that were read before."""
        sign = 1 if sort_order == "asc" else -1
        for encounter in encounters:
            self.take(sign * _microseconds(cast("datetime", encounter.created_at)), cast("str", encounter.encounter_id))


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
        self._low, self._high = _keys(window)
        self._position = position.copy() if position else Position()
        self._limit = max(limit, 2)  # pages overlap by one row
        self._left = max_rows
        self._capacity = self._limit  # what a full page holds
        self._fruitful = True  # the last page brought something new
        self._ahead: list[_Row[E]] | None = None  # the page before, where it was unjoined and one offset further on
        self._back = self._unjoined = self._widened = 0
        self._totals: set[int | None] = set()  # all that this query has reported
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
        return PageRequest(**_bounds(self._anchor, self._high, self._order), limit=limit, offset=self._offset)

    def receive(self, page: Page[E]) -> list[E]:
        """Take the answer to `request`, and return the encounters to hand out, in order.

        Raises:
            PaginationError: The page is not what was asked for, or the walk cannot get past an instant. Nothing of
                the page was taken: the same request can be sent again.
        """
        request, position = self.request, self._position
        if request is None:
            raise RuntimeError("a page was received that nobody asked for")
        rows = _read(page, request, position.step)
        meets = position.joins if self._offset else position.passed
        known = sum(meets(key, encounter_id) for key, encounter_id, _ in rows)
        if not known and (self._offset or (self._anchor != self._low and self._widened < len(_MARGINS))):
            self._step_back(request, rows)
            return []
        ahead, self._ahead, self._back = self._ahead, None, 0
        total = _total(page)
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

    def _take(self, request: PageRequest, rows: list[_Row[E]], total: int | None, *, short: bool) -> list[E]:
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

    def _step_back(self, request: PageRequest, rows: list[_Row[E]]) -> None:
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
            start = cast("int", self._position.start(self._high)) - _MARGINS[self._widened]
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


class WindowPlanner:
    """Cuts a window into windows of about ``max_rows``, by one page of one row each.

    The row at offset ``max_rows`` of what is left says where the next window begins. Any cut is right: there are no
    gaps and the outer bounds stay as they were, open ones too, so data may move. ``total`` is not needed.
    Send `request`, hand the answer to `receive`, until `request` is None.
    """

    def __init__(self, window: Window, *, max_rows: int, position: Position | None = None) -> None:
        if max_rows < 1:
            raise ValueError("max_rows is at least 1")
        self.remaining: int | None = None  # by the total of the last answer
        self._order: SortOrder = window.sort_order
        self._low, self._high = _keys(window)
        start = position.start(self._high) if position else None
        self._from = self._low if start is None or (self._low is not None and start < self._low) else start
        self._offset = min(max_rows, MAX_OFFSET)
        self._step, self._stride = _DAY, 0
        self._done = False

    @property
    def request(self) -> PageRequest | None:
        """What to ask next; None when the last window was cut."""
        if self._done:
            return None
        return PageRequest(**_bounds(self._from, self._high, self._order), limit=1, offset=self._offset)

    def receive(self, page: Page[E]) -> list[Window]:
        """Take the answer to `request`, and return the window that ends there.

        Raises:
            PaginationError: The page is not what was asked for; the same request can be sent again.
        """
        request = self.request
        if request is None:
            raise RuntimeError("a page was received that nobody asked for")
        rows = _read(page, request, self._step)
        self.remaining = _total(page)
        cut = self._high
        if rows:
            key = rows[0][0]
            self._step = math.gcd(self._step, key)
            if self._from is None or key > self._from:
                self._stride = 0
            else:  # one instant holds more than max_rows
                self._stride = self._stride * 10 or self._step
                key = self._from + self._stride
            if self._high is None or key < self._high:
                cut = key
        bounds = _bounds(self._low, cut, self._order)
        self._done = bounds == _bounds(self._low, self._high, self._order)
        self._low = self._from = cut
        return [Window(**bounds)]


def write_checkpoint(window: Window, position: Position) -> str:
    """All that another process needs to go on: about 65 letters, digits, ``-``, ``_`` and ``.``.

    There are 11 more for each further encounter of the furthest instant, as all of these have to be known again. Their
    ids are kept as hashes of 64 bits: that any two of 10,000 are confused has a chance of 1 in 10^11.
    """
    bounds = (None if at is None else _microseconds(at) for at in (window.start_at, window.end_at))
    numbers = (_NONE if number is None else number for number in (*bounds, position.last))
    marks = position.marks.union(map(_mark, position.ids))
    return _encode(_HEAD.pack(window.sort_order == "desc", *numbers, position.step) + b"".join(sorted(marks)))


def read_checkpoint(text: str) -> tuple[Window, Position]:
    """The window and the position that `write_checkpoint` was given.

    Raises:
        ConfigurationError: The text is something else, or was changed.
    """
    try:
        body = base64.urlsafe_b64decode(text.removeprefix(_CHECKPOINT) + "==")[:-_CHECKSUM_SIZE]
        desc, *numbers, step = _HEAD.unpack_from(body)
        start, end, last = (None if number == _NONE else number for number in numbers)
        window = Window(start_at=_instant(start), end_at=_instant(end), sort_order="desc" if desc else "asc")
        if text != _encode(body):
            raise ValueError
    except (ValueError, TypeError, AttributeError, struct.error):
        message = "resume_from is not a checkpoint of this version of charthero_ext, or was changed"
        raise ConfigurationError(message) from None
    marks = (body[at : at + _MARK_SIZE] for at in range(_HEAD.size, len(body), _MARK_SIZE))
    return window, Position(last=last, step=step, marks=set(marks))


def _encode(body: bytes) -> str:
    checksum = hashlib.blake2b(body, digest_size=_CHECKSUM_SIZE).digest()
    return _CHECKPOINT + base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def begin(
    *, start_at: datetime | None, end_at: datetime | None, sort_order: SortOrder | None, resume_from: str | None
) -> tuple[Window, Position]:
    """What to walk, and from where. With ``resume_from`` the range may be left out, but not changed.

    Raises:
        ValueError: As `Window` does.
        ConfigurationError: ``resume_from`` is no checkpoint, or one of another range or direction.
    """
    window = Window(start_at=start_at, end_at=end_at, sort_order=sort_order or "asc")
    if resume_from is None:
        return window, Position()
    resumed, position = read_checkpoint(resume_from)
    for name, given in (("start_at", start_at), ("end_at", end_at), ("sort_order", sort_order)):
        if given is not None and given != getattr(resumed, name):
            raise ConfigurationError(f"resume_from is a checkpoint of a walk with another {name}")
    return resumed, position
