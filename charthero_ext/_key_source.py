"""Where a key comes from, and what a key looks like. Keys are in no repr, no pickle and no traceback.

Source in the contract: "Where things are".
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import EFBIG
from inspect import isawaitable, iscoroutine
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from charthero_ext.errors import ConfigurationError

__all__ = ["ApiKey", "EnvironmentVariable", "KeyFile", "KeySource", "given_key", "key_file", "key_lost"]

#: A key is short; a file that is longer is some other file.
MAX_KEY_FILE: Final = 4096

#: A key: the text itself, or a callable that returns it. An asynchronous client also takes an asynchronous callable.
ApiKey: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]


@frozen
class KeySource:
    """Where the key comes from; the key itself is in no repr and in no pickle."""

    origin: str
    read: Callable[[], object] = field(repr=False)
    #: It is somebody's own code, asked when a call needs the key and not before.
    is_called: bool = False

    def checked(self, key: object) -> str:
        """Return *key* if it can be sent.

        Raises:
            ConfigurationError: It is missing, blank, or holds a space or a character that no header can carry.
        """
        if isawaitable(key):
            problem = "is asynchronous; use it with AsyncChartHero"
            if iscoroutine(key):
                key.close()
        elif not isinstance(key, str) or not key.strip():
            problem = "holds no API key; set it to the key that ChartHero issued"
        elif not re.fullmatch(r"[!-~]+", key):
            problem = "holds a key with white space or another character that no key has; was more copied?"
        else:
            return key
        # Tracebacks are shown with locals, so a key that was refused is not one of them.
        del key
        raise ConfigurationError(f"{self.origin} {problem}")


@frozen
class EnvironmentVariable:
    """A key in the environment of whichever process reads it."""

    name: str

    def __call__(self) -> str | None:
        return os.environ.get(self.name)


class KeyFile:
    """A file with a key in it, read again when it changes, so that a mounted secret can rotate."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._read: tuple[tuple[int, int, int], str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_read": None}

    def __call__(self) -> str:
        try:
            # Its state is looked at before its content: a file that changes in between is read again the next time.
            status = self._path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._read is None or self._read[0] != state:
                self._read = state, self._content()
            return self._read[1]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
        except ValueError:
            reason = "that is no path of a file"
        raise ConfigurationError(f"the key file named by {self._origin} cannot be read: {reason}")

    def _content(self) -> str:
        with self._path.open("rb") as file:
            content = file.read(MAX_KEY_FILE + 1)
        if len(content) > MAX_KEY_FILE:
            raise OSError(EFBIG, f"it is longer than {MAX_KEY_FILE} bytes, and so no key")
        return content.decode("utf-8-sig").rstrip("\r\n")


def key_lost() -> str:
    raise ConfigurationError(
        "a key given as an argument does not travel with pickled settings; "
        "set CHARTHERO_API_KEY_FILE or CHARTHERO_API_KEY where they are used"
    )


def given_key(api_key: ApiKey | None) -> KeySource | None:
    """Return the source of a key given as an argument."""
    if api_key is None:
        return None
    if callable(api_key):
        return KeySource("the callable given as api_key", api_key, is_called=True)
    return KeySource("the argument api_key", lambda: api_key)


def key_file(path: str, origin: str) -> KeySource:
    """Return the source of a key in a file, which is looked for when the key is needed."""
    expanded = Path(path)
    with suppress(RuntimeError):  # nobody's home: there is no such file then
        expanded = expanded.expanduser()
    return KeySource(f"the key file named by {origin}", KeyFile(expanded, origin))
