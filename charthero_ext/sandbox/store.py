"""One organization's current encounters: the computed timeline, plus changes. Only the changes take memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from charthero_ext.sandbox.data import Record, Timeline, microseconds, new_document

__all__ = ["Store"]

_UNCHANGEABLE = ("encounter_id", "organization_id", "created_at")


class Store:
    """Encounters in order of ``(created_at, encounter_id)``.

    A *rank* is a position among the current encounters. Windows are half-open, in microseconds since 1970.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._removed: list[int] = []
        self._changed: dict[str, Record] = {}
        self._numbers = count()
        self._extra: dict[str, Record] = {}
        # Parallel sorted lists. An extra encounter comes directly before the computed encounter at its slot.
        self._extra_keys: list[tuple[int, str]] = []
        self._extra_slots: list[int] = []

    def __len__(self) -> int:
        return self._timeline.count - len(self._removed) + len(self._extra_keys)

    def __iter__(self) -> Iterator[Record]:
        return self._from_rank(0)

    def find(self, encounter_id: str) -> Record | None:
        """Return the encounter with this id, or None."""
        if encounter_id in self._extra:
            return self._extra[encounter_id]
        index = self._timeline.index_of(encounter_id)
        if index is None or self._is_removed(index):
            return None
        return self._computed(index)

    def page(
        self, *, start: int | None, end: int | None, offset: int, limit: int, descending: bool
    ) -> tuple[list[Record], int]:
        """Return the encounters of one page, and the number of encounters in the window."""
        low = 0 if start is None else self._rank(start)
        high = len(self) if end is None else max(low, self._rank(end))
        if descending:
            stop = max(low, high - offset)
            begin = max(low, stop - limit)
        else:
            begin = min(high, low + offset)
            stop = min(high, begin + limit)
        rows = list(islice(self._from_rank(begin), stop - begin))
        return rows[::-1] if descending else rows, high - low

    def append(self, created: int, *, ready: bool, fields: dict[str, Any]) -> Record:
        """Add an encounter at its position in the order."""
        _refuse_unchangeable(fields)
        encounter = self._timeline.appended(next(self._numbers), created, ready=ready) | fields
        key = (created, encounter["encounter_id"])
        place = bisect_left(self._extra_keys, key)
        self._extra_keys.insert(place, key)
        self._extra_slots.insert(place, self._timeline.first_at_or_after(*key))
        self._extra[key[1]] = encounter
        return encounter

    def change(self, encounter: Record, fields: dict[str, Any]) -> Record:
        """Replace fields of a current encounter."""
        _refuse_unchangeable(fields)
        encounter_id = encounter["encounter_id"]
        if encounter_id in self._extra:
            self._extra[encounter_id] = encounter | fields
        else:
            self._changed[encounter_id] = self._changed.get(encounter_id, {}) | fields
        return encounter | fields

    def delete(self, encounter: Record) -> None:
        """Delete a current encounter."""
        encounter_id = encounter["encounter_id"]
        if encounter_id in self._extra:
            place = bisect_left(self._extra_keys, (microseconds(encounter["created_at"]), encounter_id))
            del self._extra_keys[place], self._extra_slots[place], self._extra[encounter_id]
        else:
            index = self._timeline.index_of(encounter_id)
            assert index is not None  # noqa: S101 - find() found the encounter
            insort(self._removed, index)
            self._changed.pop(encounter_id, None)

    def new_document(self, encounter_id: str) -> Record:
        """Return the summary of a new document with an unused id."""
        return new_document(encounter_id, 100 + next(self._numbers))

    def _rank(self, created: int) -> int:
        """Return the number of encounters created before an instant."""
        index = self._timeline.first_at_or_after(created)
        return index - bisect_left(self._removed, index) + bisect_left(self._extra_keys, (created, ""))

    def _from_rank(self, rank: int) -> Iterator[Record]:
        def before(index: int) -> int:
            return index - bisect_left(self._removed, index) + bisect_left(self._extra_slots, index)

        # A deleted slot has the same rank as the next slot, so use the last slot of this rank.
        index = bisect_right(range(self._timeline.count + 1), rank, key=before) - 1
        extra = bisect_left(self._extra_slots, index) + rank - before(index)
        for slot in range(index, self._timeline.count + 1):
            while extra < len(self._extra_slots) and self._extra_slots[extra] == slot:
                yield self._extra[self._extra_keys[extra][1]]
                extra += 1
            if slot < self._timeline.count and not self._is_removed(slot):
                yield self._computed(slot)

    def _computed(self, index: int) -> Record:
        encounter = self._timeline.encounter(index)
        return encounter | self._changed.get(encounter["encounter_id"], {})

    def _is_removed(self, index: int) -> bool:
        place = bisect_left(self._removed, index)
        return place < len(self._removed) and self._removed[place] == index


def _refuse_unchangeable(fields: dict[str, Any]) -> None:
    refused = sorted(fields.keys() & set(_UNCHANGEABLE))
    if refused:
        raise ValueError(f"these fields cannot be set: {', '.join(refused)}")
