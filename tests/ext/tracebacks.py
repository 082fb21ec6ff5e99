"""Ways to show an exception with the local variables of its frames, as error reporters do."""

from __future__ import annotations

import io
import sys
import traceback
import warnings
from typing import Any

import sentry_sdk
from rich.console import Console
from rich.traceback import Traceback
from sentry_sdk.utils import event_from_exception
from structlog.tracebacks import ExceptionDictTransformer

__all__ = ["RENDERERS", "event_of", "with_captured_locals"]


def with_captured_locals(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True, compact=False).format())


def with_rich(error: BaseException) -> str:
    console = Console(file=io.StringIO(), width=400)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
        )
    )
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def with_structlog(error: BaseException) -> str:
    transform = ExceptionDictTransformer(show_locals=True, locals_max_length=10_000, locals_max_string=10_000)
    return str(transform((type(error), error, error.__traceback__)))


def with_cgitb(error: BaseException) -> str:
    if sys.version_info >= (3, 13):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import cgitb
    return cgitb.text((type(error), error, error.__traceback__))  # type: ignore[no-any-return]


def event_of(error: BaseException) -> str:
    """Return the event that Sentry sends for an exception, with its default settings."""
    sent: list[Any] = []

    class Memory(sentry_sdk.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope.serialize().decode())

    client = sentry_sdk.Client(dsn="https://synthetic@sentry.invalid/1", transport=Memory, default_integrations=False)
    event, hint = event_from_exception(error, client_options=client.options)
    client.capture_event(event, hint, sentry_sdk.Scope())
    client.close()
    return "".join(sent)


RENDERERS = [with_captured_locals, with_rich, with_structlog, with_cgitb, event_of]
