"""Which host, which key, and how long to wait.

A host and its key are one pair, and the key is sent to no other host. Explicit arguments win over the environment, the
environment over the profile; a key that one of them pairs with another host is never used.

Source in the contract: "Where things are".
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from attrs import field, fields, frozen

from charthero_ext.errors import ConfigurationError

__all__ = ["CONFIG_FILE", "ApiKey", "Settings", "Timeouts"]

PREFIX: Final = "/external/v1"
CONFIG_FILE: Final = Path("~/.config/charthero/config.toml")

#: A key: the text itself, or a callable that returns it. An asynchronous client also takes an asynchronous callable.
ApiKey: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]


def _checked_url(url: str, origin: str) -> str:
    """Return scheme and host of *url*, or say what is wrong with it."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"the base URL of {origin} is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"the base URL of {origin} has to begin with https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"the base URL of {origin} holds credentials, a query or a fragment; leave them out")
    if parts.path.rstrip("/") not in ("", PREFIX):
        raise ConfigurationError(f"the base URL of {origin} has to be the host alone, or the host with {PREFIX}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"the base URL of {origin} has to be https; http is for loopback only")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine, by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_base_url(url: str) -> str:
    return _checked_url(url, "the settings")


@frozen(kw_only=True)
class Timeouts:
    """Seconds a request may take to connect, to read or write a piece, and to wait for a free connection."""

    connect: float = 5.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 30.0

    @classmethod
    def of(cls, value: float | Timeouts) -> Timeouts:
        """Return *value*, or the same number of seconds for each part."""
        return value if isinstance(value, Timeouts) else cls(connect=value, read=value, write=value, pool=value)


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
        elif not all("!" <= character <= "~" for character in key):
            problem = "holds a key with white space or another character that no key has; was more copied?"
        else:
            return key
        # Tracebacks are shown with locals, so a key that was refused is not one of them.
        del key
        raise ConfigurationError(f"{self.origin} {problem}")


@frozen
class _EnvironmentVariable:
    """A key in the environment of whichever process reads it."""

    name: str

    def __call__(self) -> str | None:
        return os.environ.get(self.name)


class _KeyFile:
    """A file with a key in it, read again when it changes, so that a mounted secret can rotate."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._seen: tuple[int, int, int] | None = None
        self._key = ""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": None, "_key": ""}

    def __call__(self) -> str:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._key = self._path.read_text(encoding="utf-8").rstrip("\r\n")
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
        else:
            return self._key
        raise ConfigurationError(f"the key file named by {self._origin} cannot be read: {reason}")


def _key_lost() -> str:
    raise ConfigurationError(
        "a key given as an argument does not travel with pickled settings; "
        "set CHARTHERO_API_KEY_FILE or CHARTHERO_API_KEY where they are used"
    )


@frozen(kw_only=True)
class Settings:
    """What a client needs to know. Its repr and its pickle carry no key.

    Attributes:
        base_url: The API host, without the prefix ``/external/v1``.
        timeouts: Applied to every request; a call can have its own.
        attempts: How often a request is made in all, when it fails in a way that may pass.
        total_timeout: Seconds within which all attempts, and the waits between them, have to start.
        http_logging: Let httpx and httpcore log their own lines. They hold full URLs, signed ones too.
    """

    base_url: str = field(converter=_own_base_url)
    key_source: KeySource
    timeouts: Timeouts = Timeouts()
    attempts: int = 4
    total_timeout: float = 60.0
    http_logging: bool = False

    @classmethod
    def load(
        cls,
        *,
        api_key: ApiKey | KeySource | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        **others: Any,
    ) -> Settings:
        """Put settings together from arguments, the environment and a profile, in this order.

        The environment: ``CHARTHERO_API_KEY`` or ``CHARTHERO_API_KEY_FILE``, ``CHARTHERO_BASE_URL``,
        ``CHARTHERO_PROFILE``. A profile is a table of ``~/.config/charthero/config.toml``, pairing a ``base_url`` with
        ``api_key_file`` or ``api_key_env``; the one called ``default`` is used when none is named.

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt; the text says what, and what to set.
        """
        key_given = api_key if isinstance(api_key, KeySource) else given_key(api_key)
        del api_key  # tracebacks are shown with locals
        profile = profile or os.environ.get("CHARTHERO_PROFILE")
        sources = [_Source("the arguments", base_url, key_given), _from_environment()]
        if profile or not any(source.is_whole for source in sources):
            sources.append(_from_profile(profile))
        host = next((source for source in sources if source.base_url is not None), None)
        if host is None or host.base_url is None:
            raise ConfigurationError(
                "no API host; set CHARTHERO_BASE_URL, or pass base_url, to the host you were given"
            )
        url = _checked_url(host.base_url, host.name)
        key = next((source for source in sources if source.key is not None), None)
        if key is None or key.key is None:
            raise ConfigurationError(
                "no API key; set CHARTHERO_API_KEY or CHARTHERO_API_KEY_FILE, pass api_key, or name a profile"
            )
        if key.base_url is not None and _checked_url(key.base_url, key.name) != url:
            raise ConfigurationError(
                f"{key.name} pair the key with another host than {host.name} name; "
                "a key is sent only to the host it was issued for: give both in one place"
            )
        if not key.key.is_called:
            key.key.checked(key.key.read())
        return cls(base_url=url, key_source=key.key, **others)

    def __getstate__(self) -> dict[str, Any]:
        state = {attribute.name: getattr(self, attribute.name) for attribute in fields(type(self))}
        if not isinstance(self.key_source.read, (_KeyFile, _EnvironmentVariable)):
            state["key_source"] = KeySource(self.key_source.origin, _key_lost)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


@frozen
class _Source:
    """One place settings come from."""

    name: str
    base_url: str | None = None
    key: KeySource | None = None

    @property
    def is_whole(self) -> bool:
        return self.base_url is not None and self.key is not None


def given_key(api_key: ApiKey | None) -> KeySource | None:
    """Return the source of a key given as an argument."""
    if api_key is None:
        return None
    if callable(api_key):
        return KeySource("the callable given as api_key", api_key, is_called=True)
    return KeySource("the argument api_key", lambda: api_key)


def _from_file(path: str, origin: str) -> KeySource:
    return KeySource(f"the key file named by {origin}", _KeyFile(Path(path).expanduser(), origin))


def _from_environment() -> _Source:
    key = None
    if "CHARTHERO_API_KEY" in os.environ and "CHARTHERO_API_KEY_FILE" in os.environ:
        raise ConfigurationError("CHARTHERO_API_KEY and CHARTHERO_API_KEY_FILE are both set; unset one")
    if "CHARTHERO_API_KEY" in os.environ:
        key = KeySource("CHARTHERO_API_KEY", _EnvironmentVariable("CHARTHERO_API_KEY"))
    elif "CHARTHERO_API_KEY_FILE" in os.environ:
        key = _from_file(os.environ["CHARTHERO_API_KEY_FILE"], "CHARTHERO_API_KEY_FILE")
    return _Source("the environment variables", os.environ.get("CHARTHERO_BASE_URL"), key)


def _from_profile(name: str | None) -> _Source:
    path = CONFIG_FILE.expanduser()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        profiles = {}
    except (OSError, ValueError):
        raise ConfigurationError(f"{CONFIG_FILE} cannot be read as TOML") from None
    if name is None and "default" not in profiles:
        return _Source("the profile")
    profile = profiles.get(name or "default")
    if not isinstance(profile, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigurationError(f"{CONFIG_FILE} has no profile {name!r}; it has: {known}")
    place = f"the profile {name or 'default'!r} in {CONFIG_FILE}"
    keys = {"base_url", "api_key_file", "api_key_env"}
    if unknown := profile.keys() - keys:
        raise ConfigurationError(
            f"{place} has unknown keys: {', '.join(sorted(unknown))}; it may have {', '.join(sorted(keys))}"
        )
    if not all(isinstance(value, str) for value in profile.values()):
        raise ConfigurationError(f"{place}: every value has to be text")
    if "base_url" not in profile or ("api_key_file" in profile) == ("api_key_env" in profile):
        raise ConfigurationError(f"{place} needs base_url, and either api_key_file or api_key_env")
    if "api_key_file" in profile:
        return _Source(place, profile["base_url"], _from_file(profile["api_key_file"], place))
    variable = profile["api_key_env"]
    key = KeySource(f"the variable {variable}, named by {place},", _EnvironmentVariable(variable))
    return _Source(place, profile["base_url"], key)
