"""From an exception to an exit code and one line that says what to do next."""

from __future__ import annotations

import traceback
from pathlib import Path

import typer

from charthero_ext.cli.rendering import plain
from charthero_ext.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    TransportError,
    UnexpectedResponseError,
)

__all__ = ["Incomplete", "described", "exit_code"]

FAILED, USAGE, NOT_AUTHORISED, INCOMPLETE = 1, 2, 3, 4

#: typer has brought its own click for a while, and used the one that is installed before.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_NEXT: dict[type[Exception], str] = {
    AuthenticationError: "`charthero doctor` says which key was used",
    PermissionDeniedError: "`charthero doctor` says what the key may do",
    InvalidRequestError: "`charthero encounter` lists documents and what they are",
    NotFoundError: "`charthero encounters` lists what there is",
    RateLimitedError: "try again later",
    ServiceUnavailableError: "try again later; if it lasts, ask ChartHero's support",
    TransportError: "`charthero doctor` tests the connection",
    UnexpectedResponseError: "`charthero doctor` says whether the API has changed",
    PaginationError: "run it again; if it happens again, report it",
}


class Incomplete(Exception):  # noqa: N818 - it is no error of its own
    """A part was written when *cause* came up; *hint* says how to go on."""

    def __init__(self, cause: Exception, hint: str) -> None:
        super().__init__(cause, hint)
        self.cause = cause
        self.hint = hint


def exit_code(error: Exception) -> int:
    """Return what the command ends with."""
    if isinstance(error, Incomplete):
        code = exit_code(error.cause)
        return code if code == NOT_AUTHORISED or isinstance(error.cause, ConfigurationError) else INCOMPLETE
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return NOT_AUTHORISED
    return INCOMPLETE if isinstance(error, PaginationError) else FAILED


def described(error: Exception) -> str:
    """Return one line for standard error. Of what was not expected it holds no text: that could be anybody's."""
    text, hint = str(error), next((hint for kind, hint in _NEXT.items() if isinstance(error, kind)), "")
    if isinstance(error, Incomplete):
        text, hint = described(error.cause), error.hint
    elif isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        text = getattr(error, "format_message", error.__str__)()
        hint = f"see {context.command_path if context else 'charthero'} --help"
    elif isinstance(error, OSError):
        text = ": ".join(str(part) for part in (error.strerror, error.filename) if part)
    elif not _is_ours(error):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"unexpected {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        hint = "this is a mistake in charthero; please report it"
    line = " ".join(plain(text).split()).rstrip(".")
    return f"{line}; {hint}" if hint else line


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith("charthero_ext.") or isinstance(error, ModuleNotFoundError)
