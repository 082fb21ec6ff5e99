"""Checks the headers, signature, age and body of a delivery, without I/O."""

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
from charthero_ext._secret import Secret
from charthero_ext.models import TranscriptReadyEvent

__all__ = ["Event", "UnknownEvent", "delivery_headers", "event_from", "genuine_event", "sign", "signing_keys", "verify"]

#: An event is a few hundred bytes long.
MAX_BODY = 65_536
#: The limit for every header. Fifteen signatures fit.
MAX_HEADER = 1_024
TOLERANCE = 300
TYPE, VERSION = "recording.transcript_ready", "2026-05-01"

_NAMES = ("Event-Id", "Delivery-Id", "Timestamp", "Signature", "Webhook-Version")
HEADERS = {f"charthero-{name.lower()}": f"ChartHero-{name}" for name in _NAMES}

Keys: TypeAlias = Secret[tuple[bytes, ...]]


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
    headers, body, secrets = hidden = Secret(headers), Secret(body), Secret(secrets)  # type: ignore[assignment]
    if not isinstance(hidden[1].reveal(), bytes | bytearray | memoryview):
        raise TypeError("body must be the raw bytes of the request")
    keys, found = signing_keys(hidden[2]), delivery_headers(hidden[0])
    content = Secret(bytes(hidden[1].reveal()))
    return genuine_event(found, content, keys, tolerance=tolerance, now=now, max_body=max_body)


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
    body, secret = hidden = Secret(body), Secret(secret)  # type: ignore[assignment]
    keys = signing_keys(hidden[1])
    event = _decoded(hidden[0])
    if not _has_texts(event, "id", "api_version"):
        raise ValueError("the body is not an event: it needs id and api_version")
    stamp = str(int(time.time()) if timestamp is None else timestamp)
    (signature,) = _signatures(keys, Secret(stamp), hidden[0]).reveal()
    values = (event.reveal()["id"], delivery_id or f"whd_{uuid4().hex}", stamp, signature)
    found = zip(HEADERS.values(), (*values, event.reveal()["api_version"]), strict=True)
    return {"Content-Type": "application/json", **dict(found)}


def signing_keys(secrets: Secret[Any]) -> Keys:
    """Return signing secrets as keys.

    Raises:
        ConfigurationError: There is no secret, or one is blank or has white space around it.
    """
    given = Secret([secrets.reveal()] if isinstance(secrets.reveal(), str) else list(secrets.reveal()))
    keys = Secret(tuple(_key(secret) for secret in given.reveal()))
    if not keys.reveal() or not all(keys.reveal()):
        raise errors.ConfigurationError("webhooks need one or more signing secrets: text without white space around it")
    return keys


def _key(secret: object) -> bytes:
    # White space at an end was copied by mistake. With it, no signature would ever match.
    if isinstance(secret, str) and secret == secret.strip():
        with suppress(UnicodeEncodeError):
            return secret.encode("utf-8", "surrogateescape")
    return b""


def delivery_headers(headers: Secret[Any]) -> dict[str, Secret[str]]:
    """Return the five headers of a delivery, which are not authenticated yet.

    Raises:
        WebhookVerificationError: A header is missing, repeated, too long or malformed.
    """
    found: dict[str, Secret[str]] = {}
    pairs = Secret(headers.reveal().items() if hasattr(headers.reveal(), "items") else headers.reveal())
    for pair in map(Secret, pairs.reveal()):
        name = HEADERS.get(_text(pair.reveal()[0]).lower())
        if name in found:
            raise errors.RepeatedHeaderError(f"{name} is repeated")
        if name is not None:
            found[name] = Secret(_text(pair.reveal()[1]))
    for name in HEADERS.values():
        if name not in found or not found[name].reveal():
            raise errors.MissingHeaderError(f"{name} is missing, empty or longer than {MAX_HEADER:,} characters")
    if not re.fullmatch("[0-9]{1,12}", found["ChartHero-Timestamp"].reveal()):
        raise errors.InvalidTimestampError("ChartHero-Timestamp is not a whole number of seconds")
    return found


def genuine_event(
    headers: Mapping[str, Secret[str]],
    body: Secret[bytes],
    keys: Keys,
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
    max_body: int = MAX_BODY,
) -> Event:
    """Return the event in the body of a delivery. Raises the same errors as :func:`verify`."""
    if len(body.reveal()) > max_body:
        raise errors.BodyTooLargeError(f"the body is larger than {max_body:,} bytes")
    event_id, _, timestamp, signature, version = (headers[name] for name in HEADERS.values())
    sent = Secret([part.strip(" \t") for part in signature.reveal().split(",")])
    candidates = Secret([part for part in sent.reveal() if re.fullmatch("v1=[0-9a-f]{64}", part)])
    if not candidates.reveal():
        raise errors.UnsupportedSignatureError("ChartHero-Signature has no signature of version v1")
    pairs = product(_signatures(keys, timestamp, body).reveal(), candidates.reveal())
    # Every pair is compared, even after a match, so that the time taken reveals nothing.
    if not sum(hmac.compare_digest(*pair) for pair in pairs):
        raise errors.SignatureMismatchError("no signature matches this body, this timestamp and any of the secrets")
    if abs((time.time() if now is None else now) - int(timestamp.reveal())) > tolerance:
        raise errors.StaleTimestampError(f"ChartHero-Timestamp is more than {tolerance:g} seconds from the clock")
    event = Secret(event_from(_decoded(body)))
    if (event.reveal().id, event.reveal().api_version) != (event_id.reveal(), version.reveal()):
        raise errors.MismatchedEventError("ChartHero-Event-Id or ChartHero-Webhook-Version differs from the body")
    return event.reveal()


def event_from(payload: Secret[Any]) -> Event:
    """Return the event that a JSON value describes.

    Raises:
        MalformedEventError: The value is not an event.
    """
    if not _has_texts(payload, "id", "type", "api_version"):
        raise errors.MalformedEventError("the body is not an event: it needs id, type and api_version")
    codes = payload.reveal()["type"], payload.reveal()["api_version"]
    if codes != (TYPE, VERSION):
        return UnknownEvent(payload.reveal()["id"], *codes, payload.reveal())
    if not _has_texts(Secret(payload.reveal().get("resources")), "encounter_id", "document_id"):
        raise errors.MalformedEventError("the event's resources need encounter_id and document_id")
    return TranscriptReadyEvent.from_dict(payload.reveal())


def _text(value: str | bytes) -> str:
    """Return a name or value as text, or nothing if it is too long to be one of ours."""
    if len(value) > MAX_HEADER:
        return ""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _signatures(keys: Keys, timestamp: Secret[str], body: Secret[bytes]) -> Secret[list[str]]:
    signed = Secret(timestamp.reveal().encode() + b"." + body.reveal())
    return Secret(["v1=" + hmac.new(key, signed.reveal(), hashlib.sha256).hexdigest() for key in keys.reveal()])


def _decoded(body: Secret[bytes]) -> Secret[Any]:
    with suppress(ValueError, RecursionError):
        return Secret(json.loads(body.reveal()))
    return Secret(None)


def _has_texts(value: Secret[Any], *names: str) -> bool:
    """Tell whether a JSON value is an object with these names, each with a text that is not empty."""
    found = Secret(value.reveal() if isinstance(value.reveal(), dict) else {})
    return all(isinstance(found.reveal().get(name), str) and found.reveal()[name] for name in names)
