"""Finds the reason why no complete response arrived."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
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
#: Exceptions in the chain, by class, most specific first.
BY_CLASS: Final[tuple[tuple[type[Exception], TransportReason], ...]] = (
    (ssl.SSLCertVerificationError, "certificate"),
    (socket.gaierror, "dns"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "reset"),
)
#: httpx's own exceptions, by name, because only one module imports httpx.
BY_NAME: Final[dict[str, TransportReason]] = {
    "ReadError": "reset",
    "WriteError": "reset",
    "CloseError": "reset",
    "RemoteProtocolError": "reset",
    "DecodingError": "damaged",
}


def transport_reason(error: Exception, *, is_proxied: bool) -> TransportReason:
    """Return the reason for an exception of httpx or of the operating system."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TimeoutException" in names or isinstance(error, TimeoutError):
        return "timeout"
    causes = tuple(_causes(error))
    found: list[TransportReason] = []
    for kind, reason in BY_CLASS:
        if any(isinstance(cause, kind) for cause in causes):
            found.append(reason)
    if "certificate" not in found and ("ProxyError" in names or (is_proxied and "ConnectError" in names)):
        return "proxy"
    found.extend(reason for name, reason in BY_NAME.items() if name in names)
    return found[0] if found else "other"


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    for cause in (error.__cause__ or error.__context__, *getattr(error, "exceptions", ())):
        if cause is not None:
            yield from _causes(cause)
