"""Checks what lies between this machine and the API: settings, proxy, connection, key, access, clock and versions.

A finding contains no secret and nothing about a patient, so the report can be pasted into a support ticket. Every
request is sent once, without retries, through the same client as all other commands.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import asdict
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext._key_source import KeyFile
from charthero_ext._proxies import environment_proxy
from charthero_ext.client import ChartHero
from charthero_ext.config import Settings
from charthero_ext.errors import ApiStatusError, ChartHeroError, ConfigurationError

__all__ = ["examine"]

#: Seconds that a webhook's timestamp may differ from the clock.
TOLERANCE = 300

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

#: By the reason of a TransportError.
REMEDIES = {
    "dns": "; check the host in the settings",
    "certificate": "; if your network has its own certificate authority, set SSL_CERT_FILE",
    "proxy": "; check the proxy, or add the host to NO_PROXY",
}

#: ``ok``: as it should be. ``note``: worth knowing. ``failed``: must be fixed. ``refused``: the server did not accept
#: the key.
Outcome: TypeAlias = Literal["ok", "note", "failed", "refused"]

#: The result of one check: its name, the outcome, a text for people, and facts for programs.
Finding: TypeAlias = dict[str, Any]


def examine(spec_url: str) -> Iterator[Finding]:
    """Check everything in order. Skip the checks that depend on one that failed."""
    versions = {name: version(name) for name in ("charthero-ext", "httpx", "msgspec")}
    versions |= {"Python": platform.python_version(), "system": platform.system()}
    yield _found("versions", "ok", ", ".join(f"{name} {number}" for name, number in versions.items()), **versions)
    try:
        settings = Settings.load(attempts=1)
    except ConfigurationError as error:
        yield _found("settings", "failed", str(error))
        return
    yield from _settings(settings)
    yield _proxy(settings)
    with ChartHero(settings=settings) as ch:
        yield from _answers(ch)
        yield _artifact(ch, spec_url)


def _settings(settings: Settings) -> Iterator[Finding]:
    profile = f"the profile {os.environ.get('CHARTHERO_PROFILE') or 'default'!r}"
    host = "CHARTHERO_BASE_URL" if "CHARTHERO_BASE_URL" in os.environ else profile
    origin = settings.key_source.origin
    detail = f"{settings.base_url} from {host}; the key from {origin}"
    yield _found("settings", "ok", detail, base_url=settings.base_url, host_from=host, key_from=origin)
    key = settings.key_source.provider
    if os.name == "posix" and isinstance(key, KeyFile) and key.path.exists():
        mode = f"{stat.S_IMODE(key.path.stat().st_mode):04o}"
        if not mode.endswith("00"):
            detail = f"other users may read it (mode {mode}); chmod 600 {key.path}"
            yield _found("key file", "note", detail, mode=mode)


def _proxy(settings: Settings) -> Finding:
    names = sorted(name for name in os.environ if name.upper() in PROXY_VARIABLES)
    url = urlsplit(settings.base_url)
    # Plain http is for loopback, which is never called through a proxy.
    proxy = environment_proxy("https", url.hostname or "", url.port) if url.scheme == "https" else None
    if proxy is None:
        detail = "none for this host" + (f" ({', '.join(names)} set)" if names else "")
        return _found("proxy", "ok", detail, variables=names, proxy=None)
    address = None
    with suppress(ValueError):  # The variable is not a valid URL.
        parts = urlsplit(proxy.url.reveal())
        address = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    detail = f"{address or 'a proxy'}, from {proxy.variable}"
    return _found("proxy", "note", detail, variables=names, proxy=address)


def _answers(ch: ChartHero) -> Iterator[Finding]:
    """Make one call. If the host answers, find out what the key may do, and compare the clocks."""
    date, started = "", time.perf_counter()
    try:
        # This page is always empty: no encounter was created before 1970.
        response = ch.get("/external/v1/encounters", limit="1", end_at="1970-01-01T00:00:00Z")
        status, date = response.status_code, response.headers.get("date", "")
    except ApiStatusError as error:
        status = error.status_code
    except ChartHeroError as error:
        reason = getattr(error, "reason", None)
        detail = str(error).removeprefix("get: ") + REMEDIES.get(str(reason), "")
        yield _found("connection", "failed", detail, reason=reason)
        return
    milliseconds = round((time.perf_counter() - started) * 1000)
    detail = f"HTTP {status} in {milliseconds} ms"
    yield _found("connection", "ok", detail, status_code=status, milliseconds=milliseconds)
    yield from _access(ch)
    yield _clock(date)


def _access(ch: ChartHero) -> Iterator[Finding]:
    report = ch.check_access()
    outcomes: dict[bool | None, tuple[Outcome, str]] = {
        True: ("ok", "accepted"),
        False: ("refused", f"not accepted by the server; it came from {ch.settings.key_source.origin}"),
        None: ("note", "could not tell"),
    }
    yield _found("key", *outcomes[report.key_accepted], accepted=report.key_accepted)
    for route in report.routes:
        facts = {"operation": route.operation, "status_code": route.status_code, "reason_code": route.reason_code}
        # Least privilege is fine. Only the owner of the key knows which routes are needed.
        outcome: Outcome = "ok" if route.outcome == "granted" else "note"
        yield _found("access", outcome, f"{route.operation} {route.outcome}: {route.why}", **facts)


def _clock(date: str) -> Finding:
    try:
        server = parsedate_to_datetime(date).replace(tzinfo=UTC)  # HTTP dates are in UTC.
    except ValueError:
        return _found("clock", "note", "could not tell: no successful response with a Date header")
    ahead = round((datetime.now(UTC) - server).total_seconds())
    detail = f"{abs(ahead)} s {'behind' if ahead < 0 else 'ahead of'} the server's"
    outcome: Outcome = "ok" if abs(ahead) < TOLERANCE / 10 else "note"
    if abs(ahead) > TOLERANCE:
        outcome, detail = "failed", f"{detail}; webhooks are rejected beyond {TOLERANCE} s"
    return _found("clock", outcome, detail, seconds_ahead=ahead, tolerance=TOLERANCE)


def _artifact(ch: ChartHero, url: str) -> Finding:
    try:
        report = ch.check_spec(url)
    except ConfigurationError as error:
        return _found("artifact", "failed", str(error))
    built = f"built from {'a reconstruction of ' if report.reconstructed else ''}{ARTIFACT_SHA256[:12]}"
    facts = asdict(report)
    detail = f"{report.outcome} ({report.reason}); {built}"
    return _found("artifact", "ok" if report.same else "note", detail, published=facts.pop("outcome"), **facts)


def _found(check: str, outcome: Outcome, detail: str, **facts: Any) -> Finding:
    return {"check": check, "outcome": outcome, "detail": detail, **facts}
