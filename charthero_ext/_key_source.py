"""Key sources: where an API key is read, and what a key looks like."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypeAlias

from attrs import field, frozen

from charthero_ext._secret import Secret, place_of, without_origin
from charthero_ext.errors import ChartHeroError, ConfigurationError

__all__ = ["ApiKey", "EnvironmentVariable", "KeyFile", "KeySource", "given_key", "key_file"]

#: The most characters of a key.
MAX_KEY: Final = 4096

#: A key: the text itself, or a callable that returns it. An asynchronous client also takes an asynchronous callable.
ApiKey: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]


@frozen
class KeySource:
    """Where the key is read. The key itself is in no repr and in no pickle.

    Attributes:
        origin: The name of the source in messages, such as ``CHARTHERO_API_KEY``.
        provider: Returns the key.
    """

    origin: str
    provider: Callable[[], object] = field(repr=False)

    def read(self) -> Secret[object]:
        """Return what the provider returns, unchecked; for an asynchronous provider, an awaitable.

        Raises:
            ConfigurationError: The provider failed. The text says which exception and where, but not its text, because
                a secret manager's message may contain the secret.
        """
        try:
            return Secret(self.provider())
        except Exception as error:  # noqa: BLE001 - any exception of the caller's code
            failure = self.failure(error)
        raise failure

    def failure(self, error: Exception) -> ChartHeroError:
        """Return the exception to raise if the provider raised *error*."""
        if isinstance(error, ChartHeroError):
            return without_origin(error)
        return ConfigurationError(f"{self.origin} failed ({place_of(error)})")

    def checked(self, key: Secret[object]) -> Secret[str]:
        """Return *key* if a header can carry it.

        Raises:
            ConfigurationError: The key is missing or blank, too long, or contains a character that no key has.
        """
        if isawaitable(key.reveal()):
            if iscoroutine(coroutine := key.reveal()):
                coroutine.close()
            raise ConfigurationError(f"{self.origin} is asynchronous; use it with AsyncChartHero")
        if not isinstance(key.reveal(), str) or not str(key.reveal()).strip():
            raise ConfigurationError(f"{self.origin} holds no API key; set it to the key that ChartHero issued")
        if not re.fullmatch(rf"[!-~]{{1,{MAX_KEY}}}", str(key.reveal())):
            raise ConfigurationError(f"{self.origin} holds more than a key, such as white space; copy only the key")
        return Secret(str(key.reveal()))

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        can_be_pickled = isinstance(self.provider, (EnvironmentVariable, KeyFile))
        return type(self), (self.origin, self.provider if can_be_pickled else _key_lost)


@frozen
class EnvironmentVariable:
    """Reads a key from the environment of the process that needs it."""

    name: str = field(repr=False)  # A key may have been written here by mistake.

    def __call__(self) -> str | None:
        return os.environ.get(self.name)


@frozen
class KeyFile:
    """Reads a key from a file each time it is needed, so that a mounted secret can rotate."""

    path: Path = field(repr=False)  # A key may have been written here by mistake.
    origin: str

    def __call__(self) -> str:
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                return file.read(MAX_KEY + 1).rstrip("\r\n")  # A device would never end.
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", "it is not a path of a text file")
        raise ConfigurationError(f"{self.origin} cannot be read: {reason}")


def given_key(api_key: ApiKey | None) -> KeySource | None:
    """Return the source of a key given as an argument, or None if none was given."""
    if api_key is None:
        return None
    if callable(api_key):
        return KeySource("the callable given as api_key", api_key)
    return KeySource("the argument api_key", Secret(api_key).reveal)


def key_file(path: str, named_by: str) -> KeySource:
    """Return the source of a key in a file. The file is opened when the key is needed."""
    origin = f"the key file named by {named_by}"
    # Unlike Path.expanduser, this does not fail without a home directory.
    return KeySource(origin, KeyFile(Path(os.path.expanduser(path)), origin))  # noqa: PTH111


def _key_lost() -> NoReturn:
    raise ConfigurationError(
        "pickled settings do not contain a key that was given as an argument; "
        "set CHARTHERO_API_KEY_FILE or CHARTHERO_API_KEY in the process that loads them"
    )
