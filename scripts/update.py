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
from scripts.compare import compare
from scripts.drift import provenance_note
from scripts.facts import FACTS
from scripts.findings import as_text, counted
from scripts.generate import GENERATED, alone, replace_whole
from scripts.pull import PUBLISHED, fetch, store
from scripts.surface import load_surface

__all__ = ["main", "update"]

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
        _describe(copy)
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


def _describe(copy: Path) -> None:
    """Print what the new artifact means to callers, and write it into the copy's changelog."""
    new = (copy / SNAPSHOT.relative_to(ROOT)).read_bytes()
    if not SNAPSHOT.exists() or SNAPSHOT.read_bytes() == new:
        return
    old = SNAPSHOT.read_bytes()
    try:
        findings = compare(old, new, load_surface())
    except ArtifactError as error:
        print(f"update: cannot say what changed: {error}", file=sys.stderr)
        return
    version = record(copy, new, findings, datetime.now(UTC).date(), provenance_note(old))
    print(f"{as_text(findings)}\nupdate: {counted(findings)}; proposed version: {version}", flush=True)


def _put_in_place(copy: Path) -> None:
    paths = [path for path in (ROOT / CHANGELOG, SOURCE, SNAPSHOT, FACTS) if (copy / path.relative_to(ROOT)).exists()]
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
