"""Every encounter exactly once, past the cap on offsets, while data moves.

``ch.encounters.iter(...)`` gives a walk, ``ch.encounters.windows(...)`` windows that can be walked elsewhere; a walk's
``receipt`` says what it asked and saw. The reasoning behind the promise is in ``window_walk``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthero_ext._lazy import lazily

if TYPE_CHECKING:
    from charthero_ext.pagination.async_walk import AsyncWalk
    from charthero_ext.pagination.walk import Walk
    from charthero_ext.pagination.window import Receipt, SortOrder, Window

__all__ = ["AsyncWalk", "Receipt", "SortOrder", "Walk", "Window"]

if not TYPE_CHECKING:  # which would believe that a package with a __getattr__ has every name
    # Who does not await anything does not load asyncio.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "AsyncWalk": "charthero_ext.pagination.async_walk",
            "Receipt": "charthero_ext.pagination.window",
            "SortOrder": "charthero_ext.pagination.window",
            "Walk": "charthero_ext.pagination.walk",
            "Window": "charthero_ext.pagination.window",
        },
    )
