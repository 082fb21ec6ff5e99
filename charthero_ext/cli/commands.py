"""The commands: each calls the client and writes the result to standard output."""

from __future__ import annotations

import errno
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from charthero_client.decoding import Model

from charthero_ext._operations import as_instant
from charthero_ext._spec import PUBLISHED
from charthero_ext.cli.doctor import examine, worst
from charthero_ext.cli.export import MANIFEST, STATE, Export, ExportError
from charthero_ext.cli.export_parts import PARTS
from charthero_ext.cli.failures import INCOMPLETE, IncompleteError, described, exit_code
from charthero_ext.cli.rendering import card, encounters_table, plain, progress_bar, text_of, write
from charthero_ext.cli.stream import stream
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError
from charthero_ext.models import Encounter

__all__ = ["app", "run"]

TABLE_ROWS = 50
CONTINUE = "what was exported is safe; run the same command again to continue"
MASKED = "Patient fields are masked; --show-phi shows them, --json gives everything."

app = typer.Typer(
    add_completion=False,
    # It would show the local variables of every frame: keys and patients.
    pretty_exceptions_enable=False,
    # Help of rich cuts long words at narrow terminals.
    rich_markup_mode=None,
    help="Encounters, documents, transcripts and recordings of ChartHero's API. The host and the key come from "
    "CHARTHERO_BASE_URL and CHARTHERO_API_KEY (or CHARTHERO_API_KEY_FILE), or from the profile CHARTHERO_PROFILE.",
)


def run(arguments: list[str]) -> int:
    """Run a command line. Every failure becomes one line on standard error.

    Raises:
        BrokenPipeError: The reader of standard output is gone.
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
    except Exception as error:  # noqa: BLE001 - a traceback could contain anything
        sys.stderr.write(f"charthero: {described(error)}\n")
        return exit_code(error)


def _instant(text: str) -> datetime:
    try:
        return as_instant(text, repr(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _path(text: str) -> Path:
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


def _parts(text: str) -> tuple[str, ...]:
    given = {part.strip() for part in text.split(",")} - {"", "encounters"}
    if unknown := given.difference(PARTS):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not one of encounters, {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in given)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"charthero {version('charthero-ext')}\n")
        raise typer.Exit


Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_instant,
        metavar="INSTANT",
        help="Only encounters created at or after this instant (2026-05-01T15:00:00Z) or date (2026-05-01, in UTC).",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=_instant, metavar="INSTANT", help="Only encounters created before this instant or date."),
]
Json = Annotated[bool, typer.Option("--json", help="Write everything, one JSON object per line.")]
ShowPhi = Annotated[bool, typer.Option("--show-phi", help="Show patients' names, titles and texts.")]
EncounterId = Annotated[str, typer.Argument(metavar="ENCOUNTER", show_default=False, help="The id of an encounter.")]
DocumentId = Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False, help="The id of a document.")]


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def encounters(
    since: Since = None,
    until: Until = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="Only encounters with this status, such as completed."),
    ] = None,
    encounter_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only encounters of this type, such as ambient."),
    ] = None,
    max_items: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="NUMBER", help=f"How many encounters in all. Default: {TABLE_ROWS}; with --json, all."
        ),
    ] = None,
    as_json: Json = False,
    resume: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="Continue a listing that was interrupted.")
    ] = None,
    show_phi: ShowPhi = False,
) -> None:
    """List encounters, newest first.

    The API cannot filter by status or type: --status and --type read every encounter of the range and filter them here.
    """
    rows = max_items if as_json else max_items or TABLE_ROWS
    filters = {"status": status, "encounter_type": encounter_type}
    wanted = {name: value for name, value in filters.items() if value is not None}

    def matches(encounter: Encounter) -> bool:
        return all(getattr(encounter, name) == value for name, value in wanted.items())

    is_piped = not sys.stdout.isatty()
    with ChartHero() as ch, progress_bar("encounters", is_wanted=is_piped or not as_json) as show:
        with _usage():
            walk = ch.encounters.iter(
                start_at=since,
                end_at=until,
                sort_order=None if resume else "desc",
                max_items=None if wanted else rows,
                resume_from=resume,
                progress=show,
            )
        with walk:
            if as_json:
                names = {"status": "--status", "encounter_type": "--type"}
                options = [word for name, value in wanted.items() for word in (names[name], value)]
                count = stream(walk, matches=matches, max_items=rows, checkpoint=resume, options=options)
            else:
                found = list(islice(filter(matches, walk), rows))
                count = len(found)
    if not count:
        sys.stderr.write("No encounters found.\n")
    elif not as_json:
        write(encounters_table(found, shows_all=show_phi))
        if not show_phi:
            sys.stderr.write(f"{MASKED}\n")
        total = None if wanted else walk.receipt.total_at_start
        if max_items is None and count == TABLE_ROWS != total:
            of = "" if total is None else f" of {total:,}"
            sys.stderr.write(f"{TABLE_ROWS}{of} encounters; --max-items shows more, --json gives all.\n")


@app.command()
def encounter(encounter_id: EncounterId, as_json: Json = False, show_phi: ShowPhi = False) -> None:
    """Show an encounter and its documents."""
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
    """Show who said what, and at which second."""
    with ChartHero() as ch, _usage():
        _show(ch.documents.transcript(encounter_id, document_id), as_json, show_phi)


@app.command()
def audio(
    encounter_id: EncounterId,
    document_id: DocumentId,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", parser=_path, metavar="FILE", show_default=False, help="The file to write."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Download a recording.

    Only the owner of the file can read it.
    """
    if output.is_file() and not output.is_symlink() and not force:
        raise FileExistsError(errno.EEXIST, "the file exists; --force replaces it", str(output))
    with ChartHero() as ch, _usage(), progress_bar("bytes") as show:
        ch.documents.download_audio(encounter_id, document_id, output, progress=show)
    sys.stdout.write(f"{output}\n")


