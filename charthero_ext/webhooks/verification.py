"""Verifies and signs deliveries, without I/O."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, TypeAlias
from uuid import uuid4

from attrs import field, frozen
from charthero_client.showing import show_id

from charthero_ext import errors
from charthero_ext._secret import opaque
from charthero_ext.models import TranscriptReadyEvent

__all__ = ["Event", "UnknownEvent", "sign", "verify"]

#: An event is a few hundred bytes long.
MAX_BODY = 65_536
#: The limit for every header. Fifteen signatures fit.
MAX_HEADER = 1_024
TOLERANCE = 300

HEADERS = [f"ChartHero-{name}" for name in ("Event-Id", "Delivery-Id", "Timestamp", "Signature", "Webhook-Version")]


@frozen
class UnknownEvent:
    """A genuine event whose type or version this package does not know.

    Answer it with 2xx. ``payload`` is the whole body; the repr does not show it.
    """

    id: str = field(repr=show_id)
    type: str = field(repr=show_id)
    api_version: str = field(repr=show_id)
    payload: Mapping[str, Any] = field(repr=False, hash=False)


Event: TypeAlias = TranscriptReadyEvent | UnknownEvent


@opaque
def verify(
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    body: bytes,
    secrets: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
    max_body: int = MAX_BODY,
) -> Event:
    """Return the event of a delivery that ChartHero signed for this endpoint within the last minutes.

    Args:
        headers: All headers, as a mapping or as pairs like those of ASGI. Names may have any case; names and values
            may be ``str`` or ``bytes``.
        body: The raw bytes of the request. JSON that was parsed and written again has another signature.
        secrets: The endpoint's signing secret, or all valid secrets during a rotation.
        tolerance: How many seconds the timestamp may differ from the clock, in either direction.
        now: Seconds since 1970 in UTC, instead of this machine's clock.
        max_body: The size limit of the body in bytes.

    Raises:
        WebhookVerificationError: The delivery is refused. The class, ``reason`` and ``status_code`` say why.
        ConfigurationError: There is no secret, or one is blank.
        TypeError: *body* is not bytes.
    """
    secrets = checked_secrets(secrets)
    event_id, _, timestamp, signatures, version = required_headers(headers)
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("body must be the raw bytes of the request")
    if len(body) > max_body:
        raise errors.BodyTooLargeError(f"the body is larger than {max_body:,} bytes")
    sent = [part.strip(" \t") for part in signatures.split(",")]
    supported = [part for part in sent if re.fullmatch("v1=[0-9a-f]{64}", part)]
    if not supported:
        raise errors.UnsupportedSignatureError("ChartHero-Signature has no signature of version v1")
    expected = [_signature(secret, timestamp, body) for secret in secrets]
    # Every pair is compared, even after a match, so that the time taken reveals nothing.
    if not sum(hmac.compare_digest(*pair) for pair in product(expected, supported)):
        raise errors.SignatureMismatchError("no signature matches this body, this timestamp and any of the secrets")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise errors.StaleTimestampError(f"ChartHero-Timestamp is more than {tolerance:g} seconds from the clock")
    event = parse(body)
    if (event.id, event.api_version) != (event_id, version):
        raise errors.MismatchedEventError("ChartHero-Event-Id or ChartHero-Webhook-Version differs from the body")
    return event


@opaque
def sign(body: bytes, secret: str, *, timestamp: int | None = None, delivery_id: str | None = None) -> dict[str, str]:
    """Return the headers of a delivery of *body*, for tests and replays.

    Args:
        body: An event as JSON.
        secret: The endpoint's signing secret.
        timestamp: Seconds since 1970 in UTC. The default is now.
        delivery_id: The default is a new id.

    Raises:
        ValueError: *body* is not JSON with ``id`` and ``api_version``.
        ConfigurationError: The secret is blank.
    """
    checked_secrets(secret)
    event = _decoded(body)
    if not _has_texts(event, "id", "api_version"):
        raise ValueError("the body is not an event: it needs id and api_version")
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    signature = _signature(secret, stamp, body)
    values = (event["id"], delivery_id or f"whd_{uuid4().hex}", stamp, signature, event["api_version"])
    return {"Content-Type": "application/json", **dict(zip(HEADERS, values, strict=True))}


def checked_secrets(secrets: Any) -> list[str]:
    """Return one secret or several as a list.

    Raises:
        ConfigurationError: There is no secret, or one is not printable text, or has white space around it.
    """
    given = [secrets] if isinstance(secrets, str) else list(secrets or ())
    # White space at an end was copied by mistake. With it, no signature would ever match.
    usable = [text for text in given if isinstance(text, str) and text and text.isprintable() and text == text.strip()]
    if not usable or usable != given:
        raise errors.ConfigurationError("webhooks need one or more signing secrets: text without white space around it")
    return usable


def required_headers(headers: Any) -> list[str]:
    """Return the values of the five headers. They are not authenticated yet."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    try:
        sent = [(_text(name).lower(), _text(value)) for name, value in pairs]
    except (TypeError, ValueError):
        raise TypeError("headers must be a mapping, or pairs of names and values") from None
    found: list[str] = []
    for header in HEADERS:
        values = [value for name, value in sent if name == header.lower()]
        if len(values) > 1:
            raise errors.RepeatedHeaderError(f"{header} is repeated")
        if values in ([], [""]):
            raise errors.MissingHeaderError(f"{header} is missing, empty or longer than {MAX_HEADER:,} characters")
        found += values
    if not re.fullmatch("[0-9]{1,12}", found[HEADERS.index("ChartHero-Timestamp")]):
        raise errors.InvalidTimestampError("ChartHero-Timestamp is not a whole number of seconds")
    return found


def _text(value: str | bytes) -> str:
    """Return a name or value as text, or nothing if it is too long to be one of ours."""
    if len(value) > MAX_HEADER:
        return ""
    return value if isinstance(value, str) else str(value, "latin-1")


def _signature(secret: str, timestamp: str, body: bytes) -> str:
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def parse(body: bytes) -> Event:
    """Return the event that a JSON text describes. Raises MalformedEventError."""
    payload = _decoded(body)
    if not _has_texts(payload, "id", "type", "api_version"):
        raise errors.MalformedEventError("the body is not an event: it needs id, type and api_version")
    if (payload["type"], payload["api_version"]) != ("recording.transcript_ready", "2026-05-01"):
        return UnknownEvent(payload["id"], payload["type"], payload["api_version"], payload)
    if not _has_texts(payload.get("resources"), "encounter_id", "document_id"):
        raise errors.MalformedEventError("the event's resources need encounter_id and document_id")
    return TranscriptReadyEvent.from_dict(payload)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(bytes(body))
    except (TypeError, ValueError, RecursionError):
        return None


def _has_texts(value: Any, *names: str) -> bool:
    """Return whether a JSON value is an object with these names, each with a text that is not empty."""
    return isinstance(value, dict) and all(isinstance(value.get(name), str) and value[name] for name in names)
