"""Difficult lists, one difficulty per test, and the number of requests without any."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.errors import PaginationError
from charthero_ext.pagination.window import Window
from charthero_ext.pagination.window_walk import WindowWalk
from tests.examples import examples

from .simulated_listing import (
    SECOND,
    TIES,
    TOTALS,
    UNSET,
    Answer,
    Row,
    World,
    budget,
    drive,
    instant,
    microseconds,
    spaced,
    tied,
)

DIRECTIONS = pytest.mark.parametrize("order", ["asc", "desc"])


def walked(world: World, window: Window, limit: int = 100) -> list[Row]:
    walk: WindowWalk[Row] = WindowWalk(window, limit=limit)
    rows = drive(walk, world)
    assert walk.proven
    world.check(rows, window)
    return rows


@examples(150)
@given(
    count=st.integers(0, 1300) | st.sampled_from([1, 98, 99, 100, 101, 198, 199, 200, 990, 991, 992, 1089]),
    order=st.sampled_from(["asc", "desc"]),
    step=st.sampled_from([1, 1000, SECOND, 60 * SECOND]),
    shared=st.integers(1, 3),
    total=st.sampled_from(sorted(TOTALS)),
    ties=st.sampled_from(sorted(TIES)),
)
def test_quiet_data_costs_at_most_one_request_per_99_rows_and_two_more(
    count: int, order: str, step: int, shared: int, total: str, ties: str
) -> None:
    rows = {encounter_id: at // (step * shared) * step for encounter_id, at in spaced(count, step).items()}
    world = World(rows, total=total, ties=ties)
    assert len(walked(world, Window(sort_order=order))) == count
    assert len(world.requests) <= budget(count)


@DIRECTIONS
def test_many_rows_need_no_large_offset(order: str) -> None:
    world = World(spaced(5_000))
    walked(world, Window(sort_order=order))
    assert max(request.offset for request in world.requests) <= 1


@DIRECTIONS
@pytest.mark.parametrize("count", [99, 100, 101, 1000, 9_999, 10_000])
def test_a_tie_longer_than_a_page_needs_no_extra_requests(count: int, order: str) -> None:
    world = World({**tied(count, at=50 * SECOND), **spaced(60, start=0), **spaced(7, step=7, start=60 * SECOND)})
    rows = walked(world, Window(sort_order=order))
    assert len(world.requests) <= budget(len(rows))


@DIRECTIONS
@pytest.mark.parametrize(("tie", "others", "total"), [(10_100, 0, "honest"), (10_099, 50, "absent")])
def test_total_or_the_row_after_it_proves_that_the_longest_tie_is_complete(
    order: str, tie: int, others: int, total: str
) -> None:
    world = World({**spaced(others), **tied(tie, 50 * SECOND), **spaced(others, start=51 * SECOND)}, total=total)
    assert len(walked(world, Window(sort_order=order))) == tie + 2 * others


@DIRECTIONS
@pytest.mark.parametrize("total", sorted(TOTALS))
@pytest.mark.parametrize("later", [pytest.param(0, marks=pytest.mark.slow), 500])
def test_a_tie_that_offsets_cannot_reach_is_an_error_with_its_time(order: str, total: str, later: int) -> None:
    world = World({**tied(10_150, at=7 * SECOND), **spaced(later, start=8 * SECOND)}, total=total)
    with pytest.raises(PaginationError, match=r"created at 2026-05-01 00:00:07\+00:00 .* 10100 were") as caught:
        drive(WindowWalk(Window(sort_order=order, end_at=instant(9999 * SECOND))), world)
    assert max(request.offset for request in world.requests) == 10_000
    assert "enc_" not in str(pickle.loads(pickle.dumps(caught.value)))


@pytest.mark.parametrize("total", sorted(set(TOTALS) - {"honest"}))
def test_a_wrong_total_does_not_prove_that_the_longest_tie_is_complete(total: str) -> None:
    world = World(tied(10_100), total=total)
    with pytest.raises(PaginationError, match="than offsets can reach"):
        drive(WindowWalk(Window()), world)


@DIRECTIONS
@pytest.mark.parametrize("rounding", ["down", "up", "half"])
@pytest.mark.parametrize("step", [1000, SECOND, 3600 * SECOND])
@pytest.mark.parametrize("gap", [3, 900, 400_000])
def test_times_displayed_with_less_precision_lose_no_rows(order: str, rounding: str, step: int, gap: int) -> None:
    world = World(spaced(1500, gap), step=step, rounding=rounding)
    low, high = instant(100 * gap + 1), instant(1400 * gap + 1)
    assert len(walked(world, Window(start_at=low, end_at=high, sort_order=order))) == 1300


@DIRECTIONS
@pytest.mark.parametrize("clamp", [1, 2, 3, 50, 99])
def test_a_server_with_smaller_pages_is_walked_completely(order: str, clamp: int) -> None:
    world = World(spaced(300), clamp=lambda: clamp)
    walked(world, Window(sort_order=order))
    assert len(world.requests) <= 300 / max(clamp - 1, 0.5) + 6


def test_a_tie_on_a_server_with_pages_of_one_row_is_an_error() -> None:
    world = World({**spaced(3), **tied(3, at=5 * SECOND)}, clamp=lambda: 1)
    with pytest.raises(
        PaginationError, match="none of the 2 encounters already returned that were created at 2026-05-01 00:00:05"
    ):
        drive(WindowWalk(Window()), world)


@DIRECTIONS
@pytest.mark.parametrize(
    ("at", "total"), [(1, "honest"), *product([2, 3, 4, 5, 6], ["honest", "zero", "the page's end"])]
)
def test_one_wrongly_empty_page_loses_no_rows(order: str, at: int, total: str) -> None:
    world = World({**tied(250), **spaced(100, start=SECOND)}, total=total, empty_at=frozenset({at}))
    assert len(walked(world, Window(sort_order=order))) == 350


@pytest.mark.parametrize("at", range(2, 9))
def test_a_wrongly_empty_page_loses_no_rows_although_the_rows_before_it_are_gone(at: int) -> None:
    def delete_served(world: World) -> None:
        for encounter_id in world.served:
            world.delete(encounter_id)

    rows = spaced(300, 100 * SECOND)
    world = World(rows, total="zero", changes=[[], [delete_served]], empty_at=frozenset({at}))
    assert len(walked(world, Window())) == 300


def test_rows_that_move_with_the_offset_are_no_error() -> None:
    def move(world: World) -> None:
        world.rows[f"enc_{next(number):02d}"] = 0  # Sorted before the only other row.
        world.sorted.clear()

    number = iter(range(30))
    world = World({"enc_last": 0}, changes=[[], *[[move]] * 30])
    assert [row.encounter_id for row in walked(world, Window())].count("enc_last") == 1


def test_an_empty_range_needs_one_request() -> None:
    world = World({})
    assert walked(world, Window()) == []
    assert len(world.requests) == 1


def test_an_unsorted_page_is_an_error_and_can_be_requested_again() -> None:
    world = World(spaced(50))
    walk: WindowWalk[Row] = WindowWalk(Window())
    page = world.fetch(walk.request)
    page.items[10], page.items[20] = page.items[20], page.items[10]
    with pytest.raises(PaginationError, match=r"item 11, created at 2026-05-01 00:00:11\+00:00, is out of order"):
        walk.receive(page)
    world.check(drive(walk, world), Window())


@DIRECTIONS
def test_a_deleted_last_row_needs_only_a_few_extra_requests(order: str) -> None:
    def delete_furthest(world: World) -> None:
        for encounter_id in world.served[-1:]:
            world.delete(encounter_id)

    world = World(spaced(1000, 100 * SECOND), changes=[[delete_furthest]] * 20)
    walked(world, Window(sort_order=order))
    assert len(world.requests) <= budget(1000) + 20 * 4


@DIRECTIONS
def test_a_server_that_ignores_the_filters_is_an_error(order: str) -> None:
    world = World(spaced(500, 1_000_003))

    def fetch_all(walk: WindowWalk[Row]) -> None:
        while (request := walk.request) is not None:
            walk.receive(world.fetch(type(request)(sort_order=order, limit=request.limit, offset=request.offset)))

    with pytest.raises(PaginationError, match="outside the requested range"):
        fetch_all(WindowWalk(Window(sort_order=order)))


BROKEN_TIMES = [None, UNSET, "2026-05-01T00:00:03Z", instant(0).replace(tzinfo=None), instant(0).date(), 3]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        *[([Row("enc_1", instant(0)), Row("enc_2", odd)], "created_at of item 1") for odd in BROKEN_TIMES],
        *[([Row(odd, instant(0))], "encounter_id of item 0 is not text") for odd in (None, UNSET, 5)],
        *[(odd, "no list of items") for odd in (None, UNSET, 5)],
    ],
)
def test_an_invalid_page_is_an_error_that_names_the_position_and_no_id(items: Any, message: str) -> None:
    walk: WindowWalk[Row] = WindowWalk(Window(start_at=instant(0)))
    with pytest.raises(PaginationError, match="offset 0 of 2026-05-01T00:00:00") as caught:
        walk.receive(Answer(items, 100, 0, 2))
    assert message in str(caught.value)
    assert "enc_" not in str(caught.value)


def test_a_row_that_is_twice_in_a_page_is_yielded_once() -> None:
    walk: WindowWalk[Row] = WindowWalk(Window())
    row = Row("enc_1", instant(0))
    assert walk.receive(Answer([row, row], 100, 0, 2)) == [row]
    assert walk.duplicates == 1


@DIRECTIONS
def test_the_first_and_last_times_of_the_calendar_are_walked(order: str) -> None:
    first, last = (edge.replace(tzinfo=UTC) for edge in (datetime.min, datetime.max))
    world = World({"enc_1": microseconds(first), "enc_2": 0, "enc_3": microseconds(last)})
    assert len(walked(world, Window(sort_order=order), limit=2)) == 3


def test_times_in_other_time_zones_are_equal() -> None:
    east = timezone(timedelta(hours=9))
    world = World(spaced(150))
    walk: WindowWalk[Row] = WindowWalk(Window(start_at=instant(10 * SECOND).astimezone(east)))
    rows: list[Row] = []
    while (request := walk.request) is not None:
        page = world.fetch(request)
        rows += walk.receive(
            Answer([Row(row.encounter_id, row.created_at.astimezone(east)) for row in page.items], 0, 0, 0)
        )
    assert len(rows) == 140


@pytest.mark.parametrize(
    "bounds",
    [
        {"start_at": instant(5), "end_at": instant(5)},
        {"start_at": instant(5), "end_at": instant(4)},
        {"start_at": instant(5).replace(tzinfo=None)},
        {"end_at": instant(5).replace(tzinfo=None)},
        {"sort_order": "newest"},
    ],
)
def test_an_invalid_window_is_refused(bounds: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"time zone|before|asc"):
        Window(**bounds)


def test_a_page_that_was_not_requested_is_an_error() -> None:
    walk: WindowWalk[Row] = WindowWalk(Window(), max_rows=0)
    with pytest.raises(RuntimeError, match="request is None"):
        walk.receive(Answer([], 100, 0, 0))
