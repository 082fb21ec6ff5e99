"""Loads modules when they are first used, so that importing the package is fast."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from threading import RLock
from typing import Any

__all__ = ["forks_wait", "lazily", "loaded"]

#: While a thread holds it, a fork waits. Otherwise locks of Python's import or of OpenSSL stay locked in the child.
forks_wait = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=forks_wait.acquire, after_in_parent=forks_wait.release, after_in_child=forks_wait.release
    )


def loaded(module: str) -> Any:
    """Return *module*, and load it if necessary. A fork waits until it is loaded."""
    with forks_wait:
        return import_module(module)


def lazily(module: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of *module*. *homes* maps each name to the module that defines it."""

    def get(name: str) -> Any:
        if name in homes:
            return getattr(loaded(homes[name]), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get, lambda: sorted({*vars(sys.modules[module]), *homes})
