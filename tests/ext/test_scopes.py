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
from charthero_ext.scopes import AccessReport, required_scopes

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


REFUSED_QUERY = error(400, "unsupported_filter")


def found(report: AccessReport) -> dict[str, str]:
    return {route.operation: route.outcome for route in report.routes}


def test_required_scopes_are_those_of_all_given_operations() -> None:
    assert required_scopes("documents.get") == {ENCOUNTERS, DOCUMENTS}
    assert required_scopes("encounters.list", "documents.audio") == {ENCOUNTERS, PATIENTS, DOCUMENTS, RECORDINGS}
    assert required_scopes() == frozenset()


def test_an_unknown_operation_is_refused_with_a_list_of_the_known_ones(client: MakeClient) -> None:
    server = Server(REFUSED_QUERY)
    for check in (required_scopes, client(server).check_access):
        with pytest.raises(ValueError, match=r"'documents\.list'.*encounters\.list"):
            check("documents.list")
    assert server.requests == []


def test_each_route_gets_one_request_that_cannot_return_a_record(client: MakeClient) -> None:
    server = Server(REFUSED_QUERY)
    client(server).check_access("documents.get")
    assert len(server.requests) == len(ROUTES)
    queries = {request.url.path: dict(request.url.params) for request in server.requests}
    listed = queries.pop("/external/v1/encounters")
    assert listed == {"charthero_access_check": "1", "end_at": "1970-01-01T00:00:00Z", "limit": "1"}
    for path, query in queries.items():
        assert query == {"charthero_access_check": "1"}
        assert "no-" in path
    for request in server.requests:
        assert request.method == "GET"
        assert request.headers["authorization"].startswith("Bearer ")


#: The outcome of every route, whether the key was accepted, the exit code, and a part of the reason.
GRANTED, UNDOCUMENTED = ("granted", True, 0, "the key was accepted"), ("granted", True, 0, "undocumented")
DENIED, UNKNOWN = ("denied", True, 3, RECORDINGS), ("unknown", None, 1, "")


@pytest.mark.parametrize(
    ("answer", "conclusion"),
    [
        *[(error(status, code), GRANTED) for status in (400, 422) for code in ("unsupported_filter", "invalid_limit")],
        (error(404, "not_found"), UNDOCUMENTED),
        (error(400, "unsupported_document_type"), UNDOCUMENTED),
        *[(error(403, code), DENIED) for code in ("scope_missing", "code_nobody_documented", None)],
        *[(error(status, "code_nobody_documented"), UNKNOWN) for status in (400, 418, 422)],
        *[(error(status, None), UNKNOWN) for status in (404, 503, 520)],
        (httpx.Response(400, text="Bad Request"), UNKNOWN),
        (httpx.Response(302, headers={"Location": "https://sign-in.example.test/"}), UNKNOWN),
    ],
    ids=str,
)
def test_a_response_shows_whether_the_key_may_use_the_route(
    answer: httpx.Response, conclusion: tuple[str, bool | None, int, str], client: MakeClient
) -> None:
    report = client(Server(answer)).check_access("documents.audio")
    outcome, key_accepted, exit_code, reason = conclusion
    assert set(found(report).values()) == {outcome}
    assert (report.key_accepted, report.exit_code) == (key_accepted, exit_code)
    assert reason in report.routes[-1].why
    if answer.status_code != 302:
        assert {route.status_code for route in report.routes} == {answer.status_code}


@EITHER_CLIENT
def test_a_success_grants_the_route_and_its_body_is_not_read(kind: Any) -> None:
    bodies: list[Unread] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(Unread())
        return httpx.Response(200, stream=bodies[-1])

    report = perform(connected(kind, answer), lambda ch: ch.check_access())
    assert set(found(report).values()) == {"granted"}
    assert "the body was not read" in report.table()
    assert [body.closed for body in bodies] == [1] * len(ROUTES)


def test_a_denied_route_whose_scopes_are_proven_is_not_enabled(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return error(403, None) if request.url.path.endswith("/transcript") else REFUSED_QUERY

    by_name = {route.operation: route for route in client(answer).check_access().routes}
    assert "not enabled for your organization" in by_name["documents.transcript"].why
    assert "lacks" not in by_name["documents.transcript"].why


@pytest.mark.parametrize(
    ("failure", "key_accepted", "exit_code"),
    [
        (error(401, "expired_key"), False, 3),
        (error(429, None), None, 1),
        (httpx.ConnectError("canary"), None, 1),
        (httpx.ReadTimeout("canary"), None, 1),
    ],
    ids=str,
)
def test_a_failure_that_concerns_all_routes_ends_the_check(
    failure: Any, key_accepted: bool | None, exit_code: int, client: MakeClient
) -> None:
    server = Server(failure)
    report = client(server).check_access()
    assert len({request.url.path for request in server.requests}) == 1
    assert set(found(report).values()) == {"unknown"}
    assert (report.key_accepted, report.exit_code) == (key_accepted, exit_code)
    assert {route.status_code for route in report.routes[1:]} == {None}
    assert "canary" not in report.table()


def test_a_temporary_failure_of_a_route_is_retried(client: MakeClient) -> None:
    report = client(Server(error(503, None), REFUSED_QUERY)).check_access()
    assert set(found(report).values()) == {"granted"}


def test_an_access_check_without_a_usable_key_raises(client: MakeClient) -> None:
    with pytest.raises(ConfigurationError):
        client(Server(REFUSED_QUERY), api_key=lambda: "").check_access()


def test_excess_scopes_are_a_warning_and_not_a_failure(client: MakeClient) -> None:
    report = client(Server(REFUSED_QUERY)).check_access("documents.transcript")
    assert report.required_scopes == {ENCOUNTERS, DOCUMENTS}
    assert report.excess_scopes == {PATIENTS, RECORDINGS}
    assert report.exit_code == 0
    assert f"warning: the key also has {PATIENTS}, {RECORDINGS}" in report.table()


@pytest.mark.parametrize(("needed", "exit_code"), [(["documents.transcript"], 0), (["encounters.get"], 1), ([], 3)])
def test_only_needed_routes_decide_the_exit_code_and_a_denial_outweighs(
    needed: list[str], exit_code: int, client: MakeClient
) -> None:
    answers = {"/transcript": REFUSED_QUERY, "/audio": error(403, None)}
    report = client(lambda request: answers.get(request.url.path[request.url.path.rindex("/") :], error(503, None)))
    assert report.check_access(*needed).exit_code == exit_code


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