@app.command()
def export(
    directory: Annotated[
        Path,
        typer.Argument(parser=_path, metavar="DIRECTORY", show_default=False, help="Created if it does not exist."),
    ],
    parts: Annotated[
        Any,
        typer.Option(
            "--with",
            parser=_parts,
            metavar="PARTS",
            help="What to export besides encounters: documents, transcripts, audio; or encounters alone.",
        ),
    ] = "documents,transcripts",
    since: Since = None,
    until: Until = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, metavar="NUMBER", help="Requests in flight.")] = 4,
) -> int:
    """Export everything as JSON Lines.

    After an interruption, the same command continues.
    """
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
            raise IncompleteError(error, CONTINUE) from None
        except KeyboardInterrupt:
            sys.stderr.write(f"\nInterrupted; {CONTINUE}.\n")
            raise
    if was_finished:
        sys.stderr.write(f"This export was finished at {manifest.finished_at:%Y-%m-%d %H:%M:%SZ}; nothing was done.\n")
    counts = {**manifest.counts, "missing": len(manifest.missing), "unreadable": len(manifest.unreadable)}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name in manifest.counts)
    sys.stdout.write(f"{said}: {directory / MANIFEST}\n")
    if manifest.unreadable:
        sys.stderr.write(f"charthero: {MANIFEST} lists what could not be read\n")
    return INCOMPLETE if manifest.unreadable else 0


@app.command()
def doctor(
    as_json: Json = False,
    spec_url: Annotated[
        str, typer.Option(metavar="URL", show_default=False, help="The published OpenAPI artifact to compare with.")
    ] = PUBLISHED,
) -> int:
    """Find out why a connection fails.

    The doctor checks settings, proxy, connection, key, access, clock and versions. The report contains no key and
    nothing about patients.
    """
    findings = []
    for finding in examine(spec_url):
        findings.append(finding)
        sys.stdout.write(f"{json.dumps(finding.to_dict())}\n" if as_json else f"{plain(str(finding))}\n")
        sys.stdout.flush()
    return worst(findings)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Run a local ChartHero with synthetic data.",
)
def sandbox(context: typer.Context) -> int:
    """Pass the remaining arguments on."""
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
        sys.stderr.write(f"{MASKED}\n")


@contextmanager
def _usage() -> Iterator[None]:
    """Report a value that the client refuses as a usage error."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
