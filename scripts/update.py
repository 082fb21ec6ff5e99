"""Release day in one step: pull, generate, check, test; all of it, or nothing.

The work is done in a copy of the repository. Only when the last test has passed are the new snapshot and the new client
put in place, so a failure or a killed process at any moment leaves the tree as it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from scripts.artifact import ROOT, SNAPSHOT, SOURCE, write_atomically
from scripts.generate import GENERATED, replace_whole
from scripts.pull import PUBLISHED

__all__ = ["main"]

LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "dist", "build")


def main(arguments: list[str] | None = None) -> int:
    """Update the snapshot and the client."""
    parser = argparse.ArgumentParser(description="Pull, generate, check and test; on any failure change nothing.")
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    options = parser.parse_args(arguments)
    source = options.source if urlsplit(options.source).scheme else str(Path(options.source).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND, symlinks=True)
        # The editable install names this tree; PYTHONPATH comes before it, so the copy is what is tested.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(copy), str(copy / "generated")))}
        for command in (
            [sys.executable, "-m", "scripts.pull", source],
            [sys.executable, "-m", "scripts.generate"],
            ["make", f"VENV={Path(sys.prefix)}", "check", "test"],
        ):
            if subprocess.run(command, cwd=copy, env=environment, check=False).returncode != 0:
                print("update: stopped; the tree is as it was", file=sys.stderr)
                return 1
        _put_in_place(copy)
    print("update: done; look at `git status` and commit")
    return 0


def _put_in_place(copy: Path) -> None:
    with tempfile.TemporaryDirectory(dir=GENERATED.parent, prefix=".updating-") as scratch:
        new = Path(scratch) / GENERATED.name
        shutil.copytree(
            copy / GENERATED.relative_to(ROOT), new, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
        )
        for path in (SOURCE, SNAPSHOT):
            write_atomically(path, (copy / path.relative_to(ROOT)).read_bytes())
        replace_whole(new, GENERATED)


if __name__ == "__main__":
    sys.exit(main())
