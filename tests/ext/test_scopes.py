"""The scopes an operation requires, and the access check that reads no record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from charthero_client.contract import ROUTES

from charthero_ext import ChartHero
from charthero_ext.errors import ConfigurationError
from charthero_ext.sandbox import Sandbox
from charthero_ext.scopes import AccessReport, RouteAccess, required_scopes

from .conftest import EITHER_CLIENT, Server, connected, perform

MakeClient = Callable[..., ChartHero]

ENCOUNTERS, PATIENTS, DOCUMENTS, RECORDINGS = (
    f"{name}:read" for name in ("encounters", "patients", "documents", "recordings")
)


class Unread(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that fails when it is read."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("the body was read")

    def __aiter__(self) -> Any:
        raise AssertionError("the body was read")

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def error(status: int, reason_code: str | None) -> httpx.Response:
    body = {"error": "e", "reason_code": reason_code, "message": "canary message", "field": None}
    return httpx.Response(status, json=body)


def only(report: AccessReport) -> RouteAccess:
    """Return what was found of the routes, where it is the same for all."""
    (outcome,) = {(r.outcome, r.why, r.status_code, r.reason_code) for r in report.routes}
    assert report.routes[0].outcome == outcome[0]
    return report.routes[0]


def found(report: AccessReport) -> dict[str, str]:
    return {route.operation: route.outcome for route in report.routes}


def test_required_scopes_are_those_of_all_given_operations() -> None:
    assert required_scopes("documents.get") == {ENCOUNTERS, DOCUMENTS}
    assert required_scopes("encounters.list", "documents.audio") == {ENCOUNTERS, PATIENTS, DOCUMENTS, RECORDINGS}
    assert required_scopes() == frozenset()


def test_an_unknown_operation_is_refused_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'documents\.list'.*encounters\.list"):
        required_scopes("documents.list")


def test_an_access_check_of_an_unknown_operation_sends_no_request(client: MakeClient) -> None:
    server = Server(error(400, "unsupported_filter"))
    with pytest.raises(ValueError, match="unknown operation"):
        client(server).check_access("documents.list")
    assert server.requests == []


def test_each_route_gets_one_request_with_an_invalid_query_and_invented_ids(client: MakeClient) -> None:
    server = Server(error(400, "unsupported_filter"))
    client(server).check_access("documents.get")
    assert len(server.requests) == len(ROUTES)
    for request in server.requests:
        assert request.method == "GET"
        assert "charthero_access_check" in request.url.params
        assert "no-" in request.url.path or request.url.path == "/external/v1/encounters"
        assert request.headers["authorization"].startswith("Bearer ")


def test_the_list_request_of_the_check_cannot_return_a_row(client: MakeClient) -> None:
    server = Server(error(400, "unsupported_filter"))
    client(server).check_access()
    asked = {request.url.path: request.url.params for request in server.requests}
    query = asked.pop("/external/v1/encounters")
    assert (query["end_at"], query["limit"]) == ("1970-01-01T00:00:00Z", "1")
    assert {tuple(params) for params in asked.values()} == {("charthero_access_check",)}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("code", ["unsupported_filter", "invalid_query", "invalid_limit"])
def test_a_refused_query_means_the_route_is_granted(client: MakeClient, status: int, code: str) -> None:
    report = client(Server(error(status, code))).check_access()
    assert (only(report).outcome, only(report).reason_code, report.key_accepted) == ("granted", code, True)
    assert report.exit_code == 0


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (400, "unsupported_document_type")])
def test_a_missing_record_means_granted_but_not_as_documented(client: MakeClient, status: int, code: str) -> None:
    route = only(client(Server(error(status, code))).check_access())
    assert route.outcome == "granted"
    assert "undocumented" in route.why


@EITHER_CLIENT
def test_a_success_grants_the_route_and_its_body_is_not_read(kind: Any) -> None:
    bodies: list[Unread] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(Unread())
        return httpx.Response(200, stream=bodies[-1])

    report = perform(connected(kind, answer), lambda ch: ch.check_access())
    assert only(report).outcome == "granted"
    assert "the body was not read" in only(report).why
    assert [body.closed for body in bodies] == [1] * len(ROUTES)


@pytest.mark.parametrize("code", ["scope_missing", "anything_else", None])
def test_a_403_means_denied_and_its_reason_code_is_reported(client: MakeClient, code: str | None) -> None:
    report = client(Server(error(403, code))).check_access("documents.audio")
    assert set(found(report).values()) == {"denied"}
    assert {route.reason_code for route in report.routes} == {code}
    assert RECORDINGS in report.routes[-1].why
    assert (report.exit_code, report.key_accepted) == (3, True)


def test_a_denied_route_whose_scopes_are_proven_is_not_enabled(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        denied = request.url.path.endswith("/transcript")
        return error(403, "code_nobody_documented") if denied else error(400, "unsupported_filter")

    by_name = {route.operation: route for route in client(answer).check_access().routes}
    assert "not enabled for your organization" in by_name["documents.transcript"].why
    assert "lacks" not in by_name["documents.transcript"].why


def test_a_refused_key_is_reported_and_ends_the_check(client: MakeClient) -> None:
    server = Server(error(401, "expired_key"))
    report = client(server).check_access()
    assert len(server.requests) == 1
    assert (report.key_accepted, report.exit_code) == (False, 3)
    assert report.routes[0].reason_code == "expired_key"
    assert set(found(report).values()) == {"unknown"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, html="<h1>no such host here</h1>"),
        httpx.Response(400, text="Bad Request"),
        httpx.Response(302, headers={"Location": "https://sign-in.example.test/"}),
        error(400, "code_nobody_documented"),
        error(422, "code_nobody_documented"),
        error(418, "code_nobody_documented"),
        error(503, None),
        httpx.Response(520),
    ],
    ids=lambda answer: str(answer.status_code),
)
def test_an_undocumented_response_leaves_the_outcome_unknown(client: MakeClient, answer: httpx.Response) -> None:
    report = client(Server(answer)).check_access()
    assert set(found(report).values()) == {"unknown"}
    assert (report.exit_code, report.key_accepted) == (1, None)


@pytest.mark.parametrize("failure", [httpx.ConnectError("canary"), httpx.ReadTimeout("canary"), error(429, None)])
def test_the_check_ends_when_the_server_gives_no_answer(client: MakeClient, failure: Any) -> None:
    server = Server(failure)
    report = client(server).check_access()
    assert len({request.url.path for request in server.requests}) == 1
    assert (report.exit_code, report.key_accepted) == (1, None)
    assert "canary" not in report.table()


def test_a_temporary_failure_of_a_route_is_retried(client: MakeClient) -> None:
    report = client(Server(error(503, None), error(400, "unsupported_filter"))).check_access()
    assert set(found(report).values()) == {"granted"}


def test_an_access_check_without_a_usable_key_raises(client: MakeClient) -> None:
    with pytest.raises(ConfigurationError):
        client(Server(error(400, "unsupported_filter")), api_key=lambda: "").check_access()


def test_excess_scopes_are_a_warning_and_not_a_failure(client: MakeClient) -> None:
    report = client(Server(error(400, "unsupported_filter"))).check_access("documents.transcript")
    assert report.required_scopes == {ENCOUNTERS, DOCUMENTS}
    assert report.excess_scopes == {PATIENTS, RECORDINGS}
    assert report.exit_code == 0
    assert f"warning: the key also has {PATIENTS}, {RECORDINGS}" in report.table()


def test_a_denied_route_that_is_not_needed_is_not_a_failure(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        wanted = request.url.path.endswith("/transcript")
        return error(400, "unsupported_filter") if wanted else error(403, None)

    report = client(answer).check_access("documents.transcript")
    assert (report.exit_code, report.excess_scopes) == (0, frozenset())
    assert "warning" not in report.table()


def test_a_denied_route_decides_the_exit_code_over_an_unknown_one(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return error(403, None) if request.url.path.endswith("/audio") else error(503, None)

    assert client(answer).check_access().exit_code == 3


def test_the_report_contains_no_key_and_no_server_message(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    report = client(Server(error(403, "scope_missing")), api_key="canarykey").check_access()
    written = json.loads(json.dumps(report.to_dict()))
    assert written["routes"][-1] == {
        "operation": "documents.audio",
        "asked": True,
        "outcome": "denied",
        "why": report.routes[-1].why,
        "required_scopes": [DOCUMENTS, ENCOUNTERS, RECORDINGS],
        "status_code": 403,
        "reason_code": "scope_missing",
    }
    assert written["exit_code"] == 3
    assert str(report) == report.table()
    lines = report.table().splitlines()
    assert [line.split()[:3] for line in lines[: len(ROUTES)]] == [[name, "needed", "denied"] for name in ROUTES]
    assert "canary" not in f"{written} {report!r} {report.table()} {caplog.text}"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(encounters=2) as running:
        yield running


def check(sandbox: Sandbox, api_key: str, *operations: str) -> AccessReport:
    with ChartHero(api_key=api_key, base_url=sandbox.base_url) as ch:
        return ch.check_access(*operations)


def test_the_check_reports_what_each_sandbox_key_may_do(sandbox: Sandbox) -> None:
    assert set(found(check(sandbox, "ch_sk_sandbox_full")).values()) == {"granted"}
    report = check(sandbox, "ch_sk_sandbox_without_recordings_read")
    assert [name for name, outcome in found(report).items() if outcome == "denied"] == ["documents.audio"]
    assert set(found(check(sandbox, "ch_sk_sandbox_not_enabled")).values()) == {"denied"}
    assert check(sandbox, "ch_sk_sandbox_revoked_key").key_accepted is False
