"""Walks over encounters: each exactly once, beyond the limit on offsets, while data changes.

``ch.encounters.iter(...)`` returns a walk, and ``ch.encounters.windows(...)`` returns windows that other processes can
walk. A walk's ``receipt`` says what it requested and received. ``window_walk`` explains why no encounter is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthero_ext._lazy import lazily
from charthero_ext.pagination.walk import Walk
from charthero_ext.pagination.window import Receipt, SortOrder, Window

if TYPE_CHECKING:
    from charthero_ext.pagination.async_walk import AsyncWalk

__all__ = ["AsyncWalk", "Receipt", "SortOrder", "Walk", "Window"]

if not TYPE_CHECKING:  # A type checker would believe that a module with a __getattr__ has every name.
    # Synchronous code does not load asyncio.
    __getattr__, __dir__ = lazily(__name__, {"AsyncWalk": "charthero_ext.pagination.async_walk"})
