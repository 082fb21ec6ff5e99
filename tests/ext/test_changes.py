"""The change feed: what it delivers over changing worlds, what survives a crash, and what the ledger contains."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define, field

from charthero_ext._steps import Run, Steps
from charthero_ext.changes import Change, Entry, Ledger, LedgerStore, Pass, change_feed
from charthero_ext.models import EncounterPage
from charthero_ext.pagination.window import PageRequest
from tests.ext.conftest import HOST
from tests.payloads import BODIES

START = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOK_BACK = 10 * DAY


@define
class World:
    """Encounters that come, change and go."""

    bodies: dict[str, dict[str, Any]] = field(factory=dict)
    page_size: int = 100
    number: int = 0
    #: The total to claim, if it is not the truth.
    total: int | None = None
    is_hidden: bool = False

    def add(self, created_at: datetime = START, **fields: Any) -> str:
        self.number += 1
        encounter_id = f"enc_{random.Random(self.number).getrandbits(32):08x}"
        body = copy.deepcopy(BODIES["encounters.list"]["items"][0])
        at = created_at.isoformat().replace("+00:00", "Z")
        body.update(encounter_id=encounter_id, created_at=at, updated_at=at, documents=[], **fields)
        self.bodies[encounter_id] = body
        return encounter_id

    def change(self, encounter_id: str, **fields: Any) -> None:
        self.number += 1
        self.bodies[encounter_id].update(fields or {"date_of_service": f"{2000 + self.number}-01-01"})

    def created_at(self, encounter_id: str) -> datetime:
        return datetime.fromisoformat(self.bodies[encounter_id]["created_at"])

    def page(self, start_at: datetime | None, limit: int, offset: int) -> dict[str, Any]:
        rows = [] if self.is_hidden else sorted(self.bodies.values(), key=lambda row: row["encounter_id"])
        rows.sort(key=lambda row: datetime.fromisoformat(row["created_at"]))
        rows = [row for row in rows if start_at is None or datetime.fromisoformat(row["created_at"]) >= start_at]
        total = len(rows) if self.total is None else self.total
        items = copy.deepcopy(rows[offset:][: min(limit, self.page_size)])
        return {"items": items, "limit": limit, "offset": offset, "total": total}

    def fetch(self, request: PageRequest) -> Steps[EncounterPage]:
        page: dict[str, Any] = yield Run(lambda: self.page(request.start_at, request.limit, request.offset))
        return EncounterPage.from_dict(page)

    def answer(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        start_at = datetime.fromisoformat(query["start_at"]) if "start_at" in query else None
        return httpx.Response(200, json=self.page(start_at, int(query["limit"]), int(query["offset"])))


class MemoryLedger:
    """Another store, which loses in a crash what was not saved."""

    def __init__(self) -> None:
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
        self.entries.update({each.encounter_id: each for each in entries})

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


class FileLedger(Ledger):
    """The file, of which a crash leaves what was written to the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def crashed(self) -> FileLedger:
        copied = self.path.with_name(f"{self.path.name}-")
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copied}{suffix}")
        self.close()
        return FileLedger(copied)


class KilledError(Exception):
    pass


def deliver(world: World, ledger: LedgerStore, *, steps: int | None = None, **options: Any) -> Iterator[Change]:
    """Yield the changes of one pass, which is killed after a number of steps."""
    arguments = {
        "start_at": START,
        "look_back": LOOK_BACK,
        "allow_mass_delete": False,
        "between": lambda: None,
    } | options
    current = Pass(ledger, HOST, arguments["start_at"], arguments["look_back"])
    feed = change_feed(world.fetch, current, allow_mass_delete=arguments["allow_mass_delete"])
    answer = None
    while True:
        try:
            item = feed.send(answer)
        except StopIteration:
            return
        if steps is not None:
            steps -= 1
            if steps < 0:
                raise KilledError
        answer = None
        if isinstance(item, Run):
            arguments["between"]()
            answer = item.function()
        else:
            yield item  # type: ignore[misc]


@pytest.fixture(params=[MemoryLedger, FileLedger])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    if request.param is MemoryLedger:
        yield MemoryLedger()
    else:
        with FileLedger(tmp_path / "ledger") as opened:
            yield opened


def kinds(delivered: Iterator[Change] | list[Change]) -> list[tuple[str, str]]:
    return [(change.kind, change.encounter_id) for change in delivered]


def recorded_once(world: World, ledger: LedgerStore) -> None:
    assert list(deliver(world, ledger)) == []


def test_a_pass_delivers_what_was_added_changed_and_deleted(ledger: LedgerStore) -> None:
    world = World(page_size=3)
    first = [world.add(START + number * DAY) for number in range(10)]
    assert kinds(deliver(world, ledger)) == [("added", each) for each in first]
    recorded_once(world, ledger)
    world.change(first[4])
    del world.bodies[first[9]]
    late = world.add(START + 8 * DAY)
    changed, added, deleted = deliver(world, ledger)
    assert kinds([changed, added, deleted]) == [("changed", first[4]), ("added", late), ("deleted", first[9])]
    assert changed.encounter is not None
    assert changed.encounter.to_dict() == world.bodies[first[4]]
    assert deleted.encounter is None
    recorded_once(world, ledger)
