"""The page size and the largest offset of the list route, read from the artifact."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from scripts.alternatives import room
from scripts.routes import Route
from scripts.schemas import Schemas
from scripts.surface import SurfaceError

__all__ = ["Paging", "paging"]

#: What ChartHero's developer pages document, for an artifact that states no maximum.
DOCUMENTED = {"limit": 100, "offset": 10_000}


@frozen
class Paging:
    """The largest values that the pager may send."""

    max_limit: int
    max_offset: int


def paging(schemas: Schemas, route: Route) -> Paging:
    """Return the largest `limit` and `offset` that the list route accepts.

    Raises:
        SurfaceError: The pager cannot work with the values that it accepts.
    """
    query = {one.name: one.schema for one in route.parameters.values() if one.place == "query"}
    # Pages overlap by one row, so a page holds at least two. The pager counts with a limit of one.
    max_limit = _largest(schemas, query["limit"], "limit", 1, 2, route.title)
    # The pager proves the end of a range with an offset behind a full page.
    max_offset = _largest(schemas, query["offset"], "offset", 0, max_limit, route.title)
    return Paging(max_limit, max_offset)


def _largest(schemas: Schemas, node: Any, name: str, low: int, high: int, place: str) -> int:
    """Return the largest value that *node* accepts, if it accepts every value from *low* to *high*."""
    lowest, highest = -math.inf, math.inf
    for alternative in schemas.read((node,)):
        for keyword, text in alternative.restrictions("integer"):
            if keyword in ("minimum", "maximum"):
                bound, excluded = room(keyword, text)
                farthest = math.ceil(bound) - 1 if excluded else math.floor(bound)
                lowest = max(lowest, -farthest) if keyword == "minimum" else lowest
                highest = min(highest, farthest) if keyword == "maximum" else highest
            elif keyword in ("value", "multipleOf"):
                lowest = math.inf
    largest = DOCUMENTED[name] if highest == math.inf else int(highest)
    if lowest > low or largest < high:
        text = f"{place} query: `{name}` does not accept every value from {low} to {high}, which encounters.iter sends"
        raise SurfaceError(text, f"encounters.list.{name}")
    return largest
