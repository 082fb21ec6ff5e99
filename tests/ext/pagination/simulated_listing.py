"""A list route in memory that behaves as badly as the contract allows, and checks the rows of a walk."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from attrs import Factory, define, field, frozen

from charthero_ext.errors import TransportError
from charthero_ext.pagination.window import PageRequest
from charthero_ext.pagination.window_walk import WindowWalk

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = 1_000_000


def instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@frozen
class Row:
    encounter_id: str
    created_at: Any


@frozen
class Answer:
    items: list[Row]
    limit: object
    offset: object
    total: object


class Unset:
    def __bool__(self) -> bool:
        return False


UNSET = Unset()

#: What a server may say its query holds: the truth, or something else.
TOTALS: dict[str, Callable[[int, PageRequest, int], object]] = {
    "honest": lambda true, request, length: true,
    "absent": lambda true, request, length: None,
    "unset": lambda true, request, length: UNSET,
    "zero": lambda true, request, length: 0,
    "constant": lambda true, request, length: 7,
    "too high": lambda true, request, length: true + 3,
    "too low": lambda true, request, length: max(0, true - 3),
    "the page": lambda true, request, length: length,
    "the page's end": lambda true, request, length: request.offset + length,
    "text": lambda true, request, length: str(true),
}

#: How ties are ordered: by id whatever the direction, by id in the direction, or otherwise, but always the same.
TIES: dict[str, Callable[[str, bool], Any]] = {
    "by id": lambda encounter_id, desc: encounter_id,
    "by id, reversed": lambda encounter_id, desc: (
        tuple(-ord(letter) for letter in encounter_id) if desc else encounter_id
    ),
    "scattered": lambda encounter_id, desc: hashlib.blake2b(encounter_id.encode()).digest(),
}

ROUND: dict[str, Callable[[int, int], int]] = {
    "down": lambda at, step: at // step * step,
    "up": lambda at, step: -(-at // step) * step,
    "half": lambda at, step: (at + step // 2) // step * step,
}


@define
class World:
    """Encounters, keyed by id, at true microseconds after `EPOCH`.

    ``changes`` holds what happens before each request, one entry a request: each a function of the world.
    """

    rows: dict[str, int]
    step: int = 1
    rounding: str = "down"
    ties: str = "by id"
    sorts_as_shown: bool = False
    parses: int = 1
    clamp: Callable[[], int] = field(default=lambda: 100)
    total: str = "honest"
    changes: list[list[Callable[[World], None]]] = Factory(list)
    empty_at: frozenset[int] = frozenset()
    fails_at: frozenset[int] = frozenset()
    random: random.Random = Factory(lambda: random.Random(0))
    requests: list[PageRequest] = Factory(list)
    ever: dict[str, int] = Factory(dict)
    came: set[str] = Factory(set)
    went: set[str] = Factory(set)
    served: list[str] = Factory(list)
    sorted: dict[bool, list[str]] = Factory(dict)
    lock: Any = Factory(Lock)

    def __attrs_post_init__(self) -> None:
        self.ever.update(self.rows)

    def insert(self, at: int) -> None:
        encounter_id = f"enc_{self.random.getrandbits(40):010x}"
        self.rows[encounter_id] = self.ever[encounter_id] = at
        self.came.add(encounter_id)
        self.sorted.clear()

    def delete(self, encounter_id: str) -> None:
        if self.rows.pop(encounter_id, None) is not None:
            self.went.add(encounter_id)
            self.sorted.clear()

    def shown(self, at: int) -> int:
        return ROUND[self.rounding](at, self.step)

    def listing(self, request: Any) -> list[str]:
        """The ids that a query holds, in the server's order."""
        desc, tie = request.sort_order == "desc", TIES[self.ties]
        if desc not in self.sorted:
            sign = -1 if desc else 1
            self.sorted[desc] = sorted(
                self.rows,
                key=lambda encounter_id: (
                    sign * self.shown(self.rows[encounter_id]) if self.sorts_as_shown else 0,
                    0 if self.sorts_as_shown else sign * self.rows[encounter_id],
                    tie(encounter_id, desc),
                ),
            )
        low, high = self.range(request)
        if low == -math.inf and high == math.inf:
            return self.sorted[desc]
        return [encounter_id for encounter_id in self.sorted[desc] if low <= self.rows[encounter_id] < high]

    def range(self, asked: Any) -> tuple[float, float]:
        """A range as this server understands it."""
        low = -math.inf if asked.start_at is None else microseconds(asked.start_at) // self.parses * self.parses
        high = math.inf if asked.end_at is None else microseconds(asked.end_at) // self.parses * self.parses
        return low, high

    def fetch(self, request: PageRequest) -> Answer:
        assert 1 <= request.limit <= 100
        assert 0 <= request.offset <= 10_000
        assert request.sort_order in ("asc", "desc")
        with self.lock:
            self.requests.append(request)
            if self.changes:
                for change in self.changes.pop(0):
                    change(self)
            if len(self.requests) in self.fails_at:
                raise TransportError("simulated")
            ids = self.listing(request)
            page = ids[request.offset :][: min(request.limit, self.clamp())]
            if len(self.requests) in self.empty_at:
                page = []
            self.served += page
            items = [Row(encounter_id, instant(self.shown(self.rows[encounter_id]))) for encounter_id in page]
        total = TOTALS[self.total](len(ids), request, len(items))
        return Answer(items, request.limit, request.offset, total)

    async def fetch_async(self, request: PageRequest) -> Answer:
        """Answer requests that are in flight at once in a random order."""
        for _ in range(self.random.randrange(1, 5)):
            await asyncio.sleep(0)
        answer = self.fetch(request)
        await asyncio.sleep(0)
        return answer

    def check(self, rows: Iterable[Row], asked: Any) -> None:
        """Check the promise: permanent rows once, others at most once, in order and in the range."""
        rows = list(rows)
        got = [row.encounter_id for row in rows]
        assert len(got) == len(set(got)), "twice"
        low, high = self.range(asked)
        in_range = {encounter_id for encounter_id, at in self.ever.items() if low <= at < high}
        assert set(got) <= in_range
        assert in_range - self.came - self.went <= set(got), "lost"
        shown = [row.created_at for row in rows]
        assert shown == sorted(shown, reverse=asked.sort_order == "desc"), "out of order"


def budget(rows: int) -> int:
    """Return the most requests that a walk over unchanged rows needs."""
    return math.ceil(rows / 99) + 2


def drive(walk: WindowWalk[Row], world: World) -> list[Row]:
    rows: list[Row] = []
    while (request := walk.request) is not None:
        rows += walk.receive(world.fetch(request))
        assert len(world.requests) < 100_000
    return rows


def spaced(count: int, step: int = SECOND, start: int = 0) -> dict[str, int]:
    """Encounters with ids in no order of time."""
    return {
        f"enc_{hashlib.blake2b(f'{start} {index}'.encode(), digest_size=5).hexdigest()}": start + index * step
        for index in range(count)
    }


def tied(count: int, at: int = 0, name: str = "tie") -> dict[str, int]:
    return {f"enc_{name}{index:05d}": at for index in range(count)}
