"""Finds the reason why no complete response arrived."""

from __future__ import annotations

from typing import Final

from charthero_ext.errors import TransportReason

__all__ = ["PROBLEMS", "transport_reason"]

PROBLEMS: Final[dict[TransportReason, str]] = {
    "dns": "the host name cannot be resolved",
    "refused": "the connection was refused",
    "certificate": "the server's certificate is not trusted",
    "proxy": "the proxy failed",
    "reset": "the connection broke",
    "timeout": "timed out",
    "damaged": "the compressed body is damaged",
    "other": "the connection failed",
}
#: Class names in the chain of an exception, most specific first. By name, because only the drivers import httpx.
REASONS: Final[dict[str, TransportReason]] = {
    "SSLCertVerificationError": "certificate",
    "gaierror": "dns",
    "ConnectionRefusedError": "refused",
    "ConnectionError": "reset",
    "ConnectError": "other",
    "NetworkError": "reset",
    "RemoteProtocolError": "reset",
    "DecodingError": "damaged",
}


def transport_reason(error: Exception, *, is_proxied: bool) -> TransportReason:
    """Return the reason for an exception of httpx or of the operating system."""
    outermost = {kind.__name__ for kind in type(error).__mro__}
    if outermost & {"TimeoutException", "TimeoutError"}:
        return "timeout"
    names = {kind.__name__ for cause in _chain(error) for kind in type(cause).__mro__}
    reasons: list[TransportReason] = [reason for name, reason in REASONS.items() if name in names]
    if "certificate" not in reasons and ("ProxyError" in outermost or (is_proxied and "ConnectError" in outermost)):
        return "proxy"
    return reasons[0] if reasons else "other"


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    for each in chain:  # The list grows meanwhile. An exception may be its own cause.
        causes = (each.__cause__ or each.__context__, *getattr(each, "exceptions", ()))
        chain += [cause for cause in causes if cause is not None and cause not in chain]
    return chain
