"""Cutting a range into windows: few small requests, no gap and no overlap."""

from __future__ import annotations

import asyncio
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.errors import PaginationError
from charthero_ext.pagination import AsyncWalk, Walk
from charthero_ext.pagination.planner import WindowPlanner
from charthero_ext.pagination.window import Window
from charthero_ext.pagination.window_walk import WindowWalk
from tests.examples import examples

from .moving_worlds import windows, worlds
from .simulated_listing import SECOND, TOTALS, Answer, Row, World, cut_windows, drive, instant, spaced, tied


def walked(world: World, window: Window) -> list[Row]:
    return list(Walk(world.fetch, start_at=window.start_at, end_at=window.end_at, sort_order=window.sort_order))


@pytest.mark.parametrize("total", sorted(TOTALS))
def test_each_window_has_max_rows_and_needs_one_small_request(total: str) -> None:
    world = World(spaced(10_500), total=total)
    cut = cut_windows(world.fetch, max_rows=1000)
    assert len(world.requests) == len(cut) == 11
    assert {request.limit for request in world.requests} == {1}
    assert [len(world.listing(window)) for window in cut] == [1000] * 10 + [500]


@examples(300)
@given(world=worlds(), window=windows(), max_rows=st.integers(1, 20))
def test_windows_have_no_gap_and_no_overlap(world: World, window: Window, max_rows: int) -> None:
    planner = WindowPlanner(window, max_rows=max_rows)
    cut: list[Window] = []
    while (request := planner.request) is not None:
        cut += planner.receive(world.fetch(request))
    if window.sort_order == "desc":
        cut.reverse()
    assert (cut[0].start_at, cut[-1].end_at) == (window.start_at, window.end_at)
    assert all(before.end_at == after.start_at is not None for before, after in pairwise(cut))
    assert {part.sort_order for part in cut} == {window.sort_order}


@examples(200)
@given(world=worlds(), window=windows(), max_rows=st.integers(1, 20))
def test_pickled_windows_yield_every_encounter_once(world: World, window: Window, max_rows: int) -> None:
    cut = cut_windows(world.fetch, start_at=window.start_at, end_at=window.end_at, max_rows=max_rows)
    rows = [row for part in pickle.loads(pickle.dumps(cut)) for row in drive(WindowWalk(part, limit=5), world)]
    world.check(rows, Window(start_at=window.start_at, end_at=window.end_at))


def test_a_tie_with_more_than_max_rows_is_one_window() -> None:
    world = World({**spaced(50), **tied(3000, at=50 * SECOND), **spaced(50, start=51 * SECOND)})
    cut = cut_windows(world.fetch, max_rows=100)
    assert len(cut) < 6
    world.check([row for window in cut for row in walked(world, window)], Window())


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("rounding", ["down", "up", "half"])
def test_times_with_less_precision_need_few_requests(rounding: str, order: str) -> None:
    world = World(spaced(5000, 1000), step=SECOND, rounding=rounding)
    planner = WindowPlanner(Window(sort_order=order), max_rows=100)
    cut: list[Window] = []
    while (request := planner.request) is not None:
        cut += planner.receive(world.fetch(request))
    assert len(cut) <= 12
    world.check([row for window in cut for row in walked(world, window)], Window(sort_order=order))


def test_rows_added_later_are_in_the_outer_windows() -> None:
    world = World(spaced(500))
    cut = cut_windows(world.fetch, max_rows=100)
    world.insert(-SECOND)
    world.insert(10_000 * SECOND)
    rows = [row for window in cut for row in walked(world, window)]
    assert len(rows) == 502


def test_an_empty_range_is_one_window() -> None:
    assert cut_windows(World({}).fetch, start_at=instant(0)) == [Window(start_at=instant(0))]


def test_a_window_never_needs_an_offset_above_the_limit() -> None:
    world = World(spaced(25_000))
    assert len(cut_windows(world.fetch, max_rows=100_000)) == 3


@pytest.mark.parametrize("wrong", [{"max_rows": 0}, {"start_at": instant(1), "end_at": instant(1)}])
def test_invalid_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"max_rows|start_at"):
        cut_windows(World({}).fetch, **wrong)


def test_a_row_outside_the_range_is_an_error() -> None:
    planner = WindowPlanner(Window(end_at=instant(0)), max_rows=10)
    with pytest.raises(PaginationError, match="outside the requested range"):
        planner.receive(Answer([Row("enc_1", instant(123_456_789))], 1, 10, 11))


def test_a_page_that_was_not_requested_is_an_error() -> None:
    planner = WindowPlanner(Window(), max_rows=10)
    planner.receive(Answer([], 1, 10, 0))
    with pytest.raises(RuntimeError, match="request is None"):
        planner.receive(Answer([], 1, 10, 0))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_concurrent_walk_needs_few_extra_requests(order: str) -> None:
    world = World(spaced(20_000))
    assert len(list(Walk(world.fetch, concurrency=8, sort_order=order))) == 20_000
    assert len(world.requests) < 1.35 * 20_000 / 99


def test_a_concurrent_walk_includes_rows_added_at_the_end() -> None:
    def grow(world: World) -> None:
        world.insert(max(world.rows.values()) + SECOND)

    world = World(spaced(2500), changes=[[grow]] * 20)

    async def main() -> int:
        return len([row async for row in AsyncWalk(world.fetch_async, concurrency=3)])

    assert asyncio.run(main()) == 2520
