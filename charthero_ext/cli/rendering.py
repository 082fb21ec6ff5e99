"""What the command shows to people: tables with patients masked, and progress. Nothing a server sends moves the cursor.

A value is shown if the repr of its model shows it. All others are masked unless they are asked for.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from attrs import fields
from charthero_client.decoding import Model, encode
from charthero_client.showing import is_shown
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from charthero_ext.cli.export_parts import documents_of
from charthero_ext.models import UNSET, Document, Encounter, Transcript, TranscriptTurn

__all__ = ["MASK", "card", "encounters_table", "plain", "progress_bar", "table", "text_of", "write"]

MASK = "***"

_LIST = {"created_at": "created", "encounter_id": "encounter", "encounter_type": "type", "status": "status"}
_PATIENT = {"patient_id": "patient", "first_name": "first name", "last_name": "last name", "date_of_birth": "born"}


def plain(text: str) -> str:
    """Return *text* without what a terminal, or a reader of lines, would act on. Line ends stay."""

    def character(each: str) -> str:
        if each.isprintable() or each in "\n\u200c\u200d":  # joiners, which scripts and emoji need
            return each
        return " " if each.isspace() else "\N{REPLACEMENT CHARACTER}"

    return "".join(map(character, text))


def write(what: Table | str, stream: TextIO | None = None) -> None:
    """Write a table, or a text as it is, to standard output or another stream."""
    stream = stream or cast("TextIO", sys.stdout)
    if isinstance(what, Table):
        width = None if stream.isatty() else 10_000  # a reader that is a program wants no folds
        console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
        with console.capture() as captured:
            console.print(what, end="")
        what = captured.get() if stream.isatty() else re.sub(" +$", "", captured.get(), flags=re.MULTILINE)
    stream.write(what.removesuffix("\n") + "\n")
    stream.flush()


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table. A cell that is too wide for the terminal is folded, never cut, so that ids can be copied."""
    heads = list(heads)
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(heads))
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(cell).replace("\n", " ")) for cell in row))
    return made


def encounters_table(encounters: Iterable[Encounter], *, shows_all: bool) -> Table:
    """Return one line per encounter."""

    def row(encounter: Encounter) -> list[str]:
        patient = cast("Any", encounter.patient)
        return [
            *(_field(encounter, name, shows_all) for name in _LIST),
            str(len(documents_of(encounter))),
            *(_field(patient, name, shows_all) for name in _PATIENT),
            _field(encounter, "date_of_service", shows_all),
        ]

    heads = [*_LIST.values(), "documents", *_PATIENT.values(), "date of service"]
    return table(heads, map(row, encounters))


def card(model: Model, *, shows_all: bool) -> Table:
    """Return every field of a model as a line of its own, those of the models in it too."""
    return table(["", ""], _lines(model, "", shows_all))


def text_of(model: Model) -> str:
    """Return the clinical text of a document, or what was said in a transcript, if that is what it is."""
    if isinstance(model, Document) and isinstance(model.content, Model):
        return plain(str(model.content.text))
    if isinstance(model, Transcript) and isinstance(model.transcript, Model):
        turns = model.transcript.turns if isinstance(model.transcript.turns, list) else []
        return "\n".join(_turn(turn) for turn in turns if isinstance(turn, TranscriptTurn))
    return ""


@contextmanager
def progress_bar(unit: str, *, if_true: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far something is, with rate and remaining time, on standard error if that is a terminal."""
    console = Console(file=sys.stderr, stderr=True)
    if not (if_true and sys.stderr.isatty() and not console.is_dumb_terminal):
        yield lambda done, total: None
        return
    columns = (MofNCompleteColumn(), TextColumn(unit), BarColumn(), TextColumn("{task.fields[rate]}"))
    # Redirected, what is written to standard output would go through the terminal's drawing.
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(unit, total=None, rate="")

        def show(done: int, total: int | None) -> None:
            speed = progress.tasks[0].speed
            rate = "" if speed is None else f"{speed:,.0f}/s"
            progress.update(task, completed=done, total=total, rate=rate)

        yield show


def _turn(turn: TranscriptTurn) -> str:
    start = f"{turn.start:8.2f}" if isinstance(turn.start, (int, float)) else " " * 8
    return f"{start} {plain(str(turn.speaker))}: {plain(str(turn.text))}"


def _lines(model: Model, prefix: str, shows_all: bool) -> Iterator[tuple[str, str]]:
    for field in fields(cast("Any", type(model))):
        value = getattr(model, field.name)
        if isinstance(value, Model):
            yield from _lines(value, f"{prefix}{field.name}.", shows_all)
        elif isinstance(value, list):
            yield f"{prefix}{field.name}", str(len(value))
            for number, item in enumerate(value):
                if isinstance(item, Model) and not isinstance(item, TranscriptTurn):
                    yield from _lines(item, f"{prefix}{field.name}[{number}].", shows_all)
        elif value is not UNSET and not (shows_all and field.name == "text"):
            yield f"{prefix}{field.name}", _field(model, field.name, shows_all)
    for name, value in model.additional_properties.items() if shows_all else ():
        yield f"{prefix}{name}", json.dumps(value)


def _field(model: Any, name: str, shows_all: bool) -> str:
    value = getattr(model, name, UNSET)
    if value is UNSET or value is None:
        return ""
    if not shows_all and not is_shown(model, name):
        return MASK
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return value if isinstance(value, str) else json.dumps(encode(value))
