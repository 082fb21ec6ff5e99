"""Settings: which host, which key, and how long to wait.

A host and its key are one pair: the key is sent to no other host. Arguments override the environment, and the
environment overrides the profile. If one of them pairs the key with another host, loading fails.

Raw configuration may contain a key in the wrong place, so it is a ``Secret`` until it is checked. The functions that
look inside return a problem and never raise, so no traceback contains their local variables.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from attrs import Attribute, field, fields, frozen
from attrs.validators import optional

from charthero_ext._key_source import ApiKey, EnvironmentVariable, KeyFile, KeySource, given_key, key_file, key_lost
from charthero_ext._secret import Secret, hide
from charthero_ext.errors import ConfigurationError

__all__ = ["CONFIG_FILE", "ApiKey", "Attempt", "Settings", "Timeouts"]

PREFIX: Final = "/external/v1"
CONFIG_FILE: Final = Path("~/.config/charthero/config.toml")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PROFILE_KEYS: Final = frozenset({"base_url", "api_key_file", "api_key_env"})
#: White space and ASCII punctuation, except what names and addresses contain: - . _ and the colons of IPv6.
NOT_IN_A_HOST: Final = re.compile(r"[\s!-,/;-@\[-^`{-~]")


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine, judged by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parsed_url(url: Any) -> tuple[str, str]:
    """Return what is wrong with a base URL, and its normalized scheme and host. Never raises."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc:
            host = str(ip_address(host))
    except (AttributeError, ValueError):
        return "is not a URL", ""
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{port}")
    if parts.scheme not in DEFAULT_PORTS or not host:
        return "has to begin with https:// and a host", ""
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "holds credentials, a query or a fragment; leave them out", ""
    # urlsplit drops line breaks and tabs, so look for them in the original text.
    if not url.strip().isprintable() or NOT_IN_A_HOST.search(host) or ".." in f".{host}" or port == 0:
        return "contains an invalid character or port", ""
    if parts.path.rstrip("/") not in ("", PREFIX):
        return f"has to be the host alone, or the host with {PREFIX}", ""
    if parts.scheme == "http" and not is_loopback(host):
        return "has to be https; http is for loopback only", ""
    return "", origin


def _checked_url(url: Any, origin: str) -> str:
    url = hide(url)
    problem, checked = _parsed_url(url.reveal())
    if problem:
        raise ConfigurationError(f"the base URL of {origin} {problem}")
    return checked


def _checked_base_url(url: Any) -> str:
    return _checked_url(url, "the settings")


