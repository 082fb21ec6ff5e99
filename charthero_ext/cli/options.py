"""Arguments and options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from charthero_ext._operations import as_instant
from charthero_ext.cli.records import PARTS

__all__ = ["AllowMassDelete", "DocumentId", "EncounterId", "Json", "LookBack", "ShowPhi", "Since", "Until"]
__all__ += ["parse_parts", "parse_path"]


def parse_path(text: str) -> Path:
    """Return a path. An empty one, as from an unset variable, would mean the current directory."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


def parse_parts(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas, in the order of ``PARTS``."""
    given = {part.strip() for part in text.split(",")} - {"", "encounters"}
    if unknown := given.difference(PARTS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not one of encounters, {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in given)


def _parse_instant(text: str) -> datetime:
    try:
        return as_instant(text, repr(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _instant(help: str) -> Any:  # noqa: A002 - as typer calls it
    return typer.Option(parser=_parse_instant, metavar="INSTANT", help=help)


Since = Annotated[
    datetime | None, _instant("Created at or after 2026-05-01T15:00:00Z, for example, or 2026-05-01 (in UTC).")
]
Until = Annotated[datetime | None, _instant("Created before this instant or date.")]
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
