"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from charthero_ext._operations import as_instant
from charthero_ext.cli.records import PARTS

__all__ = ["AllowMassDelete", "DocumentId", "EncounterId", "Json", "LookBack", "ShowPhi", "Since", "Until"]
__all__ += ["MASKED", "parse_path", "parts_option", "path_argument", "usage"]

MASKED = "Patient fields are masked; --show-phi shows them, --json gives everything."


@contextmanager
def usage() -> Iterator[None]:
    """Report a value that the client refuses as a usage error."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_path(text: str) -> Path:
    """Return a path. An empty one, as from an unset variable, would mean the current directory."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


@usage()
def _parse_instant(text: str) -> datetime:
    return as_instant(text, repr(text))


def _parse_parts(text: str) -> tuple[str, ...]:
    given = {part.strip() for part in text.split(",")} - {"", "encounters"}
    if unknown := given.difference(PARTS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not one of encounters, {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in given)


def path_argument(name: str, explanation: str) -> Any:
    """Return an argument that is a path."""
    return typer.Argument(parser=parse_path, metavar=name, show_default=False, help=explanation)


def parts_option(explanation: str) -> Any:
    """Return an option that is a list of ``PARTS`` with commas."""
    return typer.Option("--with", parser=_parse_parts, metavar="PARTS", show_default=False, help=explanation)


def _instant_option(explanation: str) -> Any:
    return typer.Option(parser=_parse_instant, metavar="INSTANT", help=explanation)


Since = Annotated[
    datetime | None, _instant_option("Created at or after 2026-05-01T15:00:00Z, for example, or 2026-05-01 (in UTC).")
]
Until = Annotated[datetime | None, _instant_option("Created before this instant or date.")]
LookBack = Annotated[
    int, typer.Option(min=0, max=36500, metavar="DAYS", help="How long after its creation an encounter may change.")
]
AllowMassDelete = Annotated[
    bool, typer.Option("--allow-mass-delete", help="Accept that unusually many encounters disappeared at once.")
]
Json = Annotated[bool, typer.Option("--json", help="Write everything, one JSON object per line.")]
ShowPhi = Annotated[bool, typer.Option("--show-phi", help="Show patients' names, titles and texts.")]
EncounterId = Annotated[str, typer.Argument(metavar="ENCOUNTER", show_default=False, help="The id of an encounter.")]
DocumentId = Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False, help="The id of a document.")]
