"""Every encounter exactly once, past the cap on offsets, while data moves.

``ch.encounters.iter(...)`` gives a walk, ``ch.encounters.windows(...)`` windows that can be walked elsewhere; a walk's
``receipt`` says what it asked and saw. The reasoning behind the promise is in ``window_walk``.
"""

from charthero_ext.pagination.walk import AsyncWalk, Walk
from charthero_ext.pagination.window import Receipt, SortOrder, Window

__all__ = ["AsyncWalk", "Receipt", "SortOrder", "Walk", "Window"]
