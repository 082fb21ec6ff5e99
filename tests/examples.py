"""The size of a test: the number of random examples of a property test, or of rows."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["IS_FAST", "examples"]

#: Whether this is ``make test``, and not ``make test-all``.
IS_FAST = settings.get_current_profile_name() == "fast"


def examples(count: int, **others: Any) -> settings:
    """Return settings for *count* examples, or for a fifteenth of them in the profile ``fast``."""
    if IS_FAST:
        count = min(count, max(10, count // 15))
    return settings(max_examples=count, deadline=None, **others)
