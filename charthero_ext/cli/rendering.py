"""Output for people: tables with patients masked, and progress bars.

A value is shown if the repr of its model shows it. Every other value is masked unless the user asks for it. Text of a
server cannot control the terminal. Nothing is cut or folded, so that ids can be copied: a table drops columns until it
fits the terminal, and a card moves values to lines of their own.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from attrs import fields
from charthero_client.decoding import Model, encode
from charthero_client.showing import is_shown
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from charthero_ext.models import UNSET, Document, Encounter, Transcript, TranscriptTurn

__all__ = ["MASK", "card", "documents_of", "encounters_table", "plain", "progress_bar", "text_of", "write"]

MASK = "***"

LIST_COLUMNS = {"created_at": "created", "encounter_id": "encounter", "encounter_type": "type", "status": "status"}
PATIENT_COLUMNS = {
    "patient_id": "patient",
    "first_name": "first name",
    "last_name": "last name",
    "date_of_birth": "born",
}
ID_COLUMN = list(LIST_COLUMNS).index("encounter_id")


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


def documents_of(encounter: Encounter) -> list[Any]:
    """Return the summaries of an encounter's documents; none if the field is not a list."""
    return encounter.documents if isinstance(encounter.documents, list) else []


def encounters_table(encounters: Iterable[Encounter], *, shows_all: bool) -> str:
    """Return a header and one line for each encounter."""

    def row(encounter: Encounter) -> list[str]:
        patient = cast("Any", encounter.patient)
        return [
            *(_value(encounter, name, shows_all) for name in LIST_COLUMNS),
            str(len(documents_of(encounter))),
            *(_value(patient, name, shows_all) for name in PATIENT_COLUMNS),
            _value(encounter, "date_of_service", shows_all),
        ]

    heads = [*LIST_COLUMNS.values(), "documents", *PATIENT_COLUMNS.values(), "date of service"]
    rows = [heads, *map(row, encounters)]
    widths = _widths(rows)
    columns = list(range(len(heads)))
    while sum(widths[column] + 2 for column in columns) - 2 > _terminal_width() and len(columns) > 1:
        columns.remove(next(column for column in reversed(columns) if column != ID_COLUMN))
    return _aligned([[cells[column] for column in columns] for cells in rows])


def card(model: Model, *, shows_all: bool) -> str:
    """Return every field of a model, and of the models in it, on a line of its own."""
    rows = [[name, _one_line(value)] for name, value in _lines(model, "", shows_all)]
    if sum(_widths(rows)) + 2 <= _terminal_width():
        return _aligned(rows)
    return "\n".join(f"{name}\n  {value}" if value else name for name, value in rows)


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
    if not (is_wanted and sys.stderr.isatty() and not console.is_dumb_terminal):
        yield lambda done, total: None
        return
    columns = (MofNCompleteColumn(), TextColumn(unit), BarColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        # rich would send standard output through the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(unit, total=None, rate="")

        def show(done: int, total: int | None) -> None:
            speed = progress.tasks[0].speed
            rate = "" if speed is None else f"{speed:,.0f}/s"
            progress.update(task, completed=done, total=total, rate=rate)

        yield show


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if _is_terminal() else sys.maxsize


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _aligned(rows: list[list[str]]) -> str:
    widths = _widths(rows)
    lines = (
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


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


def _value(model: Any, name: str, shows_all: bool) -> str:
    value = getattr(model, name, UNSET)
    if value is UNSET or value is None:
        return ""
    if not shows_all and not is_shown(model, name):
        return MASK
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return _one_line(value if isinstance(value, str) else json.dumps(encode(value)))


def _one_line(text: str) -> str:
    return plain(text).replace("\n", " ")
