"""Files that survive a kill at any moment and that only their owner can read."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from attrs import frozen

__all__ = ["Lines", "Measured", "make_private", "measured", "read_lines", "sync", "write_whole"]


class Lines:
    """A file of JSON Lines. Opening it cuts it back to the size that it is known to have had.

    Raises:
        EOFError: The file is smaller than that.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._file = _open(path, "ab", os.O_APPEND)
        if self._file.seek(0, os.SEEK_END) < size:
            self._file.close()
            raise EOFError(path.name)
        self._file.truncate(size)
        self._file.seek(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, row: dict[str, Any]) -> None:
        """Append a line. It is on disk after `sync`."""
        # ASCII, so that no reader takes another character for the end of a line.
        self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> int:
        """Write everything to the disk, and return the size of the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()


@frozen
class Measured:
    """The lines and bytes of a file, and its SHA-256 in hexadecimal."""

    lines: int
    bytes: int
    sha256: str


def measured(path: Path) -> Measured:
    """Read a file and measure it."""
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
        return Measured(lines, file.tell(), digest.hexdigest())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON Lines."""
    with path.open("rb") as lines:
        yield from map(json.loads, lines)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with _open(path, "wb", os.O_TRUNC) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Write the names in a directory to the disk, if the system supports it."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_private(directory: Path) -> None:
    """Withdraw the permissions of other users."""
    if os.name == "posix" and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        directory.chmod(0o700)


def _open(path: Path, mode: str, flags: int) -> IO[bytes]:
    # A link could lead to a file of somebody else.
    flags |= os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    if sys.platform != "win32":
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, mode)
