"""How far a walk has come, and the text that carries it to another process. No I/O."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterable
from datetime import datetime
from typing import cast

from attrs import Factory, define, evolve

from charthero_ext.errors import ConfigurationError
from charthero_ext.pagination.window import Listed, SortOrder, Window, as_instant, microseconds

__all__ = ["Position", "begin", "read_checkpoint", "write_checkpoint"]

DAY = 86_400_000_000
_MARK_SIZE, _CHECKSUM_SIZE = 8, 4
_CHECKPOINT = "ch1."
_HEAD = struct.Struct(">?qqqq")  # desc, start, end, furthest instant, step
_NONE = -(2**63)


@define
class Position:
    """How far a walk has come: the furthest instant shown, and which encounters of that instant were taken.

    ``step`` is the precision shown so far, a day at most. ``marks`` are hashed ids of what the resumed walk took
    and this one has not met. They say what was taken, but not that whatever lies before it was: that walk may have cut
    its windows within the instant.
    """

    last: int | None = None
    step: int = DAY
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
        return as_instant(self.last if self.last is None or sort_order == "asc" else -self.last)

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
        if self.last is None or key > self.last:  # as most are
            self.last, self.ids, self.marks = key, {encounter_id}, set()
            self.step = math.gcd(self.step, key)
            return True
        passed = self.passed(key, encounter_id)
        if key == self.last:
            self.ids.add(encounter_id)
            if self.marks:
                self.marks.discard(_mark(encounter_id))
        return not passed

    def take_all(self, encounters: Iterable[Listed], sort_order: SortOrder) -> None:
        """Go on over encounters that were read before."""
        sign = 1 if sort_order == "asc" else -1
        for encounter in encounters:
            self.take(sign * microseconds(cast("datetime", encounter.created_at)), cast("str", encounter.encounter_id))


def write_checkpoint(window: Window, position: Position) -> str:
    """All that another process needs to go on: about 65 letters, digits, ``-``, ``_`` and ``.``.

    There are 11 more for each further encounter of the furthest instant, as all of these have to be known again. Their
    ids are kept as hashes of 64 bits: that any two of 10,000 are confused has a chance of 1 in 10^11.
    """
    bounds = (None if at is None else microseconds(at) for at in (window.start_at, window.end_at))
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
        window = Window(start_at=as_instant(start), end_at=as_instant(end), sort_order="desc" if desc else "asc")
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


def _mark(encounter_id: str) -> bytes:
    return hashlib.blake2b(encounter_id.encode(), digest_size=_MARK_SIZE).digest()
