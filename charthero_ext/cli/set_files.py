"""The files of a set: written so that a killed run can continue, and compared with a manifest.

Only their owner can read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec
from attrs import frozen

from charthero_ext.errors import ConfigurationError

__all__ = ["Manifest", "SetFiles", "complete", "measured", "read_lines", "sync", "unusable", "verify"]

MANIFEST = "manifest.json"


@frozen
class Measured:
    """The lines and bytes of a file, and its SHA-256 in hexadecimal."""

    lines: int
    bytes: int
    sha256: str


@frozen(kw_only=True)
class Manifest:
    """What a set contains.

    ``counts`` has the lines of each kind: ``missing`` does not exist, ``unreadable`` is read again by the next run.
    A kind without lines has no file.
    """

    base_url: str
    start_at: str | None
    parts: list[str]
    finished_at: datetime
    counts: dict[str, int]
    files: dict[str, Measured]


class SetFiles:
    """The files that are being written, one for each kind of row. Use it in a ``with`` statement."""

    def __init__(self, directory: Path, kinds: Iterable[str], sizes: dict[str, int]) -> None:
        """Open the files, and cut each back to the size that was synced last.

        Raises:
            ConfigurationError: A file is smaller than that, or is a link.
        """
        paths = {kind: directory / f"{kind}.jsonl" for kind in kinds}
        for kind, path in paths.items():
            if not path.is_symlink():
                path.touch(mode=0o600)
            if path.is_symlink() or path.stat().st_size < sizes.get(kind, 0):
                raise unusable(path, "was changed or removed")
            os.truncate(path, sizes.get(kind, 0))
        self._closing = ExitStack()
        self._files = {kind: self._closing.enter_context(path.open("ab")) for kind, path in paths.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def write(self, kind: str, row: dict[str, Any]) -> None:
        """Append a line. It is on disk after `sync`."""
        # ASCII, so that no reader takes another character for the end of a line.
        self._files[kind].write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> dict[str, int]:
        """Write everything to the disk, and return the sizes of the files."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        return {kind: file.tell() for kind, file in self._files.items()}


def unusable(path: Path, problem: str) -> ConfigurationError:
    """Return the error for a file or directory that an export cannot use."""
    return ConfigurationError(f"{path} {problem}; choose another directory")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON Lines; none if it does not exist."""
    if path.exists():
        with path.open("rb") as lines:
            yield from map(json.loads, lines)


def measured(path: Path) -> Measured:
    """Read a file and measure it."""
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
        return Measured(lines, file.tell(), digest.hexdigest())


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk, if the system supports it."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def complete(directory: Path, kinds: Iterable[str], **facts: Any) -> Manifest:
    """Remove what is empty or left over, and add the manifest to a set."""
    listed = {row["file"] for row in read_lines(directory / "audio.jsonl")}
    for file in directory.glob("audio/*"):
        if f"audio/{file.name}" not in listed:  # A killed run downloaded it, and then the encounter disappeared.
            file.unlink()
    for file in directory.glob("*.jsonl"):
        if file.stat().st_size == 0:
            file.unlink()
    files = _measured_files(directory)
    counts = {kind: files[f"{kind}.jsonl"].lines if f"{kind}.jsonl" in files else 0 for kind in kinds}
    manifest = Manifest(counts=counts, files=files, **facts)
    path = directory / MANIFEST
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
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
        try:
            files = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest).files
            differing = [name for name, _ in files.items() ^ _measured_files(path).items()]
        except (FileNotFoundError, ValueError):
            differing = [MANIFEST]
        if differing:
            raise ConfigurationError(f"{path / min(differing)} is not as it was exported")
    return len(paths)


def _measured_files(directory: Path) -> dict[str, Measured]:
    files = (file for file in sorted(directory.rglob("*")) if file.is_file() and file.name != MANIFEST)
    return {file.relative_to(directory).as_posix(): measured(file) for file in files}
