"""Turn the published artifact into a canonical document whose names and promised types are ours.

In: the artifact (any operation ids, tags, schema names and spellings) and ``openapi/surface.toml``. Out: an OpenAPI 3.1
document in which every promised operation, model and field has its promised name and type. Everything else keeps its
upstream name. The result becomes code, so only names, types and descriptions pass, and each is checked or rebuilt.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from scripts.artifact import ArtifactError
from scripts.operations import Operations
from scripts.placing import Placer
from scripts.rebuilding import Rebuilder
from scripts.schemas import Schemas
from scripts.surface import PREFIX, Surface

__all__ = ["Canonical", "canonicalize"]


@frozen
class Canonical:
    """The document to generate from, and what such a document cannot hold.

    ``scopes`` holds the scopes that the artifact declares, by promised operation. ``max_limit`` and ``max_offset`` are
    the largest values that the list route accepts. ``deprecated`` names the promised operations that the artifact
    deprecates. ``notes`` has one line for each part that was left out, was built from surface.toml alone, or differs
    from the developer pages.
    """

    document: dict[str, Any]
    scopes: dict[str, list[str]]
    max_limit: int
    max_offset: int
    deprecated: list[str]
    notes: list[str]


def canonicalize(document: dict[str, Any], surface: Surface) -> Canonical:
    """Return *document* under the names of *surface*.

    Raises:
        SurfaceError: The artifact lacks or contradicts something promised.
        ArtifactError: The document refers outside itself, or is built to exhaust its reader.
    """
    try:
        return _canonical(document, surface)
    except RecursionError:
        raise ArtifactError("the artifact is nested too deeply") from None


def _canonical(document: dict[str, Any], surface: Surface) -> Canonical:
    schemas, notes = Schemas(document), list[str]()
    placer = Placer(schemas, surface, notes)
    placer.place()
    rebuilder = Rebuilder(schemas, surface, placer.claims, notes)
    operations = Operations(schemas, surface, rebuilder, notes)
    rebuilder.models()
    paths: dict[str, dict[str, Any]] = {}
    scopes: dict[str, list[str]] = {}
    for name, route in placer.operations.items():
        method, _, path = surface.operations[name]["route"].partition(" ")
        paths.setdefault(path, {})[method.lower()] = operations.promised(name, route)
        if declared := operations.scopes(name, route):
            scopes[name] = declared
    # If the server's URL holds the prefix, no path has it.
    prefix = "" if any(route.path.startswith(PREFIX) for route in placer.operations.values()) else PREFIX
    for route in placer.others:
        if rebuilt := operations.other(prefix + route.path, route):
            paths.setdefault(rebuilt[0], {}).setdefault(route.method, rebuilt[1])
    canonical = {
        "openapi": "3.1.0",
        "info": {"title": "ChartHero", "version": "v1"},
        "paths": paths,
        "components": {"schemas": dict(sorted(rebuilder.components.items()))},
    }
    deprecated = [name for name, route in placer.operations.items() if route.node.get("deprecated") is True]
    pages = placer.operations["encounters.list"]
    # Pages overlap by one row, so a page holds at least two. The pager counts with a limit of one.
    max_limit = operations.largest(pages, "limit", 1, 2)
    # The pager proves the end of a range with an offset behind a full page.
    max_offset = operations.largest(pages, "offset", 0, max_limit)
    return Canonical(canonical, scopes, max_limit, max_offset, deprecated, notes)
