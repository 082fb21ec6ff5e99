"""Output for people: tables with patients masked, and progress bars.

A value is shown if the repr of its model shows it. Every other value is masked unless the user asks for it. Text of a
server cannot control the terminal. Nothing is cut or folded, so that ids can be copied: a table drops columns until it
fits the terminal, and a card moves values to lines of their own.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from attrs import fields
from charthero_client.decoding import Model, encode
from charthero_client.showing import is_shown
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from charthero_ext.models import UNSET, Document, Encounter, Transcript, TranscriptTurn

__all__ = ["MASK", "card", "encounters_table", "plain", "progress_bar", "text_of", "write"]

MASK = "***"

#: The headings of the table, by field. The last columns are dropped first, and the ids never.
COLUMNS = {
    "created_at": "created",
    "encounter_id": "encounter",
    "encounter_type": "type",
    "status": "status",
    "documents": "documents",
    "patient.patient_id": "patient",
    "patient.first_name": "first name",
    "patient.last_name": "last name",
    "patient.date_of_birth": "born",
    "date_of_service": "date of service",
}


def plain(text: str) -> str:
    """Replace every character that a terminal or a reader of lines would act on. Line ends stay."""

    def character(each: str) -> str:
        if each.isprintable() or each in "\n\u200c\u200d":  # Joiners are part of scripts and emoji.
            return each
        return " " if each.isspace() else "\N{REPLACEMENT CHARACTER}"

    return "".join(map(character, text))


def write(text: str) -> None:
    """Write text and a line end to standard output."""
    sys.stdout.write(text.removesuffix("\n") + "\n")
    sys.stdout.flush()


def encounters_table(encounters: Iterable[Encounter], *, shows_all: bool) -> str:
    """Return a header and one line for each encounter."""
    values = [dict(_lines(encounter, "", shows_all)) for encounter in encounters]
    columns = {name: [heading, *(each.get(name, "") for each in values)] for name, heading in COLUMNS.items()}
    while not _fits(table := _aligned(columns.values())) and len(columns) > 1:
        del columns[next(name for name in reversed(columns) if name != "encounter_id")]
    return table


def card(model: Model, *, shows_all: bool) -> str:
    """Return every field of a model, and of the models in it, on a line of its own."""
    lines = list(_lines(model, "", shows_all))
    if _fits(table := _aligned(list(zip(*lines, strict=True)))):
        return table
    return "\n".join(f"{name}\n  {value}" if value else name for name, value in lines)


def text_of(model: Model) -> str:
    """Return the clinical text of a document or the conversation of a transcript; empty for other models."""
    if isinstance(model, Document) and isinstance(model.content, Model):
        return plain(str(model.content.text))
    if isinstance(model, Transcript) and isinstance(model.transcript, Model):
        turns = model.transcript.turns if isinstance(model.transcript.turns, list) else []
        return "\n".join(_turn(turn) for turn in turns if isinstance(turn, TranscriptTurn))
    return ""


@contextmanager
def progress_bar(unit: str, *, is_wanted: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """Show progress, with rate and remaining time, on standard error if that is a terminal."""
    console = Console(file=sys.stderr, stderr=True)
    with Progress(
        *(MofNCompleteColumn(), TextColumn(unit), BarColumn(), RateColumn(), TimeRemainingColumn()),
        console=console,
        transient=True,
        # rich would send standard output through the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not (is_wanted and sys.stderr.isatty()) or console.is_dumb_terminal,
    ) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class RateColumn(ProgressColumn):
    """Shows how many units a second are done."""

    def render(self, task: Task) -> Text:
        """Return the rate; empty if it is not known yet."""
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


def _fits(text: str) -> bool:
    return not sys.stdout.isatty() or max(map(cell_len, text.split("\n"))) <= shutil.get_terminal_size().columns


def _aligned(columns: Collection[Collection[str]]) -> str:
    widths = [max(map(cell_len, cells)) for cells in columns]
    rows = zip(*columns, strict=True)
    return "\n".join("  ".join(map(set_cell_size, cells, widths)).rstrip() for cells in rows)


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
            yield f"{prefix}{field.name}", _value(model, field.name, shows_all)
    for name, value in model.additional_properties.items() if shows_all else ():
        yield _one_line(f"{prefix}{name}"), json.dumps(value)


def _value(model: Model, name: str, shows_all: bool) -> str:
    value = getattr(model, name)
    if value is None:
        return ""
    if not shows_all and not is_shown(model, name):
        return MASK
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return _one_line(value if isinstance(value, str) else json.dumps(encode(value)))


def _one_line(text: str) -> str:
    return plain(text).replace("\n", " ")
