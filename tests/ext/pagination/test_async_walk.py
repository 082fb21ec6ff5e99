"""The walk with asyncio: look-ahead, cancellation, and tasks that end with the walk."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from charthero_ext.pagination import AsyncWalk, Walk
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


@EITHER_CONCURRENCY
@awaited
async def test_leaving_the_with_block_cancels_requests_in_flight(concurrency: int) -> None:
    gate = Gate(World(spaced(5000)), passes=1 if concurrency == 1 else 3)
    async with AsyncWalk(gate.fetch, concurrency=concurrency) as walk:
        async for _ in walk:
            await settle()
            break
        assert gate.now > 0
    assert (gate.now, gate.cancelled > 0) == (0, True)
    assert other_tasks() == set()


@EITHER_CONCURRENCY
@awaited
async def test_breaking_out_of_an_unreferenced_walk_cancels_its_requests(concurrency: int) -> None:
    gate = Gate(World(spaced(5000)), passes=1 if concurrency == 1 else 3)
    async for _ in AsyncWalk(gate.fetch, concurrency=concurrency):
        await settle()
        break
    gc.collect()
    await settle()
    assert (gate.now, gate.cancelled > 0) == (0, True)
    assert other_tasks() == set()


@EITHER_CONCURRENCY
@awaited
async def test_requests_of_a_kept_walk_end_by_themselves_after_a_break(concurrency: int) -> None:
    world = World(spaced(5000))

    walk = AsyncWalk(world.fetch_async, concurrency=concurrency)
    rows = []
    async for row in walk:
        rows.append(row)
        break
    await settle()
    assert other_tasks() == set()
    asked = len(world.requests)
    await settle()
    assert len(world.requests) == asked
    rows += [row async for row in walk]
    world.check(rows, walk.receipt)


def test_a_failed_look_ahead_after_a_break_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(spaced(500), fails_at=frozenset({2}))

    async def main() -> None:
        async for _ in AsyncWalk(world.fetch_async):
            await settle()
            break
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert caplog.records == []


@awaited
async def test_a_walk_can_continue_after_a_cancelled_wait() -> None:
    gate = Gate(World(spaced(300)), passes=1)
    walk = AsyncWalk(gate.fetch)
    rows = [await anext(walk) for _ in range(100)]
    waiting = asyncio.ensure_future(anext(walk))
    await settle()
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    gate.passes.release()
    assert gate.cancelled == 0, "the request goes on"
    for _ in range(10):
        gate.passes.release()
    rows += [row async for row in walk]
    gate.world.check(rows, walk.receipt)
    assert walk.receipt.requests == len(gate.world.requests)


@awaited
async def test_a_walk_in_a_task_group_ends_with_the_group() -> None:
    gate = Gate(World(spaced(500)), passes=2)

    async def consume() -> None:
        async with AsyncWalk(gate.fetch) as walk:
            async for _ in walk:
                pass

    async def fail() -> None:
        await settle()
        raise LookupError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(consume())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await both()
    assert gate.now == 0
    assert other_tasks() == set()


@awaited
async def test_several_tasks_can_share_a_walk() -> None:
    world = World(spaced(3000))

    walk = AsyncWalk(world.fetch_async, concurrency=2)
    rows: list[Row] = []

    async def consume() -> None:
        async for row in walk:
            rows.append(row)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(consume())
    assert sorted(row.encounter_id for row in rows) == sorted(world.rows)


@EITHER_CONCURRENCY
def test_a_walk_can_continue_in_another_event_loop(concurrency: int) -> None:
    world = World(spaced(3000))

    async def some(walk: AsyncWalk[Row]) -> list[Row]:
        return [await anext(walk) for _ in range(500)]

    async def rest(walk: AsyncWalk[Row]) -> list[Row]:
        return [row async for row in walk]

    walk = AsyncWalk(world.fetch_async, concurrency=concurrency)
    rows = asyncio.run(some(walk)) + asyncio.run(rest(walk))
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


def test_a_checkpoint_works_with_both_kinds_of_walk() -> None:
    world = World(spaced(500))

    async def some() -> tuple[list[Row], str]:
        async with AsyncWalk(world.fetch_async, sort_order="desc") as walk:
            return [await anext(walk) for _ in range(230)], walk.checkpoint()

    rows, checkpoint = asyncio.run(some())
    rest = Walk(world.fetch, resume_from=checkpoint)
    world.check([*rows, *rest], rest.receipt)
