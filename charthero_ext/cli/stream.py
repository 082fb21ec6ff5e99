"""A listing for programs. It writes a page at a time, so that it knows which encounters were written."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from charthero_ext.cli.failures import IncompleteError
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
        IncompleteError: The walk failed after some encounters were written.
        KeyboardInterrupt: Ctrl-C. A page that was begun is completed first.
    """
    written = 0
    page: list[Encounter] = []

    def how_to_continue() -> str:
        left = [] if max_items is None else ["--max-items", str(max_items - written)]
        command = shlex.join(["charthero", "encounters", "--json", *options, *left, "--resume", str(checkpoint)])
        return f"{written:,} encounters were written; to continue: {command}"

    def write_page() -> None:
        nonlocal written, checkpoint
        with uninterrupted():
            sys.stdout.writelines(f"{json.dumps(encounter.to_dict())}\n" for encounter in page)
            sys.stdout.flush()
            written += len(page)
            checkpoint = walk.checkpoint()
            page.clear()

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
        if not written:
            raise
        raise IncompleteError(error, how_to_continue()) from None
    except KeyboardInterrupt:
        if written:
            sys.stderr.write(f"\n{how_to_continue()}\n")
        raise
    return written


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the lines are complete. A process that ignores Ctrl-C keeps ignoring it."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt
