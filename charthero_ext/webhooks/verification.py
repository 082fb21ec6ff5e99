"""What makes a delivery genuine: its headers, its signature, its age, and then its body. No I/O.

Source in the contract: "Webhooks".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from uuid import uuid4

from attrs import field, frozen
from charthero_client.showing import show_id

from charthero_ext.errors import (
    BodyTooLargeError,
    ConfigurationError,
    InvalidTimestampError,
    MalformedEventError,
    MismatchedEventError,
    MissingHeaderError,
    RepeatedHeaderError,
    SignatureMismatchError,
    StaleTimestampError,
    UnsupportedSignatureError,
    WebhookVerificationError,
)
from charthero_ext.models import TranscriptReadyEvent

__all__ = [
    "MAX_BODY",
    "TOLERANCE",
    "Event",
    "UnknownEvent",
    "event_from",
    "genuine_event",
    "refuse_none",
    "sign",
    "usable_secrets",
    "verify",
]

#: An event is a few hundred bytes.
MAX_BODY = 65_536
TOLERANCE = 300
TYPE, VERSION = "recording.transcript_ready", "2026-05-01"

_HEADERS = (
    "ChartHero-Event-Id",
    "ChartHero-Delivery-Id",
    "ChartHero-Timestamp",
    "ChartHero-Signature",
    "ChartHero-Webhook-Version",
)


@frozen
class UnknownEvent:
    """A genuine event of a type, or of a version, that this package does not know.

    Answer it with 2xx; ``payload`` is what was sent, and in no repr.
    """

    id: str = field(repr=show_id)
    type: str = field(repr=show_id)
    api_version: str = field(repr=show_id)
    payload: Mapping[str, Any] = field(repr=False, hash=False)


Event: TypeAlias = TranscriptReadyEvent | UnknownEvent


def verify(
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    body: bytes,
    secrets: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
    max_body: int = MAX_BODY,
) -> Event:
    """Return the event of a delivery, if it is one that ChartHero signed, lately, for this endpoint.

    Args:
        headers: All headers: a mapping, or pairs as ASGI has them; names in any case, ``str`` or ``bytes``.
        body: The raw bytes, as they arrived. What was parsed and written again has another signature.
        secrets: The endpoint's signing secret, or all that are valid while it is rotated.
        tolerance: Seconds the timestamp may be off, either way.
        now: Seconds since 1970 in UTC, in place of this machine's clock.
        max_body: The most bytes to accept.

    Raises:
        WebhookVerificationError: It is refused; the class, its ``reason`` and its ``status_code`` say why.
        ConfigurationError: There is no secret, or one is blank.
        TypeError: *body* is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body has to be the raw bytes of the request, not {type(body).__name__}")
    refusal: WebhookVerificationError | ConfigurationError
    keys = usable_secrets(secrets)
    try:
        refuse_none(keys)
        return genuine_event(headers, bytes(body), keys, tolerance=tolerance, now=now, max_body=max_body)
    except (WebhookVerificationError, ConfigurationError) as error:
        refusal = error.with_traceback(None)
    # Tracebacks are shown with locals.
    del headers, body, secrets, keys
    raise refusal


def sign(body: bytes, secret: str, *, timestamp: int | None = None, delivery_id: str | None = None) -> dict[str, str]:
    """Return the headers of a delivery of *body*, for tests and replays.

    Args:
        body: An event, as JSON.
        secret: The endpoint's signing secret.
        timestamp: Seconds since 1970 in UTC; now, where left out.
        delivery_id: A new one, where left out.

    Raises:
        ValueError: *body* is not JSON with ``id`` and ``api_version``.
        ConfigurationError: The secret is blank.
    """
    event = json.loads(body)
    if (
        not isinstance(event, dict)
        or not isinstance(event.get("id"), str)
        or not isinstance(event.get("api_version"), str)
    ):
        raise ValueError("the body is not an event: it needs id and api_version")
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    keys = usable_secrets(secret)
    del secret
    (key,) = refuse_none(keys)
    values = (
        event["id"],
        delivery_id or f"dlv_{uuid4().hex}",
        stamp,
        _signature(key, stamp, body),
        event["api_version"],
    )
    return {"Content-Type": "application/json", **dict(zip(_HEADERS, values, strict=True))}


