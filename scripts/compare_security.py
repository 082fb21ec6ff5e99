"""What a caller must bring to a route: the way of authenticating, and the scopes."""

from __future__ import annotations

from typing import Any

from scripts.schemas import Schemas

__all__ = ["OURS", "needs", "security_change"]

#: How this client authenticates.
OURS = "http bearer"

#: Ways to be let in; each is everything that way needs.
Needs = list[frozenset[str]]


def needs(schemas: Schemas, operation: dict[str, Any]) -> Needs:
    """Return the ways a caller is let in; one that needs nothing where the document asks for nothing."""
    security = operation.get("security", schemas.document.get("security"))
    entries = [entry for entry in security if isinstance(entry, dict)] if isinstance(security, list) else []
    ways = [
        frozenset(
            need
            for name, scopes in entry.items()
            for need in (_scheme(schemas, name), *(scopes if isinstance(scopes, list) else ()))
            if isinstance(need, str)
        )
        for entry in entries
    ]
    return ways or [frozenset()]


def security_change(old: Needs, new: Needs, documented: list[str] | None) -> str | None:
    """Return the rule for what a caller needs now, or None where nothing changed.

    Args:
        old: What was needed.
        new: What is needed.
        documented: The scopes that the developer pages name for the route. Where the artifact named none, a key has
            these, so their appearing asks for nothing more.
    """
    if set(old) == set(new):
        return None
    had = old if documented is None else [way if way - {OURS} else frozenset({OURS, *documented}) for way in old]
    if not all(any(way <= mine for way in new) for mine in had):
        return "scopes-needed"
    return "scopes-released" if any(way < mine for way in new for mine in had) else "security-respelled"


def _scheme(schemas: Schemas, name: str) -> str:
    components = schemas.document.get("components")
    described = components.get("securitySchemes") if isinstance(components, dict) else None
    scheme, _ = schemas.target(described.get(name) if isinstance(described, dict) else None)
    words = (scheme.get("type"), scheme.get("scheme"), scheme.get("in"), scheme.get("name"))
    return " ".join(word if index != 1 else word.lower() for index, word in enumerate(words) if isinstance(word, str))
