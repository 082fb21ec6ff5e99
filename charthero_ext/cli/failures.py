"""Turns an exception into an exit code and one line that says what to do next.

A command adds a note to an exception if it has written a part: how to continue.
"""

from __future__ import annotations

import sqlite3

import typer

from charthero_ext import errors
from charthero_ext._secret import place_of
from charthero_ext.cli.rendering import plain

__all__ = ["FAILED", "INCOMPLETE", "NOT_AUTHORIZED", "described", "exit_code"]

FAILED, USAGE, NOT_AUTHORIZED, INCOMPLETE = 1, 2, 3, 4

#: Recent versions of typer contain their own copy of click. Older ones use the installed click.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

NEXT_STEPS: dict[type[Exception], str] = {
    errors.AuthenticationError: "`charthero doctor` tests the key",
    errors.PermissionDeniedError: "`charthero doctor` shows what the key may do",
    errors.InvalidRequestError: "`charthero encounter` shows the documents of an encounter and their types",
    errors.NotFoundError: "`charthero encounters` lists what exists",
    errors.RateLimitedError: "try again later",
    errors.ServiceUnavailableError: "try again later; if it lasts, ask ChartHero's support",
    errors.TransportError: "`charthero doctor` tests the connection",
    errors.UnexpectedResponseError: "`charthero doctor` shows whether the API has changed",
    errors.PaginationError: "run it again; if it happens again, report it",
}


#: What the client says, in terms of the command line.
TERMS = {
    "pass allow_mass_delete=True": "use --allow-mass-delete",
    "pass the unchanged text of checkpoint()": "give it as it was printed",
    "resume_from": "--resume",
    "start_at": "--since",
    "end_at": "--until",
}


def exit_code(error: Exception) -> int:
    """Return the exit code for *error*."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, (errors.AuthenticationError, errors.PermissionDeniedError)):
        return NOT_AUTHORIZED
    is_incomplete = isinstance(error, errors.PaginationError) or hasattr(error, "__notes__")
    return INCOMPLETE if is_incomplete and not isinstance(error, errors.ConfigurationError) else FAILED


def described(error: Exception) -> str:
    """Return one line for standard error, without the text of an unexpected exception, which may contain anything."""
    text = getattr(error, "format_message", error.__str__)()
    for term, option in TERMS.items():
        text = text.replace(term, option)
    hints = [hint for kind, hint in NEXT_STEPS.items() if isinstance(error, kind)]
    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        hints = [f"see {context.command_path if context else 'charthero'} --help"]
    elif isinstance(error, OSError):
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    elif isinstance(error, sqlite3.Error):
        text = f"the ledger cannot be used: {error}"
    elif not (type(error).__module__.startswith("charthero_ext.") or isinstance(error, ModuleNotFoundError)):
        text = f"unexpected {place_of(error)}"
        hints = ["this is a bug in charthero; please report it"]
    parts = (text, *hints, *getattr(error, "__notes__", ()))
    return "; ".join(" ".join(plain(part).split()).rstrip(".") for part in parts)
