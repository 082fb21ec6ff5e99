"""Checks the headers, signature, age and body of a delivery, without I/O.

The functions that see a secret or a body return an error and never raise, so no traceback contains their variables.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import product
from typing import Any, TypeAlias
from uuid import uuid4

from attrs import field, frozen
from charthero_client.showing import show_id

from charthero_ext import errors
from charthero_ext._secret import Secret, hide
from charthero_ext.models import TranscriptReadyEvent

__all__ = ["Event", "UnknownEvent", "checked_event", "checked_headers", "event_from", "sign", "signing_keys", "verify"]

#: An event is a few hundred bytes long.
MAX_BODY = 65_536
#: The limit for every header. Fifteen signatures fit.
MAX_HEADER = 1_024
TOLERANCE = 300
TYPE, VERSION = "recording.transcript_ready", "2026-05-01"

HEADERS = [f"ChartHero-{name}" for name in ("Event-Id", "Delivery-Id", "Timestamp", "Signature", "Webhook-Version")]
Keys: TypeAlias = Secret[list[bytes]]


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
    headers, body, secrets = hide(headers), hide(body), hide(secrets)
    # Options of another type raise here, where all secrets are hidden.
    limits: Any = {"max_body": int(max_body), "tolerance": float(tolerance), "now": None if now is None else float(now)}
    event = checked_event(headers, body, signing_keys(secrets), **limits)
    if isinstance(event, Exception):
        raise event
    return event


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
    content = body = hide(body)
    secret = hide(secret)
    keys, event = signing_keys(secret), Secret(_decoded(content.reveal()))
    if not _has_texts(event.reveal(), "id", "api_version"):
        raise ValueError("the body is not an event: it needs id and api_version")
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    (signature,) = _signatures(keys, stamp, content.reveal())
    values = (event.reveal()["id"], delivery_id or f"whd_{uuid4().hex}", stamp, signature)
    headers = dict(zip(HEADERS, (*values, event.reveal()["api_version"]), strict=True))
    return {"Content-Type": "application/json", **headers}


def signing_keys(secrets: Any) -> Keys:
    """Return signing secrets as keys.

    Raises:
        ConfigurationError: There is no secret, or one is blank or has white space around it.
    """
    secrets = hide(secrets)
    keys = Secret(_keys(secrets.reveal()))
    if not keys.reveal():
        raise errors.ConfigurationError("webhooks need one or more signing secrets: text without white space around it")
    return keys


def _keys(secrets: Any) -> list[bytes]:
    """Return signing secrets as keys, or nothing if one of them is not usable."""
    try:
        given = [secrets] if isinstance(secrets, str) else list(secrets)
        keys = [secret.encode("utf-8", "surrogateescape") for secret in given]
    except Exception:  # noqa: BLE001 - callers may pass anything
        return []
    # White space at an end was copied by mistake. With it, no signature would ever match.
    return keys if all(secret and secret == secret.strip() for secret in given) else []


def checked_headers(headers: Any) -> list[str] | Exception:
    """Return the values of the five headers, not authenticated yet, or the error that refuses them."""
    try:
        pairs = headers.items() if hasattr(headers, "items") else headers
        sent = [(_text(name).lower(), _text(value)) for name, value in pairs]
    except Exception:  # noqa: BLE001 - callers may pass anything
        return TypeError("headers must be a mapping, or pairs of names and values")
    found: list[str] = []
    for header in HEADERS:
        values = [value for name, value in sent if name == header.lower()]
        if len(values) > 1:
            return errors.RepeatedHeaderError(f"{header} is repeated")
        if values in ([], [""]):
            return errors.MissingHeaderError(f"{header} is missing, empty or longer than {MAX_HEADER:,} characters")
        found += values
    if not re.fullmatch("[0-9]{1,12}", found[HEADERS.index("ChartHero-Timestamp")]):
        return errors.InvalidTimestampError("ChartHero-Timestamp is not a whole number of seconds")
    return found


def _text(value: str | bytes) -> str:
    """Return a name or value as text, or nothing if it is too long to be one of ours."""
    if len(value) > MAX_HEADER:
        return ""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def checked_event(
    headers: Any, body: Any, keys: Keys, *, max_body: int, tolerance: float = TOLERANCE, now: float | None = None
) -> Event | Exception:
    """Return the event of a delivery, or the error that refuses it. The headers and the body may be Secrets."""
    headers, body = hide(headers).reveal(), hide(body).reveal()
    found = checked_headers(headers)
    if isinstance(found, Exception):
        return found
    if not isinstance(body, bytes | bytearray | memoryview):
        return TypeError("body must be the raw bytes of the request")
    if len(body) > max_body:
        return errors.BodyTooLargeError(f"the body is larger than {max_body:,} bytes")
    event_id, _, timestamp, signature, version = found
    sent = [part.strip(" \t") for part in signature.split(",")]
    candidates = [part for part in sent if re.fullmatch("v1=[0-9a-f]{64}", part)]
    if not candidates:
        return errors.UnsupportedSignatureError("ChartHero-Signature has no signature of version v1")
    # Every pair is compared, even after a match, so that the time taken reveals nothing.
    pairs = product(_signatures(keys, timestamp, body), candidates)
    if not sum(hmac.compare_digest(*pair) for pair in pairs):
        return errors.SignatureMismatchError("no signature matches this body, this timestamp and any of the secrets")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        return errors.StaleTimestampError(f"ChartHero-Timestamp is more than {tolerance:g} seconds from the clock")
    event = event_from(_decoded(body))
    if not isinstance(event, Exception) and (event.id, event.api_version) != (event_id, version):
        return errors.MismatchedEventError("ChartHero-Event-Id or ChartHero-Webhook-Version differs from the body")
    return event


def event_from(payload: Any) -> Event | errors.MalformedEventError:
    """Return the event that a JSON value describes, or the error."""
    if not _has_texts(payload, "id", "type", "api_version"):
        return errors.MalformedEventError("the body is not an event: it needs id, type and api_version")
    if (payload["type"], payload["api_version"]) != (TYPE, VERSION):
        return UnknownEvent(payload["id"], payload["type"], payload["api_version"], payload)
    if not _has_texts(payload.get("resources"), "encounter_id", "document_id"):
        return errors.MalformedEventError("the event's resources need encounter_id and document_id")
    return TranscriptReadyEvent.from_dict(payload)


def _signatures(keys: Keys, timestamp: str, body: Any) -> list[str]:
    signed = timestamp.encode() + b"." + body
    return ["v1=" + hmac.new(key, signed, hashlib.sha256).hexdigest() for key in keys.reveal()]


def _decoded(body: Any) -> Any:
    with suppress(TypeError, ValueError, RecursionError):
        return json.loads(bytes(body))
    return None


def _has_texts(value: Any, *names: str) -> bool:
    """Return whether a JSON value is an object with these names, each with a text that is not empty."""
    return isinstance(value, dict) and all(isinstance(value.get(name), str) and value[name] for name in names)
