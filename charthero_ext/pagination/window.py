"""A range of encounters, a page of it, and the receipt of a walk. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from attrs import Attribute, asdict, field, frozen
from charthero_client.contract import MAX_LIMIT, MAX_OFFSET

from charthero_ext._secret import opaque
from charthero_ext.errors import PaginationError

__all__ = ["MAX_LIMIT", "MAX_OFFSET", "Page", "PageRequest", "Receipt", "SortOrder", "Window"]

# Microseconds to step back in time until a page joins: a server may read its filters less exactly than they are sent.
MARGINS = (1_000, 1_000_000, 60_000_000)

SortOrder: TypeAlias = Literal["asc", "desc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


E = TypeVar("E")
_E_co = TypeVar("_E_co", covariant=True)
Row: TypeAlias = tuple[int, str, E]  # key, id, encounter


class Page(Protocol[_E_co]):
    """A response of the list route.

    Its other types are checked when it is read: ``total``, and the ``created_at`` and ``encounter_id`` of each item.
    """

    @property
    def items(self) -> Sequence[_E_co]:
        """The encounters of the page, in order."""
        ...


def in_utc(value: datetime) -> datetime:
    """Return an aware ``datetime``, or a subclass such as pandas's, as a plain ``datetime`` in UTC."""
    value = value.astimezone(UTC)
    return datetime.combine(value.date(), value.time(), UTC)


def _bound(value: datetime | None) -> datetime | None:
    # Python compares two datetimes of one zone by the wall clock, which repeats an hour in autumn.
    return value if value is None or value.utcoffset() is None else in_utc(value)


def _aware(_: object, attribute: Attribute[Any], value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{attribute.name} has no time zone; add one, such as tzinfo=UTC")


@frozen(kw_only=True)
class Window:
    """A range of encounters, ``start_at <= created_at < end_at``; None leaves a side open. It can be pickled.

    Raises:
        ValueError: A bound has no time zone, ``start_at`` is not before ``end_at``, or the order is unknown.
    """

    start_at: datetime | None = field(default=None, converter=_bound, validator=_aware)
    end_at: datetime | None = field(default=None, converter=_bound, validator=_aware)
    sort_order: SortOrder = "asc"

    def __attrs_post_init__(self) -> None:
        if self.start_at is not None and self.end_at is not None and self.start_at >= self.end_at:
            raise ValueError("start_at must be before end_at")
        if self.sort_order not in ("asc", "desc"):
            raise ValueError("sort_order must be asc or desc")


@frozen(kw_only=True)
class PageRequest(Window):
    """The parameters of one request to the list route."""

    limit: int
    offset: int

    def __str__(self) -> str:
        start, end = (bound.isoformat() if bound else "open" for bound in (self.start_at, self.end_at))
        return f"the page at offset {self.offset} of {start} to {end}, {self.sort_order}"


@frozen(kw_only=True)
class Receipt:
    """What a walk requested, received and dropped. It holds no ids and no patient data.

    Attributes:
        start_at: Start of the range, inclusive; None if open.
        end_at: End of the range, exclusive; None if open.
        sort_order: The direction of ``created_at``.
        requests: Requests to the list route, including failed ones.
        rows: Encounters handed out.
        duplicates: Rows that were dropped, because they were received before or created behind the walk.
        anchors_moved: How often the walk continued from a later instant instead of a higher offset.
        first_created_at: ``created_at`` of the first encounter handed out.
        last_created_at: ``created_at`` of the last encounter handed out.
        total_at_start: How many encounters to expect, by the ``total`` of the first response; None if it had none.
        total_at_end: The same by the last response. Neither decides when a walk ends.
        complete: Whether the end of the range was proven, and every encounter before it handed out.
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
        """Return the receipt for ``json.dumps``, with instants in ISO 8601."""
        return {name: at.isoformat() if isinstance(at, datetime) else at for name, at in asdict(self).items()}


def microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def instant_of(microseconds: int | None) -> datetime | None:
    """Return the instant; None, an open end, for None or outside the years 1 to 9999."""
    try:
        return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def key_range(window: Window) -> tuple[int | None, int | None]:
    """Return the half-open range of keys of a window. `bounds_of` is the inverse."""
    start, end = (None if at is None else microseconds(at) for at in (window.start_at, window.end_at))
    if window.sort_order == "asc":
        return start, end
    return None if end is None else 1 - end, None if start is None else 1 - start


def bounds_of(low: int | None, high: int | None, sort_order: SortOrder) -> dict[str, Any]:
    if sort_order == "desc":
        low, high = None if high is None else 1 - high, None if low is None else 1 - low
    return {"start_at": instant_of(low), "end_at": instant_of(high), "sort_order": sort_order}


@opaque  # A name may be where an instant or an id is expected.
def read_rows(page: Page[E], request: PageRequest, step: int) -> list[Row[E]]:
    """Return the rows of a page. Raises PaginationError if they cannot be what was requested."""
    items = getattr(page, "items", None)
    if not isinstance(items, (list, tuple)):
        raise PaginationError(f"{request}: the response has no list of items")
    sign = 1 if request.sort_order == "asc" else -1
    rows: list[Row[E]] = []
    for index, encounter in enumerate(items):
        created_at = getattr(encounter, "created_at", None)
        if not isinstance(created_at, datetime) or created_at.utcoffset() is None:
            raise PaginationError(f"{request}: created_at of item {index} is not a date-time with a time zone")
        encounter_id = getattr(encounter, "encounter_id", None)
        if not isinstance(encounter_id, str):
            raise PaginationError(f"{request}: encounter_id of item {index} is not text")
        rows.append((sign * microseconds(created_at), encounter_id, encounter))
    keys = [key for key, _, _ in rows]
    for index, (before, after) in enumerate(pairwise(keys), 1):
        if after < before:
            at = instant_of(sign * after)
            raise PaginationError(f"{request}: item {index}, created at {at}, is out of order")
    low, high = key_range(request)
    margin = math.gcd(step, *keys) + MARGINS[-1]
    for key in keys[:1] + keys[-1:]:
        if (low is not None and key < low - margin) or (high is not None and key >= high + margin):
            at = instant_of(sign * key)
            raise PaginationError(f"{request}: an encounter created at {at} is outside the requested range")
    return rows


def total_of(page: Page[E]) -> int | None:
    total = getattr(page, "total", None)
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None
