"""Release day in one step: pull, say what it means, generate, check, test; all of it, or nothing.

The artifact is fetched once: the same bytes are compared, generated from, tested and put in place. The work is done in
a copy of the repository. The new snapshot and the new client replace the old ones only after the last test has passed,
so a failure leaves the tree unchanged. A process killed at the very end, while the files are being replaced, leaves a
tree that `make check` refuses.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from scripts.artifact import ROOT, SNAPSHOT, SOURCE, ArtifactError, write_atomically
from scripts.changelog import CHANGELOG, record
from scripts.drift import compared
from scripts.facts import FACTS
from scripts.generate import GENERATED, alone, replace_whole
from scripts.pull import PUBLISHED, fetch, store

__all__ = ["REPLACED", "main", "update"]

#: The files that an update replaces, besides the package.
REPLACED = (CHANGELOG, *(path.relative_to(ROOT).as_posix() for path in (SOURCE, SNAPSHOT, FACTS)))

LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "dist", "build", ".generating-*", ".bench"
)


def main(arguments: list[str] | None = None) -> int:
    """Update the snapshot and the client."""
    parser = argparse.ArgumentParser(description="Pull, generate, check and test; on any failure change nothing.")
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        content = fetch(options.source)
    except ArtifactError as error:
        return _stopped(str(error))
    return update(content, options.source)


def update(content: bytes, source: str) -> int:
    """Build the client from *content*, fetched from *source*; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
        snapshot, record = (copy / path.relative_to(ROOT) for path in (SNAPSHOT, SOURCE))
        try:
            store(content, source, snapshot=snapshot, record=record)
        except ArtifactError as error:
            return _stopped(str(error))
        _describe(copy, content, source)
        # The editable install names this tree. PYTHONPATH precedes it, so that the copy is tested.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(copy), str(copy / "generated")))}
        for command in (
            [sys.executable, "-m", "scripts.generate"],
            # The environment exists; make must not build another one for the copy.
            ["make", f"VENV={sys.prefix}", "--assume-old", f"{sys.prefix}/.ready", "check", "test"],
        ):
            if subprocess.run(command, cwd=copy, env=environment, check=False).returncode != 0:
                return _stopped("the lines above say why; `make drift` says what the artifact changed")
        _put_in_place(copy)
    print("update: done, `make check` and `make test` passed; look at `git status` and commit")
    return 0


def _stopped(reason: str) -> int:
    print(f"update: stopped, and changed nothing: {reason}", file=sys.stderr)
    return 1


def _describe(copy: Path, content: bytes, source: str) -> None:
    """Print what the new artifact means to callers, and write it into the copy's changelog."""
    try:
        report = compared(content, source)
    except ArtifactError as error:
        print(f"update: cannot say what changed: {error}", file=sys.stderr)
        return
    if report.findings:
        version = record(copy, content, report.findings, datetime.now(UTC).date(), report.note)
        print(f"{report.text()}update: proposed version: {version}", flush=True)


def _put_in_place(copy: Path) -> None:
    paths = [ROOT / name for name in REPLACED if (copy / name).exists()]
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    with alone(GENERATED) as new:
        shutil.copytree(
            copy / GENERATED.relative_to(ROOT), new, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
        )
        try:
            for path in before:
                write_atomically(path, (copy / path.relative_to(ROOT)).read_bytes())
            replace_whole(new, GENERATED)
        except BaseException:
            for path, content in before.items():
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    write_atomically(path, content)
            raise


if __name__ == "__main__":
    sys.exit(main())