def usable_secrets(secrets: str | Iterable[str]) -> tuple[bytes, ...]:
    """Return *secrets* as keys; none where one of them cannot be meant."""
    given = (secrets,) if isinstance(secrets, str) else tuple(secrets)
    # White space at an end is a line end that was copied along; with it no signature would ever match.
    if not all(isinstance(secret, str) and secret and secret == secret.strip() for secret in given):
        return ()
    return tuple(secret.encode("utf-8", "surrogateescape") for secret in given)


def event_from(payload: object) -> Event:
    """Return the event that a JSON value stands for.

    Raises:
        MalformedEventError: It stands for none.
    """
    if not isinstance(payload, dict) or not _has_texts(payload, "id", "type", "api_version"):
        raise MalformedEventError("the body is not an event: it needs id, type and api_version")
    if (payload["type"], payload["api_version"]) != (TYPE, VERSION):
        return UnknownEvent(payload["id"], payload["type"], payload["api_version"], payload)
    resources = payload.get("resources")
    if not isinstance(resources, dict) or not _has_texts(resources, "encounter_id", "document_id"):
        raise MalformedEventError("the event points at nothing: its resources need encounter_id and document_id")
    return TranscriptReadyEvent.from_dict(payload)


def genuine_event(
    headers: Any,
    body: bytes,
    keys: tuple[bytes, ...],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
    max_body: int = MAX_BODY,
) -> Event:
    """As :func:`verify`, with usable secrets."""
    event_id, _, stamp, signatures, version = _delivery_headers(headers)
    if len(body) > max_body:
        raise BodyTooLargeError(f"the body is larger than {max_body:,} bytes")
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        raise InvalidTimestampError("ChartHero-Timestamp is not a whole number of seconds")
    candidates = [part for part in re.split(r"[ \t]*,[ \t]*", signatures) if re.fullmatch("v1=[0-9a-f]{64}", part)]
    if not candidates:
        raise UnsupportedSignatureError("ChartHero-Signature has no signature of version v1")
    # Every secret and every signature, whichever matches: the time it takes tells nothing.
    matches = 0
    for key in keys:
        expected = _signature(key, stamp, body)
        for candidate in candidates:
            matches += hmac.compare_digest(expected, candidate)
    if not matches:
        raise SignatureMismatchError("no signature belongs to this body, this timestamp and any of the secrets")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        raise StaleTimestampError(f"ChartHero-Timestamp is more than {tolerance:g} seconds from the clock")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    event = event_from(payload)
    if (event.id, event.api_version) != (event_id, version):
        raise MismatchedEventError("ChartHero-Event-Id and ChartHero-Webhook-Version are not those of the body")
    return event


def _delivery_headers(headers: Any) -> list[str]:
    wanted = {name.lower(): name for name in _HEADERS}
    found: dict[str, str] = {}
    for sent_name, value in headers.items() if hasattr(headers, "items") else headers:
        name = wanted.get(_text(sent_name).lower())
        if name in found:
            raise RepeatedHeaderError(f"{name} is there more than once")
        if name is not None:
            found[name] = _text(value)
    for name in _HEADERS:
        if not found.get(name):
            raise MissingHeaderError(f"{name} is missing")
    return [found[name] for name in _HEADERS]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def refuse_none(keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the keys, of which there has to be one, or any signature would be as good as none."""
    if keys:
        return keys
    raise ConfigurationError("webhooks need a signing secret, or several; each is text without white space around it")


def _signature(key: bytes, timestamp: str, body: bytes) -> str:
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _has_texts(payload: dict[str, Any], *names: str) -> bool:
    return all(isinstance(payload.get(name), str) and payload[name] for name in names)
