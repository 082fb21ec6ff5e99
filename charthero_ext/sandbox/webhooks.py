"""Signed deliveries of ``recording.transcript_ready`` to a receiver on this machine.

The contract does not cover these assumptions. A failed delivery is retried after 0.1, 0.2, 0.4 and 0.8 seconds. Every
attempt has its own timestamp and signature. A redirect is a failure. During a rotation, a delivery is signed with one
secret only.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

from attrs import frozen

from charthero_ext.sandbox.clock import Clock

__all__ = ["Attempt", "Event", "SignedEvent", "Signing", "Webhooks", "is_loopback"]

API_VERSION = "2026-05-01"
RETRY_AFTER = (0.1, 0.2, 0.4, 0.8)


def is_loopback(host: str) -> bool:
    """Return whether a host, without its port, is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Signing(TypedDict, total=False):
    """Options that make a delivery invalid."""

    timestamp_offset: int
    """Seconds to add to the timestamp; more than 300 in either direction make it invalid."""
    secret: str
    """The secret to sign with, instead of the current one."""
    bad_signature: bool
    """Send the signature of another body."""


@frozen
class Event:
    """One event for one endpoint. All attempts have the same ids and body."""

    id: str
    delivery_id: str
    body: bytes


@frozen
class SignedEvent:
    """The headers and body of one attempt."""

    headers: dict[str, str]
    body: bytes


@frozen
class Attempt:
    """One attempt to deliver. ``status_code`` is None if the receiver did not answer."""

    event_id: str
    delivery_id: str
    status_code: int | None


class Webhooks:
    """Delivers events, one at a time, in a thread.

    Set ``secret`` to rotate the signing secret. ``attempts`` lists what was sent.
    """

    def __init__(self, clock: Clock, *, url: str | None, secret: str) -> None:
        self._clock = clock
        self._open()
        self._begin(url, secret)

    def _open(self) -> None:
        self._closing = threading.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="charthero-sandbox-webhooks")
        self._deliveries: list[Future[None]] = []

    def _begin(self, url: str | None, secret: str) -> None:
        self.url = url
        self.secret = secret
        self.attempts: list[Attempt] = []
        self._numbers = count(1)

    def reset(self, *, url: str | None, secret: str) -> None:
        """Cancel all deliveries and start again."""
        self.close()
        self._begin(url, secret)

    @property
    def url(self) -> str | None:
        """The receiver, or None to deliver nothing. Setting another URL than http on this machine raises ValueError."""
        return self._url

    @url.setter
    def url(self, url: str | None) -> None:
        if url is not None and (urlsplit(url).scheme != "http" or not is_loopback(urlsplit(url).hostname or "")):
            raise ValueError("the receiver must be an http URL on this machine")
        self._url = url

    def event(self, *, organization_id: str, encounter_id: str, document_id: str) -> Event:
        """Return a new event for a transcript."""
        number = next(self._numbers)
        event_id = f"evt_sandbox_{number:06d}"
        body = {
            "id": event_id,
            "type": "recording.transcript_ready",
            "api_version": API_VERSION,
            "occurred_at": self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "organization_id": organization_id,
            "resources": {"encounter_id": encounter_id, "document_id": document_id},
        }
        return Event(event_id, f"dlv_sandbox_{number:06d}", json.dumps(body).encode())

    def sign(self, event: Event, **signing: Unpack[Signing]) -> SignedEvent:
        """Return the attempt to deliver an event now."""
        timestamp = str(int(self._clock.now().timestamp()) + signing.get("timestamp_offset", 0))
        signed = b"another body" if signing.get("bad_signature") else event.body
        secret = signing.get("secret", self.secret)
        digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + signed, "sha256").hexdigest()
        headers = {
            "Content-Type": "application/json",
            "ChartHero-Event-Id": event.id,
            "ChartHero-Delivery-Id": event.delivery_id,
            "ChartHero-Timestamp": timestamp,
            "ChartHero-Signature": f"v1={digest}",
            "ChartHero-Webhook-Version": API_VERSION,
        }
        return SignedEvent(headers, event.body)

    def deliver(self, event: Event, *, copies: int = 1, **signing: Unpack[Signing]) -> None:
        """Send an event in the background, ``copies`` times. Raises ValueError without a receiver."""
        if self._url is None:
            raise ValueError("no receiver is set; give webhook_url")
        for _ in range(copies):
            self._deliveries.append(self._worker.submit(self._deliver, self._url, event, signing))

    def wait(self, timeout: float = 10.0) -> None:
        """Wait until every delivery has succeeded or failed. Raises TimeoutError after ``timeout`` seconds."""
        for delivery in wait(self._deliveries, timeout).done:
            self._deliveries.remove(delivery)
            delivery.result()
        if self._deliveries:
            raise TimeoutError(f"{len(self._deliveries)} webhook deliveries are still in progress")

    def close(self) -> None:
        """Cancel all deliveries."""
        self._closing.set()
        self._worker.shutdown(cancel_futures=True)
        self._open()

    def _deliver(self, url: str, event: Event, signing: Signing) -> None:
        for pause in (*RETRY_AFTER, None):
            status = _post(url, self.sign(event, **signing))
            self.attempts.append(Attempt(event.id, event.delivery_id, status))
            if status is not None and 200 <= status < 300:
                return
            if pause is None or self._closing.wait(pause):
                return


def _post(url: str, signed: SignedEvent) -> int | None:
    # Not httpx, which loads certificates and uses the proxies of the environment.
    parts = urlsplit(url)
    target = parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("POST", target, signed.body, signed.headers)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
