"""What the daily job does: look for drift, and where there is any, make the client anew and lay it out to be proposed.

The job that runs this needs no right to write anywhere. What it lays out (the changed files, and the findings) goes to
another that may, and that runs nothing of it: scripts/open_pull_request.py. Exit codes: 0, there is no drift, or there
is and the client made anew passes every check; 1, it does not; 2, it could not be told whether there is drift.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from scripts import update
from scripts.artifact import ROOT, ArtifactError
from scripts.drift import COULD_NOT_TELL, could_not_tell, drift, write_summary
from scripts.findings import annotation, as_annotations
from scripts.open_pull_request import FINDINGS, PROPOSED
from scripts.pull import PUBLISHED, fetch

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Look for drift, update, and lay out what changed."""
    parser = argparse.ArgumentParser(description="Look for drift; where there is any, update, and lay out the result.")
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    parser.add_argument("--bundle", type=Path, required=True, help="a directory to make, for what is to be proposed")
    options = parser.parse_args(arguments)
    try:
        content = fetch(options.source)
        report = drift(content, options.source)
    except Exception as error:  # noqa: BLE001 - whatever happened, there is no answer, and none must not look like green
        reason = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__} in the comparison"
        print(annotation("error", "drift", could_not_tell(reason, "text").strip()))
        write_summary(could_not_tell(reason, "markdown"))
        return COULD_NOT_TELL
    print("\n".join(part for part in (as_annotations(report.findings), report.headline) if part), flush=True)
    write_summary(report.markdown())
    if not report.findings:
        return 0
    if update.update(content, options.source) != 0:
        print(annotation("error", "update", "The client cannot be made anew by itself; the log says what stopped it."))
        return 1
    _lay_out(options.bundle, report.markdown())
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("proposed=true\n")
    return 0


def _lay_out(bundle: Path, findings: str) -> None:
    for name in PROPOSED:
        target = bundle / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        else:
            shutil.copy(ROOT / name, target)
    (bundle / FINDINGS).write_text(findings, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
