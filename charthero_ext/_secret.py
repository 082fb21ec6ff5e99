"""Keeps keys, signed URLs, webhook secrets, raw configuration and pass-through arguments out of tracebacks.

Traceback renderers print the local variables of every frame, and walk attrs fields, dicts and lists, even if a repr
hides them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar

__all__ = ["Secret", "hide", "opaque", "place_of", "without_origin"]

P = ParamSpec("P")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
X = TypeVar("X", bound=BaseException)


class Secret(Generic[T_co]):
    """Holds a value that tools must not show.

    It has no fields to walk, its repr is constant, and it cannot be pickled. Wrap a value in the first line that holds
    it and rebind the same name. Call :meth:`reveal` only inside the expression that needs the value, and never store
    the result in a local variable.
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: T_co) -> None:
        # A closure: inspectors do not look into its cells.
        self._reveal: Callable[[], T_co] = lambda: value

    def reveal(self) -> T_co:
        """Return the value."""
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def hide(value: Any) -> Any:
    """Return *value* as a ``Secret``. The return type is ``Any``, so the same name can be rebound."""
    return value if isinstance(value, Secret) else Secret(value)


def opaque(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate *function* so that a traceback shows neither its arguments nor the frames below it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> R:
        args, kwargs = hide(args), hide(kwargs)
        try:
            return function(*args.reveal(), **kwargs.reveal())  # type: ignore[attr-defined]
        except BaseException as error:
            without_origin(error)
            raise

    return call


def without_origin(error: X) -> X:
    """Remove the traceback and the chained exceptions of *error*, because they hold the request and its key."""
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        without_origin(member)
    if isinstance(error, AttributeError):
        error.obj = None  # The value without the attribute. cgitb shows it.
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def place_of(error: BaseException) -> str:
    """Return the class of an exception and where it was raised, but not its text, which may contain anything."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
