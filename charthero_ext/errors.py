"""Every exception that this package raises.

No exception carries a response body, an API key, a signed URL or patient data: not in its text, its arguments, its
pickle or a chained exception. Only ``server_message`` has the server's own words. Every exception can be pickled and
copied.
"""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import attrs
from attrs.converters import optional

__all__ = [
    "ApiStatusError",
    "AuthenticationError",
    "BodyTooLargeError",
    "ChartHeroError",
    "ConfigurationError",
    "InvalidRequestError",
    "InvalidTimestampError",
    "MalformedEventError",
    "MassDeletionError",
    "MismatchedEventError",
    "MissingHeaderError",
    "NotFoundError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RepeatedHeaderError",
    "RequestTimeoutError",
    "ServiceUnavailableError",
    "SignatureMismatchError",
    "StaleTimestampError",
    "TransportError",
    "UnexpectedResponseError",
    "UnsupportedSignatureError",
    "WebhookVerificationError",
]

#: Why no complete response arrived.
TransportReason: TypeAlias = Literal[
    "dns", "refused", "certificate", "proxy", "reset", "timeout", "damaged", "too_large", "media", "other"
]


class ServerMessage(str):
    """The server's message. Its repr hides it, because tools show the attributes of an exception."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<server message>"


class ChartHeroError(Exception):
    """The base of every exception of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, pickle and copy call the class with its text as the only argument.
        state = {name: None if isinstance(value, ServerMessage) else value for name, value in vars(self).items()}
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]


class ConfigurationError(ChartHeroError):
    """The settings cannot be used. The text names the source that was read and what to set."""


class TransportError(ChartHeroError):
    """No complete response arrived.

    Attributes:
        reason: ``dns``, ``refused``, ``certificate``, ``proxy``, ``reset``, ``timeout``, ``damaged`` (the body cannot
            be decompressed), ``too_large``, ``media`` (the media host did not send the recording) or ``other``.
    """

    def __init__(self, message: str = "", *, reason: TransportReason = "other") -> None:
        super().__init__(message)
        self.reason: TransportReason = reason


class RequestTimeoutError(TransportError):
    """Connecting, reading, writing, waiting for a free connection, or the whole call took longer than allowed."""

    def __init__(self, message: str = "", *, reason: TransportReason = "timeout") -> None:
        super().__init__(message, reason=reason)


class UnexpectedResponseError(ChartHeroError):
    """The response is not what the API describes: HTML, truncated JSON, JSON of another shape, or a redirect.

    Attributes:
        request_id: The server's id of the request, for a support ticket; None if it sent none.
    """

    def __init__(self, message: str = "", *, request_id: str | None = None) -> None:
        super().__init__(message + (f"; request id {request_id}" if request_id else ""))
        self.request_id = request_id


class PaginationError(ChartHeroError):
    """A walk cannot return every encounter exactly once."""


class MassDeletionError(ChartHeroError):
    """A pass refused to report deletions, because too many encounters disappeared at once.

    Attributes:
        missing: Encounters that disappeared.
        known: Encounters in the window before the pass.
        total: The server's ``total`` if its last page was empty; otherwise 0.
    """

    def __init__(self, *, missing: int, known: int, total: int) -> None:
        counted = f", although its total is {total}" if total else ""
        super().__init__(
            f"the API no longer lists {missing} of {known} encounters{counted}; check the scopes of the key, "
            "and pass allow_mass_delete=True if they were deleted"
        )
        self.missing, self.known, self.total = missing, known, total


def _dict(ids: Mapping[str, str] | None) -> dict[str, str]:
    return dict(ids or {})


