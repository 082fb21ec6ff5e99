"""One organization's encounters as they stand now: the computed timeline and what was changed by hand.

Only the changes take memory.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice
from typing import Any

from charthero_ext.sandbox.data import Record, Timeline, microseconds

__all__ = ["Store"]

_UNCHANGEABLE = ("encounter_id", "organization_id", "created_at")


class Store:
    """Encounters in order of ``(created_at, encounter_id)``, that can be appended to, changed and deleted from.

    A *rank* is a place among the encounters that exist now. Windows are half-open, in microseconds since 1970.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._removed: list[int] = []
        self._changed: dict[str, Record] = {}
        self._appended = 0
        self._extra: dict[str, Record] = {}
        # Sorted, side by side: an extra encounter stands right before the computed one at its slot.
        self._extra_keys: list[tuple[int, str]] = []
        self._extra_slots: list[int] = []

    def __len__(self) -> int:
        return self._timeline.count - len(self._removed) + len(self._extra_keys)

    def __iter__(self) -> Iterator[Record]:
        return self._from_rank(0)

    def find(self, encounter_id: str) -> Record | None:
        """The encounter with this id, or None."""
        if encounter_id in self._extra:
            return self._extra[encounter_id]
        index = self._timeline.index_of(encounter_id)
        if index is None or self._is_removed(index):
            return None
        return self._computed(index)

    def page(
        self, *, start: int | None, end: int | None, offset: int, limit: int, descending: bool
    ) -> tuple[list[Record], int]:
        """The encounters of one page, and how many the window holds in all."""
        low = 0 if start is None else self._rank(start)
        high = len(self) if end is None else max(low, self._rank(end))
        if descending:
            stop = max(low, high - offset)
            rows = self._slice(max(low, stop - limit), stop)[::-1]
        else:
            begin = min(high, low + offset)
            rows = self._slice(begin, min(high, begin + limit))
        return rows, high - low

    def append(self, created: int, *, ready: bool, fields: dict[str, Any]) -> Record:
        """Add an encounter; one older than the newest is a late arrival and takes its place in the order."""
        _refuse_unchangeable(fields)
        encounter = self._timeline.appended(self._appended, created, ready=ready) | fields
        self._appended += 1
        key = (created, encounter["encounter_id"])
        place = bisect_left(self._extra_keys, key)
        self._extra_keys.insert(place, key)
        self._extra_slots.insert(place, self._timeline.first_at_or_after(*key))
        self._extra[key[1]] = encounter
        return encounter

    def change(self, encounter_id: str, fields: dict[str, Any]) -> Record:
        """Replace fields of an encounter. Raises KeyError where there is none."""
        _refuse_unchangeable(fields)
        encounter = self.find(encounter_id)
        if encounter is None:
            raise KeyError(encounter_id)
        if encounter_id in self._extra:
            self._extra[encounter_id] = encounter | fields
        else:
            self._changed[encounter_id] = self._changed.get(encounter_id, {}) | fields
        return encounter | fields

    def delete(self, encounter_id: str) -> None:
        """Remove an encounter. Raises KeyError where there is none."""
        encounter = self.find(encounter_id)
        if encounter is None:
            raise KeyError(encounter_id)
        if encounter_id in self._extra:
            place = bisect_left(self._extra_keys, (microseconds(encounter["created_at"]), encounter_id))
            del self._extra_keys[place], self._extra_slots[place], self._extra[encounter_id]
        else:
            index = self._timeline.index_of(encounter_id)
            assert index is not None  # noqa: S101 - it was found a moment ago
            insort(self._removed, index)
            self._changed.pop(encounter_id, None)

    def _rank(self, created: int) -> int:
        """How many encounters were created before an instant."""
        index = self._timeline.first_at_or_after(created)
        return index - bisect_left(self._removed, index) + bisect_left(self._extra_keys, (created, ""))

    def _slice(self, start: int, stop: int) -> list[Record]:
        return list(islice(self._from_rank(start), stop - start))

    def _from_rank(self, rank: int) -> Iterator[Record]:
        def before(index: int) -> int:
            return index - bisect_left(self._removed, index) + bisect_left(self._extra_slots, index)

        # The last slot that does not begin after the rank, so behind every hole that ends there.
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
        raise ValueError(f"cannot be set: {', '.join(refused)}")
