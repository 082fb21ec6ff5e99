"""A listing for programs. It writes a page at a time, so that it knows which encounters were written."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charthero_ext.errors import ChartHeroError
from charthero_ext.models import Encounter
from charthero_ext.pagination import Walk

__all__ = ["stream", "uninterrupted"]

PAGE = 100


def stream(
    walk: Walk[Encounter],
    *,
    matches: Callable[[Encounter], bool],
    max_items: int | None,
    checkpoint: str | None,
    options: list[str],
) -> int:
    """Write encounters as JSON Lines and return their number. If the walk fails, say how to continue.

    The walk may continue another one from *checkpoint*. *options* are those that a continuation needs, too.

    Raises:
        ChartHeroError: The walk failed. If some encounters were written, a note says how to continue.
        KeyboardInterrupt: Ctrl-C. A page that was begun is completed first.
    """
    written = 0
    page: list[Encounter] = []

    def write_page() -> None:
        nonlocal written, checkpoint
        with uninterrupted():
            sys.stdout.writelines(f"{json.dumps(encounter.to_dict())}\n" for encounter in page)
            sys.stdout.flush()
            written += len(page)
            checkpoint = walk.checkpoint()
            page.clear()

    def how_to_continue() -> str:
        left = [] if max_items is None else [f"--max-items={max_items - written}"]
        command = shlex.join(["charthero", "encounters", "--json", *options, *left, f"--resume={checkpoint}"])
        return f"{written:,} encounters were written; to continue: {command}"

    try:
        for number, encounter in enumerate(walk, 1):
            if matches(encounter):
                page.append(encounter)
            is_last = written + len(page) == max_items
            if is_last or number % PAGE == 0:
                write_page()
            if is_last:
                break
        write_page()
    except ChartHeroError as error:
        write_page()
        if written:
            error.add_note(how_to_continue())
        raise
    except KeyboardInterrupt:
        if written:
            sys.stderr.write(f"\n{how_to_continue()}\n")
        raise
    return written


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the lines are complete. A process that ignores Ctrl-C keeps ignoring it."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received and before is not signal.SIG_IGN:
        raise KeyboardInterrupt
