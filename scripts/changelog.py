"""Write what an API release means into CHANGELOG.md, and propose the next version.

Each artifact has one section under Unreleased, with a line that people replace by their own words. `make update` never
changes an existing section.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

from scripts.artifact import sha256, write_atomically
from scripts.findings import Finding, as_item
from scripts.severity import RULES, Release, Severity

__all__ = ["CHANGELOG", "proposal", "record"]

CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## Unreleased"
WORDS = "<!-- Say here, in your own words, what this means for users. -->"

_PROPOSED = re.compile(r"^Proposed version: (\d+)\.(\d+)\.(\d+)", re.MULTILINE)


def proposal(version: str, findings: list[Finding]) -> str:
    """Return the version that *findings* ask for after *version*."""
    major, minor, patch = map(int, re.findall(r"\d+", version)[:3])
    release = max((RULES[finding.rule].release for finding in findings), default=Release.PATCH)
    if release == Release.MAJOR:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if release == Release.MINOR else f"{major}.{minor}.{patch + 1}"


def record(root: Path, artifact: bytes, findings: list[Finding], today: date, note: str = "") -> str:
    """Add the section on *artifact* to *root*'s changelog, unless it has one, and return the version to propose.

    If several releases of the API come before one of this package, the highest proposed version counts. *note* says
    what a reader must know about the comparison itself.
    """
    path = root / CHANGELOG
    text = path.read_text(encoding="utf-8") if path.exists() else "# Changelog\n"
    mark = f"<!-- artifact {sha256(artifact)} -->"
    if UNRELEASED not in text.splitlines():
        first = re.search(r"^## ", text, re.MULTILINE)
        at = first.start() if first else len(text)
        text = f"{text[:at].rstrip()}\n\n{UNRELEASED}\n\n{text[at:]}".rstrip() + "\n"
    head, _, rest = text.partition(f"{UNRELEASED}\n")
    earlier = _PROPOSED.findall(rest.partition("\n## ")[0])
    current = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    wanted = proposal(current, findings)
    version = max([wanted, *map(".".join, earlier)], key=lambda one: tuple(map(int, one.split("."))))
    if mark not in text:
        parts = (f"{head}{UNRELEASED}\n", _section(mark, findings, version, today, note), rest.lstrip("\n"))
        write_atomically(path, "\n".join(part for part in parts if part).encode())
    return version


def _section(mark: str, findings: list[Finding], version: str, today: date, note: str) -> str:
    listed = [one for one in findings if one.severity > Severity.INFO or RULES[one.rule].release > Release.PATCH]
    items = [as_item(finding) for finding in listed]
    if harmless := len(findings) - len(listed):
        items.append(f"* differences that change nothing for callers: {harmless}")
    heading = f"### ChartHero's API on {today.isoformat()}"
    parts = [heading, f"{mark}\n{WORDS}", note, f"Proposed version: {version}", "\n".join(items)]
    return "\n\n".join(part for part in parts if part) + "\n"
