"""The walk with threads, and what both kinds of walk have in common."""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import count, islice
from operator import length_hint
from typing import Any

import pytest
from attrs import evolve

from charthero_ext.errors import PaginationError, TransportError
from charthero_ext.pagination import AsyncWalk, Walk
from charthero_ext.pagination.window import PageRequest

from .simulated_listing import SECOND, Answer, Row, World, budget, instant, spaced, tied

EITHER_WALK = pytest.mark.parametrize("kind", [Walk, AsyncWalk])
EITHER_CONCURRENCY = pytest.mark.parametrize("concurrency", [1, 4])


def walk_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "charthero-walk"]


def fetch_of(world: World, kind: Any) -> Any:
    return world.fetch if kind is Walk else world.fetch_async


def iterate(walk: Walk[Row] | AsyncWalk[Row], rows: list[Row]) -> None:
    """Add what a walk yields to *rows*; no thread or task is left at its end."""
    if isinstance(walk, Walk):
        for row in walk:
            rows.append(row)  # noqa: PERF402  (kept when it fails)
        assert walk_threads() == []
        return

    async def main() -> None:
        async for row in walk:
            rows.append(row)  # noqa: PERF401  (kept when it fails)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


class Gate:
    """Lets requests through one at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting, self.open = threading.Semaphore(0), threading.Semaphore(0)

    def fetch(self, request: PageRequest) -> Answer:
        self.waiting.release()
        assert self.open.acquire(timeout=30)
        return self.world.fetch(request)


def rows_until(error: type[BaseException], walk: Walk[Row]) -> list[Row]:
    """Return the rows before a failure."""
    rows: list[Row] = []
    with pytest.raises(error):
        iterate(walk, rows)
    return rows


def test_only_the_next_page_is_fetched_while_the_caller_works() -> None:
    gate = Gate(World(spaced(1000)))
    walk = Walk(gate.fetch)
    gate.open.release()
    next(walk)
    assert gate.waiting.acquire(timeout=30)
    assert gate.waiting.acquire(timeout=30), "the second page was not asked for"
    gate.open.release(100)
    list(islice(walk, 50))
    walk.close()
    assert len(gate.world.requests) == 2
    assert walk.receipt.requests == 2


def test_concurrency_limits_the_requests_in_flight() -> None:
    world, meeting, running = World(spaced(8000)), threading.Barrier(3), threading.BoundedSemaphore(3)
    numbers = count(1)

    def fetch(request: PageRequest) -> Answer:
        assert running.acquire(blocking=False), "a fourth request"
        if next(numbers) in (4, 5, 6):
            meeting.wait(timeout=30)
        answer = world.fetch(request)
        running.release()
        return answer

    walk = Walk(fetch, concurrency=3)
    world.check(walk, walk.receipt)
    assert not meeting.broken


@EITHER_WALK
@EITHER_CONCURRENCY
def test_rows_come_in_order_and_no_thread_or_task_is_left(kind: Any, concurrency: int) -> None:
    world = World({**spaced(5000), **tied(700, at=777 * SECOND)})
    walk = kind(fetch_of(world, kind), concurrency=concurrency, sort_order="desc")
    rows: list[Row] = []
    iterate(walk, rows)
    iterate(walk, rows)
    world.check(rows, walk.receipt)
    assert walk.receipt.complete


@EITHER_CONCURRENCY
def test_leaving_the_with_block_waits_for_requests_in_flight(concurrency: int) -> None:
    with Walk(World(spaced(5000)).fetch, concurrency=concurrency) as walk:
        next(walk)
    assert walk_threads() == []


@EITHER_CONCURRENCY
def test_look_ahead_is_limited_for_a_slow_caller(concurrency: int) -> None:
    world = World(spaced(5000))
    walk = Walk(world.fetch, concurrency=concurrency)
    for rows, _ in enumerate(walk):
        assert len(world.requests) <= rows // 99 + 2 + concurrency


@pytest.mark.parametrize(("total", "extra"), [("honest", 0), ("absent", 8)])
def test_a_concurrent_walk_needs_few_extra_requests(total: str, extra: int) -> None:
    world = World({**spaced(20_000), **tied(700, at=777 * SECOND)}, total=total)
    walk = Walk(world.fetch, concurrency=8)
    world.check(walk, walk.receipt)
    assert len(world.requests) <= budget(20_700) + extra


@EITHER_CONCURRENCY
def test_a_walk_can_continue_after_break_and_close(concurrency: int) -> None:
    world = World(spaced(3000))
    walk = Walk(world.fetch, concurrency=concurrency)
    rows = list(islice(walk, 150))
    walk.close()
    rows += islice(walk, 1500)
    rows += walk
    world.check(rows, walk.receipt)


@EITHER_WALK
@EITHER_CONCURRENCY
def test_a_failure_comes_after_all_fetched_rows_and_the_walk_can_continue(kind: Any, concurrency: int) -> None:
    world = World(spaced(3000), fails_at=frozenset({3, 7}))
    walk = kind(fetch_of(world, kind), concurrency=concurrency)
    rows: list[Row] = []
    for failure in range(2):
        with pytest.raises(TransportError):
            iterate(walk, rows)
        assert not walk.receipt.complete
        if concurrency == 1 and failure == 0:
            assert len(rows) == 199
    iterate(walk, rows)
    world.check(rows, walk.receipt)
    assert walk.receipt.complete


def test_an_interrupt_while_the_walk_waits_loses_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(World(spaced(500)))

    def interrupted(jobs: Any) -> None:
        gate.open.release(100)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(futures, "wait", interrupted)
    walk = Walk(gate.fetch)
    rows = rows_until(KeyboardInterrupt, walk)
    rows += walk
    gate.world.check(rows, walk.receipt)


@pytest.mark.parametrize("at", range(0, 800, 90))
def test_an_interrupt_while_a_page_is_taken_loses_no_rows(at: int) -> None:
    world, uses = World(tied(300)), count()

    class Interrupting(str):
        __slots__ = ()

        def __hash__(self) -> int:
            if next(uses) == at:
                raise KeyboardInterrupt
            return super().__hash__()

    def fetch(request: PageRequest) -> Answer:
        answer = world.fetch(request)
        return evolve(answer, items=[Row(Interrupting(row.encounter_id), row.created_at) for row in answer.items])

    walk = Walk(fetch, concurrency=2)
    rows = rows_until(KeyboardInterrupt, walk)
    rows += walk
    world.check(rows, walk.receipt)


@EITHER_WALK
def test_requests_see_the_context_variables_of_the_caller(kind: Any) -> None:
    world, tenant, seen = World(spaced(300)), ContextVar[str]("tenant"), set()
    fetch = fetch_of(world, kind)

    def noting_tenant(request: PageRequest) -> Any:
        seen.add(tenant.get("unset"))
        return fetch(request)

    tenant.set("clinic")
    rows: list[Row] = []
    iterate(kind(noting_tenant), rows)
    assert len(rows) == 300
    assert seen == {"clinic"}


def test_a_walk_works_inside_a_running_event_loop() -> None:
    async def cell() -> int:
        return len(list(Walk(World(spaced(500)).fetch, concurrency=2)))

    assert asyncio.run(cell()) == 500


def test_several_threads_can_share_a_walk() -> None:
    world = World(spaced(3000))
    walk = Walk(world.fetch, concurrency=2)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: list(walk), range(4)))
    assert sorted(row.encounter_id for part in parts for row in part) == sorted(world.rows)


def test_an_unreferenced_walk_is_freed_at_once_and_its_threads_end() -> None:
    walk = Walk(World(spaced(3000)).fetch, concurrency=2)
    next(walk)
    gone = weakref.ref(walk)
    del walk
    assert gone() is None
    for thread in walk_threads():
        thread.join(timeout=30)
    assert walk_threads() == []


@EITHER_CONCURRENCY
@pytest.mark.parametrize("most", [0, 1, 99, 100, 101, 990, 1499, 1500, 1501])
def test_a_walk_cut_by_max_items_is_incomplete_and_can_be_resumed(most: int, concurrency: int) -> None:
    world = World(spaced(1500))
    walk = Walk(world.fetch, max_items=most, concurrency=concurrency)
    rows = list(walk)
    assert len(rows) == min(most, 1500)
    assert walk.receipt.complete == (most > 1500)
    assert walk_threads() == []
    rows += Walk(world.fetch, resume_from=walk.checkpoint())
    world.check(rows, walk.receipt)


def test_limit_and_max_items_limit_the_rows_that_are_fetched() -> None:
    world, seen = World(spaced(3000)), []
    assert len(list(Walk(world.fetch, limit=80, max_items=150, progress=lambda *told: seen.append(told)))) == 150
    assert [request.limit for request in world.requests] == [80, 71]
    assert seen == [(0, 150), (80, 150), (150, 150)]


def test_the_receipt_has_the_range_and_the_counts() -> None:
    world = World({**spaced(250), **tied(150, at=100 * SECOND)})
    walk = Walk(world.fetch, start_at=instant(10 * SECOND), end_at=instant(240 * SECOND), sort_order="desc")
    at_start = walk.receipt
    assert (at_start.requests, at_start.rows, at_start.total_at_start, at_start.complete) == (0, 0, None, False)
    next(walk)
    assert walk.receipt.rows == 1
    assert walk.receipt.total_at_start == 380
    list(walk)
    receipt = walk.receipt
    assert json.loads(json.dumps(receipt.to_dict())) == {
        "start_at": "2026-05-01T00:00:10+00:00",
        "end_at": "2026-05-01T00:04:00+00:00",
        "sort_order": "desc",
        "requests": len(world.requests),
        "rows": 380,
        "duplicates": len(world.served) - 380,
        "anchors_moved": 4,
        "first_created_at": "2026-05-01T00:03:59+00:00",
        "last_created_at": "2026-05-01T00:00:10+00:00",
        "total_at_start": 380,
        "total_at_end": 380,
        "complete": True,
    }
    assert "enc_" not in repr(receipt)


@EITHER_CONCURRENCY
def test_the_totals_of_the_receipt_show_that_data_changed(concurrency: int) -> None:
    def grow(world: World) -> None:
        world.insert(world.random.randrange(2000, 3000) * SECOND)

    world = World(spaced(3000), changes=[[]] + [[grow]] * 5)
    walk = Walk(world.fetch, concurrency=concurrency)
    rows = list(walk)
    assert walk.receipt.total_at_start == 3000
    assert walk.receipt.total_at_end == len(rows) == 3005


@pytest.mark.parametrize("total", ["absent", "unset", "text"])
@EITHER_CONCURRENCY
def test_an_invalid_total_is_none_in_the_receipt(total: str, concurrency: int) -> None:
    walk = Walk(World(spaced(1500), total=total).fetch, concurrency=concurrency)
    list(walk)
    assert (walk.receipt.total_at_start, walk.receipt.total_at_end) == (None, None)


@EITHER_CONCURRENCY
def test_progress_gets_the_rows_so_far_and_the_expected_total(concurrency: int) -> None:
    seen: list[Any] = []
    walk = Walk(World(spaced(1500)).fetch, concurrency=concurrency, progress=lambda *told: seen.append(told))
    list(walk)
    assert seen[0] == (0, 1500)
    assert seen[-1] == (1500, 1500)
    assert [rows for rows, _ in seen] == sorted(rows for rows, _ in seen)
    assert {total for _, total in seen} == {1500}


def test_progress_can_save_a_checkpoint() -> None:
    world, kept = World(spaced(350)), []
    walk: Walk[Row] = Walk(world.fetch, progress=lambda *_: kept.append((walk.receipt.rows, walk.checkpoint())))
    rows = list(walk)
    for handed_out, checkpoint in kept:
        assert [*rows[:handed_out], *Walk(world.fetch, resume_from=checkpoint)] == rows


def test_an_error_of_a_progress_callback_loses_no_rows() -> None:
    world, calls = World(spaced(300)), []

    def progress(rows: int, total: int | None) -> None:
        calls.append(rows)
        if len(calls) == 2:
            raise LookupError

    walk = Walk(world.fetch, progress=progress)
    rows = rows_until(LookupError, walk)
    rows += walk
    world.check(rows, walk.receipt)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"max_items": -1},
        {"limit": 0},
        {"limit": 101},
        {"start_at": instant(0), "end_at": instant(0)},
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        Walk(World({}).fetch, **wrong)


@EITHER_CONCURRENCY
@pytest.mark.parametrize("encounters", [spaced(1000), tied(1000, 10), tied(900, 300)])
def test_a_server_that_ignores_the_offset_is_an_error(encounters: Any, concurrency: int) -> None:
    world = World(encounters)
    walk = Walk(lambda request: world.fetch(evolve(request, offset=0)), concurrency=concurrency)
    with pytest.raises(PaginationError, match="ignores the offset"):
        list(walk)
    pages = len(encounters) // 99
    assert walk.receipt.requests <= concurrency * (pages + 60)
    assert not walk.receipt.complete


def test_a_walk_tells_progress_bars_how_many_rows_to_expect() -> None:
    walk = Walk(World(spaced(250)).fetch)
    assert length_hint(walk) == 250
    next(walk)
    assert length_hint(walk) == 249
    assert length_hint(Walk(World(spaced(250)).fetch, max_items=7)) == 7


def test_the_repr_of_a_walk_shows_its_range_and_progress() -> None:
    walk = Walk(World(spaced(3)).fetch, start_at=instant(0))
    assert repr(walk) == "<Walk 2026-05-01T00:00:00+00:00 to open: 0 rows, complete=False>"
    assert len(list(walk)) == 3
    assert repr(walk).endswith("3 rows, complete=True>")
