"""What the walk has to stand, one hardship a test, and how few requests it takes where there is none."""

from __future__ import annotations

import math
import pickle
from datetime import timedelta, timezone

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
    drive,
    instant,
    spaced,
    tied,
)

DIRECTIONS = pytest.mark.parametrize("order", ["asc", "desc"])


def walked(world: World, window: Window) -> list[Row]:
    walk: WindowWalk[Row] = WindowWalk(window)
    rows = drive(walk, world)
    assert walk.proven
    world.check(rows, window)
    return rows


def budget(rows: int) -> int:
    return math.ceil(rows / 99) + 2


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
def test_fifty_thousand_rows_need_no_deep_offset(order: str) -> None:
    world = World(spaced(5_000))
    walked(world, Window(sort_order=order))
    assert max(request.offset for request in world.requests) <= 1


@DIRECTIONS
@pytest.mark.parametrize("count", [99, 100, 101, 1000, 9_999, 10_000])
def test_ties_far_longer_than_a_page_cost_no_more_than_other_rows(count: int, order: str) -> None:
    world = World({**tied(count, at=50 * SECOND), **spaced(60, start=0), **spaced(7, step=7, start=60 * SECOND)})
    rows = walked(world, Window(sort_order=order))
    assert len(world.requests) <= budget(len(rows))


@DIRECTIONS
def test_an_instant_with_as_many_rows_as_offsets_can_reach_is_walked(order: str) -> None:
    world = World(tied(10_100))
    assert len(walked(world, Window(sort_order=order))) == 10_100


@DIRECTIONS
def test_the_row_after_the_instant_proves_that_it_was_walked_to_its_end(order: str) -> None:
    world = World({**spaced(50), **tied(10_099, at=50 * SECOND), **spaced(50, start=51 * SECOND)}, total="absent")
    assert len(walked(world, Window(sort_order=order))) == 10_199


@DIRECTIONS
@pytest.mark.parametrize("total", sorted(TOTALS))
@pytest.mark.parametrize("later", [pytest.param(0, marks=pytest.mark.slow), 500])
def test_an_instant_beyond_the_reach_of_offsets_is_an_error_that_names_it(order: str, total: str, later: int) -> None:
    world = World({**tied(10_150, at=7 * SECOND), **spaced(later, start=8 * SECOND)}, total=total)
    with pytest.raises(PaginationError, match=r"10100 encounters created at 2026-05-01 00:00:07\+00:00") as caught:
        drive(WindowWalk(Window(sort_order=order, end_at=instant(9999 * SECOND))), world)
    assert max(request.offset for request in world.requests) == 10_000
    assert "enc_" not in str(pickle.loads(pickle.dumps(caught.value)))


@pytest.mark.parametrize("total", sorted(set(TOTALS) - {"honest"}))
def test_no_other_total_vouches_for_the_rows_that_only_the_last_offset_reaches(total: str) -> None:
    world = World(tied(10_100), total=total)
    with pytest.raises(PaginationError, match="offsets go no further"):
        drive(WindowWalk(Window()), world)


def test_a_long_tie_whose_first_rows_vanish_all_the_time_loses_none() -> None:
    def delete_first(world: World) -> None:
        for encounter_id in sorted(world.rows)[:3]:
            world.delete(encounter_id)

    world = World(tied(1000), changes=[[delete_first]] * 40)
    walked(world, Window())


def test_a_long_tie_that_is_deleted_as_soon_as_it_is_served_loses_none() -> None:
    def delete_served(world: World) -> None:
        for encounter_id in world.served[-120:]:
            world.delete(encounter_id)

    world = World(tied(1000), changes=[[delete_served] if index % 2 else [] for index in range(60)])
    walked(world, Window())


@DIRECTIONS
def test_rows_inserted_at_either_end_all_the_time_disturb_nothing(order: str) -> None:
    def grow(world: World) -> None:
        world.insert(min(world.rows.values()) - SECOND)
        world.insert(max(world.rows.values()) + SECOND)

    world = World(spaced(1000), changes=[[grow]] * 30)
    walked(world, Window(sort_order=order))


@DIRECTIONS
def test_everything_vanishing_in_the_middle_ends_the_walk(order: str) -> None:
    world = World(spaced(300), changes=[[], [lambda world: [world.delete(key) for key in list(world.rows)]]])
    assert len(walked(world, Window(sort_order=order))) == 100


