"""Reads a response within limits and a deadline, and turns a failed one into an exception."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from attrs import define, field
from charthero_client.contract import SCOPES

from charthero_ext.errors import (
    ApiStatusError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    TransportError,
)

__all__ = ["MAX_BODY", "Response", "retry_after", "status_error"]

#: Bytes of a body after decompression.
MAX_BODY: Final = 64_000_000
#: Bytes to read of an error body. A documented one has a few hundred.
MAX_ERROR_BODY: Final = 65_536
MAX_MESSAGE: Final = 500
#: Seconds to assume for a ``Retry-After`` that is longer or cannot be parsed.
MAX_RETRY_AFTER: Final = 86_400.0

STATUS_CLASSES: Final[dict[int, type[ApiStatusError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServiceUnavailableError,
    422: InvalidRequestError,
    425: ServiceUnavailableError,
    429: RateLimitedError,
}


@define(eq=False)
class Response:
    """The response to one request.

    Attributes:
        limit: The most bytes to accept of a body, after decompression.
        wants_body: Whether to read the body of a success.
        status_code: None until a response arrives.
        headers: Never shown: they may contain a signed URL.
    """

    limit: int = MAX_BODY
    wants_body: bool = True
    status_code: int | None = field(default=None, init=False)
    headers: Mapping[str, str] = field(factory=dict, init=False, repr=False)
    _chunks: list[bytes] = field(factory=list, init=False, repr=False)
    _size: int = field(default=0, init=False)
    _gzip: Any = field(default=None, init=False, repr=False)

    @property
    def body(self) -> bytes:
        """What has arrived, decompressed."""
        return b"".join(self._chunks)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, if it looks like an id."""
        for name in ("x-request-id", "x-correlation-id", "request-id"):
            if re.fullmatch(r"[A-Za-z0-9_.:-]{1,80}", value := self.headers.get(name, "")):
                return value
        return None

    def begin(self, status_code: int, headers: Mapping[str, str], *, is_decoded: bool) -> bool:
        """Take the status and headers. Return whether to read the body."""
        self.status_code, self.headers = status_code, headers
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if not is_decoded and encoding == "gzip":
            self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif not is_decoded and encoding not in ("", "identity"):
            raise TransportError("the body has an encoding that was not requested", reason="damaged")
        return self.wants_body or not self.is_success

    def write(self, chunk: bytes) -> None:
        """Take a part of the body.

        Raises:
            TransportError: The body is too large or damaged.
        """
        limit = self.limit if self.is_success else MAX_ERROR_BODY
        if self._gzip is not None:
            try:
                chunk = self._decompressed(chunk, limit - self._size + 1)
            except zlib.error:
                raise TransportError("the compressed body is damaged", reason="damaged") from None
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > limit:
            raise TransportError(f"the body is larger than {limit:,} bytes", reason="too_large")

    def end(self) -> None:
        """Check that a compressed body is complete."""
        if self._gzip is not None and not self._gzip.eof:
            raise TransportError("the compressed body is damaged", reason="damaged")

    def _decompressed(self, chunk: bytes, limit: int) -> bytes:
        """Return what *chunk* decompresses to, at most *limit* bytes. A body may consist of several gzip members."""
        parts = []
        while chunk and limit > 0:
            if self._gzip.eof:
                self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
            parts.append(self._gzip.decompress(chunk, limit))
            limit -= len(parts[-1])
            chunk = self._gzip.unused_data
        return b"".join(parts)


def status_error(response: Response, operation: str, **details: Any) -> ApiStatusError:
    """Return the exception for a status of 400 or above.

    It uses only documented fields of the body, and codes only if they look like codes.
    """
    status = response.status_code or 0
    error = _error_fields(response.body)
    message = error.get("message")
    kind = STATUS_CLASSES.get(status, ServiceUnavailableError if status >= 500 else ApiStatusError)
    return kind(
        status_code=status,
        operation=operation,
        reason_code=_code(error.get("reason_code")),
        field=_code(error.get("field")),
        server_message=message[:MAX_MESSAGE] if isinstance(message, str) else None,
        retry_after=retry_after(response.headers),
        required_scopes=SCOPES.get(operation, frozenset()) if status == 403 else frozenset(),
        request_id=response.request_id,
        **details,
    )


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that the server asks to wait; None if it does not ask.

    ``retry-after-ms`` is more exact, so it takes precedence over ``Retry-After``. The longest of several values counts.
    A value that cannot be parsed or is longer counts as a day.
    """
    if re.fullmatch(r"[0-9]{1,9}", milliseconds := headers.get("retry-after-ms", "")[:20].strip()):
        return int(milliseconds) / 1000
    # Commas separate values. A date also has a comma, after the weekday.
    values = re.findall(r"[A-Za-z]{1,9}, [^,]+|[^,]+", headers.get("retry-after", "")[:200].strip())
    return max((_seconds(value.strip(), now or datetime.now(UTC)) for value in values), default=None)


def _seconds(value: str, now: datetime) -> float:
    if re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,30})?", value):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return MAX_RETRY_AFTER
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return min(max(0.0, (moment - now).total_seconds()), MAX_RETRY_AFTER)


def _error_fields(body: bytes) -> dict[str, object]:
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,100}", value) else None
