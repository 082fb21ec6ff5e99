"""The files of a set: written so that a killed run can continue, and compared with a manifest.

Only their owner can read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from charthero_ext.cli.export_ledger import State
from charthero_ext.errors import ConfigurationError

__all__ = ["append", "complete", "measured", "open_files", "read_lines", "sync", "unusable", "verify"]

MANIFEST = "manifest.json"


@contextmanager
def open_files(directory: Path, sizes: dict[str, int]) -> Iterator[dict[str, BinaryIO]]:
    """Open a file for each kind of row, to append lines. Cut each back to the size that was synced last.

    Raises:
        ConfigurationError: A file is smaller than that, or the directory contains a link.
    """
    paths = {kind: directory / f"{kind}.jsonl" for kind in sizes}
    for path in directory.iterdir():
        if path.is_symlink():
            raise unusable(path, "is a link")
    for kind, path in paths.items():
        path.touch(mode=0o600)
        if path.stat().st_size < sizes[kind]:
            raise unusable(path, "was changed or removed")
        os.truncate(path, sizes[kind])
    with ExitStack() as stack:
        yield {kind: stack.enter_context(path.open("ab")) for kind, path in paths.items()}


def append(file: BinaryIO, row: dict[str, Any]) -> None:
    """Append a line. It is on disk after the file was synced."""
    # ASCII, so that no reader takes another character for the end of a line.
    file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")


def unusable(path: Path, problem: str) -> ConfigurationError:
    """Return the error for a file or directory that an export cannot use."""
    return ConfigurationError(f"{path} {problem}; choose another directory")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON Lines; none if it does not exist."""
    if path.exists():
        with path.open("rb") as lines:
            yield from map(json.loads, lines)


def measured(path: Path) -> dict[str, Any]:
    """Return the lines and bytes of a file, and its SHA-256 in hexadecimal."""
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
        return {"lines": lines, "bytes": file.tell(), "sha256": digest.hexdigest()}


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk, if the system supports it."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def complete(directory: Path, state: State, base_url: str) -> dict[str, Any]:
    """Remove what is empty or left over. Then write the manifest, and return it."""
    listed = {row["file"] for row in read_lines(directory / "audio.jsonl")}
    for file in directory.glob("audio/*"):
        if f"audio/{file.name}" not in listed:  # A killed run downloaded it, and then the encounter disappeared.
            file.unlink()
    for file in directory.glob("*.jsonl"):
        if file.stat().st_size == 0:
            file.unlink()
    files = _measured_files(directory)
    manifest = {
        "base_url": base_url,
        "start_at": state.start_at,
        "parts": state.parts,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {kind: files[f"{kind}.jsonl"]["lines"] if size else 0 for kind, size in state.sizes.items()},
        "files": files,
    }
    path = directory / MANIFEST
    path.touch(mode=0o600)
    path.write_text(json.dumps(manifest, indent=1))
    sync(path)
    sync(directory)
    return manifest


def verify(directory: Path) -> int:
    """Compare the files of every set with its manifest, and return the number of sets.

    Raises:
        ConfigurationError: A file differs, is missing, or was added.
    """
    paths = sorted(path for path in directory.iterdir() if re.fullmatch(r"\d{4,}", path.name))
    for path in paths:
        found = _measured_files(path)
        try:
            expected = dict(json.loads((path / MANIFEST).read_bytes())["files"])
            differing = [name for name in expected | found if expected.get(name) != found.get(name)]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            differing = [MANIFEST]
        if differing:
            raise ConfigurationError(f"{path / differing[0]} is not as it was exported")
    return len(paths)


def _measured_files(directory: Path) -> dict[str, dict[str, Any]]:
    files = (file for file in sorted(directory.rglob("*")) if file.is_file() and file.name != MANIFEST)
    return {file.relative_to(directory).as_posix(): measured(file) for file in files}
