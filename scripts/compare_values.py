"""The difference between two schemas of plain values: enumerations, formats, bounds and other constraints.

Everything here looks at the keywords of schemas that stand for the same JSON type, without following anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from scripts.schemas import types_of
from scripts.severity import PAGER_NEEDS

__all__ = ["PROSE", "ValueChange", "is_prose", "value_changes"]

#: Keywords that only people read; so are all that begin with `x-`.
PROSE = frozenset({"description", "summary", "title", "example", "examples", "externalDocs", "$comment"})

BOUNDS = ("minimum", "maximum")

#: Keywords with rules of their own, and those that say nothing of values. What is left is a constraint.
JUDGED = frozenset(
    {"type", "enum", "const", "properties", "required", "items", "oneOf", "anyOf", "allOf", "$ref", "nullable"}
    | {"format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "deprecated", "discriminator"}
    | {"$schema", "$id", "$anchor", "$defs", "xml"}
)


@frozen
class ValueChange:
    """A rule that applies, and the keyword before and after."""

    rule: str
    before: str | None = None
    after: str | None = None


def value_changes(
    old: list[dict[str, Any]], new: list[dict[str, Any]], *, sent: bool, public: str
) -> Iterator[ValueChange]:
    """Compare the alternatives of one type at one place, which is *public* in Python."""
    yield from _enumerations(old, new, "sent" if sent else "received")
    if len(old) == len(new) == 1:
        yield from _format(old[0].get("format"), new[0].get("format"), sent)
        for keyword in BOUNDS:
            yield from _bounds(keyword, old[0], new[0], sent, public)
        for keyword in sorted({*old[0], *new[0]} - JUDGED - ({"default"} if sent else set())):
            before, after = (_constraint(keyword, node) for node in (old[0], new[0]))
            if before != after and not is_prose(keyword):
                yield _changed(before, after, sent)
    elif set(map(_signature, old)) != set(map(_signature, new)):
        yield _changed("several alternatives", "other alternatives", sent)


def is_prose(keyword: str) -> bool:
    """Tell whether a keyword is for people only."""
    return keyword in PROSE or keyword.startswith("x-")


def _enumerations(old: list[dict[str, Any]], new: list[dict[str, Any]], way: str) -> Iterator[ValueChange]:
    before, after = _listed(old), _listed(new)
    if before is None and after is not None:
        yield ValueChange(f"{way}-values-closed", after=_words(after))
    elif before is not None and after is None:
        yield ValueChange(f"{way}-values-opened", _words(before))
    elif before is not None and after is not None:
        if after - before:
            yield ValueChange(f"{way}-value-added", after=_words(after - before))
        if before - after:
            yield ValueChange(f"{way}-value-removed", _words(before - after))


def _listed(branches: list[dict[str, Any]]) -> set[str] | None:
    """Return the values that are allowed, as JSON; None where any alternative leaves them open."""
    values: set[str] = set()
    for branch in branches:
        listed = branch.get("enum", [branch["const"]] if "const" in branch else None)
        if not isinstance(listed, list):
            return None
        values |= {json.dumps(value, sort_keys=True, ensure_ascii=False) for value in listed if value is not None}
    return values


def _words(values: set[str]) -> str:
    return ", ".join(sorted(values))


def _format(old: Any, new: Any, sent: bool) -> Iterator[ValueChange]:
    if old != new:
        if sent:
            rule = "sent-format-tightened" if new else "sent-format-dropped"
        else:
            rule = "received-format-changed" if old else "received-format-added"
        yield ValueChange(rule, old, new)


def _bounds(keyword: str, old: dict[str, Any], new: dict[str, Any], sent: bool, public: str) -> Iterator[ValueChange]:
    before, after = _room(old, keyword), _room(new, keyword)
    if before == after:
        return
    texts = [_bound_words(keyword, room) for room in (before, after)]
    if not sent:
        yield _changed(texts[0], texts[1], sent)
    elif after > before:
        yield ValueChange("sent-bound-loosened", *texts)
    elif keyword == "maximum" and public in PAGER_NEEDS and after < (PAGER_NEEDS[public], 0):
        yield ValueChange("pager-bound-tightened", *texts)
    else:
        yield ValueChange("sent-bound-tightened", *texts)


NO_BOUND = float("inf")


def _room(schema: dict[str, Any], keyword: str) -> tuple[float, int]:
    """Return how far values may go; greater is freer, and a bound that excludes itself leaves less."""
    sign, exclusive_keyword = (1, "exclusiveMaximum") if keyword == "maximum" else (-1, "exclusiveMinimum")
    bound, exclusive = schema.get(keyword), schema.get(exclusive_keyword)
    rooms: list[tuple[float, int]] = [(NO_BOUND, 0)]
    if isinstance(bound, (int, float)):
        rooms.append((sign * bound, -1 if exclusive is True else 0))
    if isinstance(exclusive, (int, float)) and not isinstance(exclusive, bool):
        rooms.append((sign * exclusive, -1))
    room, excluded = min(rooms)
    return (room - 1, 0) if excluded and types_of(schema) - {"null"} == {"integer"} else (room, excluded)


def _bound_words(keyword: str, room: tuple[float, int]) -> str | None:
    if room[0] == NO_BOUND:
        return None
    return f"{keyword} {room[0] if keyword == 'maximum' else -room[0]}" + (", not itself" if room[1] else "")


def _constraint(keyword: str, schema: dict[str, Any]) -> str | None:
    """Return a keyword and its value as text; None where it is absent, or says what its absence says."""
    value = schema.get(keyword)
    absent = value is None or (value is False and keyword != "additionalProperties")
    if absent or (keyword == "additionalProperties" and value is not False):
        return None
    return f"{keyword} {json.dumps(value, sort_keys=True, ensure_ascii=False)}"


def _changed(before: str | None, after: str | None, sent: bool) -> ValueChange:
    if not sent:
        return ValueChange("received-constraint-changed", before, after)
    return ValueChange("sent-constraint-tightened" if after else "sent-constraint-dropped", before, after)


def _signature(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return what is said about values beyond their type and their list."""
    bounds = tuple(f"{_room(schema, keyword)}" for keyword in BOUNDS)
    keywords = sorted({*schema} - JUDGED | {"format"})
    return (*bounds, *(_constraint(keyword, schema) or "" for keyword in keywords if not is_prose(keyword)))
