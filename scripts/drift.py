"""Tell whether the published artifact still is the one this client was built from, and what a difference means.

Exit codes: 0, there is no drift; 1, there is drift of the severity asked for, or worse; 2, it could not be told. What
is fetched is compared whole, every time: an equal ETag, a 304 or a date proves nothing, and saves nothing worth having.
Bytes that differ only in layout are drift too (severity info), as the snapshot then is not what is published.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from attrs import frozen

from scripts.artifact import SNAPSHOT, SOURCE, ArtifactError, load_snapshot, sha256
from scripts.compare import compare
from scripts.findings import Finding, annotation, as_annotations, as_json, as_markdown, as_text, code, counted
from scripts.pull import PUBLISHED, fetch, public
from scripts.severity import Severity
from scripts.surface import load_surface

__all__ = ["Report", "could_not_tell", "drift", "main", "provenance_note", "write_summary"]

NO_DRIFT, DRIFT, COULD_NOT_TELL = 0, 1, 2

FAIL_ON = {"breaking": Severity.BREAKING, "warning": Severity.WARNING, "any": Severity.INFO}

RECONSTRUCTED = (
    "The snapshot was reconstructed from ChartHero's developer pages, never pulled: a difference may be a mistake of "
    "the reconstruction and no change of the API. The first `make update` replaces it."
)
UNRECORDED = "openapi/source.json does not fit the snapshot: it was changed by hand, or a pull was cut short."


@frozen
class Report:
    """What a comparison with the published artifact gave."""

    source: str
    findings: list[Finding]
    snapshot_sha256: str
    published_sha256: str
    note: str = ""

    @property
    def headline(self) -> str:
        """The answer in one line."""
        if not self.findings:
            return "no drift: the published artifact is the snapshot, byte for byte"
        return f"drift: {counted(self.findings)}"

    def exit_code(self, fail_on: Severity) -> int:
        """Return the exit code where drift counts from *fail_on*."""
        return DRIFT if any(finding.severity >= fail_on for finding in self.findings) else NO_DRIFT

    def markdown(self) -> str:
        """Return the report for people, as Markdown."""
        parts = [f"## {self.headline[:1].upper()}{self.headline[1:]}", f"> {self.note}" if self.note else ""]
        parts += [as_markdown(self.findings)]
        hashes = f"snapshot {code(self.snapshot_sha256[:12])}, published {code(self.published_sha256[:12])}"
        parts += [f"Compared {code(self.source)}: {hashes}."]
        return "\n\n".join(part for part in parts if part) + "\n"

    def text(self) -> str:
        """Return the report for a terminal."""
        return "\n".join(part for part in (self.note, as_text(self.findings), self.headline) if part) + "\n"

    def json(self) -> str:
        """Return the report for programs."""
        facts = {
            "verdict": "drift" if self.findings else "no drift",
            "note": self.note,
            "source": self.source,
            "snapshot_sha256": self.snapshot_sha256,
            "published_sha256": self.published_sha256,
            "findings": as_json(self.findings),
        }
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def drift(content: bytes, source: str) -> Report:
    """Compare the artifact *content*, fetched from *source*, with the snapshot.

    Raises:
        ArtifactError: There is no usable snapshot, or *content* is not an artifact.
    """
    old, _ = load_snapshot(SNAPSHOT)
    findings = compare(old, content, load_surface())
    return Report(public(source), findings, sha256(old), sha256(content), provenance_note(old))


def provenance_note(snapshot: bytes) -> str:
    """Return what has to be known about *snapshot* before its differences are believed; empty where nothing has to."""
    try:
        facts = json.loads(SOURCE.read_bytes())
    except (OSError, ValueError):
        return UNRECORDED
    if not isinstance(facts, dict) or facts.get("sha256") != sha256(snapshot):
        return UNRECORDED
    return RECONSTRUCTED if facts.get("provenance") != "pulled" else ""


def could_not_tell(reason: str, form: str) -> str:
    """Return the text that says so, in the form asked for."""
    if form == "json":
        return json.dumps({"verdict": "could not tell", "reason": reason}, indent=2) + "\n"
    if form == "markdown":
        return f"## Could not tell whether there is drift\n\n{code(' '.join(reason.split()))}\n"
    return f"could not tell whether there is drift: {reason}\n"


def write_summary(markdown: str) -> None:
    """Add to the summary of a GitHub job, where this is one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown)


def main(arguments: list[str] | None = None) -> int:
    """Compare, and say what it means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    parser.add_argument("--fail-on", choices=FAIL_ON, default="any", help="exit 1 from this on (default: %(default)s)")
    parser.add_argument("--format", choices=("text", "markdown", "json", "github"), default="text")
    options = parser.parse_args(arguments)
    try:
        report = drift(fetch(options.source), options.source)
    except Exception as error:  # noqa: BLE001 - whatever happened, there is no answer, and none must not look like green
        reason = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__} in the comparison"
        sys.stderr.write(could_not_tell(reason, "text"))
        if options.format == "github":
            print(annotation("error", "drift", could_not_tell(reason, "text").strip()))
            write_summary(could_not_tell(reason, "markdown"))
        elif options.format != "text":
            sys.stdout.write(could_not_tell(reason, options.format))
        return COULD_NOT_TELL
    if options.format == "github":
        print("\n".join(part for part in (as_annotations(report.findings), report.headline) if part))
        write_summary(report.markdown())
    else:
        sys.stdout.write({"text": report.text, "markdown": report.markdown, "json": report.json}[options.format]())
    return report.exit_code(FAIL_ON[options.fail_on])


if __name__ == "__main__":
    sys.exit(main())
