"""The commands that bring a file or a directory up to date: ``changes`` and ``export``."""

from __future__ import annotations

import errno
import json
import sqlite3
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from charthero_ext.changes import Change, Ledger
from charthero_ext.cli.export import LEDGER, Export
from charthero_ext.cli.failures import INCOMPLETE
from charthero_ext.cli.options import AllowMassDelete, LookBack, Since, parse_parts, parse_path
from charthero_ext.cli.records import Reader
from charthero_ext.cli.rendering import progress_bar, write
from charthero_ext.cli.set_files import verify
from charthero_ext.cli.stream import uninterrupted
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError, ConfigurationError, MassDeletionError

__all__ = ["changes", "export"]

CONTINUE = "what was exported is safe; run the same command again to continue"


def changes(
    ledger: Annotated[
        Path, typer.Argument(parser=parse_path, metavar="LEDGER", show_default=False, help="What was written before.")
    ],
    since: Since = None,
    look_back: LookBack = 30,
    parts: Annotated[
        Any, typer.Option("--with", parser=parse_parts, metavar="PARTS", help="Add documents, transcripts or both.")
    ] = "",
    allow_mass_delete: AllowMassDelete = False,
) -> int:
    """Write what changed since the last run.

    Each line is a JSON object of kind added, changed or deleted. It is recorded in LEDGER after it was written. A line
    that was not recorded is written again. Use the same --since in every run.
    """
    if "audio" in parts:
        raise typer.BadParameter("a line cannot contain recordings; see charthero export")
    is_incomplete = False
    with ChartHero() as ch, Ledger(ledger) as opened:
        reader, window = Reader(ch.documents, parts), timedelta(days=look_back)
        for change in ch.encounters.changes(
            opened, start_at=since, look_back=window, allow_mass_delete=allow_mass_delete
        ):
            line = _line(change, reader)
            with uninterrupted():
                write(json.dumps(line))
            is_incomplete |= "unreadable" in line
    if is_incomplete:
        sys.stderr.write("charthero: some documents were unreadable; the field unreadable lists them\n")
    return INCOMPLETE if is_incomplete else 0


def _line(change: Change, reader: Reader) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": change.kind, "encounter_id": change.encounter_id}
    if change.encounter is not None:
        (_, encounter), *rows = reader.read(change)
        ready = [event.to_dict() for event in change.transcripts_ready]
        line |= {"encounter": encounter, "transcripts_ready": ready, **{part: [] for part in reader.parts}}
        for kind, row in rows:
            line.setdefault(kind, []).append(row)
    return line


def export(
    directory: Annotated[
        Path,
        typer.Argument(
            parser=parse_path, metavar="DIRECTORY", show_default=False, help="Created if it does not exist."
        ),
    ],
    parts: Annotated[
        Any,
        typer.Option(
            "--with",
            parser=parse_parts,
            metavar="PARTS",
            show_default=False,
            help="Some of documents,transcripts (the default) and audio, or encounters alone.",
        ),
    ] = None,
    since: Since = None,
    look_back: LookBack = 30,
    allow_mass_delete: AllowMassDelete = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, metavar="NUMBER", help="Requests in flight.")] = 4,
    only_verify: Annotated[bool, typer.Option("--verify", help="Only compare the files with the manifests.")] = False,
) -> int:
    """Export everything as JSON Lines.

    The first run exports everything to DIRECTORY/0001. Each later run adds what has changed since, as 0002 and so on.
    It first compares all files with their manifests. After an interruption, the same command continues.
    """
    if only_verify and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "there is no such directory", str(directory))
    count = verify(directory) if directory.is_dir() else 0
    if only_verify:
        write(f"sets compared with their manifests: {count}")
        return 0
    try:
        with ChartHero() as ch, progress_bar("encounters") as show:
            path, manifest = Export(
                client=ch,
                directory=directory,
                start_at=since,
                parts=parts,
                feed=partial(
                    ch.encounters.changes, look_back=timedelta(days=look_back), allow_mass_delete=allow_mass_delete
                ),
                concurrency=concurrency,
                progress=show,
            ).run()
    except (ChartHeroError, OSError, sqlite3.Error) as error:
        if (directory / LEDGER).exists() and not isinstance(error, (ConfigurationError, MassDeletionError)):
            error.add_note(CONTINUE)
        raise
    except KeyboardInterrupt:
        sys.stderr.write(f"\nInterrupted; {CONTINUE}.\n")
        raise
    shown = ("encounters", *manifest.parts)
    counts = [f"{count:,} {kind}" for kind, count in manifest.counts.items() if count or kind in shown]
    write(f"{path}: {', '.join(counts)}")
    if manifest.counts["unreadable"]:
        sys.stderr.write("charthero: unreadable.jsonl lists what could not be read; the next run tries it again\n")
    return INCOMPLETE if manifest.counts["unreadable"] else 0
