"""Webhooks, as a receiver sees them. The tests compute signatures from the contract."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema
import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import ARTIFACT, Get, document_path

NOW = datetime(2100, 5, 1, 15, 30, tzinfo=UTC)


class Receiver(ThreadingHTTPServer):
    """Keeps what it received. Answers with the given statuses, then with 204."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hooks?from=sandbox"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(({"path": self.path, **dict(self.headers)}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver(sandbox: Sandbox) -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        sandbox.webhooks.url = server.url
        yield server
        server.shutdown()
        thread.join()


def signature(headers: dict[str, str], body: bytes, secret: str) -> str:
    signed = headers["ChartHero-Timestamp"].encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def test_a_finished_transcript_sends_the_webhook_of_the_contract(
    sandbox: Sandbox, receiver: Receiver, get: Get
) -> None:
    sandbox.clock.set(NOW)
    encounter = sandbox.append(ready=False)
    sandbox.webhooks.wait()
    assert receiver.received == []

    sandbox.finish_transcript(encounter["encounter_id"])
    sandbox.webhooks.wait()
    ((headers, body),) = receiver.received
    event = json.loads(body)
    schema = ARTIFACT["webhooks"]["recording.transcript_ready"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.Draft202012Validator({**schema["schema"], "components": ARTIFACT["components"]}).validate(event)
    assert event == {
        "id": headers["ChartHero-Event-Id"],
        "type": "recording.transcript_ready",
        "api_version": headers["ChartHero-Webhook-Version"],
        "occurred_at": "2100-05-01T15:30:00Z",
        "organization_id": encounter["organization_id"],
        "resources": {
            "encounter_id": encounter["encounter_id"],
            "document_id": encounter["documents"][0]["document_id"],
        },
    }
    assert event["api_version"] == "2026-05-01"
    assert headers["ChartHero-Timestamp"] == str(int(NOW.timestamp()))
    assert headers["ChartHero-Signature"] == signature(headers, body, sandbox.webhooks.secret)
    assert headers["path"] == "/hooks?from=sandbox"
    assert headers["Content-Type"] == "application/json"
    # The transcript is available when the webhook arrives.
    assert get(document_path(encounter, "ambient_transcript", "/transcript")).status_code == 200


@pytest.mark.parametrize("statuses", [[500, 302, 400, 204], [503, 503, 503, 503, 503]])
def test_a_failed_delivery_is_retried_with_the_same_ids_and_then_given_up(
    sandbox: Sandbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, statuses: list[int]
) -> None:
    monkeypatch.setattr("charthero_ext.sandbox.webhooks.RETRY_AFTER", (0, 0, 0, 0))
    receiver.statuses = [*statuses]
    sandbox.append()
    sandbox.webhooks.wait()

    assert [attempt.status_code for attempt in sandbox.webhooks.attempts] == statuses
    ids = {(headers["ChartHero-Event-Id"], headers["ChartHero-Delivery-Id"]) for headers, _ in receiver.received}
    assert ids == {(attempt.event_id, attempt.delivery_id) for attempt in sandbox.webhooks.attempts}
    assert len(ids) == 1
    assert {headers["path"] for headers, _ in receiver.received} == {"/hooks?from=sandbox"}


def test_an_unreachable_receiver_is_retried(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charthero_ext.sandbox.webhooks.RETRY_AFTER", (0,))
    sandbox.webhooks.url = "http://127.0.0.1:1/"
    sandbox.append()
    sandbox.webhooks.wait()
    assert [attempt.status_code for attempt in sandbox.webhooks.attempts] == [None, None]


def test_webhooks_can_be_duplicate_stale_forged_or_rotated(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.clock.set(NOW)
    old = sandbox.webhooks.secret
    encounter_id = sandbox.append()["encounter_id"]
    sandbox.deliver(encounter_id, copies=2)
    sandbox.deliver(encounter_id, timestamp_offset=-301)
    sandbox.deliver(encounter_id, bad_signature=True)
    sandbox.webhooks.wait()
    sandbox.webhooks.secret = "whsec_sandbox_rotated"
    sandbox.deliver(encounter_id)
    sandbox.deliver(encounter_id, secret=old)
    sandbox.webhooks.wait()

    _, first, copy, stale, bad, rotated, late = receiver.received
    assert first == copy
    assert int(stale[0]["ChartHero-Timestamp"]) == int(NOW.timestamp()) - 301
    assert stale[0]["ChartHero-Signature"] == signature(*stale, old)
    assert bad[0]["ChartHero-Signature"] != signature(*bad, old)
    assert len(bad[0]["ChartHero-Signature"]) == len(first[0]["ChartHero-Signature"])
    assert rotated[0]["ChartHero-Signature"] == signature(*rotated, "whsec_sandbox_rotated")
    assert late[0]["ChartHero-Signature"] == signature(*late, old)
    assert len({headers["ChartHero-Event-Id"] for headers, _ in receiver.received}) == 6


def test_a_signed_event_needs_no_receiver(sandbox: Sandbox) -> None:
    encounter_id = sandbox.append()["encounter_id"]
    with pytest.raises(ValueError, match="receiver"):
        sandbox.deliver(encounter_id)
    signed = sandbox.signed_event(encounter_id)
    assert signed.headers["ChartHero-Signature"] == signature(signed.headers, signed.body, sandbox.webhooks.secret)
    assert json.loads(signed.body)["resources"]["encounter_id"] == encounter_id


def test_an_encounter_without_a_transcript_sends_no_webhook(sandbox: Sandbox, receiver: Receiver) -> None:
    for documents in ([], None):
        encounter = sandbox.append(documents=documents)
        with pytest.raises(ValueError, match="no transcript"):
            sandbox.deliver(encounter["encounter_id"])
    sandbox.webhooks.wait()
    assert receiver.received == []


def test_control_routes_set_the_receiver_and_send_webhooks(sandbox: Sandbox, receiver: Receiver, http: Any) -> None:
    sandbox.webhooks.url = None
    encounter_id = http.post("/_sandbox/encounters").json()["encounter_id"]
    http.put("/_sandbox/webhooks", json={"url": receiver.url, "secret": "whsec_sandbox_other"})
    http.post(f"/_sandbox/webhooks/{encounter_id}", json={"copies": 2})
    sandbox.webhooks.wait()

    assert len(receiver.received) == 2
    assert receiver.received[0][0]["ChartHero-Signature"] == signature(*receiver.received[0], "whsec_sandbox_other")
    assert [attempt["status_code"] for attempt in http.get("/_sandbox").json()["webhook_attempts"]] == [204, 204]


def test_closing_cancels_deliveries(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charthero_ext.sandbox.webhooks.RETRY_AFTER", (600,))
    receiver.statuses = [500]
    with Sandbox(encounters=1, webhook_url=receiver.url) as other:
        other.append()
        with pytest.raises(TimeoutError, match="in progress"):
            other.webhooks.wait(timeout=0.05)
    assert len(other.webhooks.attempts) <= 1
