"""The commands: each calls the client and writes the result to standard output."""

from __future__ import annotations

import errno
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from charthero_client.decoding import Model

from charthero_ext._spec import PUBLISHED
from charthero_ext.cli import sync_commands
from charthero_ext.cli.doctor import examine
from charthero_ext.cli.failures import FAILED, NOT_AUTHORIZED, described, exit_code
from charthero_ext.cli.options import DocumentId, EncounterId, Json, ShowPhi, Since, Until, parse_path
from charthero_ext.cli.rendering import card, encounters_table, plain, progress_bar, text_of, write
from charthero_ext.cli.stream import stream
from charthero_ext.client import ChartHero
from charthero_ext.models import Encounter

__all__ = ["app", "run"]

TABLE_ROWS = 50
MASKED = "Patient fields are masked; --show-phi shows them, --json gives everything."

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


@app.command()
def encounters(
    since: Since = None,
    until: Until = None,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Such as completed.")] = None,
    encounter_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Such as ambient.")] = None,
    max_items: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help=f"In all; {TABLE_ROWS} by default, with --json all.")
    ] = None,
    as_json: Json = False,
    resume: Annotated[str | None, typer.Option(metavar="CHECKPOINT", help="Of a listing that was interrupted.")] = None,
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

    is_piped = not sys.stdout.isatty()
    with ChartHero() as ch, progress_bar("encounters", is_wanted=is_piped or not as_json) as show:
        with _usage():
            walk = ch.encounters.iter(
                start_at=since,
                end_at=until,
                sort_order=None if resume else "desc",
                max_items=None if filters else rows,
                resume_from=resume,
                progress=show,
            )
        with walk:
            if as_json:
                count = stream(walk, matches=matches, max_items=rows, checkpoint=resume, options=filters)
            else:
                found = list(islice(filter(matches, walk), rows))
                count = len(found)
    if not count:
        sys.stderr.write("No encounters found.\n")
    elif not as_json:
        write(encounters_table(found, shows_all=show_phi))
        if not show_phi:
            sys.stderr.write(f"{MASKED}\n")
        total = None if filters else walk.receipt.total_at_start
        if max_items is None and count == TABLE_ROWS != total:
            of = "" if total is None else f" of {total:,}"
            sys.stderr.write(f"{TABLE_ROWS}{of} encounters; --max-items shows more, --json gives all.\n")


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
    if output.is_file() and not output.is_symlink() and not force:
        raise FileExistsError(errno.EEXIST, "the file exists; --force replaces it", str(output))
    with ChartHero() as ch, _usage(), progress_bar("bytes") as show:
        ch.documents.download_audio(encounter_id, document_id, output, progress=show)
    write(str(output))


app.command()(sync_commands.changes)
app.command()(sync_commands.export)


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
        outcomes.add(finding.outcome)
        facts = {"check": finding.check, "outcome": finding.outcome, "detail": finding.detail, **finding.facts}
        write(json.dumps(facts) if as_json else plain(f"{finding.outcome:8}{finding.check:12}{finding.detail}"))
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
    with ChartHero() as ch, _usage():
        model = get(ch)
    if as_json:
        write(json.dumps(model.to_dict()))
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
