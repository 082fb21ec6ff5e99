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
        ConfigurationError: The path exists and is not a file.
        OSError: The file cannot be created, or others may read it and you do not own it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file")
    # An existing file is not opened: closing it would release the locks that this process has on it.
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm"))):
        with suppress(FileNotFoundError):  # SQLite may delete its own files at any time.
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
