"""The control routes, as a program in another process uses them."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

import httpx
import pytest

import charthero_ext.sandbox
from charthero_ext.sandbox import Sandbox
from charthero_ext.sandbox.control import control_routes
from tests.sandbox.conftest import Get, ask_without_socket, refusal


@pytest.fixture
def control(sandbox: Sandbox, http: httpx.Client) -> Any:
    def control(method: str, path: str, /, **body: Any) -> httpx.Response:
        return http.request(method, f"/_sandbox{path}", json=body)

    return control


def test_each_change_to_an_encounter_is_one_call(control: Any, get: Get) -> None:
    now = control("GET", "").json()["now"]
    added = control("POST", "/encounters", ready=False, encounter_type="phone").json()
    path = f"/encounters/{added['encounter_id']}"
    assert get("/encounters").json()["items"][0] == added
    assert (added["status"], added["encounter_type"]) == ("processing", "phone")
    assert now <= added["created_at"] <= added["updated_at"]

    late = control("POST", "/encounters", created_at="2026-01-01T00:00:00Z").json()
    assert get("/encounters?sort_order=asc").json()["items"][0] == late
    assert late["updated_at"] >= added["updated_at"]

    finished = control("POST", f"{path}/transcript").json()
    assert get(path).json()["encounter"] == finished
    assert finished["status"] == finished["documents"][0]["status"] == "completed"

    changed = control("PATCH", path, status="amended").json()
    assert changed == finished | {"status": "amended", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] >= finished["updated_at"]

    longer = control("POST", f"{path}/documents", title="Addendum").json()
    document = longer["documents"][-1]
    assert (document["title"], document["schema_type"], document["status"]) == ("Addendum", "document", "completed")
    assert get(f"{path}/documents/{document['document_id']}").json()["document"]["content"]["text"]
    again = control("POST", f"{path}/documents").json()["documents"]
    assert len({each["document_id"] for each in again}) == len(again) == len(added["documents"]) + 2

    assert control("DELETE", path).status_code == 204
    assert get(path).status_code == 404


def test_the_documented_curl_lines_work_and_cover_every_route(
    control: Any, http: httpx.Client, sandbox: Sandbox
) -> None:
    shown = control("GET", "").json()
    assert shown["webhook_secret"] == sandbox.webhooks.secret
    lines = shown["control_routes"]
    documented = re.findall(
        r"curl .+", (charthero_ext.sandbox.__doc__ or "").replace("$SANDBOX", f"{http.base_url}/_sandbox")
    )
    assert lines == documented
    encounter_id = control("POST", "/encounters").json()["encounter_id"]
    control("PUT", "/webhooks", url="http://127.0.0.1:1/")
    called = set()
    for line in sorted(lines, key=lambda line: "-X DELETE" in line):
        words = shlex.split(line.replace("ENCOUNTER_ID", encounter_id), comments=True)
        options = dict(pairwise(words))
        method, url = options.get("-X", "GET"), next(word for word in words if word.startswith("http"))
        response = http.request(method, url, content=options.get("-d"))
        assert response.status_code in (200, 204), (line, response.text)
        called.add((method, url))
        if url.endswith("/reset"):
            encounter_id = control("POST", "/encounters").json()["encounter_id"]
    assert len(called) == sum(len((route.methods or set()) - {"HEAD"}) for route in control_routes(sandbox))


def test_the_clock_stops_at_an_instant_and_runs_again(control: Any, get: Get) -> None:
    assert control("PUT", "/clock", instant="2100-01-01T01:00:00+01:00").status_code == 204
    assert control("GET", "").json()["now"] == "2100-01-01T00:00:00.000000Z"
    assert control("POST", "/encounters").json()["created_at"] == "2100-01-01T00:00:00.000000Z"
    assert control("PUT", "/clock", instant="2100-01-02T00:00:00").status_code == 400
    assert "cannot go back" in control("PUT", "/clock", instant="2099-01-01T00:00:00Z").json()["error"]
    control("PUT", "/clock", instant=None)
    assert control("GET", "").json()["now"] > "2100-01-01T00:00:00.000000Z"
    control("POST", "/reset", now="2026-05-01T00:05:00Z")
    assert control("GET", "").json()["now"] == "2026-05-01T00:05:00.000000Z"
    assert get("/encounters").json()["items"][0]["created_at"] < "2026-05-01"


def test_faults_keys_and_routes_are_set_and_shown(control: Any, get: Get) -> None:
    control("POST", "/faults", kind="status", status=503, retry_after=1, times=1)
    assert control("GET", "").json()["faults"][0]["kind"] == "status"
    assert get("/encounters").status_code == 503
    control("POST", "/faults", kind="status", times=None)
    control("PUT", "/faults/random", rate=1.0)
    control("DELETE", "/faults")
    control("PUT", "/keys/ch_sk_sandbox_full", refused_with="revoked_key")
    assert refusal(get("/encounters"))[1] == "revoked_key"
    control("PUT", "/keys/ch_sk_sandbox_new")
    assert get("/encounters", key="ch_sk_sandbox_new").status_code == 200
    control("PUT", "/keys/ch_sk_sandbox_full", scopes=["encounters:read"])
    assert refusal(get("/encounters"))[1] == "missing_scope"
    control("PUT", "/routes/encounters.list", enabled=False)
    assert refusal(get("/encounters"))[1] == "route_not_enabled"
    assert control("GET", "").json()["not_enabled"] == ["encounters.list"]

    assert control("POST", "/reset").status_code == 204
    assert get("/encounters").status_code == 200


def test_a_reset_restores_the_data(get: Get, sandbox: Sandbox) -> None:
    sandbox.reset(now=sandbox.clock.now())
    before = get("/encounters").json()
    sandbox.delete(before["items"][0]["encounter_id"])
    sandbox.change(before["items"][1]["encounter_id"], status="odd")
    sandbox.append()
    assert get("/encounters").json() != before

    sandbox.reset(now=sandbox.clock.now())
    assert get("/encounters").json() == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/encounters/enc_x", {}, 404),
        ("PATCH", "/encounters/enc_x", {}, 404),
        ("POST", "/encounters/enc_x/transcript", {}, 404),
        ("POST", "/encounters/enc_x/documents", {}, 404),
        ("POST", "/encounters", {"updated_at": "2100-01-01T00:00:00Z"}, 400),
        ("POST", "/encounters", {"created_at": "yesterday"}, 400),
        ("POST", "/encounters", {"created_at": 5}, 400),
        ("POST", "/encounters", {"created_at": "2026-06-01T00:00:00"}, 400),
        ("POST", "/encounters", {"encounter_id": "enc_mine"}, 400),
        ("POST", "/faults", {"sort": "html"}, 400),
        ("PUT", "/faults/random", {"rate": 2}, 400),
        ("PUT", "/faults/random", {"rate": 1, "among": []}, 400),
        ("PUT", "/faults/random", {"rate": 1, "among": ["explode"]}, 400),
        ("PUT", "/routes/encounters.delete", {"enabled": True}, 404),
        ("PUT", "/webhooks", {"url": "http://example.test/"}, 400),
        ("PUT", "/webhooks", {"url": "https://localhost/"}, 400),
        ("POST", "/webhooks/enc_x", {}, 404),
        ("PUT", "/encounters", {}, 405),
        ("GET", "/nothing", {}, 404),
    ],
)
def test_an_invalid_control_request_is_refused_and_changes_nothing(
    control: Any, get: Get, method: str, path: str, body: Any, status: int
) -> None:
    before = get("/encounters").json()
    response = control(method, path, **body)
    assert response.status_code == status
    assert response.json()["error"]
    assert get("/encounters").json() == before


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"kind": "explode"}, "'explode' is not a valid kind; use one of latency, status, html, reset,"),
        (
            {"kind": "html", "operation": "encounters.delete"},
            "'encounters.delete' is not a valid operation; use one of",
        ),
        ({"kind": "status", "code": 503}, "'code' is not an option of a fault; use status, retry_after, seconds,"),
    ],
)
def test_an_invalid_fault_is_explained_in_a_sentence(control: Any, get: Get, body: Any, sentence: str) -> None:
    response = control("POST", "/faults", **body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(sentence)
    header = "; ".join([body.pop("kind"), *(f"{name}={value}" for name, value in body.items())])
    assert get("/encounters", headers={"ChartHero-Sandbox-Fault": header}).text.startswith(f"Invalid fault: {sentence}")


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"null"])
def test_a_control_body_is_a_json_object(sandbox: Sandbox, http: httpx.Client, content: bytes) -> None:
    assert http.post("/_sandbox/encounters", content=content).status_code == 400


def test_control_routes_refuse_web_pages_and_other_host_names(sandbox: Sandbox, http: httpx.Client) -> None:
    for headers in ({"Origin": "http://localhost:3000"}, {"Host": "rebound.example.test"}):
        assert http.post("/_sandbox/reset", headers=headers).status_code == 403
    assert http.post("/_sandbox/reset", headers={"Host": "[::1]:80"}).status_code == 204


@pytest.mark.parametrize(
    ("client", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.1", 403), ("testclient", 403)]
)
def test_control_routes_refuse_other_machines(sandbox: Sandbox, client: str, status: int) -> None:
    assert ask_without_socket(sandbox, f"{sandbox.base_url}/_sandbox", client=client).status_code == status


def test_the_media_host_has_no_control_routes(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.get(f"{sandbox.audio_url}/_sandbox").status_code == 404
