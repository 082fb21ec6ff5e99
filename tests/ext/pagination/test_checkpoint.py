"""Checkpoints: short texts from which another process continues without loss or repeat."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.errors import ConfigurationError
from charthero_ext.pagination.position import Position, read_checkpoint, write_checkpoint
from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import Window

from .simulated_listing import SECOND, World, instant, spaced, tied


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("stop", [0, 1, 99, 100, 101, 1234, 3999])
def test_a_walk_can_be_resumed_in_the_middle_of_a_long_tie(order: str, stop: int) -> None:
    world = World({**tied(4000, at=SECOND), **spaced(300, start=-299 * SECOND), **spaced(1, start=2 * SECOND)})
    first = Walk(world.fetch, sort_order=order)
    rows = list(islice(first, 150 + stop))
    before = len(world.requests)
    second = Walk(world.fetch, resume_from=first.checkpoint())
    rows += second
    world.check(rows, first.receipt)
    assert second.receipt.complete
    assert len(world.requests) - before <= (4000 + 300) / 99 + 4, "it read more than the tie again"


def test_resuming_a_finished_walk_yields_only_new_rows() -> None:
    world = World(spaced(250))
    first = Walk(world.fetch)
    list(first)
    world.insert(250 * SECOND)
    world.insert(251 * SECOND)
    second = Walk(world.fetch, resume_from=first.checkpoint())
    assert [row.created_at for row in second] == [instant(250 * SECOND), instant(251 * SECOND)]
    assert second.receipt.total_at_start == 2


def test_a_checkpoint_is_short_safe_in_a_url_and_without_ids() -> None:
    world = World(spaced(500))
    walk = Walk(world.fetch, start_at=instant(0), end_at=instant(400 * SECOND))
    list(islice(walk, 321))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,80}", walk.checkpoint())


def test_the_size_of_a_checkpoint_is_limited_by_the_longest_tie() -> None:
    walk = Walk(World(tied(10_100)).fetch)
    list(walk)
    assert len(walk.checkpoint()) < 11 * 10_100


def test_another_process_can_resume_a_walk() -> None:
    world = World({**spaced(200), **tied(50, at=100 * SECOND)})
    walk = Walk(world.fetch)
    rows = list(islice(walk, 120))
    program = (
        "import sys; from charthero_ext.pagination import Walk\n"
        "from pagination.simulated_listing import *\n"
        "world = World({**spaced(200), **tied(50, at=100 * SECOND)})\n"
        "print(*(row.encounter_id for row in Walk(world.fetch, resume_from=sys.argv[1])))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, walk.checkpoint()],
        cwd=Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert sorted([row.encounter_id for row in rows] + printed) == sorted(world.rows)


WRITTEN = write_checkpoint(Window(), Position(last=5, ids={"enc_1"}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ch1.",
        "ch2." + WRITTEN[4:],
        WRITTEN[4:],
        WRITTEN[:-1],
        WRITTEN + "A",
        WRITTEN + "=",
        "é" + WRITTEN,
        5,
        b"ch1.",
    ],
)
def test_an_invalid_checkpoint_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a checkpoint"):
        Walk(World({}).fetch, resume_from=text)


@given(st.integers(4, len(WRITTEN) - 1), st.sampled_from("ABCabc019-_. \n"))
def test_a_checkpoint_with_one_changed_letter_is_refused(at: int, letter: str) -> None:
    changed = WRITTEN[:at] + letter + WRITTEN[at + 1 :]
    if changed != WRITTEN:
        with pytest.raises(ConfigurationError):
            read_checkpoint(changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [("start_at", instant(1)), ("end_at", instant(8 * SECOND)), ("sort_order", "desc")],
)
def test_a_checkpoint_of_another_range_is_refused(name: str, value: object) -> None:
    walk = Walk(World(spaced(9)).fetch, start_at=instant(0), end_at=instant(9 * SECOND))
    checkpoint = walk.checkpoint()
    with pytest.raises(ConfigurationError, match=f"with another {name}"):
        Walk(World({}).fetch, resume_from=checkpoint, **{name: value})


def test_a_resumed_walk_may_repeat_or_omit_the_range() -> None:
    given_range: dict[str, Any] = {"start_at": instant(0), "end_at": instant(9 * SECOND), "sort_order": "desc"}
    world = World(spaced(20))
    checkpoint = Walk(world.fetch, **given_range).checkpoint()
    for repeated in ({}, given_range):
        walk = Walk(world.fetch, resume_from=checkpoint, **repeated)
        assert len(list(walk)) == 9
        assert (walk.receipt.start_at, walk.receipt.sort_order) == (instant(0), "desc")
