"""Cutting a range into windows: few small requests, no gap and no overlap."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext._steps import Steps
from charthero_ext.errors import PaginationError
from charthero_ext.pagination import planner
from charthero_ext.pagination.window import PageRequest, Window
from charthero_ext.pagination.window_walk import WindowWalk
from tests.examples import examples

from .moving_worlds import worlds
from .simulated_listing import SECOND, TOTALS, Answer, Row, World, drive, instant, spaced, tied


def cut_windows(world: World, **range_: Any) -> list[Window]:
    def fetch(request: PageRequest) -> Steps[Answer]:
        return world.fetch(request)
        yield

    with pytest.raises(StopIteration) as end:
        next(planner.cut_windows(fetch, **range_))
    windows: list[Window] = end.value.value
    return windows


def walked(windows: list[Window], world: World, *, limit: int = 100) -> list[Row]:
    return [row for window in windows for row in drive(WindowWalk(window, limit=limit), world)]


@pytest.mark.parametrize("total", sorted(TOTALS))
def test_each_window_has_max_rows_and_needs_one_small_request(total: str) -> None:
    world = World(spaced(10_500), total=total)
    cut = cut_windows(world, max_rows=1000)
    assert len(world.requests) == len(cut) == 11
    assert {request.limit for request in world.requests} == {1}
    assert [len(world.listing(window)) for window in cut] == [1000] * 10 + [500]


@examples(300)
@given(
    world=worlds(),
    bounds=st.tuples(st.none() | st.integers(-9, 30), st.none() | st.integers(31, 60)),
    scale=st.sampled_from([1, 400, SECOND]),
    max_rows=st.integers(1, 20),
)
def test_pickled_windows_have_no_gap_and_yield_every_encounter_once(
    world: World, bounds: tuple[int | None, int | None], scale: int, max_rows: int
) -> None:
    start, end = (None if bound is None else instant(bound * scale) for bound in bounds)
    cut = pickle.loads(pickle.dumps(cut_windows(world, start_at=start, end_at=end, max_rows=max_rows)))
    assert (cut[0].start_at, cut[-1].end_at) == (start, end)
    assert all(before.end_at == after.start_at is not None for before, after in pairwise(cut))
    world.check(walked(cut, world, limit=5), Window(start_at=start, end_at=end))


def test_a_tie_with_more_than_max_rows_is_one_window() -> None:
    world = World({**spaced(50), **tied(3000, at=50 * SECOND), **spaced(50, start=51 * SECOND)})
    cut = cut_windows(world, max_rows=100)
    assert len(cut) < 6
    world.check(walked(cut, world), Window())


@pytest.mark.parametrize("rounding", ["down", "up", "half"])
def test_times_with_less_precision_need_few_requests(rounding: str) -> None:
    world = World(spaced(5000, 1000), step=SECOND, rounding=rounding)
    cut = cut_windows(world, max_rows=100)
    assert len(cut) <= 12
    world.check(walked(cut, world), Window())


def test_rows_added_later_are_in_the_outer_windows() -> None:
    world = World(spaced(500))
    cut = cut_windows(world, max_rows=100)
    world.insert(-SECOND)
    world.insert(10_000 * SECOND)
    assert len(walked(cut, world)) == 502


def test_an_empty_range_is_one_window() -> None:
    assert cut_windows(World({}), start_at=instant(0)) == [Window(start_at=instant(0))]


def test_a_window_never_needs_an_offset_above_the_limit() -> None:
    assert len(cut_windows(World(spaced(25_000)), max_rows=100_000)) == 3


@pytest.mark.parametrize("wrong", [{"max_rows": 0}, {"start_at": instant(1), "end_at": instant(1)}])
def test_invalid_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_rows|start_at"):
        next(planner.cut_windows(lambda request: pytest.fail("requested"), **wrong))


def test_a_row_outside_the_range_is_an_error() -> None:
    class Unfiltered(World):
        def range(self, asked: Any) -> tuple[float, float]:
            return -math.inf, math.inf

    with pytest.raises(PaginationError, match="outside the requested range"):
        cut_windows(Unfiltered(spaced(9, start=123_456_789)), end_at=instant(0), max_rows=3)
