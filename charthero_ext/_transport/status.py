"""From a status that is no success to the exception that stands for it. No I/O, no httpx.

Source in the contract: "Order of checks, and errors".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from charthero_client.contract import SCOPES

from charthero_ext.errors import (
    ApiStatusError,
    AuthenticationError,
    ChartHeroError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)

__all__ = ["MAX_ERROR_BODY", "retry_after", "status_error"]

#: An error body is a few hundred bytes; of anything larger, only this much is read.
MAX_ERROR_BODY = 65_536
MAX_MESSAGE = 500

_CLASSES: dict[int, type[ApiStatusError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: InvalidRequestError,
    429: RateLimitedError,
}


def status_error(status_code: int, headers: Mapping[str, str], body: bytes, operation: str) -> ChartHeroError:
    """Return the exception for a status other than success.

    Of the body only the documented fields are taken, and only where they look like codes; a gateway's HTML gives none.
    """
    if status_code < 400:
        return UnexpectedResponseError(f"{operation}: HTTP {status_code} where the contract has no redirect")
    described = _described(body)
    kind = _CLASSES.get(status_code, ServiceUnavailableError if status_code >= 500 else ApiStatusError)
    message = described.get("message")
    return kind(
        status_code=status_code,
        operation=operation,
        reason_code=_code(described.get("reason_code")),
        field=_code(described.get("field")),
        message=message[:MAX_MESSAGE] if isinstance(message, str) else None,
        retry_after=retry_after(headers),
        required_scopes=SCOPES.get(operation, frozenset()) if status_code == 403 else frozenset(),
    )


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that ``Retry-After`` or ``retry-after-ms`` asks to wait, or None where neither can be read."""
    if re.fullmatch(r"\d{1,9}", milliseconds := headers.get("retry-after-ms", "").strip()):
        return int(milliseconds) / 1000
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _described(body: bytes) -> dict[str, object]:
    try:
        described = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return described if isinstance(described, dict) else {}


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,100}", value) else None
