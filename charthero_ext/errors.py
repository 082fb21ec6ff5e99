"""Every exception this package raises.

None of them carries a response body, an API key, a signed URL or patient data: not in its text, its arguments or a
chained exception. Of what a server says, only codes and its sentence ``message`` are kept, as attributes. All of them
can be pickled and copied.
"""

from __future__ import annotations

import copyreg
from typing import Any, ClassVar

__all__ = [
    "ApiStatusError",
    "AuthenticationError",
    "BodyTooLargeError",
    "ChartHeroError",
    "ConfigurationError",
    "InvalidRequestError",
    "InvalidTimestampError",
    "MalformedEventError",
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


class ChartHeroError(Exception):
    """The base of every exception of this package."""


class ConfigurationError(ChartHeroError):
    """The settings cannot be used. The text names the source that was read and what to set."""


class TransportError(ChartHeroError):
    """No complete response arrived: no connection, a broken one, or a body that stopped half-way."""


class RequestTimeoutError(TransportError):
    """The connection, a read, a write, or the wait for a free connection took longer than allowed."""


class UnexpectedResponseError(ChartHeroError):
    """The server answered with success, but with something other than what the contract describes.

    Raised for HTML, truncated JSON, JSON of another shape, and redirects.
    """


class PaginationError(ChartHeroError):
    """A walk over encounters cannot keep its promise of *every encounter exactly once*."""


class WebhookVerificationError(ChartHeroError):
    """A webhook delivery was refused.

    Neither the secret, the signature nor the body is in it.

    Attributes:
        reason: A stable code, safe to log.
        status_code: What a receiver answers the delivery with.

    Source in the contract: "Webhooks".
    """

    reason: ClassVar[str] = "unverified"
    status_code: ClassVar[int] = 400


class MissingHeaderError(WebhookVerificationError):
    """One of the five headers is missing or empty."""

    reason = "missing_header"


class RepeatedHeaderError(WebhookVerificationError):
    """One of the five headers is there more than once, so that nobody can say which one counts."""

    reason = "repeated_header"


class InvalidTimestampError(WebhookVerificationError):
    """The timestamp is not a whole number of seconds in decimal digits."""

    reason = "invalid_timestamp"


class StaleTimestampError(WebhookVerificationError):
    """The signature holds, but was made too long ago, or by a clock too far ahead: a replay, or a wrong clock."""

    reason = "stale_timestamp"
    status_code = 401


class UnsupportedSignatureError(WebhookVerificationError):
    """No signature of version ``v1`` is there, as 64 lowercase hexadecimal digits."""

    reason = "unsupported_signature"
    status_code = 401


class SignatureMismatchError(WebhookVerificationError):
    """No signature belongs to this body, this timestamp and any of the secrets."""

    reason = "signature_mismatch"
    status_code = 401


class BodyTooLargeError(WebhookVerificationError):
    """The body is larger than allowed."""

    reason = "body_too_large"
    status_code = 413


class MalformedEventError(WebhookVerificationError):
    """The signature holds, but the body is not an event."""

    reason = "malformed_event"


class MismatchedEventError(WebhookVerificationError):
    """The signature holds, but the headers, which it does not cover, name another event or version than the body."""

    reason = "mismatched_event"


class ApiStatusError(ChartHeroError):
    """The API answered with a status other than success.

    Attributes:
        status_code: The HTTP status, whether or not it is a registered one.
        reason_code: The stable code to branch on, or None where the body held none (a gateway's HTML, say).
        field: The request parameter at fault, or None.
        message: The server's sentence for people, cut at 500 characters. It may change at any time, and is in no
            text or repr of the exception, since nobody but the server knows what is in it.
        operation: Which call failed, such as ``encounters.list``.
        retry_after: Seconds the server asked to wait, or None where it did not say.
        required_scopes: The scopes a key needs for this operation.

    Source in the contract: "Order of checks, and errors".
    """

    def __init__(
        self,
        *,
        status_code: int,
        operation: str,
        reason_code: str | None = None,
        field: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        required_scopes: frozenset[str] = frozenset(),
    ) -> None:
        self.status_code = status_code
        self.operation = operation
        self.reason_code = reason_code
        self.field = field
        self.message = message
        self.retry_after = retry_after
        self.required_scopes = required_scopes
        super().__init__(self._describe())

    def _describe(self) -> str:
        text = f"{self.operation}: HTTP {self.status_code}"
        if self.reason_code:
            text += f" {self.reason_code}"
        if self.field:
            text += f" (parameter {self.field})"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidRequestError(ApiStatusError):
    """HTTP 400 or 422: the request has to be changed; sending it again cannot help."""


class AuthenticationError(ApiStatusError):
    """HTTP 401: the key was not accepted; do not retry with the same key."""


class PermissionDeniedError(ApiStatusError):
    """HTTP 403: a scope is missing, or the route is not enabled for the partner organization."""

    def _describe(self) -> str:
        text = super()._describe()
        if self.required_scopes:
            text += f"; the operation needs the scopes {', '.join(sorted(self.required_scopes))}"
        return text + "; the route must also be enabled for your organization and environment"


class NotFoundError(ApiStatusError):
    """HTTP 404: gone, or not available through the public API."""


class RateLimitedError(ApiStatusError):
    """HTTP 429: too many requests; ``retry_after`` says how long to wait where the server said so."""


class ServiceUnavailableError(ApiStatusError):
    """HTTP 5xx: the service or a gateway in front of it failed; all but 501 and 505 are retried before it is raised."""