@DIRECTIONS
@pytest.mark.parametrize("rounding", ["down", "up", "half"])
@pytest.mark.parametrize("step", [1000, SECOND])
@pytest.mark.parametrize("gap", [3, 900, 400_000])
def test_times_shown_less_exactly_than_they_are_filtered_lose_none(
    order: str, rounding: str, step: int, gap: int
) -> None:
    world = World(spaced(1500, gap), step=step, rounding=rounding)
    low, high = instant(100 * gap + 1), instant(1400 * gap + 1)
    assert len(walked(world, Window(start_at=low, end_at=high, sort_order=order))) == 1300


@DIRECTIONS
@pytest.mark.parametrize("rounding", ["down", "up", "half"])
def test_rows_that_are_shown_just_outside_the_range_belong_to_it(order: str, rounding: str) -> None:
    world = World(spaced(10, 100_000), step=SECOND, rounding=rounding)
    window = Window(start_at=instant(200_000), end_at=instant(800_000), sort_order=order)
    assert len(walked(world, window)) == 6


@DIRECTIONS
@pytest.mark.parametrize("clamp", [1, 2, 3, 50, 99])
def test_a_server_that_sends_fewer_rows_than_asked_for_is_walked_to_its_end(order: str, clamp: int) -> None:
    world = World(spaced(300), clamp=lambda: clamp)
    walked(world, Window(sort_order=order))
    assert len(world.requests) <= 300 / max(clamp - 1, 0.5) + 6


@DIRECTIONS
@pytest.mark.parametrize("clamp", [2, 3, 50])
def test_ties_are_walked_however_few_rows_a_server_sends(order: str, clamp: int) -> None:
    world = World({**tied(200), **spaced(5, start=SECOND)}, clamp=lambda: clamp)
    walked(world, Window(sort_order=order))


def test_a_tie_on_a_server_that_sends_single_rows_cannot_be_verified_and_says_so() -> None:
    world = World({**spaced(3), **tied(3, at=5 * SECOND)}, clamp=lambda: 1)
    with pytest.raises(
        PaginationError, match="did not join the 2 encounters taken of those created at 2026-05-01 00:00:05"
    ):
        drive(WindowWalk(Window()), world)


@pytest.mark.parametrize("total", sorted(TOTALS))
@pytest.mark.parametrize("count", [0, 1, 100, 150])
def test_no_total_ends_a_walk_early_or_keeps_it_going(total: str, count: int) -> None:
    assert len(walked(World(spaced(count), total=total), Window())) == count


def test_a_page_with_nothing_but_items_is_enough() -> None:
    world = World(spaced(150))

    class Bare:
        def __init__(self, items: list[Row]) -> None:
            self.items = items

    walk: WindowWalk[Row] = WindowWalk(Window())
    rows: list[Row] = []
    while (request := walk.request) is not None:
        rows += walk.receive(Bare(world.fetch(request).items))
    assert len(rows) == 150
    assert walk.remaining is None


@DIRECTIONS
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_a_page_that_is_empty_by_mistake_loses_nothing(order: str, at: int) -> None:
    world = World({**tied(250), **spaced(100, start=SECOND)}, empty_at=frozenset({at}))
    assert len(walked(world, Window(sort_order=order))) == 350


def test_an_empty_range_takes_one_request_where_the_total_agrees() -> None:
    world = World({})
    assert walked(world, Window()) == []
    assert len(world.requests) == 1


def test_an_unsorted_page_is_an_error_that_names_the_instant_and_can_be_asked_again() -> None:
    world = World(spaced(50))
    walk: WindowWalk[Row] = WindowWalk(Window())
    page = world.fetch(walk.request)
    page.items[10], page.items[20] = page.items[20], page.items[10]
    with pytest.raises(PaginationError, match=r"item 11, created at 2026-05-01 00:00:11\+00:00, is out of order"):
        walk.receive(page)
    world.check(drive(walk, world), Window())


def test_a_page_in_the_other_direction_is_an_error() -> None:
    world = World(spaced(50))
    walk: WindowWalk[Row] = WindowWalk(Window(sort_order="desc"))
    with pytest.raises(PaginationError, match="out of order"):
        walk.receive(world.fetch(WindowWalk(Window()).request))


@DIRECTIONS
@pytest.mark.parametrize("parses", [1000, SECOND])
@pytest.mark.parametrize("gap", [1, 700, 400_000])
def test_a_server_that_reads_its_filters_less_exactly_than_it_shows_times_loses_none(
    order: str, parses: int, gap: int
) -> None:
    world = World(spaced(1500, gap), parses=parses)
    assert len(walked(world, Window(sort_order=order))) == 1500


