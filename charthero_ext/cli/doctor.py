"""Checks what lies between this machine and the API: settings, proxy, connection, key, access, clock and versions.

A finding contains no secret and nothing about a patient, so the report can be pasted into a support ticket. Every
request is sent once, without retries, through the same client as all other commands.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import asdict, field, frozen
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext._key_source import KeyFile
from charthero_ext._proxies import environment_proxy
from charthero_ext.client import ChartHero, RawResponse
from charthero_ext.config import Settings
from charthero_ext.errors import ApiStatusError, ChartHeroError, ConfigurationError

__all__ = ["Finding", "examine", "worst"]

#: Seconds that a webhook's timestamp may differ from the clock.
TOLERANCE = 300

PACKAGES = ("charthero-ext", "httpx", "msgspec")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

#: By the reason of a TransportError.
REMEDIES = {
    "dns": "; check the host in the settings",
    "certificate": "; if your network has its own certificate authority, set SSL_CERT_FILE",
    "proxy": "; check the proxy, or add the host to NO_PROXY",
}

Outcome = Literal["ok", "note", "failed", "refused"]


@frozen
class Finding:
    """The result of one check.

    ``ok``: as it should be. ``note``: worth knowing. ``failed``: has to be fixed. ``refused``: the server did not
    accept the key.
    """

    check: str
    outcome: Outcome
    detail: str
    facts: dict[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return f"{self.outcome:8}{self.check:12}{self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dumps``."""
        return {"check": self.check, "outcome": self.outcome, "detail": self.detail, **self.facts}


def worst(findings: Iterable[Finding]) -> int:
    """Return the exit code: 3 if the key was refused, 1 if something failed, else 0."""
    outcomes = {finding.outcome for finding in findings}
    return 3 if "refused" in outcomes else 1 if "failed" in outcomes else 0


def examine(spec_url: str) -> Iterator[Finding]:
    """Check everything in order. Skip the checks that depend on one that failed."""
    versions = {name: version(name) for name in PACKAGES} | {"Python": platform.python_version()}
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield Finding("versions", "ok", f"{listed}; {platform.system()}", {**versions, "system": platform.system()})
    try:
        settings = Settings.load(attempts=1)
    except ConfigurationError as error:
        yield Finding("settings", "failed", str(error))
        return
    yield _settings(settings)
    yield from _key_file(settings)
    yield _proxy(settings)
    with ChartHero(settings=settings) as ch:
        connection, response = _connection(ch)
        yield connection
        if connection.outcome == "ok":
            yield from _access(ch)
            yield _clock(response)
        yield _artifact(ch, spec_url)


def _settings(settings: Settings) -> Finding:
    profile = f"the profile {os.environ.get('CHARTHERO_PROFILE') or 'default'!r}"
    host = "CHARTHERO_BASE_URL" if "CHARTHERO_BASE_URL" in os.environ else profile
    origin = settings.key_source.origin
    detail = f"{settings.base_url} from {host}; the key from {origin}"
    return Finding("settings", "ok", detail, {"base_url": settings.base_url, "host_from": host, "key_from": origin})


def _key_file(settings: Settings) -> Iterator[Finding]:
    provider = settings.key_source.provider
    if os.name != "posix" or not isinstance(provider, KeyFile):
        return
    with suppress(OSError):
        mode = stat.S_IMODE(provider.path.stat().st_mode)
        if mode & 0o077:
            detail = f"other users may read it (mode {mode:04o}); chmod 600 {provider.path}"
            yield Finding("key file", "note", detail, {"mode": f"{mode:04o}"})


def _proxy(settings: Settings) -> Finding:
    names = sorted(name for name in os.environ if name.upper() in PROXY_VARIABLES)
    facts: dict[str, Any] = {"variables": names, "proxy": None}
    url = urlsplit(settings.base_url)
    # Plain http is for loopback, which is never called through a proxy.
    proxy = environment_proxy("https", url.hostname or "", url.port) if url.scheme == "https" else None
    if proxy is None:
        return Finding("proxy", "ok", "none for this host" + (f" ({', '.join(names)} set)" if names else ""), facts)
    with suppress(ValueError):
        parts = urlsplit(proxy.url.reveal())
        facts["proxy"] = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    return Finding("proxy", "note", f"{facts['proxy'] or 'a proxy'}, from {proxy.variable}", facts)


def _connection(ch: ChartHero) -> tuple[Finding, RawResponse | None]:
    """Make one call, and return its response if the status was a success."""
    started, response = time.perf_counter(), None
    try:
        # This page is always empty: no encounter was created before 1970.
        response = ch.get("/external/v1/encounters", limit="1", end_at="1970-01-01T00:00:00Z")
        status = response.status_code
    except ApiStatusError as error:
        status = error.status_code
    except ChartHeroError as error:
        reason = getattr(error, "reason", None)
        detail = str(error).removeprefix("get: ") + REMEDIES.get(str(reason), "")
        return Finding("connection", "failed", detail, {"reason": reason}), None
    milliseconds = round((time.perf_counter() - started) * 1000)
    facts = {"status_code": status, "milliseconds": milliseconds}
    return Finding("connection", "ok", f"HTTP {status} in {milliseconds} ms", facts), response


def _access(ch: ChartHero) -> Iterator[Finding]:
    report = ch.check_access()
    origin = ch.settings.key_source.origin
    outcomes: dict[bool | None, tuple[Outcome, str]] = {
        True: ("ok", "accepted"),
        False: ("refused", f"not accepted by the server; it came from {origin}"),
        None: ("note", "could not tell"),
    }
    outcome, detail = outcomes[report.key_accepted]
    yield Finding("key", outcome, detail, {"accepted": report.key_accepted})
    for route in report.routes:
        facts = {"operation": route.operation, "status_code": route.status_code, "reason_code": route.reason_code}
        # Least privilege is fine. Only the owner of the key knows which routes are needed.
        outcome = "ok" if route.outcome == "granted" else "note"
        yield Finding("access", outcome, f"{route.operation} {route.outcome}: {route.why}", facts)


def _clock(response: RawResponse | None) -> Finding:
    try:
        server = parsedate_to_datetime(response.headers.get("date", "") if response else "")
    except ValueError:
        return Finding("clock", "note", "could not tell: no successful response with a Date header")
    ahead = round((datetime.now(UTC) - (server if server.tzinfo else server.replace(tzinfo=UTC))).total_seconds())
    detail = (
        f"{abs(ahead)} s {'behind' if ahead < 0 else 'ahead of'} the server's" if ahead else "equal to the server's"
    )
    facts = {"seconds_ahead": ahead, "tolerance": TOLERANCE}
    if abs(ahead) > TOLERANCE:
        return Finding("clock", "failed", f"{detail}; webhooks are rejected beyond {TOLERANCE} s", facts)
    return Finding("clock", "ok" if abs(ahead) < TOLERANCE / 10 else "note", detail, facts)


def _artifact(ch: ChartHero, url: str) -> Finding:
    try:
        report = ch.check_spec(url)
    except ConfigurationError as error:
        return Finding("artifact", "failed", str(error))
    built = f"built from {'a reconstruction of ' if report.reconstructed else ''}{ARTIFACT_SHA256[:12]}"
    outcome: Outcome = "ok" if report.same else "note"
    facts = asdict(report, filter=lambda attribute, _: attribute.name != "outcome") | {"published": report.outcome}
    return Finding("artifact", outcome, f"{report.outcome} ({report.reason}); {built}", facts)
