"""Lists encounters: as a table, or as JSON Lines that can be continued."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated

import typer

from charthero_ext.cli.options import MASKED, Json, ShowPhi, Since, Until, usage
from charthero_ext.cli.rendering import encounters_table, progress_bar, write
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError
from charthero_ext.models import Encounter
from charthero_ext.pagination import Walk

__all__ = ["encounters", "uninterrupted"]

TABLE_ROWS = 50


def encounters(
    since: Since = None,
    until: Until = None,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Such as completed.")] = None,
    encounter_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Such as ambient.")] = None,
    max_items: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help=f"{TABLE_ROWS} by default; with --json, all.")
    ] = None,
    as_json: Json = False,
    resume: Annotated[str | None, typer.Option(metavar="CHECKPOINT", help="Continue an interrupted listing.")] = None,
    show_phi: ShowPhi = False,
) -> None:
    """List encounters, newest first.

    The API cannot filter by status or type: --status and --type read every encounter of the range and filter them here.
    """
    rows = max_items if as_json else max_items or TABLE_ROWS
    options = {"--status": status, "--type": encounter_type}
    filters = [f"{name}={value}" for name, value in options.items() if value is not None]

    def matches(encounter: Encounter) -> bool:
        return status in (None, encounter.status) and encounter_type in (None, encounter.encounter_type)

    listed: list[Encounter] = []
    is_piped = not sys.stdout.isatty()
    with ChartHero() as ch, progress_bar("encounters", is_wanted=is_piped or not as_json) as show:
        with usage():
            walk = ch.encounters.iter(
                start_at=since,
                end_at=until,
                sort_order=None if resume else "desc",
                max_items=None if filters else rows,
                resume_from=resume,
                progress=show,
            )
        with walk:
            found = islice(filter(matches, walk), rows)
            if as_json:
                count = _stream(found, walk, max_items=rows, checkpoint=resume, options=filters)
            else:
                listed = list(found)
                count = len(listed)
    if not count:
        sys.stderr.write("No encounters found.\n")
    elif not as_json:
        write(encounters_table(listed, shows_all=show_phi))
        if not show_phi:
            sys.stderr.write(f"{MASKED}\n")
        total = None if filters else walk.receipt.total_at_start
        if max_items is None and count == TABLE_ROWS != total:
            of = "" if total is None else f" of {total:,}"
            sys.stderr.write(f"{TABLE_ROWS}{of} encounters; --max-items shows more, --json gives all.\n")


def _stream(
    encounters: Iterator[Encounter],
    walk: Walk[Encounter],
    *,
    max_items: int | None,
    checkpoint: str | None,
    options: list[str],
) -> int:
    """Write encounters, and return their number. If the walk fails, a note of the exception says how to continue."""
    written = 0
    try:
        for encounter in encounters:
            with uninterrupted():
                write(json.dumps(encounter.to_dict()))
                written += 1
                checkpoint = walk.checkpoint()
    except (ChartHeroError, KeyboardInterrupt) as error:
        if 0 < written != max_items:
            left = [] if max_items is None else [f"--max-items={max_items - written}"]
            command = shlex.join(["charthero", "encounters", "--json", *options, *left, f"--resume={checkpoint}"])
            error.add_note(f"{written:,} encounters were written; to continue: {command}")
        raise
    return written


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until a line is complete. A process that ignores Ctrl-C keeps ignoring it."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received and before is not signal.SIG_IGN:
        raise KeyboardInterrupt
