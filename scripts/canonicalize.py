"""Turn the published artifact into a canonical document whose names and promised types are ours.

In: the artifact (any operation ids, tags, schema names and spellings) and ``openapi/surface.toml``. Out: an OpenAPI 3.1
document in which every promised operation, model and field has its promised name and type. Everything else keeps its
upstream name. The result becomes code, so only names, types and descriptions pass, and each is checked or rebuilt.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from scripts.artifact import ArtifactError, load_snapshot
from scripts.operations import Operations
from scripts.paging import Paging
from scripts.placing import Placer
from scripts.rebuilding import Rebuilder
from scripts.schemas import Schemas
from scripts.surface import Surface, load_surface

__all__ = ["Canonical", "canonicalize", "main"]


@frozen
class Canonical:
    """The document to generate from, and facts that have no place in it.

    ``scopes`` holds the scopes that the artifact declares; an operation without any is missing there. ``deprecated``
    names the promised operations that the artifact deprecates. ``notes`` has one line for each thing that was left out,
    was built from surface.toml alone, or differs from the developer pages.
    """

    document: dict[str, Any]
    scopes: dict[str, list[str]]
    paging: Paging
    deprecated: list[str]
    notes: list[str]


def canonicalize(document: dict[str, Any], surface: Surface) -> Canonical:
    """Return *document* under the names of *surface*.

    Raises:
        SurfaceError: The artifact lacks or contradicts something promised.
        ArtifactError: The document refers outside itself, or is built to exhaust its reader.
    """
    schemas, notes = Schemas(document), list[str]()
    placer = Placer(schemas, surface, notes)
    placement = placer.place()
    rebuilder = Rebuilder(schemas, surface, placement, notes)
    operations = Operations(schemas, surface, placer, rebuilder, notes)
    rebuilder.models()
    paths: dict[str, dict[str, Any]] = {}
    scopes: dict[str, list[str]] = {}
    for name, operation in placement.operations.items():
        method, _, path = surface.operations[name]["route"].partition(" ")
        paths.setdefault(path, {})[method.lower()] = operations.promised(name, operation)
        if declared := operations.scopes(name, operation):
            scopes[name] = declared
    for (method, path), operation in placement.others.items():
        if rebuilt := operations.other(method, path, operation):
            paths.setdefault(rebuilt[0], {}).setdefault(method, rebuilt[1])
    canonical = {
        "openapi": "3.1.0",
        "info": {"title": "ChartHero", "version": "v1"},
        "paths": paths,
        "components": {"schemas": dict(sorted(rebuilder.components.items()))},
    }
    paging = operations.paging("encounters.list", placement.operations["encounters.list"])
    deprecated = [name for name, operation in placement.operations.items() if operation.get("deprecated") is True]
    return Canonical(canonical, scopes, paging, deprecated, notes)


def main(arguments: list[str] | None = None) -> int:
    """Print the canonical document of an artifact."""
    parser = argparse.ArgumentParser(description="Print the artifact under the names of openapi/surface.toml.")
    parser.add_argument("artifact", nargs="?", type=Path, help="an OpenAPI document (default: the snapshot)")
    options = parser.parse_args(arguments)
    try:
        _, document = load_snapshot(options.artifact) if options.artifact else load_snapshot()
        canonical = canonicalize(document, load_surface())
    except ArtifactError as error:
        print(f"canonicalize: {error}", file=sys.stderr)
        return 1
    print(json.dumps(canonical.document, indent=2))
    for note in canonical.notes:
        print(note, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
