"""What callers pass, checked and in one form before anything is sent. No I/O.

Source in the contract: "List parameters".
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal, overload

from charthero_ext.models import UNSET

__all__ = ["Instant", "SortOrder", "as_instant", "ids", "page_query"]

#: An instant with a time zone: a ``datetime``, or ISO 8601 text. A ``date`` is its first instant in UTC.
Instant = datetime | date | str
SortOrder = Literal["asc", "desc"]


@overload
def as_instant(value: Instant, name: str) -> datetime: ...
@overload
def as_instant(value: None, name: str) -> None: ...
@overload
def as_instant(value: Instant | None, name: str) -> datetime | None: ...
def as_instant(value: Instant | None, name: str) -> datetime | None:
    """Return *value* as an aware ``datetime``; None, an open end, stays None.

    Raises:
        ValueError: It has no time zone, or is not ISO 8601. Which zone was meant is never guessed.
    """
    if value is None:
        return None
    if isinstance(value, str):
        from dateutil.parser import isoparse

        try:
            value = isoparse(value)
        except ValueError:
            raise ValueError(f"{name} is not an ISO 8601 instant, such as 2026-05-01T15:00:00Z") from None
    elif not isinstance(value, datetime):
        if not isinstance(value, date):
            raise ValueError(f"{name} is a {type(value).__name__}, and not a datetime, a date or ISO 8601 text")
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.utcoffset() is None:
        raise ValueError(f"{name} has no time zone; add one, such as datetime(..., tzinfo=UTC) or a Z at its end")
    return value


def ids(**values: str) -> dict[str, str]:
    """Return opaque ids as they are.

    Raises:
        ValueError: One is empty, or is ``.`` or ``..``, which percent-encoding leaves alone and a URL takes for a path.
    """
    for name, value in values.items():
        if not isinstance(value, str) or not value.strip() or value in (".", "..") or not _is_unicode(value):
            raise ValueError(f"{name} is empty or no id")
    return values


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def page_query(**parameters: Any) -> dict[str, Any]:
    """Return the query of the list route as the generated function takes it: what is None is not sent."""
    return {
        name: UNSET if value is None else as_instant(value, name) if name in ("start_at", "end_at") else value
        for name, value in parameters.items()
    }
