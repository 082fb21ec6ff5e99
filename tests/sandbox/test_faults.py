"""Faults, as a client sees them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from charthero_ext.sandbox.faults import KINDS, RANDOM, Fault
from tests.sandbox.conftest import Get, ask_without_socket, document_path, refusal, with_documents


def struck(get: Get, fault: str, path: str = "/encounters") -> httpx.Response:
    return get(path, headers={"ChartHero-Sandbox-Fault": fault})


@pytest.mark.parametrize("status", [429, 503, 500, 504])
def test_a_status_fault_has_an_error_body_and_retry_after(get: Get, status: int) -> None:
    for retry_after in ("7", "Fri, 01 May 2026 00:00:00 GMT"):
        response = struck(get, f"status; status={status}; retry_after={retry_after}")
        assert refusal(response)[0] == status
        assert response.headers["retry-after"] == retry_after
    assert "retry-after" not in struck(get, "status; status=503").headers


def test_an_html_fault_may_have_an_unregistered_status(get: Get) -> None:
    for fault, status in (("html", 502), ("html; status=520", 520)):
        response = struck(get, fault)
        assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
        with pytest.raises(json.JSONDecodeError):
            response.json()


@pytest.mark.parametrize(("fault", "error"), [("reset", httpx.ReadError), ("truncate", httpx.RemoteProtocolError)])
def test_a_connection_fault_breaks_one_connection_and_logs_nothing(
    get: Get, caplog: pytest.LogCaptureFixture, fault: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        struck(get, fault)
    assert get("/encounters").status_code == 200
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.mark.parametrize("kind", ["latency", "slow"])
def test_latency_and_slow_bodies_only_take_time(get: Get, http: httpx.Client, sandbox: Sandbox, kind: str) -> None:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "ChartHero-Sandbox-Fault": f"{kind}; seconds=30"}
    with pytest.raises(httpx.ReadTimeout):
        http.get("/external/v1/encounters", headers=headers, timeout=httpx.Timeout(60, read=0.2))
    assert struck(get, f"{kind}; seconds=0.01").json() == get("/encounters").json()
    assert struck(get, f"{kind}; seconds=0", "/encounters/enc_x").status_code == 404


def test_a_clamped_page_is_shorter_than_asked_and_does_not_say_so(get: Get) -> None:
    page = struck(get, "clamp; limit=3").json()
    assert (len(page["items"]), page["limit"], page["total"]) == (3, 50, 500)
    assert page["items"] == get("/encounters").json()["items"][:3]


def test_shifting_data_moves_before_each_page(get: Get) -> None:
    before = get("/encounters", headers={}).json()
    after = struck(get, "shift").json()

    assert after["total"] == before["total"]
    assert after["items"][1:] == before["items"][:-1]
    assert after["items"][0] not in before["items"]


def test_new_fields_and_enumeration_values_turn_up_everywhere(get: Get) -> None:
    page = struck(get, "unknown").json()
    for encounter in page["items"]:
        assert encounter["encounter_type"] == encounter["status"] == "sandbox_unseen"
        assert all(document["schema_type"] == "sandbox_unseen" for document in encounter["documents"])
        assert "sandbox_unseen" in encounter["patient"]
    transcript = document_path(with_documents(get, "ambient_transcript"), "ambient_transcript", "/transcript")
    turns = struck(get, "unknown", transcript).json()["transcript"]["turns"]
    assert {turn["speaker"] for turn in turns} == {"sandbox_unseen"}


def test_after_times_and_operation_limit_a_fault(get: Get, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, operation="encounters.list", after=1, times=2)

    assert get("/encounters/enc_x").status_code == 404
    assert [get("/encounters").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert sandbox.faults.waiting() == []
    sandbox.fail("status", status=503, times=None)
    assert [get("/encounters").status_code for _ in range(5)] == [503] * 5
    sandbox.faults.clear()
    assert get("/encounters").status_code == 200


def test_faults_of_the_data_and_of_the_wire_add_up(get: Get, sandbox: Sandbox) -> None:
    sandbox.fail("clamp", limit=2)
    sandbox.fail("unknown")
    page = struck(get, "latency; seconds=0.01").json()
    assert [encounter["status"] for encounter in page["items"]] == ["sandbox_unseen"] * 2


def test_faults_happen_before_all_checks_also_for_artifact_and_recordings(
    get: Get, http: httpx.Client, sandbox: Sandbox
) -> None:
    assert get("/encounters", key=None, headers={"ChartHero-Sandbox-Fault": "html"}).status_code == 502
    signed = get(document_path(with_documents(get, "ambient_transcript"), "ambient_transcript", "/audio")).json()
    sandbox.fail("truncate", operation="audio_file")
    sandbox.fail("truncate", operation="artifact")

    with pytest.raises(httpx.RemoteProtocolError):
        http.get(signed["audio_url"])
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/openapi/v1/openapi.json")
    assert http.get(signed["audio_url"]).status_code == 200


def test_random_faults_follow_their_rate_and_seed(sandbox: Sandbox) -> None:
    def outcome() -> Any:
        try:
            # Without a socket, because a broken connection can break the next request too.
            return ask_without_socket(sandbox, f"{sandbox.base_url}/external/v1/encounters/enc_x").status_code
        except ConnectionResetError as error:
            return type(error)

    def outcomes(*among: str) -> list[Any]:
        sandbox.faults.strike_at_random(0.3, among or RANDOM)
        return [outcome() for _ in range(200)]

    seen = outcomes()
    assert seen == outcomes()
    assert 20 <= sum(status != 401 for status in seen) <= 80
    assert {429, 503, 502, 520, ConnectionResetError} < set(seen)
    assert set(outcomes("status; status=504")) == {401, 504}


@pytest.mark.parametrize(
    "fault",
    [
        "explode",
        "",
        "status; status=x",
        "status; status=1000",
        "latency; seconds=-1",
        "latency; seconds",
        "status; x=1",
    ],
)
def test_an_unknown_fault_is_refused(get: Get, fault: str) -> None:
    response = struck(get, fault)
    assert response.status_code == 400
    assert "fault" in response.text


def test_every_kind_of_fault_has_a_description() -> None:
    assert all(Fault(kind=kind) and description for kind, description in KINDS.items())
    with pytest.raises(ValueError, match="times"):
        Fault(kind="reset", times=0)


def test_connection_faults_work_without_a_socket(sandbox: Sandbox) -> None:
    def ask(fault: str) -> httpx.Response:
        url = f"{sandbox.base_url}/external/v1/encounters"
        return ask_without_socket(sandbox, url, headers={"ChartHero-Sandbox-Fault": fault})

    with pytest.raises(ConnectionResetError):
        ask("reset")
    with pytest.raises(json.JSONDecodeError):
        ask("truncate").json()
