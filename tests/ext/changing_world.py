"""Encounters that come, change and go; passes over them; and two ledgers that can crash."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from attrs import define, evolve, field

from charthero_ext import ChartHero
from charthero_ext.changes import Change, Entry, Ledger, LedgerStore
from tests.ext.conftest import connected
from tests.payloads import BODIES

START = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOK_BACK = 10 * DAY
TRANSCRIPT = {"document_id": "doc_1", "schema_type": "ambient_transcript", "status": "completed"}


@define
class World:
    """Encounters that come, change and go."""

    bodies: dict[str, dict[str, Any]] = field(factory=dict)
    page_size: int = 100
    number: int = 0
    #: Every encounter that ever was, by id: when it was created.
    ever: dict[str, datetime] = field(factory=dict)
    gone: dict[str, dict[str, Any]] = field(factory=dict)
    #: Whether the next page is empty, whatever there is.
    is_empty: Callable[[], bool] = lambda: False

    def add(self, created_at: datetime = START, **fields: Any) -> str:
        self.number += 1
        encounter_id = f"enc_{random.Random(self.number).getrandbits(32):08x}"
        body = copy.deepcopy(BODIES["encounters.list"]["items"][0])
        at = created_at.isoformat().replace("+00:00", "Z")
        body.update({"encounter_id": encounter_id, "created_at": at, "updated_at": at, "documents": []} | fields)
        self.bodies[encounter_id] = body
        self.ever[encounter_id] = created_at
        return encounter_id

    def change(self, encounter_id: str, **fields: Any) -> None:
        self.number += 1
        self.bodies[encounter_id].update(fields or {"date_of_service": f"{2000 + self.number}-01-01"})

    def delete(self, *encounter_ids: str) -> None:
        self.gone.update({each: self.bodies.pop(each) for each in encounter_ids})

    def restore(self, encounter_id: str) -> None:
        self.bodies[encounter_id] = self.gone.pop(encounter_id)

    def answer(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        start_at = datetime.fromisoformat(query.get("start_at", "0001-01-01T00:00:00Z"))
        rows = [each for each in sorted(self.bodies) if self.ever[each] >= start_at]
        rows.sort(key=lambda each: self.ever[each])
        page = [] if self.is_empty() else rows[int(query["offset"]) :][: min(int(query["limit"]), self.page_size)]
        return httpx.Response(200, json={"items": [self.bodies[each] for each in page], "total": len(rows)})


class MemoryLedger:
    """Another store, which loses in a crash what was not saved."""

    def __init__(self, path: Path | None = None) -> None:
        self.state: str | None = None
        self.entries: dict[str, Entry] = {}
        self.saved: tuple[str | None, dict[str, Entry]] = (None, {})

    def load(self) -> str | None:
        return self.state

    def save(self, state: str) -> None:
        self.state = state
        self.saved = state, dict(self.entries)

    def find(self, encounter_ids: Sequence[str]) -> dict[str, Entry]:
        return {each: self.entries[each] for each in encounter_ids if each in self.entries}

    def record(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            before = self.entries.get(entry.encounter_id, entry)
            self.entries[entry.encounter_id] = evolve(entry, seen=max(before.seen, entry.seen))

    def remove(self, encounter_id: str) -> None:
        del self.entries[encounter_id]

    def unseen(self, created_at: int, seen: int, limit: int) -> list[Entry]:
        rows = sorted(self.entries.values(), key=lambda each: each.created_at)
        return [each for each in rows if each.created_at >= created_at and each.seen < seen][:limit]

    def count_unseen(self, created_at: int, seen: int) -> int:
        return len(self.unseen(created_at, seen, 10**9))

    def crashed(self) -> MemoryLedger:
        self.state, self.entries = self.saved[0], dict(self.saved[1])
        return self

    def reopened(self) -> MemoryLedger:
        return self

    def close(self) -> None:
        pass


class FileLedger(Ledger):
    """The file, of which a crash leaves what was written to the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._execute("PRAGMA synchronous = OFF")  # Only a crash of the machine could lose what was written.
        self.path = path

    def crashed(self) -> FileLedger:
        copied = self.path.with_name(f"{self.path.name}-")
        shutil.copy(self.path, copied)
        if Path(f"{self.path}-wal").exists():
            shutil.copy(f"{self.path}-wal", f"{copied}-wal")
        self.close()
        return FileLedger(copied)

    def reopened(self) -> FileLedger:
        self.close()
        return FileLedger(self.path)


class StoppedError(Exception):
    pass


@define
class StoppingLedger:
    """Passes calls on to another ledger. It stops before one of them, and calls *between* them."""

    ledger: Any
    left: int
    between: Callable[[], None]

    def __getattr__(self, name: str) -> Any:
        if self.left == 0:
            raise StoppedError
        self.left -= 1
        self.between()
        return getattr(self.ledger, name)


def deliver(
    world: World,
    ledger: LedgerStore,
    *,
    calls: int = -1,
    look_back: timedelta = LOOK_BACK,
    allow_mass_delete: bool = False,
    between: Callable[[], None] = lambda: None,
) -> Iterator[Change]:
    """Yield the changes of one pass. Stop it after a number of calls of the ledger, and call *between* them."""
    stopping: Any = StoppingLedger(ledger, calls, between)
    ch: ChartHero = connected(ChartHero, world.answer)
    return ch.encounters.changes(stopping, start_at=START, look_back=look_back, allow_mass_delete=allow_mass_delete)


def world_of(count: int) -> World:
    world = World()
    for number in range(count):
        world.add(START + number * timedelta(minutes=1))
    return world


def kinds(delivered: Iterable[Change]) -> list[tuple[str, str]]:
    return [(change.kind, change.encounter_id) for change in delivered]
