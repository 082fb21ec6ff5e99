"""The number of random examples of a property test."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

__all__ = ["examples"]


def examples(count: int, **others: Any) -> settings:
    """Return settings for *count* examples, or for a fifteenth of them in the profile ``fast``."""
    if settings.get_current_profile_name() == "fast":
        count = min(count, max(10, count // 15))
    return settings(max_examples=count, deadline=None, **others)
