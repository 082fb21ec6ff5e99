"""The page size and the largest offset of the list route, read from the artifact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from scripts.schemas import Schemas, listed
from scripts.surface import SurfaceError

__all__ = ["Paging", "paging"]

#: What ChartHero's developer pages document, for an artifact that states no maximum.
DOCUMENTED = {"limit": 100, "offset": 10_000}


@frozen
class Paging:
    """The largest values that the pager may send."""

    max_limit: int
    max_offset: int


def paging(schemas: Schemas, parameters: dict[str, Any], place: str) -> Paging:
    """Return the largest `limit` and `offset` that the schemas of the query *parameters* accept.

    Raises:
        SurfaceError: The pager cannot work with the values they accept.
    """
    # Pages overlap by one row, so a page holds at least two. The pager counts with a limit of one.
    max_limit = _largest(schemas, parameters["limit"], "limit", 1, 2, place)
    # The pager proves the end of a range with an offset behind a full page.
    max_offset = _largest(schemas, parameters["offset"], "offset", 0, max_limit, place)
    return Paging(max_limit, max_offset)


def _largest(schemas: Schemas, node: Any, name: str, low: int, high: int, place: str) -> int:
    """Return the largest value that *node* accepts, if it accepts every value from *low* to *high*."""
    lowest, highest = -math.inf, math.inf
    for keywords in _keywords(schemas, node):
        minimum, maximum = _number(keywords, "minimum"), _number(keywords, "maximum")
        above, below = _number(keywords, "exclusiveMinimum"), _number(keywords, "exclusiveMaximum")
        # In OpenAPI 3.0 the exclusive keywords are booleans about the plain ones.
        above = minimum if keywords.get("exclusiveMinimum") is True else above
        below = maximum if keywords.get("exclusiveMaximum") is True else below
        lowest = max([lowest, *(math.ceil(value) for value in minimum), *(math.floor(value) + 1 for value in above)])
        highest = min([highest, *(math.floor(value) for value in maximum), *(math.ceil(value) - 1 for value in below)])
        if keywords.keys() & {"enum", "const", "multipleOf"}:
            lowest = math.inf
    largest = DOCUMENTED[name] if highest == math.inf else int(highest)
    if lowest > low or largest < high:
        text = f"{place} query: `{name}` does not accept every value from {low} to {high}, which encounters.iter sends"
        raise SurfaceError(text, f"encounters.list.{name}")
    return largest


def _number(keywords: dict[str, Any], key: str) -> list[float]:
    value = keywords.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf:
        return [value]
    return []


def _keywords(schemas: Schemas, node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that says something about the value: beside a reference, behind it, in each alternative."""
    waiting, seen = [node], set[int]()
    while waiting:
        node = waiting.pop()
        for schema in (node, schemas.target(node)[0]):
            if isinstance(schema, dict) and id(schema) not in seen:
                seen.add(id(schema))
                yield schema
                waiting.extend(part for key in ("allOf", "anyOf", "oneOf") for part in listed(schema.get(key)))
