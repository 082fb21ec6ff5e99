"""The daily job: look for drift; if there is any, update the client and write a proposal.

The job that runs this has no right to write. It leaves a patch and the findings in a directory. Another job (drift.yml)
may write, runs no code that was built from the artifact, and opens a pull request. Exit codes: 0, no drift, or the new
client passes every check; 1, the new client fails; 2, drift could not be determined.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scripts import update
from scripts.artifact import ROOT
from scripts.drift import drift
from scripts.findings import annotation
from scripts.generate import GENERATED
from scripts.pull import PUBLISHED
from scripts.severity import Severity

__all__ = ["main"]

#: The files that a proposal may change.
PROPOSED = (*update.REPLACED, GENERATED.relative_to(ROOT).as_posix())
#: GitHub refuses longer texts.
MAX_BODY = 60_000


def main(arguments: list[str] | None = None) -> int:
    """Look for drift, update, and write the proposal."""
    parser = argparse.ArgumentParser(description="Look for drift; if there is any, update and lay out the result.")
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    parser.add_argument("--bundle", type=Path, required=True, help="the directory to create for the proposal")
    options = parser.parse_args(arguments)
    content, report = drift(options.source)
    print(report.github(), end="", flush=True)
    if report.reason:
        return report.exit_code(Severity.INFO)
    if not report.findings:
        return 0
    if update.update(content, options.source) != 0:
        print(annotation("error", "update", "The client could not be updated; the log says why."))
        return 1
    _lay_out(options.bundle, report.markdown())
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("proposed=true\n")
    return 0


def _lay_out(bundle: Path, findings: str) -> None:
    bundle.mkdir(parents=True, exist_ok=True)
    _git("add", "--intent-to-add", "--", *PROPOSED)
    (bundle / "proposal.patch").write_bytes(_git("diff", "--binary", "--no-color", "--", *PROPOSED))
    (bundle / "findings.md").write_text(findings[:MAX_BODY], encoding="utf-8")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    sys.exit(main())