@DIRECTIONS
def test_the_furthest_row_vanishing_makes_the_walk_look_further_back(order: str) -> None:
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

    with pytest.raises(PaginationError, match="outside the range asked for"):
        fetch_all(WindowWalk(Window(sort_order=order)))


BROKEN_TIMES = [None, UNSET, "2026-05-01T00:00:03Z", instant(0).replace(tzinfo=None), instant(0).date(), 3]


@pytest.mark.parametrize("created_at", BROKEN_TIMES, ids=lambda value: type(value).__name__)
def test_a_created_at_that_is_no_instant_is_an_error_that_names_the_position(created_at: object) -> None:
    walk: WindowWalk[Row] = WindowWalk(Window(start_at=instant(0)))
    page = Answer([Row("enc_1", instant(0)), Row("enc_secret", created_at)], 100, 0, 2)
    with pytest.raises(PaginationError, match="offset 0 of 2026-05-01T00:00:00") as caught:
        walk.receive(page)
    assert "created_at of item 1" in str(caught.value)
    assert "enc_" not in str(caught.value)


@pytest.mark.parametrize("items", [None, UNSET, 5])
def test_a_page_without_a_list_of_items_is_an_error(items: object) -> None:
    with pytest.raises(PaginationError, match="no list of items"):
        WindowWalk(Window()).receive(Answer(items, 100, 0, 2))


@pytest.mark.parametrize("encounter_id", [None, UNSET, 5])
def test_an_encounter_without_an_id_is_an_error(encounter_id: object) -> None:
    with pytest.raises(PaginationError, match="encounter_id of item 0 is not text"):
        WindowWalk(Window()).receive(Answer([Row(encounter_id, instant(0))], 100, 0, 1))


def test_a_row_twice_in_one_page_is_handed_out_once() -> None:
    walk: WindowWalk[Row] = WindowWalk(Window())
    row = Row("enc_1", instant(0))
    assert walk.receive(Answer([row, row], 100, 0, 2)) == [row]
    assert walk.duplicates == 1


@DIRECTIONS
@pytest.mark.parametrize("edge", [-(10**18), 10**18])
def test_times_at_the_ends_of_the_calendar_are_walked(order: str, edge: int) -> None:
    first, last = instant(0).min.replace(tzinfo=instant(0).tzinfo), instant(0).max.replace(tzinfo=instant(0).tzinfo)
    rows = sorted([Row("enc_1", first), Row("enc_2", instant(0)), Row("enc_3", last)], key=lambda row: row.created_at)
    rows = rows if order == "asc" else rows[::-1]

    def fetch(request: Window) -> Answer:
        found = [
            row
            for row in rows
            if (request.start_at is None or row.created_at >= request.start_at)
            and (request.end_at is None or row.created_at < request.end_at)
        ]
        return Answer(found[request.offset :][: request.limit], request.limit, request.offset, len(found))

    walk: WindowWalk[Row] = WindowWalk(Window(sort_order=order), limit=2)
    got: list[Row] = []
    while (request := walk.request) is not None:
        got += walk.receive(fetch(request))
    assert got == rows


def test_times_in_other_zones_are_the_same_instants() -> None:
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


@examples(150)
@given(most=st.integers(0, 250), order=st.sampled_from(["asc", "desc"]), tie=st.integers(0, 150))
def test_max_rows_is_a_total_and_makes_pages_smaller(most: int, order: str, tie: int) -> None:
    world = World({**tied(tie), **spaced(230 - tie, start=SECOND)})
    walk: WindowWalk[Row] = WindowWalk(Window(sort_order=order), max_rows=most)
    rows = drive(walk, world)
    assert len(rows) == min(most, 230)
    assert walk.proven == (most > 230)
    if most <= 230:
        assert sum(request.limit for request in world.requests) <= most + 2 * len(world.requests)


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
def test_a_window_that_cannot_be_asked_for_is_refused(bounds: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"time zone|before|asc"):
        Window(**bounds)


def test_a_window_can_be_pickled() -> None:
    window = Window(start_at=instant(0), end_at=instant(1), sort_order="desc")
    assert pickle.loads(pickle.dumps(window)) == window


def test_a_page_that_nobody_asked_for_is_a_mistake_of_the_driver() -> None:
    walk: WindowWalk[Row] = WindowWalk(Window(), max_rows=0)
    with pytest.raises(RuntimeError, match="nobody asked"):
        walk.receive(Answer([], 100, 0, 0))
