"""The commands: what is asked of the client, and what goes to standard output."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from charthero_client.decoding import Model

from charthero_ext._operations import as_instant
from charthero_ext._spec import PUBLISHED
from charthero_ext.cli.doctor import examine, worst
from charthero_ext.cli.export import MANIFEST, STATE, Export, ExportError
from charthero_ext.cli.export_parts import PARTS
from charthero_ext.cli.failures import INCOMPLETE, Incomplete, described, exit_code
from charthero_ext.cli.rendering import card, encounters_table, progress_bar, text_of, write
from charthero_ext.cli.stream import stream
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError

__all__ = ["app", "run"]

TABLE_ROWS = 50
GO_ON = "what was exported is safe; run the same command again to go on"
HIDDEN = "Patient fields are masked; --show-phi shows them, --json gives everything."

app = typer.Typer(
    add_completion=False,
    # It would show the local variables of every frame: keys and patients.
    pretty_exceptions_enable=False,
    help="Encounters, documents, transcripts and recordings of ChartHero's API. CHARTHERO_BASE_URL and"
    " CHARTHERO_API_KEY (or CHARTHERO_API_KEY_FILE, or CHARTHERO_PROFILE) say whose.",
)


def run(arguments: list[str]) -> int:
    """Run a command line. Every failure becomes one line on standard error.

    Raises:
        BrokenPipeError: Nobody reads standard output any more.
        KeyboardInterrupt: Ctrl-C.
    """
    logging.getLogger("charthero_ext").addHandler(logging.NullHandler())
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    command = typer.main.get_command(app)
    try:
        with command.make_context("charthero", arguments) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a traceback could hold anything
        sys.stderr.write(f"charthero: {described(error)}\n")
        return exit_code(error)


def _instant(text: str) -> datetime:
    try:
        return as_instant(date.fromisoformat(text) if len(text) == len("2026-05-01") else text, "it")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _path(text: str) -> Path:
    if not text:
        raise typer.BadParameter("it is empty")
    return Path(text)


def _parts(text: str) -> tuple[str, ...]:
    asked = {part.strip() for part in text.split(",")} - {"", "encounters"}
    if unknown := asked.difference(PARTS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is none of encounters, {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in asked)


_WHEN = "such as 2026-05-01T15:00:00Z, or a date for its beginning in UTC"
Since = Annotated[
    datetime | None, typer.Option(parser=_instant, metavar="INSTANT", help=f"Created at or after it: {_WHEN}.")
]
Until = Annotated[datetime | None, typer.Option(parser=_instant, metavar="INSTANT", help="Created before it.")]
Json = Annotated[bool, typer.Option("--json", help="Everything, one JSON object a line.")]
ShowPhi = Annotated[bool, typer.Option("--show-phi", help="Show patients' names, titles and texts.")]
EncounterId = Annotated[str, typer.Argument(metavar="ENCOUNTER", show_default=False, help="An encounter id.")]
DocumentId = Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False, help="A document id.")]


@app.command()
def encounters(
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"How many in all; left out, {TABLE_ROWS}, and with --json all.")
    ] = None,
    as_json: Json = False,
    resume: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="Go on where a listing was interrupted.")
    ] = None,
    show_phi: ShowPhi = False,
) -> None:
    """List encounters, the newest first."""
    with ChartHero() as ch:
        with _usage():
            walk = ch.encounters.iter(
                start_at=since,
                end_at=until,
                sort_order=None if resume else "desc",
                max_items=limit if as_json else limit or TABLE_ROWS,
                resume_from=resume,
            )
        if as_json:
            stream(walk, limit=limit, checkpoint=resume)
            return
        with progress_bar("encounters") as show:
            listed = []
            for encounter in walk:
                listed.append(encounter)
                show(len(listed), None)
        write(encounters_table(listed, shows_all=show_phi))
        if not show_phi:
            sys.stderr.write(f"{HIDDEN}\n")
        total = walk.receipt.total_at_start
        if limit is None and len(listed) == TABLE_ROWS and total != TABLE_ROWS:
            of = "" if total is None else f" of {total:,}"
            sys.stderr.write(f"{TABLE_ROWS}{of} encounters; --limit shows more, --json gives all.\n")


@app.command()
def encounter(encounter_id: EncounterId, as_json: Json = False, show_phi: ShowPhi = False) -> None:
    """Show an encounter with its patient and its documents."""
    with ChartHero() as ch, _usage():
        _show(ch.encounters.get(encounter_id), as_json, show_phi)


@app.command()
def document(
    encounter_id: EncounterId, document_id: DocumentId, as_json: Json = False, show_phi: ShowPhi = False
) -> None:
    """Show a document."""
    with ChartHero() as ch, _usage():
        _show(ch.documents.get(encounter_id, document_id), as_json, show_phi)


@app.command()
def transcript(
    encounter_id: EncounterId, document_id: DocumentId, as_json: Json = False, show_phi: ShowPhi = False
) -> None:
    """Show what was said, by whom and when, in seconds from the start of the recording."""
    with ChartHero() as ch, _usage():
        _show(ch.documents.transcript(encounter_id, document_id), as_json, show_phi)


@app.command()
def audio(
    encounter_id: EncounterId,
    document_id: DocumentId,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", parser=_path, metavar="FILE", show_default=False, help="Where it goes."),
    ],
) -> None:
    """Download a recording to a file that only its owner may read."""
    with ChartHero() as ch, _usage(), progress_bar("bytes") as show:
        ch.documents.download_audio(encounter_id, document_id, output, progress=show)
    sys.stdout.write(f"{output}\n")


@app.command()
def export(
    directory: Annotated[
        Path, typer.Argument(parser=_path, metavar="DIRECTORY", show_default=False, help="Made if it is not there.")
    ],
    parts: Annotated[
        Any, typer.Option("--with", parser=_parts, metavar="PARTS", help=f"Of {','.join(PARTS)}; or encounters alone.")
    ] = "documents,transcripts",
    since: Since = None,
    until: Until = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 4,
) -> int:
    """Export encounters, and what belongs to them, as JSON Lines. Run it again to go on after an interruption."""
    with ChartHero() as ch:
        with _usage():
            job = Export(
                client=ch, directory=directory, start_at=since, end_at=until, parts=parts, concurrency=concurrency
            )
        was_finished = (directory / MANIFEST).exists()
        try:
            with progress_bar("encounters") as show:
                manifest = job.run(show)
        except (ChartHeroError, OSError) as error:
            if isinstance(error, ExportError) or not (directory / STATE).exists():
                raise
            raise Incomplete(error, GO_ON) from None
        except KeyboardInterrupt:
            sys.stderr.write(f"\nInterrupted; {GO_ON}.\n")
            raise
    if was_finished:
        sys.stderr.write(f"This export was finished at {manifest.finished_at:%Y-%m-%d %H:%M:%SZ}; nothing was done.\n")
    counts = {**manifest.counts, "not there": len(manifest.missing), "unreadable": len(manifest.unreadable)}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name in manifest.counts)
    sys.stdout.write(f"{said}: {directory / MANIFEST}\n")
    if manifest.unreadable:
        sys.stderr.write(f"charthero: {MANIFEST} lists what could not be read; ask for it one by one\n")
    return INCOMPLETE if manifest.unreadable else 0


@app.command()
def doctor(
    as_json: Json = False,
    spec_url: Annotated[
        str, typer.Option(metavar="URL", show_default=False, help="Where the OpenAPI artifact is published.")
    ] = PUBLISHED,
) -> int:
    """Examine settings, connection, access and versions. The report holds no key and nothing about patients."""
    findings = []
    for finding in examine(spec_url):
        findings.append(finding)
        sys.stdout.write(f"{json.dumps(finding.to_dict())}\n" if as_json else f"{finding}\n")
        sys.stdout.flush()
    return worst(findings)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Run a local ChartHero over synthetic data; see charthero sandbox --help.",
)
def sandbox(context: typer.Context) -> int:
    """Run the sandbox with the options that are left."""
    from charthero_ext.sandbox.__main__ import main

    return main(context.args)


def _show(model: Model, as_json: bool, show_phi: bool) -> None:
    if as_json:
        sys.stdout.write(f"{json.dumps(model.to_dict())}\n")
        return
    write(card(model, shows_all=show_phi))
    if show_phi:
        write(text_of(model))
    else:
        sys.stderr.write(f"{HIDDEN}\n")


@contextmanager
def _usage() -> Iterator[None]:
    """What the client refuses to send is a mistake in the command line."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
