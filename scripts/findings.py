"""One difference between two artifacts, and how it is shown: to people, to programs, and to GitHub.

Names and values in a finding come from the artifact, which is untrusted text. Each is made one printable line of
bounded length before it is kept, and stands in a code span where Markdown would read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve, frozen

from scripts.severity import RULES, Severity

__all__ = [
    "Finding",
    "annotation",
    "as_annotations",
    "as_item",
    "as_json",
    "as_markdown",
    "as_text",
    "code",
    "counted",
    "merged",
    "shown",
]

MAX_SHOWN = 80

TITLES = {Severity.BREAKING: "Breaking", Severity.WARNING: "Look at", Severity.INFO: "Harmless"}


@frozen
class Finding:
    """One difference, seen by a caller of this client.

    ``route`` is a method and path, or ``webhook NAME``; empty for the document as a whole. ``path`` says where in the
    request or response: ``$.items[].status`` in a JSON body, ``query limit`` for a parameter. ``public`` is the name in
    Python that it touches, empty where this client has none. ``also`` has the further routes where the same was found.
    """

    rule: str
    route: str = ""
    path: str = ""
    public: str = ""
    before: str = ""
    after: str = ""
    also: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        """How much a caller has to care."""
        return RULES[self.rule].severity

    @property
    def change(self) -> str:
        """The values before and after, or the one there is."""
        if self.before and self.after:
            return f"{self.before} → {self.after}"
        return self.before or self.after

    @property
    def place(self) -> str:
        """The route and path, and how many routes more."""
        more = f" (and {len(self.also)} more)" if self.also else ""
        return " ".join(part for part in (self.route, self.path) if part) + more


def shown(value: Any, limit: int = MAX_SHOWN) -> str:
    """Return a value from an artifact as one printable line of bounded length; nothing for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, the worst first, with one that was met on several routes told once."""
    kept: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        place = (finding.public,) if finding.public else (finding.route, finding.path)
        key = (finding.rule, finding.before, finding.after, *place)
        known = kept.setdefault(key, finding)
        if finding.route not in (known.route, *known.also):
            kept[key] = evolve(known, also=(*known.also, finding.route))
    return sorted(kept.values(), key=lambda finding: -finding.severity)


def counted(findings: list[Finding]) -> str:
    """Return the counts in words: ``2 breaking, 1 warning, 4 info``."""
    counts = [(severity, sum(finding.severity == severity for finding in findings)) for severity in reversed(Severity)]
    return ", ".join(f"{count} {severity}" for severity, count in counts if count)


def as_text(findings: list[Finding]) -> str:
    """Return the findings for a terminal, two lines each."""
    lines = []
    for finding in findings:
        head = f"{finding.severity!s:<9} {finding.rule}"
        lines.append(f"{head}: {finding.public}" if finding.public else head)
        lines.append(f"          {finding.place + ': ' if finding.place else ''}{RULES[finding.rule].says}")
        if finding.change:
            lines.append(f"          {finding.change}")
    return "\n".join(lines)


def as_markdown(findings: list[Finding]) -> str:
    """Return the findings as Markdown: a heading per severity, a list item per finding, ⚠ on what breaks."""
    lines = []
    for severity, title in TITLES.items():
        here = [finding for finding in findings if finding.severity == severity]
        if here:
            lines += ["", f"### {title}", "", *map(as_item, here)]
    return "\n".join(lines[1:])


def as_item(finding: Finding) -> str:
    """Return one finding as an item of a Markdown list."""
    mark = "⚠ " if finding.severity == Severity.BREAKING else ""
    name = f"{code(finding.public)}: " if finding.public else ""
    change = f": {code(finding.change)}" if finding.change else ""
    place = f" ({code(finding.place)})" if finding.place else ""
    return f"* {mark}{name}{RULES[finding.rule].says}{change}{place}"


def code(text: str) -> str:
    """Return *text* as a code span, in which Markdown and HTML mean nothing and nobody is mentioned."""
    return "`" + text.replace("`", "'") + "`"


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return the findings as JSON values."""
    return [
        {
            "severity": str(finding.severity),
            "rule": finding.rule,
            "says": RULES[finding.rule].says,
            "route": finding.route,
            "path": finding.path,
            "before": finding.before,
            "after": finding.after,
            "public": finding.public,
            "also": list(finding.also),
        }
        for finding in findings
    ]


def as_annotations(findings: list[Finding]) -> str:
    """Return the findings as workflow commands of GitHub, one a line."""
    levels = {Severity.BREAKING: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
    return "\n".join(
        annotation(
            levels[finding.severity],
            f"{finding.rule} {finding.public}".strip(),
            f"{RULES[finding.rule].says}. {finding.place} {finding.change}".strip(),
        )
        for finding in findings
    )


def annotation(level: str, title: str, message: str) -> str:
    """Return one workflow command; nothing in it can end it or begin another."""
    message = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    title = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} file=openapi/openapi.json,title={title}::{message}"
