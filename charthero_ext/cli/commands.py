"""The commands: each calls the client and writes the result to standard output."""

from __future__ import annotations

import errno
import json
import sqlite3
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from charthero_client.decoding import Model

from charthero_ext._spec import PUBLISHED
from charthero_ext.changes import Change, Ledger
from charthero_ext.cli.doctor import examine
from charthero_ext.cli.export import LEDGER, Export
from charthero_ext.cli.failures import FAILED, INCOMPLETE, NOT_AUTHORIZED, described, exit_code
from charthero_ext.cli.listing import encounters, uninterrupted
from charthero_ext.cli.options import (
    MASKED,
    AllowMassDelete,
    DocumentId,
    EncounterId,
    Json,
    LookBack,
    ShowPhi,
    Since,
    parse_path,
    parts_option,
    path_argument,
    usage,
)
from charthero_ext.cli.records import Reader
from charthero_ext.cli.rendering import card, plain, progress_bar, text_of, write
from charthero_ext.cli.set_files import verify
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError, ConfigurationError, MassDeletionError

__all__ = ["app", "run"]

CONTINUE = "what was exported is safe; run the same command again to continue"

app = typer.Typer(
    add_completion=False,
    # It would show the local variables of every frame: keys and patients.
    pretty_exceptions_enable=False,
    # rich would cut long words on a narrow terminal.
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


def _print_version(value: bool) -> None:
    if value:
        write(f"charthero {version('charthero-ext')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(encounters)


@app.command()
def encounter(encounter_id: EncounterId, as_json: Json = False, show_phi: ShowPhi = False) -> None:
    """Show an encounter and its documents."""
    _show(lambda ch: ch.encounters.get(encounter_id), as_json, show_phi)


@app.command()
def document(
    encounter_id: EncounterId, document_id: DocumentId, as_json: Json = False, show_phi: ShowPhi = False
) -> None:
    """Show a document."""
    _show(lambda ch: ch.documents.get(encounter_id, document_id), as_json, show_phi)


@app.command()
def transcript(
    encounter_id: EncounterId, document_id: DocumentId, as_json: Json = False, show_phi: ShowPhi = False
) -> None:
    """Show who said what, and at which second."""
    _show(lambda ch: ch.documents.transcript(encounter_id, document_id), as_json, show_phi)


@app.command()
def audio(
    encounter_id: EncounterId,
    document_id: DocumentId,
    output: Annotated[Path, typer.Option("--output", "-o", parser=parse_path, metavar="FILE", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Download a recording.

    Only the owner of the file can read it.
    """
    if output.is_file() and not force:
        raise FileExistsError(errno.EEXIST, "the file exists; --force replaces it", str(output))
    with ChartHero() as ch, usage(), progress_bar("bytes") as show:
        ch.documents.download_audio(encounter_id, document_id, output, progress=show)
    write(str(output))


@app.command()
def changes(
    ledger: Annotated[Path, path_argument("LEDGER", "What was written before.")],
    since: Since = None,
    look_back: LookBack = 30,
    parts: Annotated[Any, parts_option("Add documents, transcripts or both.")] = "",
    allow_mass_delete: AllowMassDelete = False,
) -> int:
    """Write what changed since the last run.

    Each line is a JSON object of kind added, changed or deleted. It is recorded in LEDGER after it was written. A line
    that was not recorded is written again. Use the same --since in every run.
    """
    if "audio" in parts:
        raise typer.BadParameter("a line cannot contain recordings; see charthero export")
    written = unreadable = 0
    try:
        with ChartHero() as ch, Ledger(ledger) as opened:
            reader, window = Reader(ch.documents, parts), timedelta(days=look_back)
            for change in ch.encounters.changes(
                opened, start_at=since, look_back=window, allow_mass_delete=allow_mass_delete
            ):
                line = _line(change, reader)
                with uninterrupted():
                    write(json.dumps(line))
                    written += 1
                unreadable += "unreadable" in line
    except (ChartHeroError, KeyboardInterrupt) as error:
        if written and not isinstance(error, MassDeletionError):
            error.add_note(f"{written:,} changes were written; to continue, run the same command again")
        raise
    if unreadable:
        sys.stderr.write("charthero: some documents were unreadable; the field unreadable lists them\n")
    return INCOMPLETE if unreadable else 0


@app.command()
def export(
    directory: Annotated[Path, path_argument("DIRECTORY", "Created if it does not exist.")],
    parts: Annotated[
        Any, parts_option("Some of documents,transcripts (the default) and audio, or encounters alone.")
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
    count = verify(directory) if only_verify or directory.exists() else 0
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
    except (ChartHeroError, OSError, sqlite3.Error, KeyboardInterrupt) as error:
        if (directory / LEDGER).exists() and not isinstance(error, (ConfigurationError, MassDeletionError)):
            error.add_note(CONTINUE)
        raise
    shown = ("encounters", *manifest["parts"])
    counts = [f"{count:,} {kind}" for kind, count in manifest["counts"].items() if count or kind in shown]
    write(f"{path}: {', '.join(counts)}")
    if manifest["counts"]["unreadable"]:
        sys.stderr.write("charthero: unreadable.jsonl lists what could not be read; the next run tries it again\n")
    return INCOMPLETE if manifest["counts"]["unreadable"] else 0


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
    outcomes = set()
    for finding in examine(spec_url):
        outcomes.add(finding["outcome"])
        write(json.dumps(finding) if as_json else plain("{outcome:8}{check:12}{detail}".format_map(finding)))
    return NOT_AUTHORIZED if "refused" in outcomes else FAILED if "failed" in outcomes else 0


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Run a local ChartHero with synthetic data.",
)
def sandbox(context: typer.Context) -> int:
    """Pass the remaining arguments on."""
    from charthero_ext.sandbox.__main__ import main

    return main(context.args)


def _show(get: Callable[[ChartHero], Model], as_json: bool, show_phi: bool) -> None:
    with ChartHero() as ch, usage():
        model = get(ch)
    if as_json:
        write(json.dumps(model.to_dict()))
        return
    write(card(model, shows_all=show_phi))
    if show_phi:
        write(text_of(model))
    else:
        sys.stderr.write(f"{MASKED}\n")


def _line(change: Change, reader: Reader) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": change.kind, "encounter_id": change.encounter_id}
    if change.encounter is not None:
        (_, encounter), *rows = reader.read(change)
        ready = [event.to_dict() for event in change.transcripts_ready]
        line |= {"encounter": encounter, "transcripts_ready": ready, **{part: [] for part in reader.parts}}
        for kind, row in rows:
            line.setdefault(kind, []).append(row)
    return line
