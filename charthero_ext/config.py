"""Settings: which host, which key, and how long to wait.

A host and its key are one pair: the key is sent to no other host. Arguments override the environment, and the
environment overrides the profile. If one of them pairs the key with another host, loading fails.
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

from attrs import Attribute, field, frozen, validators

from charthero_ext._key_source import ApiKey, EnvironmentVariable, KeySource, given_key, key_file
from charthero_ext._secret import opaque
from charthero_ext.errors import ConfigurationError

__all__ = ["CONFIG_FILE", "ApiKey", "Attempt", "Settings", "Timeouts"]

PREFIX: Final = "/external/v1"
CONFIG_FILE: Final = Path("~/.config/charthero/config.toml")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PROFILES: Final = ({"base_url", "api_key_file"}, {"base_url", "api_key_env"})
#: A name or an address: no white space, and of ASCII punctuation only - . _ and the colons of IPv6.
HOST: Final = re.compile(r"[^\s!-,/;-@\[-^`{-~]+")


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine, judged by its name or address alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_url(url: Any, source: str = "the settings") -> str:
    """Return the scheme and host of a base URL, normalized."""
    invalid = ConfigurationError(
        f"the base URL of {source} must be https:// and a host, and nothing more than a port and {PREFIX}"
    )
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        host = str(ip_address(host)) if "[" in parts.netloc else host
    except (AttributeError, TypeError, ValueError):
        raise invalid from None
    if (
        parts.scheme not in DEFAULT_PORTS
        or not HOST.fullmatch(host)
        or ".." in f".{host}"
        or port == 0
        or parts.path.rstrip("/") not in ("", PREFIX)
        or ("@" in parts.netloc or parts.query or parts.fragment)
        or not url.strip().isprintable()  # urlsplit drops line breaks and tabs.
    ):
        raise invalid
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"the base URL of {source} must be https; http is for loopback only")
    netloc = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{netloc}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _must_be(what: str, is_valid: Callable[[Any], object]) -> Callable[[Any, Attribute[Any], Any], None]:
    """Return a validator. Its error names the attribute, and never shows the value, which may be a key."""

    def check(_: object, attribute: Attribute[Any], value: Any) -> None:
        if not is_valid(value):
            raise ConfigurationError(f"{attribute.name} must be {what}")

    return check


_seconds = _must_be(
    "a number of seconds above 0",  # True is a number as well.
    lambda value: isinstance(value, (int, float)) and value is not True and 0 < value <= sys.float_info.max,
)
_attempts = _must_be("a whole number of at least 1", lambda value: type(value) is int and value >= 1)
_timeouts = _must_be("a Timeouts; use Timeouts.of(seconds)", lambda value: isinstance(value, Timeouts))
_key_source = _must_be("a KeySource; use Settings.load(api_key=...)", lambda value: isinstance(value, KeySource))
_application = _must_be(
    "printable ASCII, such as clinic-sync/2.1", lambda value: re.fullmatch(r"[!-~]([ -~]{0,98}[!-~])?", str(value))
)


def _host_names(hosts: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(hosts, str):
        raise ConfigurationError("media_hosts must be a list of host names")
    return None if hosts is None else frozenset(host.lower() for host in hosts)


@frozen(kw_only=True)
class Timeouts:
    """Seconds that one request may take to connect, to read or write a piece, and to wait for a free connection.

    ``total`` limits a whole call with all its attempts and waits; None means ``Settings.total_timeout``.
    """

    connect: float = field(default=5.0, validator=_seconds)
    read: float = field(default=30.0, validator=_seconds)
    write: float = field(default=30.0, validator=_seconds)
    pool: float = field(default=30.0, validator=_seconds)
    total: float | None = field(default=None, validator=validators.optional(_seconds))

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

    base_url: str = field(converter=_checked_url)
    key_source: KeySource = field(validator=_key_source)
    timeouts: Timeouts = field(default=Timeouts(), validator=_timeouts)
    attempts: int = field(default=4, validator=_attempts)
    total_timeout: float = field(default=60.0, validator=_seconds)
    http_logging: bool = False
    media_hosts: frozenset[str] | None = field(default=None, converter=_host_names)
    application: str | None = field(default=None, validator=validators.optional(_application))
    on_attempt: Callable[[Attempt], object] | None = field(default=None, repr=False)

    @opaque
    def __init__(self, *, base_url: str, key_source: KeySource, **options: Unpack[SettingsOptions]) -> None:
        self.__attrs_init__(base_url=base_url, key_source=key_source, **options)  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    @opaque
    def load(
        cls,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        **options: Unpack[SettingsOptions],
    ) -> Self:
        """Load settings from the arguments, the environment and a profile, in this order.

        Nothing more is read once the host and the key are found. The environment is ``CHARTHERO_API_KEY`` or
        ``CHARTHERO_API_KEY_FILE``, ``CHARTHERO_BASE_URL`` and ``CHARTHERO_PROFILE``. A profile is a table of
        ``~/.config/charthero/config.toml`` that pairs a ``base_url`` with ``api_key_file`` or ``api_key_env``.

        Args:
            api_key: The key, or a callable that returns it.
            base_url: The host, with or without ``/external/v1``.
            profile: A profile to read before the environment. Without it, the last source is ``CHARTHERO_PROFILE`` or
                the profile ``default``.
            options: The other attributes of ``Settings``.

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt. The text says what to set.
        """
        host, key = _pair(_sources(base_url, given_key(api_key), profile))
        if not callable(api_key):
            key.checked(key.read())
        return cls(base_url=host, key_source=key, **options)


@frozen
class _Source:
    """One place that settings come from."""

    name: str
    base_url: str | None = None
    key: KeySource | None = None


def _sources(base_url: str | None, key: KeySource | None, profile: str | None) -> Iterator[_Source]:
    """Yield the sources in order of precedence. Each is read only if it is needed."""
    yield _Source("the arguments", base_url, key)
    if profile is not None:
        yield _profile(profile)
    yield _environment()
    yield _profile(os.environ.get("CHARTHERO_PROFILE"))


def _pair(sources: Iterator[_Source]) -> tuple[str, KeySource]:
    """Return the first host and the first key, which must be one pair."""
    host = key = _Source("nowhere")
    for source in sources:
        host = source if host.base_url is None else host
        key = source if key.key is None else key
        if host.base_url is not None and key.key is not None:
            break
    if host.base_url is None:
        raise ConfigurationError("no API host; set CHARTHERO_BASE_URL to the host you were given, or CHARTHERO_PROFILE")
    if key.key is None:
        raise ConfigurationError("no API key; set CHARTHERO_API_KEY, CHARTHERO_API_KEY_FILE or CHARTHERO_PROFILE")
    url = _checked_url(host.base_url, host.name)
    if key.base_url is not None and _checked_url(key.base_url, key.name) != url:
        raise ConfigurationError(
            f"the key in {key.name} belongs to another host than the one in {host.name}; set both in one place"
        )
    return url, key.key


def _environment() -> _Source:
    key = None
    if "CHARTHERO_API_KEY" in os.environ and "CHARTHERO_API_KEY_FILE" in os.environ:
        raise ConfigurationError("CHARTHERO_API_KEY and CHARTHERO_API_KEY_FILE are both set; unset one")
    if "CHARTHERO_API_KEY" in os.environ:
        key = KeySource("CHARTHERO_API_KEY", EnvironmentVariable("CHARTHERO_API_KEY"))
    if "CHARTHERO_API_KEY_FILE" in os.environ:
        key = key_file(os.environ["CHARTHERO_API_KEY_FILE"], "CHARTHERO_API_KEY_FILE")
    return _Source("the environment variables", os.environ.get("CHARTHERO_BASE_URL"), key)


def _profile(name: str | None) -> _Source:
    """Return the settings of a profile; without a name, of the profile ``default``, if there is one."""
    profiles = _profiles()
    if name is None and "default" not in profiles:
        return _Source("the profile")
    name = "default" if name is None else name
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        # The name may be a key that was passed by mistake.
        shown = repr(name) if re.fullmatch(r"[A-Za-z-]{0,20}", name) else "of that name"
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigurationError(f"{CONFIG_FILE} has no profile {shown}; it has: {known}")
    place = f"the profile {name!r} in {CONFIG_FILE}"
    if set(profile) not in PROFILES or not all(isinstance(value, str) for value in profile.values()):
        must = "it must have base_url, and either api_key_file or api_key_env, as text"
        raise ConfigurationError(f"{place} has {', '.join(sorted(profile)) or 'nothing'}; {must}")
    if "api_key_file" in profile:
        key = key_file(profile["api_key_file"], place)
    else:
        key = KeySource(f"the variable named by api_key_env of {place}", EnvironmentVariable(profile["api_key_env"]))
    return _Source(place, profile["base_url"], key)


def _profiles() -> dict[str, Any]:
    import tomllib

    try:
        # Without a home directory, this leaves the path as it is. Some editors begin a file with a byte order mark.
        return tomllib.loads(Path(os.path.expanduser(CONFIG_FILE)).read_text(encoding="utf-8-sig"))  # noqa: PTH111
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", "it is not TOML")
        raise ConfigurationError(f"{CONFIG_FILE} cannot be read: {reason}") from None
