"""Compare the scopes the artifact asks for with those the developer pages name, which surface.toml holds.

A key is made with the documented ones, so where the two disagree somebody has to say which is right. What the artifact
is silent about cannot disagree.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from scripts.artifact import ArtifactError, load_snapshot
from scripts.canonicalize import canonicalize
from scripts.naming import shown
from scripts.surface import Surface, load_surface

__all__ = ["disagreements", "main"]


def disagreements(document: dict[str, Any], surface: Surface) -> list[str]:
    """Return a line for each promised operation whose scopes the two name differently.

    Raises:
        ArtifactError: The document cannot be used, or a promised name cannot be placed in it.
    """
    found = []
    for name, declared in canonicalize(document, surface).scopes.items():
        documented = surface.operations[name]["scopes"]
        if set(declared) != set(documented):
            asked, pages = (", ".join(map(shown, sorted(scopes))) for scopes in (declared, documented))
            found.append(f"{name}: the artifact asks for {asked}; the developer pages for {pages}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print where they disagree; exit 1 if they do."""
    parser = argparse.ArgumentParser(description="Compare the artifact's scopes with openapi/surface.toml.")
    parser.add_argument("artifact", nargs="?", type=Path, help="an OpenAPI document (default: the snapshot)")
    options = parser.parse_args(arguments)
    try:
        _, document = load_snapshot(options.artifact) if options.artifact else load_snapshot()
        found = disagreements(document, load_surface())
    except ArtifactError as error:
        print(f"scopes: {error}", file=sys.stderr)
        return 1
    for line in found:
        print(f"scopes: {line}", file=sys.stderr)
    if found:
        print("ask ChartHero which is right, then correct openapi/surface.toml", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
