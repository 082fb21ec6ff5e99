"""The promise itself, in thousands of simulated worlds: every encounter exactly once, while data moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.errors import PaginationError, TransportError
from charthero_ext.pagination import AsyncWalk, Walk, base_walk
from charthero_ext.pagination.window import Window
from charthero_ext.pagination.window_walk import WindowWalk
from tests.examples import examples

from .moving_worlds import windows, worlds
from .simulated_listing import Row, World, drive

small_pages = st.integers(2, 8)


def range_of(window: Window) -> dict[str, object]:
    return {"start_at": window.start_at, "end_at": window.end_at, "sort_order": window.sort_order}


def stubbornly(walk: Walk[Row]) -> Iterator[Row]:
    """Iterate again after every failure."""
    while True:
        try:
            yield from walk
        except TransportError:
            continue
        return


@examples(1500)
@given(world=worlds(), window=windows(), limit=small_pages)
def test_every_encounter_is_handed_out_exactly_once_while_data_moves(world: World, window: Window, limit: int) -> None:
    walk: WindowWalk[Row] = WindowWalk(window, limit=limit)
    rows = drive(walk, world)
    assert walk.proven
    world.check(rows, window)


@examples(300)
@given(world=worlds(smallest_clamp=1, largest_clamp=1), window=windows())
def test_a_server_that_sends_single_rows_is_walked_or_refused_but_never_cut_short(world: World, window: Window) -> None:
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
    world=worlds(),
    window=windows(),
    limit=small_pages,
    concurrency=st.integers(1, 4),
    fails_at=st.frozensets(st.integers(1, 30), max_size=8),
)
def test_it_holds_across_failures_look_ahead_and_concurrency(
    world: World, window: Window, limit: int, concurrency: int, fails_at: frozenset[int]
) -> None:
    world.fails_at = fails_at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_walk, "WINDOW_PAGES", 2)
        walk: Walk[Row] = Walk(world.fetch, **range_of(window), limit=limit, concurrency=concurrency)
        rows = list(stubbornly(walk))
    world.check(rows, window)
    receipt = walk.receipt
    assert receipt.complete
    assert (receipt.rows, receipt.requests) == (len(rows), len(world.requests))
    assert receipt.first_created_at == (rows[0].created_at if rows else None)
    assert receipt.last_created_at == (rows[-1].created_at if rows else None)
    json.dumps(receipt.to_dict())


@examples(300)
@given(
    world=worlds(),
    window=windows(),
    limit=small_pages,
    parts=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 3)), max_size=5),
)
def test_it_holds_across_checkpoints(world: World, window: Window, limit: int, parts: list[tuple[int, int]]) -> None:
    rows: list[Row] = []
    checkpoint = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_walk, "WINDOW_PAGES", 2)
        for count, concurrency in parts:
            walk: Walk[Row] = Walk(
                world.fetch, **range_of(window), limit=limit, concurrency=concurrency, resume_from=checkpoint
            )
            rows += islice(walk, count)
            walk.close()
            checkpoint = walk.checkpoint()
    walk = Walk(world.fetch, **range_of(window), limit=limit, resume_from=checkpoint)
    rows += walk
    assert walk.receipt.complete
    world.check(rows, window)


@examples(300)
@given(
    world=worlds(),
    window=windows(),
    limit=small_pages,
    concurrency=st.integers(1, 4),
    stops=st.lists(st.integers(0, 25), max_size=4),
)
def test_it_holds_with_asyncio(world: World, window: Window, limit: int, concurrency: int, stops: list[int]) -> None:
    async def collect() -> list[Row]:
        rows: list[Row] = []
        checkpoint = None
        for stop in [*stops, None]:
            async with AsyncWalk(
                world.fetch_async, **range_of(window), limit=limit, concurrency=concurrency, resume_from=checkpoint
            ) as walk:
                count = 0
                async for row in walk:
                    rows.append(row)
                    count += 1
                    if count == stop:
                        break
            checkpoint = walk.checkpoint()
        assert walk.receipt.complete
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_walk, "WINDOW_PAGES", 2)
        rows = asyncio.run(collect())
    world.check(rows, window)
