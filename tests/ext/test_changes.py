"""The change feed: what it delivers over changing worlds, and what it makes up for after a crash."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import random
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext import ChartHero, changes
from charthero_ext.changes import Change, Ledger, LedgerStore
from charthero_ext.errors import ConfigurationError, MassDeletionError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.sandbox import Sandbox
from charthero_ext.webhooks import Receiver, SQLiteStore, sign, verify
from tests.examples import examples
from tests.ext.changing_world import (
    DAY,
    LOOK_BACK,
    START,
    TRANSCRIPT,
    FileLedger,
    MemoryLedger,
    StoppedError,
    World,
    deliver,
    kinds,
    world_of,
)
from tests.ext.conftest import async_client
from tests.payloads import BODIES

MakeClient = Callable[..., ChartHero]


@pytest.fixture(params=[MemoryLedger, FileLedger])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    with closing(request.param(tmp_path / "ledger")) as opened:
        yield opened


@define
class Downstream:
    """A copy of the world that applies changes, and checks that each is justified."""

    world: World
    random: random.Random
    ledger: Any
    copy: dict[str, Any] = field(factory=dict)
    newest: datetime = START
    start: datetime = START  # Of the next window.

    def mutate(self) -> None:
        """Let something happen to the world."""
        world, newest = self.world, max(self.world.ever.values(), default=START)
        there, gone = sorted(world.bodies), sorted(world.gone)
        kind = self.random.choice(["new", "new", "late", "old", "change", "change", "delete", "mass delete", "restore"])
        if kind == "new":
            world.add(newest + self.random.choice([0, 1, 3600, 86400]) * timedelta(seconds=1))
        elif kind in ("late", "old"):
            world.add(newest - self.random.random() * (LOOK_BACK if kind == "late" else 3 * LOOK_BACK))
        elif kind == "restore" and gone:
            world.restore(self.random.choice(gone))
        elif kind == "mass delete" and self.random.random() < 0.3:
            world.delete(*self.random.sample(there, len(there) * 3 // 4))
        elif there and kind == "change":
            world.change(self.random.choice(there))
        elif there and kind == "delete":
            world.delete(self.random.choice(there))

    def make_pass(self, *, stops: Sequence[int] = (), moving: float = 0.0) -> None:
        """Make one complete pass, with interruptions, while the world moves."""
        absent = set(self.world.gone)
        interruptions = repeated = 0
        is_allowed = False

        def between() -> None:
            if self.random.random() < moving:
                self.mutate()
                absent.update(self.world.gone)

        attempts = [*stops, -1]
        while attempts:
            counts = (0, 0)
            feed = deliver(self.world, self.ledger, calls=attempts[0], allow_mass_delete=is_allowed, between=between)
            try:
                for change in feed:
                    repeated += self.apply(change, absent, is_first=not interruptions)
                attempts.pop(0)
            except StoppedError:
                attempts.pop(0)
                interruptions += 1
                self.ledger = self.ledger.crashed() if self.random.random() < 0.7 else self.ledger.reopened()
            except MassDeletionError as error:
                if not error.total:  # Otherwise the last page was empty by mistake, and the pass is only repeated.
                    is_allowed, counts = True, (error.missing, error.known)
            if any(counts):
                assert (
                    max(20, counts[1] // 5) < counts[0] <= sum(self.world.ever[each] >= self.start for each in absent)
                )
        self.start = max(START, self.newest - LOOK_BACK)
        assert repeated <= interruptions * (self.world.page_size + 1)  # A page can bring the first row of the next.

    def apply(self, change: Change, absent: set[str], *, is_first: bool) -> bool:
        """Apply a change. Return whether it repeats one."""
        created_at, known = self.world.ever[change.encounter_id], self.copy.pop(change.encounter_id, None)
        assert created_at >= self.start, "outside the window"
        self.newest = max(self.newest, created_at)
        if change.encounter is None:
            assert change.encounter_id in absent
            assert known or not is_first
            return False
        assert change.kind == ("changed" if known else "added") or not is_first
        self.copy[change.encounter_id] = change.encounter.to_dict()
        return bool(self.copy[change.encounter_id] == known)

    def check(self) -> None:
        """Make a pass over a world that stands still: then the copy equals the world."""
        start, ever = self.start, self.world.ever
        old = {each: body for each, body in self.copy.items() if ever[each] < start}
        self.make_pass()
        assert self.copy == old | {each: body for each, body in self.world.bodies.items() if ever[each] >= start}


@pytest.mark.parametrize("kind", [MemoryLedger, FileLedger])
@examples(100)
@given(data=st.data())
def test_the_copy_equals_the_changing_world_after_every_complete_pass(kind: Any, data: st.DataObject) -> None:
    """The world moves before and during passes, and passes are stopped between any two steps."""
    seed = random.Random(data.draw(st.integers(0, 2**32)))
    world = World(page_size=data.draw(st.integers(2, 5)))
    for number in range(data.draw(st.sampled_from([0, 3, 40]))):
        world.add(START + number * DAY / 3)
    empty = data.draw(st.sampled_from([0.0, 0.1]))
    was_empty = False

    def is_empty() -> bool:
        nonlocal was_empty
        was_empty = not was_empty and seed.random() < empty
        return was_empty

    world.is_empty = is_empty
    with TemporaryDirectory() as directory:
        downstream = Downstream(world, seed, kind(Path(directory, "ledger")))
        for _ in range(data.draw(st.integers(1, 3))):
            for _ in range(data.draw(st.integers(0, 6))):
                downstream.mutate()
            stops = data.draw(st.lists(st.integers(0, 60), max_size=3))
            downstream.make_pass(stops=stops, moving=data.draw(st.sampled_from([0.0, 0.1, 0.4])))
            downstream.check()
        downstream.ledger.close()


def test_a_change_is_recorded_when_the_next_one_is_requested(tmp_path: Path) -> None:
    world = world_of(5)
    expected = [("added", each) for each in world.bodies]

    def sync(ledger: Ledger) -> None:
        for change in deliver(world, ledger):
            if change.encounter_id == expected[2][1]:
                raise KeyError("a bug of the caller")

    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(KeyError):
        sync(ledger)
    with Ledger(tmp_path / "ledger") as ledger:
        next(deliver(world, ledger))
        assert kinds(deliver(world, ledger)) == expected[2:]
        assert list(deliver(world, ledger)) == []


def test_a_crash_before_a_change_is_recorded_leaves_no_wrong_copy() -> None:
    world, ledger = World(), MemoryLedger()
    encounter_id = world.add()
    body = dict(world.bodies[encounter_id])

    def deliver_and_crash() -> str:
        kind = next(iter(deliver(world, ledger))).kind
        ledger.crashed()
        return kind

    assert deliver_and_crash() == "added"
    world.delete(encounter_id)
    assert kinds(deliver(world, ledger)) == [("deleted", encounter_id)]
    world.restore(encounter_id)
    assert kinds(deliver(world, ledger)) == [("added", encounter_id)]
    world.change(encounter_id)
    assert deliver_and_crash() == "changed"
    world.bodies[encounter_id].update(body)
    assert kinds(deliver(world, ledger)) == [("changed", encounter_id)]
    world.delete(encounter_id)
    assert deliver_and_crash() == "deleted"
    world.restore(encounter_id)
    assert kinds(deliver(world, ledger)) == [("changed", encounter_id)]


def test_the_asynchronous_feed_yields_the_same_without_blocking_the_loop() -> None:
    world, threads = world_of(120), set[int]()

    class Watched(MemoryLedger):
        def __getattribute__(self, name: str) -> Any:
            threads.add(threading.get_ident())
            return super().__getattribute__(name)

    async def sync(ledger: LedgerStore) -> list[Change]:
        async with async_client(world.answer) as ch:
            return [change async for change in ch.encounters.changes(ledger)]

    ledger = Watched()
    assert kinds(asyncio.run(sync(ledger))) == kinds(deliver(world, MemoryLedger()))
    world.delete(sorted(world.bodies)[0])
    assert [change.kind for change in asyncio.run(sync(ledger))] == ["deleted"]
    assert threads
    assert threading.get_ident() not in threads


def test_a_transcript_is_announced_once_when_it_is_completed(ledger: LedgerStore) -> None:
    world = World()
    documents = copy.deepcopy(BODIES["encounters.list"]["items"][0]["documents"])
    encounter_id = world.add(documents=documents)

    def announced(status: Any) -> list[TranscriptReadyEvent]:
        world.change(encounter_id, documents=[documents[0], documents[1] | {"status": status}])
        return [event for change in deliver(world, ledger) for event in change.transcripts_ready]

    assert announced("processing") == []
    (event,) = announced("completed")
    assert event.resources.to_dict() == {"encounter_id": encounter_id, "document_id": documents[1]["document_id"]}
    assert announced("failed") == announced("completed") == []
    body = json.dumps(event.to_dict()).encode()
    assert verify(sign(body, "whsec_synthetic"), body, "whsec_synthetic") == event
    (again,) = deliver(world, MemoryLedger())
    assert again.transcripts_ready == [event], "the id is the same in every ledger"


def test_a_receiver_hands_over_a_polled_event_once(tmp_path: Path) -> None:
    world, handled = World(), list[Any]()
    world.add(documents=BODIES["encounters.list"]["items"][0]["documents"])

    async def poll() -> None:
        receiver = Receiver("whsec_synthetic", SQLiteStore(tmp_path / "events"), handled.append)
        async with async_client(world.answer) as ch, receiver:
            for ledger in (MemoryLedger(), MemoryLedger()):
                async for change in ch.encounters.changes(ledger):
                    for event in change.transcripts_ready:
                        await receiver.submit(event)
            await receiver.run_pending()

    asyncio.run(poll())
    assert [event.resources.document_id for event in handled] == ["doc_synthetic_0002"]


@pytest.mark.parametrize("documents", [None, "text", 1, {}, [None, 1, {}], [TRANSCRIPT | {"document_id": None}]])
def test_documents_of_another_shape_announce_nothing(documents: Any) -> None:
    world = World()
    world.add(documents=documents)
    (change,) = deliver(world, MemoryLedger())
    assert change.transcripts_ready == []


@pytest.mark.parametrize(
    ("known", "missing", "is_refused"), [(20, 20, False), (105, 21, False), (104, 21, True), (30, 21, True)]
)
def test_a_mass_deletion_is_refused_unless_it_is_allowed(known: int, missing: int, is_refused: bool) -> None:
    world, ledger = world_of(known), MemoryLedger()
    list(deliver(world, ledger))
    world.delete(*sorted(world.bodies)[:missing])
    # New encounters neither hide that old ones disappeared, nor move the window.
    added = [("added", world.add(START + 3 * LOOK_BACK)) for _ in range(200)]
    delivered: list[Change] = []
    for _ in range(2 if is_refused else 0):
        with pytest.raises(MassDeletionError, match=f"no longer lists {missing} of {known} ") as raised:
            delivered.extend(deliver(world, ledger))
        assert (raised.value.missing, raised.value.known, raised.value.total) == (missing, known, 0)
    assert sorted(kinds(delivered)) == (sorted(added) if is_refused else [])
    delivered += deliver(world, ledger, allow_mass_delete=is_refused)
    assert sum(change.kind == "deleted" for change in delivered) == missing
    assert kinds(deliver(world, ledger)) == []


def test_an_empty_list_with_a_total_deletes_nothing() -> None:
    world, ledger = world_of(3), MemoryLedger()
    list(deliver(world, ledger))
    world.is_empty = lambda: True
    with pytest.raises(MassDeletionError, match="3 of 3 encounters, although its total is 3"):
        list(deliver(world, ledger))
    world.is_empty = lambda: False
    assert list(deliver(world, ledger)) == []
    world.is_empty = lambda: True
    assert [change.kind for change in deliver(world, ledger, allow_mass_delete=True)] == ["deleted"] * 3


def test_a_list_that_ends_empty_with_a_total_deletes_nothing() -> None:
    world, ledger, pages = world_of(100), MemoryLedger(), itertools.count()
    world.page_size = 10
    list(deliver(world, ledger))
    world.is_empty = lambda: next(pages) > 10
    with pytest.raises(MassDeletionError, match="9 of 100 encounters, although its total is 11"):
        list(deliver(world, ledger))
    world.is_empty = lambda: False
    assert list(deliver(world, ledger)) == []


def test_an_encounter_of_the_future_hides_no_changes() -> None:
    world, ledger = World(), MemoryLedger()
    now = datetime.now(UTC)
    recent = world.add(now - DAY)
    world.add(now + 400 * DAY)
    list(deliver(world, ledger))
    world.change(recent)
    assert kinds(deliver(world, ledger)) == [("changed", recent)]


def test_encounters_before_the_window_are_left_alone() -> None:
    world, ledger = World(), MemoryLedger()
    old, other = world.add(START), world.add(START + timedelta(seconds=1))
    world.add(START + 2 * LOOK_BACK)
    list(deliver(world, ledger))
    world.change(old)
    world.delete(other)
    late = world.add(START + LOOK_BACK / 2)
    assert list(deliver(world, ledger)) == []
    everything = kinds(deliver(world, ledger, look_back=timedelta.max))
    assert everything == [("changed", old), ("added", late), ("deleted", other)]


def test_an_encounter_whose_creation_moves_just_before_the_window_is_not_deleted() -> None:
    world, ledger = World(), MemoryLedger()
    moved = world.add(START)
    list(deliver(world, ledger))
    world.change(moved, created_at="2026-04-30T23:59:59.999Z")
    world.ever[moved] -= timedelta(milliseconds=1)
    assert kinds(deliver(world, ledger)) == [("changed", moved)]
    assert kinds(deliver(world, ledger)) == []


def test_a_pass_that_goes_on_beside_a_later_one_causes_no_deletion(ledger: LedgerStore) -> None:
    world = world_of(5)
    older = deliver(world, ledger)
    next(older)
    list(deliver(world, ledger))
    world.change(min(world.bodies))
    later = deliver(world, ledger)
    changes = [next(later), *older, *later, *deliver(world, ledger)]
    assert {change.kind for change in changes} == {"added", "changed"}


def test_bad_arguments_are_refused_before_anything_is_requested(client: MakeClient) -> None:
    ch = client(lambda request: pytest.fail("nothing is requested"))
    with pytest.raises(ValueError, match="look_back"):
        ch.encounters.changes(MemoryLedger(), look_back=-DAY)
    with pytest.raises(ValueError, match="start_at has no time zone"):
        ch.encounters.changes(MemoryLedger(), start_at=datetime(2026, 1, 1))


def test_a_ledger_of_another_host_is_refused(client: MakeClient, ledger: LedgerStore) -> None:
    list(client(world_of(1).answer).encounters.changes(ledger))
    other = client(world_of(1).answer, base_url="http://localhost:2")
    with pytest.raises(ConfigurationError, match="belongs to http://localhost:1, not to http://localhost:2"):
        list(other.encounters.changes(ledger))


@pytest.mark.parametrize("state", ['{"another": 1}', "[]", "no JSON"])
def test_a_ledger_with_an_unknown_state_is_refused(state: str, ledger: LedgerStore) -> None:
    ledger.save(state)
    with pytest.raises(ConfigurationError, match="the ledger has the state of another version"):
        list(deliver(world_of(1), ledger))
    assert ledger.load() == state


def test_the_guide_of_the_module_runs_against_a_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    guide = changes.__doc__ or ""
    example = textwrap.dedent(guide.partition("::\n\n")[2].partition("**Window.**")[0])
    downstream, events = Mock(), Mock()
    monkeypatch.chdir(tmp_path)
    with Sandbox(encounters=30) as sandbox:
        monkeypatch.setenv("CHARTHERO_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("CHARTHERO_API_KEY", sandbox.api_key)
        for _ in range(2):
            exec(compile(example, "guide", "exec"), {"downstream": downstream, "handle": events})
    upserted = [call.args[0] for call in downstream.upsert.call_args_list]
    assert 0 < len(upserted) <= 30
    assert {encounter.status for encounter in upserted} == {"completed"}
    assert events.called
    assert not downstream.delete.called
