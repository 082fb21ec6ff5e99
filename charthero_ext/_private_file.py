"""Files that only their owner may read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from charthero_ext.errors import ConfigurationError

__all__ = ["keep_private"]


def keep_private(path: Path) -> None:
    """Create a file for its owner only, or withdraw the permissions of others.

    This includes the files that SQLite keeps beside it.

    Raises:
        ConfigurationError: The path is not a file, or others can read the file and it is not a SQLite database.
        OSError: The file cannot be created, or others may read it and you do not own it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file")
    # Only a file that others can read is opened: closing a file releases the locks that this process has on it.
    if path.stat().st_mode & 0o077 and _beginning(path) not in (b"", b"SQLite format 3\0"):
        raise ConfigurationError(f"{path} is not a SQLite database, so it was not changed")
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm"))):
        with suppress(FileNotFoundError):  # SQLite may delete its own files at any time.
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
