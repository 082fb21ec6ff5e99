"""Compare the published artifact with the snapshot, and say what the differences mean to callers.

Exit codes: 0, there is no drift; 1, there is drift of the given severity or worse; 2, no answer. The whole artifact is
fetched and compared every time, because an equal ETag, a 304 or a date proves nothing. Bytes that differ only in layout
are drift of severity info: the snapshot is not what is published.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from attrs import Factory, asdict, frozen

from scripts.artifact import SNAPSHOT, SOURCE, ArtifactError, load_snapshot, sha256
from scripts.compare import compare
from scripts.findings import Finding, annotation, as_annotations, as_json, as_markdown, as_text, code, counted
from scripts.pull import PUBLISHED, fetch, public
from scripts.severity import Severity
from scripts.surface import load_surface

__all__ = ["Report", "compared", "drift", "main"]

NO_DRIFT, DRIFT, COULD_NOT_TELL = 0, 1, 2

FAIL_ON = {"breaking": Severity.BREAKING, "warning": Severity.WARNING, "any": Severity.INFO}

RECONSTRUCTED = (
    "The snapshot was reconstructed from ChartHero's developer pages and never pulled. A difference may be a mistake "
    "of the reconstruction and no change of the API. The first `make update` replaces it."
)
UNRECORDED = (
    "openapi/source.json does not match the snapshot: the snapshot was edited by hand, or a pull was interrupted."
)


@frozen
class Report:
    """The result of a comparison with the published artifact. If it failed, ``reason`` says why."""

    source: str
    findings: list[Finding] = Factory(list)
    snapshot_sha256: str = ""
    published_sha256: str = ""
    note: str = ""
    reason: str = ""

    @property
    def headline(self) -> str:
        """The answer in one line."""
        if self.reason:
            return f"could not tell whether there is drift: {self.reason}"
        if not self.findings:
            return "no drift: the published artifact is the snapshot, byte for byte"
        return f"drift: {counted(self.findings)}"

    def exit_code(self, fail_on: Severity) -> int:
        """Return the exit code if drift counts from *fail_on*."""
        if self.reason:
            return COULD_NOT_TELL
        return DRIFT if any(finding.severity >= fail_on for finding in self.findings) else NO_DRIFT

    def text(self) -> str:
        """Return the report for a terminal."""
        return _joined("\n", self.note, as_text(self.findings), self.headline)

    def markdown(self) -> str:
        """Return the report as Markdown."""
        if self.reason:
            return f"## Could not tell whether there is drift\n\n{code(' '.join(self.reason.split()))}\n"
        hashes = f"snapshot {code(self.snapshot_sha256[:12])}, published {code(self.published_sha256[:12])}"
        return _joined(
            "\n\n",
            f"## {self.headline[:1].upper()}{self.headline[1:]}",
            f"> {self.note}" if self.note else "",
            as_markdown(self.findings),
            f"Compared {code(self.source)}: {hashes}.",
        )

    def json(self) -> str:
        """Return the report for programs."""
        content = asdict(self) | {"findings": as_json(self.findings)}
        verdict = "could not tell" if self.reason else "drift" if self.findings else "no drift"
        return json.dumps({"verdict": verdict, "note": self.note, **content}, indent=2, ensure_ascii=False) + "\n"

    def github(self) -> str:
        """Return the report as workflow commands, and add it to the summary of the job."""
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(self.markdown())
        if self.reason:
            return annotation("error", "drift", self.headline) + "\n"
        return _joined("\n", as_annotations(self.findings), self.headline)


def drift(source: str) -> tuple[bytes, Report]:
    """Fetch the artifact at *source* and compare it with the snapshot; return its bytes and the report."""
    try:
        content = fetch(source)
        return content, compared(content, source)
    except Exception as error:  # noqa: BLE001 - any failure means that there is no answer; it must not look like success
        reason = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__} in the comparison"
        return b"", Report(public(source), reason=reason)


def compared(content: bytes, source: str) -> Report:
    """Compare the artifact *content* with the snapshot.

    Raises:
        ArtifactError: One of them cannot be read, or this client cannot be built from the snapshot.
    """
    old, _ = load_snapshot(SNAPSHOT)
    findings = compare(old, content, load_surface())
    return Report(public(source), findings, sha256(old), sha256(content), _provenance_note(old))


def _provenance_note(snapshot: bytes) -> str:
    """Return what a reader has to know about *snapshot* before believing its differences; usually nothing."""
    try:
        record = json.loads(SOURCE.read_bytes())
    except (OSError, ValueError):
        return UNRECORDED
    if not isinstance(record, dict) or record.get("sha256") != sha256(snapshot):
        return UNRECORDED
    return RECONSTRUCTED if record.get("provenance") != "pulled" else ""


def _joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print what the differences mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    parser.add_argument("--fail-on", choices=FAIL_ON, default="any", help="the lowest severity that exits with 1")
    parser.add_argument("--format", choices=("text", "markdown", "json", "github"), default="text")
    options = parser.parse_args(arguments)
    _, report = drift(options.source)
    if report.reason:
        print(report.headline, file=sys.stderr)
    if not (report.reason and options.format == "text"):
        sys.stdout.write(getattr(report, options.format)())
    return report.exit_code(FAIL_ON[options.fail_on])


if __name__ == "__main__":
    sys.exit(main())
