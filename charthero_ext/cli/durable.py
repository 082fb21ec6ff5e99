"""Files that a process can be killed over at any moment, readable by their owner only."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import msgspec
from attrs import frozen

__all__ = ["Lines", "Measured", "held", "measured", "read_lines", "replace_json", "sync"]


class Lines:
    """A file of JSON Lines that is appended to, after it was cut back to the size it is known to have had.

    Raises:
        EOFError: It is smaller than that.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._file = _open(path, "ab", os.O_WRONLY | os.O_APPEND)
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
        """Append a line; it is on disk after `sync`."""
        # ASCII, so that no reader takes another character for the end of a line.
        self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> int:
        """Have every line on disk, and return how many bytes they are."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What `Lines` wrote."""
    with path.open("rb") as lines:
        yield from map(json.loads, lines)


def replace_json(path: Path, content: object) -> None:
    """Have *content* in a file, all of it or, if the process dies, what was there before."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with _open(aside, "wb", os.O_WRONLY | os.O_EXCL) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


@frozen
class Measured:
    """How many lines and bytes a file has, and its SHA-256 in hexadecimal."""

    lines: int
    bytes: int
    sha256: str


def measured(path: Path) -> Measured:
    """Read a file to its end, and measure it."""
    digest, lines = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
        return Measured(lines, file.tell(), digest.hexdigest())


def sync(directory: Path) -> None:
    """Have the names in a directory on disk, where the system lets one ask for it."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Have a directory for oneself, among those who ask, until the process ends in whatever way.

    Raises:
        BlockingIOError: Another process has it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path, mode: str, flags: int) -> IO[bytes]:
    flags |= os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    if sys.platform != "win32":
        os.fchmod(descriptor, 0o600)  # also where it was there before
    return os.fdopen(descriptor, mode)
