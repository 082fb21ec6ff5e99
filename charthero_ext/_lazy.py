"""Loads modules when they are first used, so that importing the package is fast."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from threading import RLock
from typing import Any

__all__ = ["lazily", "loaded"]

_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def loaded(module: str) -> Any:
    """Return *module*, and load it if necessary.

    A fork waits until the module is loaded. A child that is forked meanwhile could never load it, because Python's own
    lock of the module would stay locked.
    """
    with _lock:
        return import_module(module)


def lazily(module: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of *module*. *homes* maps each name to the module that defines it."""

    def get(name: str) -> Any:
        if name in homes:
            return getattr(loaded(homes[name]), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get, lambda: sorted({*vars(sys.modules[module]), *homes})
