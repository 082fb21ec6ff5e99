"""Refuse a release whose tag is not the version or has no section in the changelog. Uses only the standard library."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib

from scripts.artifact import ROOT

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Compare a tag with pyproject.toml and CHANGELOG.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="as in v1.2.3")
    tag = parser.parse_args(arguments).tag
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        print(f"check_tag: the tag is {tag!r}, and pyproject.toml says {version}", file=sys.stderr)
        return 1
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[?{re.escape(version)}\]?(\s|$)", changelog, re.MULTILINE):
        print(f"check_tag: CHANGELOG.md has no section `## {version}`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
