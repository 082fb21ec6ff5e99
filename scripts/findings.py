"""One difference between two artifacts, and how it is shown to people, to programs and to GitHub.

Names and values in a finding come from the artifact, which is untrusted text. `shown` makes each of them one printable
line of bounded length, and Markdown shows them in code spans.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import asdict, evolve, frozen

from scripts.severity import RULES, Severity

__all__ = ["Finding", "annotation", "as_annotations", "as_item", "as_json", "as_markdown", "as_text", "code"]
__all__ += ["counted", "merged", "shown"]

MAX_SHOWN = 80

TITLES = {Severity.BREAKING: "Breaking", Severity.WARNING: "Look at", Severity.INFO: "Harmless"}
LEVELS = {Severity.BREAKING: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


@frozen
class Finding:
    """One difference, as a caller of this client sees it.

    ``route`` is a method and a path, or ``webhook NAME``; it is empty for the whole document. ``path`` is the place in
    the request or response: ``$.items[].status`` in a JSON body, ``query limit`` for a parameter. ``public`` is the
    public name that the difference touches, if there is one. ``also`` holds the other routes with the same difference.
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
    def says(self) -> str:
        """What the difference means, in words."""
        return RULES[self.rule].says

    @property
    def change(self) -> str:
        """What was there before and after, or the one of the two that exists."""
        return " → ".join(part for part in (self.before, self.after) if part)

    @property
    def place(self) -> str:
        """The route, the path and the number of other routes."""
        more = f"(and {len(self.also)} more)" if self.also else ""
        return " ".join(part for part in (self.route, self.path, more) if part)


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """Return text from an artifact as one printable line of bounded length."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, the worst first. A finding on several routes is listed once."""
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
    """Return the findings for a terminal."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.severity!s:<9} {finding.rule}" + (f": {finding.public}" if finding.public else ""))
        lines.append(f"          {finding.place + ': ' if finding.place else ''}{finding.says}")
        lines += [f"          {finding.change}"] if finding.change else []
    return "\n".join(lines)


def as_markdown(findings: list[Finding]) -> str:
    """Return the findings as Markdown, with a heading for each severity."""
    lines = []
    for severity, title in TITLES.items():
        if here := [as_item(finding) for finding in findings if finding.severity == severity]:
            lines += ["", f"### {title}", "", *here]
    return "\n".join(lines[1:])


def as_item(finding: Finding) -> str:
    """Return one finding as an item of a Markdown list; ⚠ marks what breaks."""
    mark = "⚠ " if finding.severity == Severity.BREAKING else ""
    name = f"{code(finding.public)}: " if finding.public else ""
    change = f": {code(finding.change)}" if finding.change else ""
    place = f" ({code(finding.place)})" if finding.place else ""
    return f"* {mark}{name}{finding.says}{change}{place}"


def code(text: str) -> str:
    """Return *text* as a code span, in which Markdown, HTML and mentions mean nothing."""
    return "`" + text.replace("`", "'") + "`"


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return the findings as JSON values."""
    return [
        {"severity": str(finding.severity), "says": finding.says, **asdict(finding), "also": list(finding.also)}
        for finding in findings
    ]


def as_annotations(findings: list[Finding]) -> str:
    """Return the findings as workflow commands of GitHub, one a line."""
    return "\n".join(
        annotation(
            LEVELS[finding.severity],
            f"{finding.rule} {finding.public}".strip(),
            f"{finding.says}. {finding.place} {finding.change}".strip(),
        )
        for finding in findings
    )


def annotation(level: str, title: str, message: str) -> str:
    """Return one workflow command. Nothing in it can end it or begin another."""
    message, title = (text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A") for text in (message, title))
    title = title.replace(":", "%3A").replace(",", "%2C")
    return f"::{level} file=openapi/openapi.json,title={title}::{message}"