def _check_seconds(_: object, attribute: Attribute[Any], value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:  # type: ignore[operator]
        raise ConfigurationError(f"{attribute.name} has to be a number of seconds above 0")


def _check_attempts(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError("attempts has to be a whole number of at least 1")


def _check_timeouts(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Timeouts):
        raise ConfigurationError("timeouts has to be a Timeouts; use Timeouts.of(seconds)")


def _check_application(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not re.fullmatch(r"[!-~]([ -~]{0,98}[!-~])?", str(value)):
        raise ConfigurationError("application has to be printable ASCII, such as clinic-sync/2.1")


def _checked_key_source(source: Any) -> Any:
    source = hide(source)
    if not isinstance(source.reveal(), KeySource):  # It may be the key itself, so do not show it.
        raise ConfigurationError("key_source has to be a KeySource; pass a key to Settings.load(api_key=...)")
    return source.reveal()


def _host_names(hosts: Iterable[str] | None) -> frozenset[str] | None:
    if hosts is None:
        return None
    if isinstance(hosts, str):
        raise ConfigurationError("media_hosts has to be a list of host names")
    return frozenset(host.lower() for host in hosts)


@frozen(kw_only=True)
class Timeouts:
    """Seconds that one request may take to connect, to read or write a piece, and to wait for a free connection.

    ``total`` limits a whole call with all its attempts and waits; None means ``Settings.total_timeout``.

    Raises:
        ConfigurationError: A value is not a number above 0. A request without a timeout could wait for ever.
    """

    connect: float = field(default=5.0, validator=_check_seconds)
    read: float = field(default=30.0, validator=_check_seconds)
    write: float = field(default=30.0, validator=_check_seconds)
    pool: float = field(default=30.0, validator=_check_seconds)
    total: float | None = field(default=None, validator=optional(_check_seconds))

    @classmethod
    def of(cls, value: float | Timeouts) -> Timeouts:
        """Return *value*, or the same number of seconds for each part of a request."""
        return value if isinstance(value, Timeouts) else cls(connect=value, read=value, write=value, pool=value)


@frozen(kw_only=True)
class Attempt:
    """What happened to one request. It holds no id of a record, no key and no URL, so it can feed metrics and spans.

    Attributes:
        operation: The call, such as ``encounters.list``.
        number: 1 for the first request of the call.
        status_code: The status, or None if no response arrived.
        reason_code: The API's reason code, the class of the exception, or None after success.
        duration_ms: Milliseconds from sending the request to the end of the body.
        request_id: The server's id of the request, or None.
        will_retry: Whether the call makes another attempt.
    """

    operation: str
    number: int
    status_code: int | None
    reason_code: str | None
    duration_ms: float
    request_id: str | None
    will_retry: bool


class SettingsOptions(TypedDict, total=False):
    """The attributes of :class:`Settings` that have a default."""

    timeouts: Timeouts
    attempts: int
    total_timeout: float
    http_logging: bool
    media_hosts: Iterable[str] | None
    application: str | None
    on_attempt: Callable[[Attempt], object] | None


@frozen(kw_only=True, init=False)
class Settings:
    """The settings of a client. Neither the repr nor a pickle contains a key.

    Attributes:
        base_url: The API host, without the prefix ``/external/v1``.
        key_source: Where the key is read, for every request. A callable runs on the thread that makes the request,
            which is a worker thread in a walk, and on the event loop in an asynchronous client.
        timeouts: For every request; a call can have its own.
        attempts: The most requests of one call. Only temporary failures are retried. After a 401, one more request is
            made if the key source then returns another key.
        total_timeout: Seconds for a call with all its attempts and waits, until the end of the body. It does not limit
            reading the key. In the synchronous client, it does not limit headers that arrive slowly.
        http_logging: Let httpx and httpcore log their own lines, which contain URLs and response headers.
        media_hosts: The hosts that recordings may come from; None for any https host.
        application: Your product and version, such as ``clinic-sync/2.1``, for the User-Agent.
        on_attempt: Called with an :class:`Attempt` after each request, on the thread that made it. An exception that
            it raises ends the call.
    """

    base_url: str = field(converter=_checked_base_url)
    key_source: KeySource = field(converter=_checked_key_source)
    timeouts: Timeouts = field(default=Timeouts(), validator=_check_timeouts)
    attempts: int = field(default=4, validator=_check_attempts)
    total_timeout: float = field(default=60.0, validator=_check_seconds)
    http_logging: bool = False
    media_hosts: frozenset[str] | None = field(default=None, converter=_host_names)
    application: str | None = field(default=None, validator=_check_application)
    on_attempt: Callable[[Attempt], object] | None = field(default=None, repr=False)

    def __init__(self, *, base_url: str, key_source: KeySource, **options: Unpack[SettingsOptions]) -> None:
        base_url, key_source = hide(base_url), hide(key_source)
        if unknown := options.keys() - SettingsOptions.__annotations__.keys():
            raise TypeError(f"Settings has no option {', '.join(sorted(unknown))}")
        for attribute in fields(type(self)):  # A traceback may show settings that were refused.
            object.__setattr__(self, attribute.name, None)
        self.__attrs_init__(base_url=base_url, key_source=key_source, **options)  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def load(
        cls,
        *,
        api_key: ApiKey | KeySource | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        **options: Unpack[SettingsOptions],
    ) -> Self:
        """Load settings from the arguments, the environment and a profile, in this order.

        Nothing more is read once the host and the key are found. A profile that is named as an argument comes before
        the environment.

        The environment: ``CHARTHERO_API_KEY`` or ``CHARTHERO_API_KEY_FILE``, ``CHARTHERO_BASE_URL``,
        ``CHARTHERO_PROFILE``. A profile is a table of ``~/.config/charthero/config.toml`` that pairs a ``base_url``
        with ``api_key_file`` or ``api_key_env``. Without a name, the profile ``default`` is used.

        Args:
            api_key: The key, or a callable that returns it.
            base_url: The host, with or without ``/external/v1``.
            profile: The name of a profile.
            options: The other attributes of ``Settings``.

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt. The text says what to set.
        """
        api_key, base_url, profile = hide(api_key), hide(base_url), hide(profile)
        host, key = _found(_sources(base_url, given_key(api_key), profile))
        if not key.is_callable:
            key.checked(key.read())
        return cls(base_url=host, key_source=key, **options)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {attribute.name: getattr(self, attribute.name) for attribute in fields(type(self))}
        if not isinstance(self.key_source.provider, (KeyFile, EnvironmentVariable)):
            state["key_source"] = KeySource(self.key_source.origin, key_lost)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


@frozen
class _Source:
    """One place that settings come from."""

    name: str
    base_url: Secret[Any]
    key: KeySource | None = None


def _sources(base_url: Any, key: KeySource | None, profile: Any) -> Iterator[_Source]:
    """Yield the sources in order of precedence. Each is read only if it is needed."""
    yield _Source("the arguments", base_url, key)
    if profile.reveal() is not None:
        yield _from_profile(profile)
    yield _from_environment()
    yield _from_profile(Secret(os.environ.get("CHARTHERO_PROFILE")))


def _found(sources: Iterator[_Source]) -> tuple[str, KeySource]:
    """Return the first host and the first key, which have to be one pair."""
    host = key = _Source("nowhere", Secret(None))
    for source in sources:
        host = source if host.base_url.reveal() is None else host
        key = source if key.key is None else key
        if host.base_url.reveal() is not None and key.key is not None:
            break
    if host.base_url.reveal() is None:
        raise ConfigurationError("no API host; set CHARTHERO_BASE_URL to the host you were given, or CHARTHERO_PROFILE")
    if key.key is None:
        raise ConfigurationError("no API key; set CHARTHERO_API_KEY, CHARTHERO_API_KEY_FILE or CHARTHERO_PROFILE")
    url = _checked_url(host.base_url, host.name)
    if key.base_url.reveal() is not None and _checked_url(key.base_url, key.name) != url:
        raise ConfigurationError(
            f"the key in {key.name} belongs to another host than the one in {host.name}; "
            "a key is sent only to the host it was issued for, so set both in one place"
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
    return _Source("the environment variables", Secret(os.environ.get("CHARTHERO_BASE_URL")), key)


def _from_profile(name: Secret[str | None]) -> _Source:
    problem, source = _parsed_profile(name, _profiles())
    if source is None:
        raise ConfigurationError(problem)
    return source


def _parsed_profile(secret_name: Secret[str | None], profiles: Secret[dict[str, Any]]) -> tuple[str, _Source | None]:
    """Return what is wrong with a profile, or the settings in it. Never raises."""
    name, tables = secret_name.reveal(), profiles.reveal()
    if name is None:
        if "default" not in tables:
            return "", _Source("the profile", Secret(None))
        name = "default"
    profile = tables.get(name)
    if not isinstance(profile, dict):
        # The name may be a key that was passed by mistake.
        shown = repr(name) if re.fullmatch(r"[A-Za-z-]{0,20}", name) else "of that name"
        return f"{CONFIG_FILE} has no profile {shown}; it has: {', '.join(sorted(tables)) or 'none'}", None
    place = f"the profile {name!r} in {CONFIG_FILE}"
    if unknown := profile.keys() - PROFILE_KEYS:
        allowed = ", ".join(sorted(PROFILE_KEYS))
        return f"{place} has unknown keys: {', '.join(sorted(unknown))}; it may have {allowed}", None
    if not all(isinstance(value, str) for value in profile.values()):
        return f"{place}: every value has to be text", None
    if len(profile.keys() & {"api_key_file", "api_key_env"}) != 1 or "base_url" not in profile:
        return f"{place} needs base_url, and either api_key_file or api_key_env", None
    if "api_key_file" in profile:
        key = key_file(profile["api_key_file"], place)
    else:
        variable = EnvironmentVariable(profile["api_key_env"])
        key = KeySource(f"the variable named by api_key_env of {place}", variable)
    return "", _Source(place, Secret(profile["base_url"]), key)


def _profiles() -> Secret[dict[str, Any]]:
    import tomllib

    try:
        # Some editors begin a file with a byte order mark.
        return Secret(tomllib.loads(CONFIG_FILE.expanduser().read_text(encoding="utf-8-sig")))
    except (FileNotFoundError, RuntimeError):  # No such file, or a user without a home directory.
        return Secret({})
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except ValueError:
        problem = "cannot be read as TOML"
    raise ConfigurationError(f"{CONFIG_FILE} {problem}")
