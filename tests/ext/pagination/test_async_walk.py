"""The walk with asyncio: look-ahead, cancellation, and tasks that end with the walk."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from charthero_ext.pagination import AsyncWalk
from charthero_ext.pagination.window import PageRequest

from ..conftest import awaited
from .simulated_listing import Answer, Row, World, spaced

EITHER_CONCURRENCY = pytest.mark.parametrize("concurrency", [1, 4])


def other_tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def settle() -> None:
    """Let all tasks run until they wait."""
    for _ in range(50):
        await asyncio.sleep(0)


async def read(walk: AsyncWalk[Row], count: int = 10_000) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < count and (row := await anext(walk, None)) is not None:
        rows.append(row)
    return rows


class Gate:
    """Lets as many requests through as it was told to; the rest wait."""

    def __init__(self, world: World, passes: int) -> None:
        self.world, self.passes = world, asyncio.Semaphore(passes)
        self.now = self.most = self.cancelled = 0

    async def fetch(self, request: PageRequest) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.passes.acquire()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return self.world.fetch(request)


@EITHER_CONCURRENCY
@awaited
async def test_an_async_walk_uses_no_thread(concurrency: int) -> None:
    before = threading.active_count()
    async for _ in AsyncWalk(World(spaced(500)).fetch_async, concurrency=concurrency):
        assert threading.active_count() == before


@awaited
async def test_only_the_next_page_is_fetched_while_the_caller_works() -> None:
    gate = Gate(World(spaced(1000)), passes=100)
    walk = AsyncWalk(gate.fetch)
    await anext(walk)
    await settle()
    assert len(gate.world.requests) == 2


@awaited
async def test_concurrency_limits_the_requests_in_flight() -> None:
    gate = Gate(World(spaced(8000)), passes=1)
    async with AsyncWalk(gate.fetch, concurrency=3) as walk:
        await anext(walk)
        await settle()
        assert gate.now == gate.most == 3


async def leave_block(gate: Gate, concurrency: int) -> None:
    async with AsyncWalk(gate.fetch, concurrency=concurrency) as walk:
        async for _ in walk:
            await settle()
            break
        assert gate.now > 0


async def cancel_task(gate: Gate, concurrency: int) -> None:
    async def consume() -> None:
        async with AsyncWalk(gate.fetch, concurrency=concurrency) as walk:
            await read(walk)

    task = asyncio.ensure_future(consume())
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def drop_walk(gate: Gate, concurrency: int) -> None:
    async for _ in AsyncWalk(gate.fetch, concurrency=concurrency):
        await settle()
        break
    gc.collect()
    await settle()


@pytest.mark.parametrize("leave", [leave_block, cancel_task, drop_walk])
@EITHER_CONCURRENCY
@awaited
async def test_leaving_a_walk_cancels_its_requests(leave: Any, concurrency: int) -> None:
    gate = Gate(World(spaced(5000)), passes=1 if concurrency == 1 else 3)
    await leave(gate, concurrency)
    assert (gate.now, gate.cancelled > 0) == (0, True)
    assert other_tasks() == set()


@EITHER_CONCURRENCY
@awaited
async def test_requests_of_a_kept_walk_end_by_themselves_after_a_break(concurrency: int) -> None:
    world = World(spaced(5000))
    walk = AsyncWalk(world.fetch_async, concurrency=concurrency)
    rows = await read(walk, 1)
    await settle()
    assert other_tasks() == set()
    asked = len(world.requests)
    await settle()
    assert len(world.requests) == asked
    rows += await read(walk)
    world.check(rows, walk.receipt)


def test_a_failed_look_ahead_after_a_break_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(spaced(500), fails_at=frozenset({2}))

    async def main() -> None:
        await anext(AsyncWalk(world.fetch_async))
        await settle()

    asyncio.run(main())
    gc.collect()
    assert caplog.records == []


@awaited
async def test_a_walk_can_continue_after_a_cancelled_wait() -> None:
    gate = Gate(World(spaced(300)), passes=1)
    walk = AsyncWalk(gate.fetch)
    rows = await read(walk, 100)
    waiting = asyncio.ensure_future(anext(walk))
    await settle()
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    assert gate.cancelled == 0, "the request was cancelled, too"
    for _ in range(10):
        gate.passes.release()
    rows += await read(walk)
    gate.world.check(rows, walk.receipt)
    assert walk.receipt.requests == len(gate.world.requests)


@awaited
async def test_several_tasks_can_share_a_walk() -> None:
    world = World(spaced(3000))
    walk = AsyncWalk(world.fetch_async, concurrency=2)
    parts = await asyncio.gather(*(read(walk) for _ in range(4)))
    assert sorted(row.encounter_id for part in parts for row in part) == sorted(world.rows)


@EITHER_CONCURRENCY
def test_a_walk_can_continue_in_another_event_loop(concurrency: int) -> None:
    world = World(spaced(3000))
    walk = AsyncWalk(world.fetch_async, concurrency=concurrency)
    rows = asyncio.run(read(walk, 500)) + asyncio.run(read(walk))
    world.check(rows, walk.receipt)


def test_a_walk_can_outlive_its_event_loop() -> None:
    loop = asyncio.new_event_loop()
    walk = AsyncWalk(World(spaced(500)).fetch_async)
    loop.run_until_complete(anext(walk))
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    gone = weakref.ref(walk)
    del walk
    assert gone() is None