@attrs.define(kw_only=True, auto_exc=False, eq=False, repr=False, slots=False)
class ApiStatusError(ChartHeroError):
    """The API answered with a status other than success.

    Attributes:
        status_code: The HTTP status, registered or not.
        operation: The call that failed, such as ``encounters.list``.
        reason_code: The stable code to branch on; None if the body has none, as with HTML from a gateway.
        field: The request parameter at fault, or None.
        server_message: The server's message, at most 500 characters. Do not log it: it may contain patient data. No
            text, repr or pickle of the exception contains it.
        retry_after: Seconds to wait, as the server requested; None if it did not.
        required_scopes: For a 403, the scopes that the operation needs.
        request_id: The server's id of the request, for a support ticket; None if it sent none.
        ids: The opaque ids in the request, by parameter name.
        host: The API host that answered.
        attempts: How many requests the call made.
        key_origin: Where the key was read, such as ``CHARTHERO_API_KEY``.
    """

    status_code: int
    operation: str
    reason_code: str | None = None
    field: str | None = None
    server_message: str | None = attrs.field(default=None, converter=optional(ServerMessage), repr=False)
    retry_after: float | None = None
    required_scopes: frozenset[str] = frozenset()
    request_id: str | None = None
    ids: Mapping[str, str] = attrs.field(default=None, converter=_dict)
    host: str | None = None
    attempts: int = 1
    key_origin: str | None = None

    def __attrs_post_init__(self) -> None:
        code = f" {self.reason_code}" if self.reason_code else ""
        parameter = f" (parameter {self.field})" if self.field else ""
        details = [
            *(f"{name} {value}" for name, value in self.ids.items()),
            f"host {self.host}" if self.host else "",
            f"{self.attempts} attempts" if self.attempts > 1 else "",
            f"retry after {self.retry_after:g} s" if self.retry_after is not None else "",
            f"request id {self.request_id}" if self.request_id else "",
        ]
        parts = (f"{self.operation}: HTTP {self.status_code}{code}{parameter}", ", ".join(filter(None, details)))
        super().__init__("; ".join(filter(None, (*parts, self._advice()))))

    def _advice(self) -> str:
        """Return the end of the text: what the caller can do."""
        return ""


class InvalidRequestError(ApiStatusError):
    """HTTP 400 or 422: change the request; the same request fails again."""


class AuthenticationError(ApiStatusError):
    """HTTP 401: the server did not accept the key. Do not retry with the same key."""

    def _advice(self) -> str:
        return f"the key came from {self.key_origin}" if self.key_origin else ""


class PermissionDeniedError(ApiStatusError):
    """HTTP 403: the key lacks a scope, or the route is not enabled for the partner organization."""

    def _advice(self) -> str:
        enablement = "the route must be enabled for your organization and environment"
        if self.reason_code == "route_not_enabled":
            return enablement
        # The server's message is not shown, except for known scope names.
        missing = {scope for scope in self.required_scopes if scope in (self.server_message or "")}
        if missing:
            return f"the key lacks {', '.join(sorted(missing))}"
        if self.required_scopes:
            return f"the key needs {', '.join(sorted(self.required_scopes))}, and {enablement}"
        return enablement


class NotFoundError(ApiStatusError):
    """HTTP 404: the resource is gone, or not available through the public API."""


class RateLimitedError(ApiStatusError):
    """HTTP 429: too many requests. ``retry_after`` is how long to wait, if the server says so."""


class ServiceUnavailableError(ApiStatusError):
    """HTTP 408, 425 or 5xx: the service or a gateway failed. Retried, except 501 and 505."""


class WebhookVerificationError(ChartHeroError):
    """A webhook delivery was refused. The text holds neither the secret, the signature nor the body.

    Attributes:
        reason: A stable code that is safe to log.
        status_code: The status that a receiver answers with.
    """

    reason: ClassVar[str] = "unverified"
    status_code: ClassVar[int] = 400


class MissingHeaderError(WebhookVerificationError):
    """A required header is missing or empty."""

    reason = "missing_header"


class RepeatedHeaderError(WebhookVerificationError):
    """A required header occurs more than once, so it is unclear which one counts."""

    reason = "repeated_header"


class InvalidTimestampError(WebhookVerificationError):
    """The timestamp is not a whole number of seconds in decimal digits."""

    reason = "invalid_timestamp"


class StaleTimestampError(WebhookVerificationError):
    """The signature is valid, but its timestamp is too far from the clock: a replay, or a wrong clock."""

    reason = "stale_timestamp"
    status_code = 401


class UnsupportedSignatureError(WebhookVerificationError):
    """There is no ``v1`` signature of 64 lowercase hexadecimal digits."""

    reason = "unsupported_signature"
    status_code = 401


class SignatureMismatchError(WebhookVerificationError):
    """No signature matches this body, this timestamp and any of the secrets."""

    reason = "signature_mismatch"
    status_code = 401


class BodyTooLargeError(WebhookVerificationError):
    """The body is larger than allowed."""

    reason = "body_too_large"
    status_code = 413


class MalformedEventError(WebhookVerificationError):
    """The signature is valid, but the body is not an event."""

    reason = "malformed_event"


class MismatchedEventError(WebhookVerificationError):
    """The signature is valid, but the headers, which it does not cover, name another event or version than the body."""

    reason = "mismatched_event"
