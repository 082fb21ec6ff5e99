"""What stands between this machine and the API: settings, connection, access, clock, versions.

Nothing in a finding is a secret or about a patient, so that all of it can be pasted into a support ticket.
"""

from __future__ import annotations

import os
import platform
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from attrs import asdict, field, frozen
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext.client import ChartHero
from charthero_ext.config import Settings
from charthero_ext.errors import ChartHeroError, ConfigurationError

__all__ = ["Finding", "examine", "worst"]

#: Seconds a webhook's timestamp may be off. Source in the contract: "Webhooks".
TOLERANCE = 300

_PACKAGES = ("charthero-ext", "httpx", "msgspec")


@frozen
class Finding:
    """One thing that was looked at.

    ``ok``: as it should be. ``note``: worth knowing. ``failed``: has to be put right. ``refused``: the key, or what it
    may do, has to be put right.
    """

    check: str
    outcome: Literal["ok", "note", "failed", "refused"]
    detail: str
    facts: dict[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return f"{self.outcome:8}{self.check:12}{self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for ``json.dumps``."""
        return {"check": self.check, "outcome": self.outcome, "detail": self.detail, **self.facts}


def worst(findings: Iterable[Finding]) -> int:
    """Return the exit code: 3 if something was refused, 1 if something failed, 0 if neither."""
    outcomes = {finding.outcome for finding in findings}
    return 3 if "refused" in outcomes else 1 if "failed" in outcomes else 0


def examine(spec_url: str) -> Iterator[Finding]:
    """Look at everything, one after the other. What depends on something that is missing is left out."""
    versions = {name: version(name) for name in _PACKAGES} | {"Python": platform.python_version()}
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield Finding("versions", "ok", f"{named}; {platform.system()}", {**versions, "system": platform.system()})
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        yield Finding("settings", "failed", str(error))
        return
    yield _settings(settings)
    url = urlsplit(settings.base_url)
    proxy, finding = _proxy(url)
    yield finding
    yield _connection(url if proxy is None else proxy, settings.timeouts.connect, through_proxy=proxy is not None)
    with ChartHero(settings=settings) as ch:
        yield from _access(ch)
        yield _clock(ch)
        yield _artifact(ch, spec_url)


def _settings(settings: Settings) -> Finding:
    profile = f"the profile {os.environ.get('CHARTHERO_PROFILE') or 'default'!r}"
    host = "CHARTHERO_BASE_URL" if "CHARTHERO_BASE_URL" in os.environ else profile
    origin = settings.key_source.origin
    detail = f"{settings.base_url} from {host}; the key from {origin}"
    return Finding("settings", "ok", detail, {"base_url": settings.base_url, "host_from": host, "key_from": origin})


def _proxy(url: SplitResult) -> tuple[SplitResult | None, Finding]:
    """Return the proxy that requests go through, and what is to be said about it."""
    names = [name for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")]
    facts: dict[str, Any] = {"variables": sorted(names)}
    proxies = getproxies()
    # In the clear only loopback is called, and never through a proxy.
    address = (proxies.get("https") or proxies.get("all")) if url.scheme == "https" else None
    if address is None or proxy_bypass(url.netloc):
        variables = f"; {', '.join(sorted(names))} set, for others" if names else ""
        return None, Finding("proxy", "ok", f"none for this host{variables}", facts)
    try:
        proxy = urlsplit(address if "://" in address else f"http://{address}")
        _ = proxy.port
    except ValueError:
        return None, Finding("proxy", "failed", f"the address in {', '.join(sorted(names))} is none", facts)
    shown = proxy._replace(netloc=proxy.netloc.rpartition("@")[2], path="", query="", fragment="").geturl()
    return proxy, Finding("proxy", "note", f"through {shown}", {**facts, "proxy": shown})


def _connection(url: SplitResult, seconds: float, *, through_proxy: bool) -> Finding:
    port = url.port or (443 if url.scheme == "https" else 80)
    host, what = url.hostname or "", "the proxy" if through_proxy else "the host"
    started = time.perf_counter()
    facts: dict[str, Any] = {}
    try:
        facts["addresses"] = sorted(
            {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        )
        with socket.create_connection((host, port), timeout=seconds) as connection:
            if url.scheme == "https":
                # The context that calls use: with the same certificates, wherever they come from.
                with httpx.create_ssl_context().wrap_socket(connection, server_hostname=host) as secured:
                    facts["tls"] = secured.version()
                    facts["certificate_until"] = (secured.getpeercert() or {}).get("notAfter")
    except socket.gaierror as error:
        return Finding("connection", "failed", f"{what} {host} has no address: {error.strerror}", facts)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason or type(error).__name__
        return Finding(
            "connection", "failed", f"{what} {host}:{port} answers, but not with TLS to trust: {reason}", facts
        )
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        return Finding("connection", "failed", f"{what} {host}:{port} cannot be reached: {reason}", facts)
    facts["milliseconds"] = round((time.perf_counter() - started) * 1000)
    secured_by = f", {facts['tls']}, certificate until {facts['certificate_until']}" if "tls" in facts else ""
    addresses = ", ".join(facts["addresses"])
    return Finding("connection", "ok", f"{what} at {addresses} in {facts['milliseconds']} ms{secured_by}", facts)


def _access(ch: ChartHero) -> Iterator[Finding]:
    try:
        report = ch.check_access()
    except ConfigurationError as error:
        yield Finding("key", "refused", str(error))
        return
    outcomes: dict[bool | None, Literal["ok", "refused", "note"]] = {True: "ok", False: "refused", None: "note"}
    said = {True: "accepted", False: "refused", None: "could not tell"}[report.key_accepted]
    yield Finding("key", outcomes[report.key_accepted], said, {"accepted": report.key_accepted})
    for route in report.routes:
        facts = {"operation": route.operation, "status_code": route.status_code, "reason_code": route.reason_code}
        # A key that may do less than everything is as it should be; which routes are needed, only its owner knows.
        outcome: Literal["ok", "note"] = "ok" if route.outcome == "granted" else "note"
        yield Finding("access", outcome, f"{route.operation} {route.outcome}: {route.why}", facts)


def _clock(ch: ChartHero) -> Finding:
    try:
        # A page that is always empty: no encounter was created before 1970.
        answer = ch.get("/external/v1/encounters", limit="1", end_at="1970-01-01T00:00:00Z")
        server = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ChartHeroError, ValueError):
        return Finding("clock", "note", "could not tell: no answer with a Date")
    ahead = round((datetime.now(UTC) - (server if server.tzinfo else server.replace(tzinfo=UTC))).total_seconds())
    detail = f"{abs(ahead)} s {'behind' if ahead < 0 else 'ahead of'} the server's" if ahead else "as the server's"
    facts = {"seconds_ahead": ahead, "tolerance": TOLERANCE}
    if abs(ahead) > TOLERANCE:
        return Finding("clock", "failed", f"{detail}; over {TOLERANCE} s, webhooks are refused", facts)
    return Finding("clock", "ok" if abs(ahead) < TOLERANCE / 10 else "note", detail, facts)


def _artifact(ch: ChartHero, url: str) -> Finding:
    report = ch.check_spec(url)
    built = f"built from {'a reconstruction of ' if report.reconstructed else ''}{ARTIFACT_SHA256[:12]}"
    outcome: Literal["ok", "note"] = "ok" if report.same else "note"
    facts = asdict(report, filter=lambda attribute, _: attribute.name != "outcome") | {"published": report.outcome}
    return Finding("artifact", outcome, f"{report.outcome} ({report.reason}); {built}", facts)
