"""Which host, which key, and how long to wait.

A host and its key are one pair, and the key is sent to no other host. Explicit arguments win over the environment, the
environment over the profile; a key that one of them pairs with another host is never used.

Source in the contract: "Where things are".
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from attrs import Attribute, field, fields, frozen

from charthero_ext._key_source import ApiKey, EnvironmentVariable, KeyFile, KeySource, given_key, key_file, key_lost
from charthero_ext.errors import ConfigurationError

__all__ = ["CONFIG_FILE", "ApiKey", "Settings", "Timeouts"]

PREFIX: Final = "/external/v1"
CONFIG_FILE: Final = Path("~/.config/charthero/config.toml")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: White space and ASCII punctuation, but for what names and addresses are written with: - . _ and the colons of IPv6.
NOT_IN_A_HOST: Final = re.compile(r"[\s!-,/;-@\[-^`{-~]")


def _checked_url(url: str, origin: str) -> str:
    """Return scheme and host of *url*, in one spelling, or say what is wrong with it."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc:
            host = str(ip_address(host))
    except (AttributeError, ValueError):
        raise ConfigurationError(f"the base URL of {origin} is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"the base URL of {origin} has to begin with https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"the base URL of {origin} holds credentials, a query or a fragment; leave them out")
    # urlsplit drops line breaks and tabs by itself, so that they are looked for in what was given.
    if not url.strip().isprintable() or NOT_IN_A_HOST.search(host) or ".." in f".{host}" or port == 0:
        raise ConfigurationError(f"the base URL of {origin} holds a character or a port that no host has")
    if parts.path.rstrip("/") not in ("", PREFIX):
        raise ConfigurationError(f"the base URL of {origin} has to be the host alone, or the host with {PREFIX}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"the base URL of {origin} has to be https; http is for loopback only")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine, by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_base_url(url: str) -> str:
    return _checked_url(url, "the settings")


def _check_seconds(_: object, attribute: Attribute[Any], value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:  # type: ignore[operator]
        raise ConfigurationError(f"{attribute.name} has to be a number of seconds above 0")


def _check_attempts(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError("attempts has to be a whole number of at least 1")


def _check_key_source(_: object, attribute: Attribute[Any], value: object) -> None:
    # What is refused is not shown: it may be the key itself.
    if not isinstance(value, KeySource):
        raise ConfigurationError("key_source has to be a KeySource; give a key as api_key, to Settings.load")


def _check_timeouts(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Timeouts):
        raise ConfigurationError("timeouts has to be a Timeouts; Timeouts.of makes one of a number of seconds")


@frozen(kw_only=True)
class Timeouts:
    """Seconds a request may take to connect, to read or write a piece, and to wait for a free connection.

    Raises:
        ConfigurationError: One is not a number above 0; a request without a timeout can wait for ever.
    """

    connect: float = field(default=5.0, validator=_check_seconds)
    read: float = field(default=30.0, validator=_check_seconds)
    write: float = field(default=30.0, validator=_check_seconds)
    pool: float = field(default=30.0, validator=_check_seconds)

    @classmethod
    def of(cls, value: float | Timeouts) -> Timeouts:
        """Return *value*, or the same number of seconds for each part."""
        return value if isinstance(value, Timeouts) else cls(connect=value, read=value, write=value, pool=value)


@frozen(kw_only=True)
class Settings:
    """What a client needs to know. Its repr and its pickle carry no key.

    Attributes:
        base_url: The API host, without the prefix ``/external/v1``.
        key_source: Where the key is read, each time it is needed.
        timeouts: Applied to every request; a call can have its own.
        attempts: How often a request is made in all, when it fails in a way that may pass.
        total_timeout: Seconds for a call with all its attempts and the waits between them; a body that is then still
            arriving is given up. Only a wait for a key is not cut short.
        http_logging: Let httpx and httpcore log their own lines. They hold full URLs, signed ones too.
    """

    base_url: str = field(converter=_own_base_url)
    key_source: KeySource = field(validator=_check_key_source)
    timeouts: Timeouts = field(default=Timeouts(), validator=_check_timeouts)
    attempts: int = field(default=4, validator=_check_attempts)
    total_timeout: float = field(default=60.0, validator=_check_seconds)
    http_logging: bool = False

    @classmethod
    def load(
        cls,
        *,
        api_key: ApiKey | KeySource | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        timeouts: Timeouts = Timeouts(),
        attempts: int = 4,
        total_timeout: float = 60.0,
        http_logging: bool = False,
    ) -> Settings:
        """Put settings together from arguments, the environment and a profile, in this order.

        Where host and key are found, nothing further is looked at. A profile that is named as an argument comes before
        the environment.

        The environment: ``CHARTHERO_API_KEY`` or ``CHARTHERO_API_KEY_FILE``, ``CHARTHERO_BASE_URL``,
        ``CHARTHERO_PROFILE``. A profile is a table of ``~/.config/charthero/config.toml``, pairing a ``base_url`` with
        ``api_key_file`` or ``api_key_env``; the one called ``default`` is used when none is named.

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt; the text says what, and what to set.
        """
        key_given = api_key if isinstance(api_key, KeySource) else given_key(api_key)
        del api_key  # tracebacks are shown with locals
        host, key = _found(_sources(base_url, key_given, profile))
        if not key.is_called:
            key.checked(key.read())
        return cls(
            base_url=host,
            key_source=key,
            timeouts=timeouts,
            attempts=attempts,
            total_timeout=total_timeout,
            http_logging=http_logging,
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {attribute.name: getattr(self, attribute.name) for attribute in fields(type(self))}
        if not isinstance(self.key_source.read, (KeyFile, EnvironmentVariable)):
            state["key_source"] = KeySource(self.key_source.origin, key_lost)
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


def _sources(base_url: str | None, key: KeySource | None, profile: str | None) -> Iterator[_Source]:
    """Yield the places to look, best first; each is looked at only when it is its turn."""
    yield _Source("the arguments", base_url, key)
    if profile is not None:
        yield _from_profile(profile)
    yield _from_environment()
    yield _from_profile(os.environ.get("CHARTHERO_PROFILE"))


def _found(sources: Iterator[_Source]) -> tuple[str, KeySource]:
    """Return the first host and the first key, which have to be one pair."""
    host = key = _Source("nowhere")
    for source in sources:
        host = source if host.base_url is None else host
        key = source if key.key is None else key
        if host.base_url is not None and key.key is not None:
            break
    if host.base_url is None:
        raise ConfigurationError("no API host; set CHARTHERO_BASE_URL, or pass base_url, to the host you were given")
    if key.key is None:
        raise ConfigurationError(
            "no API key; set CHARTHERO_API_KEY or CHARTHERO_API_KEY_FILE, pass api_key, or name a profile"
        )
    url = _checked_url(host.base_url, host.name)
    if key.base_url is not None and _checked_url(key.base_url, key.name) != url:
        raise ConfigurationError(
            f"the key of {key.name} is paired there with another host than that of {host.name}; "
            "a key is sent only to the host it was issued for: give both in one place"
        )
    return url, key.key


def _from_environment() -> _Source:
    key = None
    if "CHARTHERO_API_KEY" in os.environ and "CHARTHERO_API_KEY_FILE" in os.environ:
        raise ConfigurationError("CHARTHERO_API_KEY and CHARTHERO_API_KEY_FILE are both set; unset one")
    if "CHARTHERO_API_KEY" in os.environ:
        key = KeySource("CHARTHERO_API_KEY", EnvironmentVariable("CHARTHERO_API_KEY"))
    elif "CHARTHERO_API_KEY_FILE" in os.environ:
        key = key_file(os.environ["CHARTHERO_API_KEY_FILE"], "CHARTHERO_API_KEY_FILE")
    return _Source("the environment variables", os.environ.get("CHARTHERO_BASE_URL"), key)


def _from_profile(name: str | None) -> _Source:
    import tomllib

    try:
        profiles = tomllib.loads(CONFIG_FILE.expanduser().read_text(encoding="utf-8"))
    except (FileNotFoundError, RuntimeError):  # no such file, or a user without a home
        profiles = {}
    except (OSError, ValueError):
        raise ConfigurationError(f"{CONFIG_FILE} cannot be read as TOML") from None
    if name is None and "default" not in profiles:
        return _Source("the profile")
    name = "default" if name is None else name
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigurationError(f"{CONFIG_FILE} has no profile {name!r}; it has: {known}")
    place = f"the profile {name!r} in {CONFIG_FILE}"
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
        return _Source(place, profile["base_url"], key_file(profile["api_key_file"], place))
    # The variable is not named: a key that was written here by mistake would be shown.
    key = KeySource(f"the variable named by api_key_env of {place}", EnvironmentVariable(profile["api_key_env"]))
    return _Source(place, profile["base_url"], key)
