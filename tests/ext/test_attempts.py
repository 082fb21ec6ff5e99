"""The User-Agent, log records, attempt reports, request ids, error texts, and requests of any path."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.config import Attempt
from charthero_ext.errors import ApiStatusError, ConfigurationError, NotFoundError, UnexpectedResponseError

from .conftest import Server, ok, settings

MakeClient = Callable[..., ChartHero]


def test_the_user_agent_names_the_package_and_the_application(client: MakeClient) -> None:
    server = Server(ok())
    client(server).encounters.get("enc_1")
    client(server, application="clinic-sync/2.1").encounters.get("enc_1")
    first, second = (request.headers["user-agent"] for request in server.requests)
    assert [part.split("/")[0] for part in first.split()] == ["charthero-ext", "python", "httpx"]
    assert second == f"{first} clinic-sync/2.1"


@pytest.mark.parametrize("application", ["", " ", "a\nb", "a\r\nX: y", "ä", "x" * 101, "a\x00"])
def test_an_application_name_that_is_not_a_valid_header_is_refused(application: str) -> None:
    with pytest.raises(ConfigurationError, match="application"):
        settings(application=application)


def test_log_records_have_a_level_by_outcome_and_fields_for_filters(
    client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="charthero_ext")
    ch = client(Server(httpx.Response(503), ok(), httpx.Response(404, headers={"X-Request-Id": "req_1"})))
    ch.encounters.get("enc_1")
    with pytest.raises(NotFoundError):
        ch.encounters.get("enc_1")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "DEBUG", "WARNING"]
    fields = vars(caplog.records[2])
    assert (fields["operation"], fields["status_code"], fields["attempt"]) == ("encounters.get", 404, 1)
    assert (fields["reason_code"], fields["request_id"]) == ("NotFoundError", "req_1")
    assert fields["duration_ms"] >= 0


def test_an_access_check_that_succeeds_logs_no_warning(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="charthero_ext")
    client(lambda request: httpx.Response(400, json={"reason_code": "unsupported_filter"})).check_access()
    assert caplog.records == []


def test_nothing_is_written_to_standard_output_or_error(
    client: MakeClient, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # As in a program that does not configure logging.
    ch = client(Server(httpx.Response(503), ok(), httpx.Response(404)))
    ch.encounters.get("enc_1")
    with pytest.raises(NotFoundError):
        ch.encounters.get("enc_1")
    assert capfd.readouterr() == ("", "")


def test_on_attempt_gets_each_attempt_without_ids(client: MakeClient) -> None:
    attempts: list[Attempt] = []
    server = Server(httpx.Response(429), ok(**{"X-Correlation-Id": "cor_1"}))
    client(server, on_attempt=attempts.append).encounters.get("enc_secret")
    facts = [(each.number, each.status_code, each.reason_code, each.request_id, each.will_retry) for each in attempts]
    assert facts == [(1, 429, "RateLimitedError", None, True), (2, 200, None, "cor_1", False)]
    assert "enc_secret" not in repr(attempts)


@pytest.mark.parametrize("header", ["X-Request-Id", "X-Correlation-Id", "Request-Id"])
def test_an_exception_has_and_shows_the_request_id(client: MakeClient, header: str) -> None:
    with pytest.raises(NotFoundError, match="request id req-1:a") as caught:
        client(lambda request: httpx.Response(404, headers={header: "req-1:a"})).encounters.get("enc_1")
    assert caught.value.request_id == "req-1:a"
    with pytest.raises(UnexpectedResponseError, match="request id req-1:a"):
        client(lambda request: httpx.Response(200, headers={header: "req-1:a"}), attempts=1).encounters.get("enc_1")


@pytest.mark.parametrize("value", ["Maria Garcia", "x" * 81, "a,b", ""])
def test_an_invalid_request_id_is_ignored(client: MakeClient, value: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        client(lambda request: httpx.Response(404, headers={"X-Request-Id": value})).encounters.get("enc_1")
    assert caught.value.request_id is None


def refused(client: MakeClient, status: int, attempts: int = 1, **body: Any) -> str:
    with pytest.raises(ApiStatusError) as caught:
        client(lambda request: httpx.Response(status, json=body), attempts=attempts).documents.audio("enc_1", "doc_1")
    return str(caught.value)


def test_an_error_names_the_ids_the_host_and_the_attempts(client: MakeClient) -> None:
    text = refused(client, 503, attempts=3)
    assert text == ("documents.audio: HTTP 503; encounter_id enc_1, document_id doc_1, host localhost:1, 3 attempts")


def test_an_authentication_error_names_the_source_of_the_key(client: MakeClient) -> None:
    assert refused(client, 401, reason_code="expired_key").endswith("the key came from the argument api_key")


def test_a_permission_error_names_missing_scopes_or_enablement(client: MakeClient) -> None:
    missing = refused(client, 403, reason_code="missing_scope", message="missing scope recordings:read")
    assert missing.endswith("; the key lacks recordings:read")
    disabled = refused(client, 403, reason_code="route_not_enabled")
    assert disabled.endswith("; the route must be enabled for your organization and environment")
    assert "recordings:read" not in disabled
    unknown = refused(client, 403)
    assert "needs documents:read, encounters:read, recordings:read" in unknown


def test_invalid_reason_codes_and_fields_are_dropped(client: MakeClient) -> None:
    for odd in ("Maria Garcia", "born.1980-01-01", "ABC", "x" * 101, "a\n", 5, None, ["x"]):
        with pytest.raises(ApiStatusError) as caught:
            client(
                lambda request, odd=odd: httpx.Response(400, json={"reason_code": odd, "field": odd})
            ).encounters.list()
        assert caught.value.reason_code is caught.value.field is None


def test_any_path_of_the_host_can_be_requested(client: MakeClient) -> None:
    server = Server(httpx.Response(503), httpx.Response(200, headers={"X-Later": "1"}, content=b"synthetic"))
    response = client(server).get("/external/v1/later/a b", limit="1")
    assert (response.status_code, response.headers["x-later"], response.body) == (200, "1", b"synthetic")
    urls = [str(request.url) for request in server.requests]
    assert urls == ["http://localhost:1/external/v1/later/a%20b?limit=1"] * 2
    assert "authorization" in server.requests[0].headers
    assert "synthetic" not in repr(response)


@pytest.mark.parametrize("path", ["external", "//elsewhere.test/", "https://elsewhere.test/", "", "/a?b=c", "/a#b"])
def test_a_path_with_a_host_or_a_query_is_refused(client: MakeClient, path: str) -> None:
    asked: list[httpx.Request] = []
    with pytest.raises(ValueError, match="path"):
        client(asked.append).get(path)
    assert asked == []


def test_a_call_that_sends_nothing_logs_no_attempt(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="charthero_ext")
    ch = client(lambda request: ok())
    ch.close()
    with pytest.raises(ConfigurationError):
        ch.encounters.get("enc_1")
    assert caplog.records == []


def test_failures_leave_no_reference_cycles(client: MakeClient) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(NotFoundError):
                client(lambda request: httpx.Response(404)).encounters.get("enc_1")
        assert [found for found in gc.get_objects() if isinstance(found, NotFoundError)] == []
    finally:
        gc.enable()


def test_a_key_callable_runs_on_the_thread_that_sends_each_request(client: MakeClient) -> None:
    threads: list[str] = []

    def key() -> str:
        threads.append(threading.current_thread().name)
        return "ch_sk_synthetic_thread"

    page = {"items": [], "limit": 100, "offset": 0, "total": 0}
    ch = client(lambda request: httpx.Response(200, json=page), api_key=key)
    ch.encounters.list()
    assert list(ch.encounters.iter()) == []
    assert threads == [threading.current_thread().name, "charthero-walk"]


def test_an_exception_of_on_attempt_keeps_the_frames_of_the_callers_code(client: MakeClient) -> None:
    def told(attempt: Attempt) -> None:
        raise LookupError("a bug of the caller")

    with pytest.raises(LookupError) as caught:
        client(lambda request: httpx.Response(200), on_attempt=told).get("/")
    assert caught.traceback[-1].name == "told"
