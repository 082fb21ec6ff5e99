"""The position of a walk, and the checkpoint that carries it to another process. No I/O."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from attrs import Factory, define, evolve

from charthero_ext.errors import ConfigurationError
from charthero_ext.pagination.window import SortOrder, Window, instant_of, microseconds

__all__ = ["Position", "begin", "read_checkpoint", "write_checkpoint"]

DAY = 86_400_000_000
_MARK_SIZE, _CHECKSUM_SIZE = 8, 4
_CHECKPOINT = "ch1."
_HEAD = struct.Struct(">?qqqq")  # desc, start, end, furthest instant, step
_NONE = -(2**63)


@define
class Position:
    """How far a walk has come: the furthest instant, and which encounters of that instant were taken.

    Attributes:
        last: The key of the furthest instant; None before the first encounter.
        step: The precision of all instants so far, a day at most.
        ids: The encounters of that instant that this walk took.
        marks: Hashed ids of those that the walk before the checkpoint took.
    """

    last: int | None = None
    step: int = DAY
    ids: set[str] = Factory(set)
    marks: set[bytes] = Factory(set)

    def copy(self) -> Position:
        """Return an independent copy."""
        return evolve(self, ids=set(self.ids), marks=set(self.marks))

    @property
    def count(self) -> int:
        """How many encounters of the furthest instant were taken."""
        return len(self.ids) + len(self.marks)

    def instant(self, sort_order: SortOrder) -> datetime | None:
        """Return the furthest instant, in UTC."""
        return instant_of(self.last if self.last is None or sort_order == "asc" else -self.last)

    def start(self, high: int | None) -> int | None:
        """Return the smallest key below ``high`` that a remaining encounter can have."""
        if self.last is None:
            return None
        start = self.last - self.step + 1
        return start if high is None else min(start, high - 1)

    def passed(self, key: int, encounter_id: str) -> bool:
        """Return whether the row was taken, or was created behind the walk."""
        if self.last is None or key > self.last:
            return False
        if key < self.last or encounter_id in self.ids:
            return True
        return bool(self.marks) and _mark(encounter_id) in self.marks

    def take(self, key: int, encounter_id: str) -> bool:
        """Go on to this row. Return False if it was passed."""
        if self.passed(key, encounter_id):
            return False
        if key != self.last:
            self.last, self.ids, self.marks = key, set(), set()
            self.step = math.gcd(self.step, key)
        self.ids.add(encounter_id)
        return True

    def take_all(self, encounters: Iterable[Any], sort_order: SortOrder) -> None:
        """Go on to the last of these encounters."""
        sign = 1 if sort_order == "asc" else -1
        for encounter in encounters:
            self.take(sign * microseconds(encounter.created_at), encounter.encounter_id)


def write_checkpoint(window: Window, position: Position) -> str:
    """Return a checkpoint: about 65 letters, digits, ``-``, ``_`` and ``.``.

    Each further encounter of the furthest instant adds 11 characters, because another walk has to recognize it. Ids are
    stored as hashes of 64 bits. The probability that two of 10,000 collide is less than 1 in 10^11.
    """
    bounds = (None if at is None else microseconds(at) for at in (window.start_at, window.end_at))
    numbers = (_NONE if number is None else number for number in (*bounds, position.last))
    marks = position.marks.union(map(_mark, position.ids))
    return _encode(_HEAD.pack(window.sort_order == "desc", *numbers, position.step) + b"".join(sorted(marks)))


def read_checkpoint(text: str) -> tuple[Window, Position]:
    """Return the window and the position of a checkpoint.

    Raises:
        ConfigurationError: The text is not a checkpoint, or was changed.
    """
    try:
        body = base64.urlsafe_b64decode(text.removeprefix(_CHECKPOINT) + "==")[:-_CHECKSUM_SIZE]
        desc, *numbers, step = _HEAD.unpack_from(body)
        start, end, last = (None if number == _NONE else number for number in numbers)
        window = Window(start_at=instant_of(start), end_at=instant_of(end), sort_order="desc" if desc else "asc")
        if text != _encode(body):
            raise ValueError
    except (ValueError, TypeError, AttributeError, struct.error):
        message = "resume_from is not a checkpoint of this version; pass the unchanged text of checkpoint()"
        raise ConfigurationError(message) from None
    marks = (body[at : at + _MARK_SIZE] for at in range(_HEAD.size, len(body), _MARK_SIZE))
    return window, Position(last=last, step=step, marks=set(marks))


def _encode(body: bytes) -> str:
    checksum = hashlib.blake2b(body, digest_size=_CHECKSUM_SIZE).digest()
    return _CHECKPOINT + base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def begin(
    *, start_at: datetime | None, end_at: datetime | None, sort_order: SortOrder | None, resume_from: str | None
) -> tuple[Window, Position]:
    """Return the window to walk and the position to start at. A checkpoint brings its own range and direction.

    Raises:
        ValueError: The range or the direction is invalid.
        ConfigurationError: ``resume_from`` is not a checkpoint, or is one of another range or direction.
    """
    window = Window(start_at=start_at, end_at=end_at, sort_order=sort_order or "asc")
    if resume_from is None:
        return window, Position()
    resumed, position = read_checkpoint(resume_from)
    for name, given in (("start_at", start_at), ("end_at", end_at), ("sort_order", sort_order)):
        if given is not None and given != getattr(resumed, name):
            raise ConfigurationError(f"resume_from is a checkpoint of a walk with another {name}; leave out {name}")
    return resumed, position


def _mark(encounter_id: str) -> bytes:
    return hashlib.blake2b(encounter_id.encode(), digest_size=_MARK_SIZE).digest()
