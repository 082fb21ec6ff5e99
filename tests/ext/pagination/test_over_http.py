"""The walk over HTTP, against the sandbox, also while data changes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from charthero_ext import AsyncChartHero, ChartHero, Settings
from charthero_ext.sandbox import Sandbox
from tests.examples import IS_FAST

#: More rows than the largest offset can reach.
ROWS = 11_000 if IS_FAST else 50_000


@pytest.fixture(scope="module")
def large() -> Iterator[Sandbox]:
    with Sandbox(encounters=ROWS, ties=3000) as sandbox:
        yield sandbox


def client(sandbox: Sandbox, **others: object) -> ChartHero:
    return ChartHero(settings=Settings.load(api_key=sandbox.api_key, base_url=sandbox.base_url, **others))


def truth(sandbox: Sandbox) -> set[str]:
    return set(sandbox.encounter_ids())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_walk_yields_every_encounter_once_and_in_order(large: Sandbox, concurrency: int) -> None:
    with client(large) as ch:
        walk = ch.encounters.iter(concurrency=concurrency)
        seen = [(encounter.created_at, encounter.encounter_id) for encounter in walk]
    assert {identifier for _, identifier in seen} == truth(large)
    assert len(seen) == ROWS
    assert [created for created, _ in seen] == sorted(created for created, _ in seen)
    assert walk.receipt.complete
    assert walk.receipt.rows == ROWS
    json.dumps(walk.receipt.to_dict())


@pytest.mark.parametrize(("precision", "concurrency"), [("microseconds", 3), ("milliseconds", 1), ("seconds", 3)])
def test_a_walk_yields_every_encounter_once_while_data_changes(precision: str, concurrency: int) -> None:
    with Sandbox(encounters=4000, ties=500, precision=precision) as sandbox, client(sandbox) as ch:
        before = truth(sandbox)
        stop = threading.Event()
        gone: set[str] = set()

        def write() -> None:
            victims = sorted(before)[::40]
            while not stop.is_set() and victims:
                sandbox.append()
                gone.add(victims[-1])
                sandbox.delete(victims.pop())
                stop.wait(0.002)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = Counter(encounter.encounter_id for encounter in ch.encounters.iter(concurrency=concurrency))
        finally:
            stop.set()
            writer.join()
    assert before - gone <= set(seen)
    assert set(seen.values()) == {1}


def test_a_walk_can_be_cut_resumed_and_split_into_windows(large: Sandbox) -> None:
    told: list[tuple[int, int | None]] = []
    with client(large) as ch:
        walk = ch.encounters.iter(max_items=25, limit=10, progress=lambda *progress: told.append(progress))
        first = [encounter.encounter_id for encounter in walk]
        rest = [encounter.encounter_id for encounter in ch.encounters.iter(resume_from=walk.checkpoint())]
        windows = ch.encounters.windows(max_rows=ROWS // 5)
        seen = Counter(each.encounter_id for window in windows for each in ch.encounters.iter_window(window))
    assert seen == Counter(truth(large))
    assert (len(first), walk.receipt.requests) == (25, 3)
    assert (told[0], told[-1]) == ((0, 25), (25, 25))
    assert len(first) + len(rest) == ROWS
    assert {*first, *rest} == truth(large)


def test_async_walks_can_share_a_client_in_a_task_group() -> None:
    async def main(sandbox: Sandbox) -> None:
        async with AsyncChartHero(api_key=sandbox.api_key, base_url=sandbox.base_url) as ch:

            async def walk(concurrency: int) -> set[str]:
                each = ch.encounters.iter(concurrency=concurrency)
                return {encounter.encounter_id async for encounter in each}

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(walk(concurrency)) for concurrency in (1, 2, 4)]
            assert all(task.result() == truth(sandbox) for task in tasks)
            async for _ in ch.encounters.iter(concurrency=3):
                break
            async with ch.encounters.iter(concurrency=3) as left:
                await anext(left)
            windows = await ch.encounters.windows(max_rows=500)
            rows = [each.encounter_id for window in windows async for each in ch.encounters.iter_window(window)]
            assert sorted(rows) == sorted(truth(sandbox))

    with Sandbox(encounters=3000) as sandbox:
        asyncio.run(main(sandbox))
