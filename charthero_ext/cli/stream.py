"""A listing for programs: a page at a time, so that it is known which encounters were written."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from charthero_ext.cli.failures import Incomplete
from charthero_ext.cli.rendering import progress_bar
from charthero_ext.errors import ChartHeroError
from charthero_ext.models import Encounter
from charthero_ext.pagination import Walk

__all__ = ["stream"]


def stream(walk: Walk[Encounter], *, limit: int | None, checkpoint: str | None) -> None:
    """Write the encounters of a walk as JSON Lines, and where it breaks off, say how to go on.

    Args:
        walk: The walk.
        limit: How many it hands out at most.
        checkpoint: Where it begins, if another walk came before.

    Raises:
        Incomplete: It broke off after some were written.
        ChartHeroError: It broke off before.
        KeyboardInterrupt: Ctrl-C; what was begun is written first.
    """
    written = 0
    page: list[Encounter] = []

    def go_on() -> str:
        left = "" if limit is None else f" --limit {limit - written}"
        return f"{written:,} encounters were written; charthero encounters --json{left} --resume {checkpoint} goes on"

    def write_page() -> None:
        nonlocal written, checkpoint
        with _uninterrupted():
            sys.stdout.writelines(f"{json.dumps(encounter.to_dict())}\n" for encounter in page)
            sys.stdout.flush()
            written += len(page)
            checkpoint = walk.checkpoint()
            page.clear()

    try:
        with progress_bar("encounters", if_true=not sys.stdout.isatty()) as show:
            for encounter in walk:
                page.append(encounter)
                if len(page) == 100:
                    write_page()
                    show(written, walk.receipt.total_at_start)
            write_page()
    except ChartHeroError as error:
        write_page()
        if not written:
            raise
        raise Incomplete(error, go_on()) from None
    except KeyboardInterrupt:
        if written:
            sys.stderr.write(f"\n{go_on()}\n")
        raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until what is begun is whole."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
