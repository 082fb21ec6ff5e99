"""Decide by value which fields a repr, a masked table and a recording may show.

``scripts/generate.py`` copies this file into the generated package. A generated model gives each showable field one of
the functions below as its attrs ``repr``; all other fields have ``repr=False``. A function shows a value only if it has
the type that is promised for the field. A server can put a patient's name anywhere, and then it is not shown.
"""

import datetime
import re
from typing import Any, Final, cast

from attrs import fields

from .decoding import UNSET, Model

__all__ = [
    "HIDDEN",
    "is_shown",
    "show_code",
    "show_count",
    "show_id",
    "show_known",
    "show_model",
    "show_time",
]

#: Stands in a repr for a value that is not shown.
HIDDEN: Final = "..."


def is_shown(model: Model, attribute: str) -> bool:
    """Return whether the repr of *model* shows the value of an attribute."""
    show = getattr(fields(cast("Any", type(model))), attribute).repr
    return callable(show) and show(getattr(model, attribute)) != HIDDEN


def show_id(value: object) -> str:
    """Show an opaque id, if it looks like one."""
    return _shown_if(isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:+-]{1,80}", value) is not None, value)


def show_code(value: object) -> str:
    """Show a machine-readable code, if it looks like one."""
    return _shown_if(isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,80}", value) is not None, value)


def show_time(value: object) -> str:
    """Show a decoded instant. One without a time zone is hidden, because it can be a date of birth."""
    return _shown_if(isinstance(value, datetime.datetime) and value.tzinfo is not None, value)


def show_count(value: object) -> str:
    """Show an integer."""
    return _shown_if(isinstance(value, int) and not isinstance(value, bool), value)


def show_model(value: object) -> str:
    """Show a model by its own repr, and a list by its length."""
    return f"[{len(value)}]" if isinstance(value, list) else _shown_if(isinstance(value, Model), value)


class show_known:  # noqa: N801  # used like the functions above
    """Show a value of an open enumeration, if it is one of the *known* values."""

    def __init__(self, *known: str) -> None:
        self.known = frozenset(known)

    def __call__(self, value: object) -> str:
        """Return the repr of *value*, or `HIDDEN`."""
        return _shown_if(isinstance(value, str) and value in self.known, value)


def _shown_if(has_promised_type: bool, value: object) -> str:
    return repr(value) if has_promised_type or value is None or value is UNSET else HIDDEN
