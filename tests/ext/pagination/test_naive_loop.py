"""What a plain loop over offsets loses in the very worlds that the walk stands."""

from __future__ import annotations

from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import PageRequest, Window

from .simulated_listing import SECOND, Row, World, spaced


def naive_loop(world: World, order: str = "asc") -> list[Row]:
    """The loop everybody writes first."""
    rows: list[Row] = []
    while True:
        request = PageRequest(start_at=None, end_at=None, sort_order=order, limit=100, offset=len(rows))
        if request.offset > 10_000:
            return rows  # the server answers 400
        items = world.fetch(request).items
        rows += items
        if len(items) < 100:
            return rows


def throughout(world: World) -> set[str]:
    return set(world.ever) - world.came - world.went


def delete_first(world: World) -> None:
    world.delete(min(world.rows, key=world.rows.__getitem__))


def insert_first(world: World) -> None:
    world.insert(min(world.rows.values()) - SECOND)


def test_rows_that_vanish_make_the_loop_skip_others_and_the_walk_skips_none() -> None:
    world = World(spaced(1000), changes=[[delete_first]] * 11)
    got = {row.encounter_id for row in naive_loop(world)}
    lost = throughout(world) - got
    assert len(lost) == 9

    world = World(spaced(1000), changes=[[delete_first]] * 11)
    world.check(Walk(world.fetch), Window())


def test_rows_that_come_make_the_loop_repeat_others_and_the_walk_repeats_none() -> None:
    world = World(spaced(1000), changes=[[insert_first]] * 11)
    got = [row.encounter_id for row in naive_loop(world)]
    assert len(got) - len(set(got)) == 10

    world = World(spaced(1000), changes=[[insert_first]] * 11)
    world.check(Walk(world.fetch), Window())


def test_the_loop_sees_nothing_beyond_row_10100_and_the_walk_sees_all() -> None:
    world = World(spaced(12_000))
    assert len(naive_loop(world)) == 10_100
    assert len(list(Walk(world.fetch))) == 12_000


def test_a_clamped_page_ends_the_loop_but_not_the_walk() -> None:
    world = World(spaced(1000), clamp=lambda: 50)
    assert len(naive_loop(world)) == 50
    assert len(list(Walk(world.fetch))) == 1000
