"""The control routes, as a program in another process uses them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import Get, refusal


@pytest.fixture
def control(sandbox: Sandbox, http: httpx.Client) -> Any:
    def control(method: str, path: str, /, **body: Any) -> httpx.Response:
        return http.request(method, f"/_sandbox{path}", json=body)

    return control


def test_encounters_are_appended_changed_and_deleted_while_it_runs(control: Any, get: Get) -> None:
    added = control(
        "POST", "/encounters", created_at="2026-06-01T00:00:00Z", ready=False, encounter_type="phone"
    ).json()
    path = f"/encounters/{added['encounter_id']}"
    assert get("/encounters").json()["items"][0] == added
    assert (added["status"], added["encounter_type"]) == ("processing", "phone")

    control("PATCH", path, status="odd", updated_at=None)
    assert get(path).json()["encounter"] == added | {"status": "odd", "updated_at": None}

    finished = control("POST", f"{path}/transcript").json()
    assert get(path).json()["encounter"] == finished
    assert finished["status"] == finished["documents"][0]["status"] == "completed"

    assert control("DELETE", path).status_code == 204
    assert get(path).status_code == 404


def test_the_clock_is_set_and_let_go(control: Any, sandbox: Sandbox) -> None:
    assert control("PUT", "/clock", instant="2027-01-01T01:00:00+01:00").status_code == 204
    assert control("GET", "").json()["now"] == "2027-01-01T00:00:00.000000Z"
    assert control("POST", "/encounters").json()["created_at"] == "2027-01-01T00:00:00.000000Z"
    assert control("PUT", "/clock", instant="2027-01-01T00:00:00").status_code == 400
    control("PUT", "/clock", instant=None)
    assert control("GET", "").json()["now"] != "2027-01-01T00:00:00.000000Z"


def test_faults_keys_and_routes_are_set_and_shown(control: Any, get: Get) -> None:
    control("POST", "/faults", kind="status", status=503, retry_after="1", times=1)
    assert control("GET", "").json()["faults"][0]["kind"] == "status"
    assert get("/encounters").status_code == 503
    control("POST", "/faults", kind="status", times=None)
    control("PUT", "/faults/random", rate=1.0)
    control("DELETE", "/faults")
    control("PUT", "/keys/ch_sk_sandbox_full", refused_with="revoked_key")
    assert refusal(get("/encounters"))[1] == "revoked_key"
    control("PUT", "/keys/ch_sk_sandbox_full", scopes=["encounters:read"])
    assert refusal(get("/encounters"))[1] == "missing_scope"
    control("PUT", "/routes/encounters.list", enabled=False)
    assert refusal(get("/encounters"))[1] == "route_not_enabled"
    assert control("GET", "").json()["not_enabled"] == ["encounters.list"]

    assert control("POST", "/reset").status_code == 204
    assert get("/encounters").status_code == 200


def test_a_reset_brings_back_the_data_as_it_was(control: Any, get: Get, sandbox: Sandbox) -> None:
    before = get("/encounters").json()
    sandbox.delete(before["items"][0]["encounter_id"])
    sandbox.change(before["items"][1]["encounter_id"], status="odd")
    sandbox.append()
    assert get("/encounters").json() != before

    control("POST", "/reset")
    assert get("/encounters").json() == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/encounters/enc_x", {}, 404),
        ("PATCH", "/encounters/enc_x", {}, 404),
        ("POST", "/encounters/enc_x/transcript", {}, 404),
        ("POST", "/encounters", {"created_at": "yesterday"}, 400),
        ("POST", "/encounters", {"created_at": 5}, 400),
        ("POST", "/encounters", {"created_at": "2026-06-01T00:00:00"}, 400),
        ("POST", "/encounters", {"encounter_id": "enc_mine"}, 400),
        ("POST", "/faults", {"kind": "explode"}, 400),
        ("POST", "/faults", {"sort": "html"}, 400),
        ("PUT", "/faults/random", {"rate": 2}, 400),
        ("PUT", "/faults/random", {"rate": 1, "among": []}, 400),
        ("PUT", "/faults/random", {"rate": 1, "among": ["explode"]}, 400),
        ("POST", "/faults", {"kind": "html", "operation": "encounters.delete"}, 400),
        ("PUT", "/routes/encounters.delete", {"enabled": True}, 404),
        ("PUT", "/webhooks", {"url": "http://example.test/"}, 400),
        ("PUT", "/webhooks", {"url": "https://localhost/"}, 400),
        ("POST", "/webhooks/enc_x", {}, 404),
        ("PUT", "/encounters", {}, 405),
        ("GET", "/nothing", {}, 404),
    ],
)
def test_a_control_request_that_makes_no_sense_is_refused_and_changes_nothing(
    control: Any, get: Get, method: str, path: str, body: Any, status: int
) -> None:
    before = get("/encounters").json()
    response = control(method, path, **body)
    assert response.status_code == status
    assert response.json()["error"]
    assert get("/encounters").json() == before


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"null"])
def test_a_control_body_is_a_json_object(sandbox: Sandbox, http: httpx.Client, content: bytes) -> None:
    assert http.post("/_sandbox/encounters", content=content).status_code == 400


def test_control_routes_answer_no_web_page_and_no_other_host_name(sandbox: Sandbox, http: httpx.Client) -> None:
    for headers in ({"Origin": "http://localhost:3000"}, {"Host": "rebound.example.test"}):
        assert http.post("/_sandbox/reset", headers=headers).status_code == 403
    assert http.post("/_sandbox/reset", headers={"Host": "[::1]:80"}).status_code == 204


def test_control_routes_answer_this_machine_only() -> None:
    import asyncio

    sandbox = Sandbox(encounters=1)

    async def ask(client: str) -> int:
        transport = httpx.ASGITransport(sandbox.app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport) as http:
            return (await http.get(f"{sandbox.base_url}/_sandbox")).status_code

    assert [asyncio.run(ask(client)) for client in ("127.0.0.1", "::1", "192.0.2.1", "testclient")] == [
        200,
        200,
        403,
        403,
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.test", ""])
def test_the_sandbox_refuses_to_listen_to_other_machines(host: str) -> None:
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(host=host)


def test_recordings_have_no_control_routes(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.get(f"{sandbox.audio_url}/_sandbox").status_code == 404
