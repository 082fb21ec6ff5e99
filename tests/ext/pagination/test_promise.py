"""The promise of the walk in thousands of simulated worlds: every encounter once, while data changes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.errors import PaginationError, TransportError
from charthero_ext.pagination import AsyncWalk, Walk
from charthero_ext.pagination.window import Window
from charthero_ext.pagination.window_walk import WindowWalk
from tests.examples import examples

from .moving_worlds import windows, worlds
from .simulated_listing import Row, World, drive

small_pages = st.integers(2, 8)
kinds = st.sampled_from([Walk, AsyncWalk])


def range_of(window: Window) -> dict[str, object]:
    return {"start_at": window.start_at, "end_at": window.end_at, "sort_order": window.sort_order}


def taken(walk: Walk[Row] | AsyncWalk[Row], count: int | None) -> list[Row]:
    """Return the next *count* rows, or all, and close the walk. Iterate again after every failure."""
    rows: list[Row] = []
    if isinstance(walk, Walk):
        with walk:
            while True:
                with suppress(TransportError):
                    for row in islice(walk, None if count is None else count - len(rows)):
                        rows.append(row)  # noqa: PERF402  (kept when it fails)
                    return rows

    async def main() -> None:
        async with walk:
            while len(rows) != count:
                with suppress(TransportError):
                    row = await anext(walk, None)
                    if row is None:
                        return
                    rows.append(row)

    asyncio.run(main())
    return rows


@examples(1500)
@given(world=worlds(), window=windows(), limit=small_pages)
def test_a_walk_yields_every_encounter_once_while_data_changes(world: World, window: Window, limit: int) -> None:
    walk: WindowWalk[Row] = WindowWalk(window, limit=limit)
    rows = drive(walk, world)
    assert walk.proven
    world.check(rows, window)


@examples(300)
@given(world=worlds(smallest_clamp=1, largest_clamp=1), window=windows())
def test_pages_of_one_row_are_walked_completely_or_refused(world: World, window: Window) -> None:
    """While nothing moves: a page of one row cannot show that nothing follows that row."""
    world.changes = []
    walk: WindowWalk[Row] = WindowWalk(window)
    rows: list[Row] = []
    try:
        while (request := walk.request) is not None:
            rows += walk.receive(world.fetch(request))
    except PaginationError:
        assert not walk.proven
    else:
        world.check(rows, window)


@examples(300)
@given(
    kind=kinds,
    world=worlds(),
    window=windows(),
    limit=small_pages,
    concurrency=st.integers(1, 4),
    fails_at=st.frozensets(st.integers(1, 30), max_size=8),
)
def test_a_concurrent_walk_with_failures_yields_every_encounter_once(
    kind: Any, world: World, window: Window, limit: int, concurrency: int, fails_at: frozenset[int]
) -> None:
    world.fails_at = fails_at
    fetch = world.fetch if kind is Walk else world.fetch_async
    walk = kind(fetch, **range_of(window), limit=limit, concurrency=concurrency)
    rows = taken(walk, None)
    world.check(rows, window)
    receipt = walk.receipt
    assert receipt.complete
    assert (receipt.rows, receipt.requests) == (len(rows), len(world.requests))
    assert receipt.first_created_at == (rows[0].created_at if rows else None)
    assert receipt.last_created_at == (rows[-1].created_at if rows else None)
    json.dumps(receipt.to_dict())


@examples(500)
@given(
    world=worlds(),
    window=windows(),
    limit=small_pages,
    parts=st.lists(st.tuples(kinds, st.integers(0, 25), st.integers(1, 4)), max_size=5),
)
def test_resumed_walks_of_both_kinds_yield_every_encounter_once(
    world: World, window: Window, limit: int, parts: list[tuple[Any, int | None, int]]
) -> None:
    rows: list[Row] = []
    checkpoint = None
    for kind, count, concurrency in [*parts, (Walk, None, 1)]:
        fetch = world.fetch if kind is Walk else world.fetch_async
        walk = kind(fetch, **range_of(window), limit=limit, concurrency=concurrency, resume_from=checkpoint)
        rows += taken(walk, count)
        checkpoint = walk.checkpoint()
    assert walk.receipt.complete
    world.check(rows, window)
