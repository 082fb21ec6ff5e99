"""Hypothesis strategies for worlds that change near the position of the walk."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

from charthero_ext.pagination.window import Window

from .simulated_listing import ROUND, SECOND, TIES, TOTALS, World, instant

MINUTE = 60 * SECOND
SCALES = [1, 7, 400, 1000, 250_000, SECOND, MINUTE]


def insert_near(world: World) -> None:
    """Insert a row near the position of the walk."""
    recent = [at for at in map(world.ever.get, world.served[-8:]) if at is not None]
    distance = world.random.choice([-1, 0, 1]) * world.random.choice(SCALES)
    world.insert(world.random.choice(recent or [0]) + distance)


def insert_first(world: World) -> None:
    world.insert(min(world.rows.values(), default=0) - world.random.choice([0, 1, SECOND]))


def insert_last(world: World) -> None:
    world.insert(max(world.rows.values(), default=0) + world.random.choice([0, 1, SECOND]))


def delete_served(world: World) -> None:
    if world.served:
        world.delete(world.random.choice(world.served[-12:]))


def delete_any(world: World) -> None:
    if world.rows:
        world.delete(world.random.choice(sorted(world.rows)))


def delete_many(world: World) -> None:
    for encounter_id in sorted(world.rows):
        if world.random.random() < 0.3:
            world.delete(encounter_id)


CHANGES: list[Callable[[World], None]] = [
    insert_near,
    insert_near,
    insert_near,
    insert_first,
    insert_last,
    delete_served,
    delete_served,
    delete_any,
    delete_many,
]


@st.composite
def worlds(draw: st.DrawFn, *, smallest_clamp: int = 2, largest_clamp: int = 6) -> World:
    seed = random.Random(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from(SCALES))
    spread = draw(st.sampled_from([1, 2, 5, 60]))
    rows = {f"enc_{seed.getrandbits(40):010x}": seed.randrange(spread) * scale for _ in range(draw(st.integers(0, 60)))}
    clamp = draw(st.sampled_from(["none", "fixed", "erratic"]))
    fixed = draw(st.integers(smallest_clamp, largest_clamp))
    sorts_as_shown = draw(st.booleans())
    return World(
        rows,
        step=draw(st.sampled_from([1, 10, 1000, SECOND, MINUTE])),
        rounding=draw(st.sampled_from(sorted(ROUND))),
        ties=draw(st.sampled_from(sorted(TIES))),
        sorts_as_shown=sorts_as_shown,
        parses=1 if sorts_as_shown else draw(st.sampled_from([1, 1, 1000, SECOND])),
        clamp={"none": lambda: 100, "fixed": lambda: fixed, "erratic": lambda: seed.randint(fixed, 6)}[clamp],
        total=draw(st.sampled_from(sorted(TOTALS))),
        changes=draw(st.lists(st.lists(st.sampled_from(CHANGES), max_size=3), max_size=40)),
        random=seed,
    )


@st.composite
def windows(draw: st.DrawFn) -> Window:
    bounds = st.none() | st.builds(lambda k, scale: k * scale, st.integers(-3, 60), st.sampled_from(SCALES))
    start, end = draw(bounds), draw(bounds)
    if start is not None and end is not None:
        start, end = (start, end) if start < end else (end, start + 1)
    return Window(
        start_at=None if start is None else instant(start),
        end_at=None if end is None else instant(end),
        sort_order=draw(st.sampled_from(["asc", "desc"])),
    )
