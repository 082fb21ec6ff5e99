"""What a key needs and may do, found out without reading a record."""

from __future__ import annotations

import asyncio
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

from .conftest import async_client

MakeClient = Callable[..., ChartHero]

ENCOUNTERS, PATIENTS, DOCUMENTS, RECORDINGS = (
    f"{name}:read" for name in ("encounters", "patients", "documents", "recordings")
)


class Unread(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that nobody may read."""

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


def always(status: int, reason_code: str | None) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: error(status, reason_code)


def only(report: AccessReport) -> RouteAccess:
    """Return what was found of the routes, where it is the same for all."""
    (outcome,) = {(r.outcome, r.why, r.status_code, r.reason_code) for r in report.routes}
    assert report.routes[0].outcome == outcome[0]
    return report.routes[0]


def found(report: AccessReport) -> dict[str, str]:
    return {route.operation: route.outcome for route in report.routes}


# What a key needs


def test_the_least_scopes_are_those_of_all_operations_together() -> None:
    assert required_scopes("documents.get") == {ENCOUNTERS, DOCUMENTS}
    assert required_scopes("encounters.list", "documents.audio") == {ENCOUNTERS, PATIENTS, DOCUMENTS, RECORDINGS}
    assert required_scopes() == frozenset()


def test_an_operation_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'documents\.list'.*encounters\.list"):
        required_scopes("documents.list")


def test_a_check_of_an_operation_that_does_not_exist_sends_nothing(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("a request was sent")

    with pytest.raises(ValueError, match="no operation"):
        client(answer).check_access("documents.list")


# What is sent


def test_every_route_is_asked_once_with_a_query_it_refuses_and_with_ids_of_nobody(client: MakeClient) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return error(400, "unsupported_filter")

    client(answer).check_access("documents.get")

    assert len(asked) == len(ROUTES)
    for request in asked:
        assert request.method == "GET"
        assert "charthero_access_check" in request.url.params
        assert "no-" in request.url.path or request.url.path == "/external/v1/encounters"
        assert request.headers["authorization"].startswith("Bearer ")


def test_a_list_route_that_ignores_the_query_is_asked_for_no_row_that_could_exist(client: MakeClient) -> None:
    asked: dict[str, httpx.QueryParams] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        asked[request.url.path] = request.url.params
        return error(400, "unsupported_filter")

    client(answer).check_access()
    query = asked.pop("/external/v1/encounters")
    assert (query["end_at"], query["limit"]) == ("1970-01-01T00:00:00Z", "1")
    assert {tuple(params) for params in asked.values()} == {("charthero_access_check",)}


# What an answer means


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("code", ["unsupported_filter", "invalid_query", "invalid_limit"])
def test_a_refused_query_proves_that_the_route_is_granted(client: MakeClient, status: int, code: str) -> None:
    report = client(always(status, code)).check_access()
    assert (only(report).outcome, only(report).reason_code, report.key_accepted) == ("granted", code, True)
    assert report.exit_code == 0


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (400, "unsupported_document_type")])
def test_a_server_that_looks_for_the_record_first_grants_and_is_said_to_do_so(
    client: MakeClient, status: int, code: str
) -> None:
    route = only(client(always(status, code)).check_access())
    assert route.outcome == "granted"
    assert "not as documented" in route.why


def test_a_success_grants_is_said_to_be_undocumented_and_its_body_is_dropped_unread(client: MakeClient) -> None:
    bodies: list[Unread] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(Unread())
        return httpx.Response(200, stream=bodies[-1])

    report = client(answer).check_access()
    assert only(report).outcome == "granted"
    assert "dropped unread" in only(report).why
    assert [body.closed for body in bodies] == [1] * len(ROUTES)

    async def check() -> AccessReport:
        async with async_client(answer) as ch:
            return await ch.check_access()

    assert asyncio.run(check()) == report
    assert [body.closed for body in bodies] == [1] * 2 * len(ROUTES)


@pytest.mark.parametrize("code", ["scope_missing", "anything_else", None])
def test_a_403_denies_with_the_code_it_came_with(client: MakeClient, code: str | None) -> None:
    report = client(always(403, code)).check_access("documents.audio")
    assert set(found(report).values()) == {"denied"}
    assert {route.reason_code for route in report.routes} == {code}
    assert RECORDINGS in report.routes[-1].why
    assert (report.exit_code, report.key_accepted) == (3, True)


def test_a_route_denied_though_others_prove_its_scopes_is_not_enabled(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        denied = request.url.path.endswith("/transcript")
        return error(403, "code_nobody_documented") if denied else error(400, "unsupported_filter")

    by_name = {route.operation: route for route in client(answer).check_access().routes}
    assert "not enabled for your organization" in by_name["documents.transcript"].why
    assert "lacks" not in by_name["documents.transcript"].why


def test_a_refused_key_is_told_as_such_and_is_not_tried_on_other_routes(client: MakeClient) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return error(401, "expired_key")

    report = client(answer).check_access()
    assert len(asked) == 1
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
def test_an_answer_that_proves_nothing_leaves_it_unknown(client: MakeClient, answer: httpx.Response) -> None:
    report = client(lambda request: httpx.Response(answer.status_code, content=answer.content)).check_access()
    assert set(found(report).values()) == {"unknown"}
    assert (report.exit_code, report.key_accepted) == (1, None)


@pytest.mark.parametrize("failure", [httpx.ConnectError("canary"), httpx.ReadTimeout("canary")])
def test_without_an_answer_the_other_routes_are_not_waited_for(client: MakeClient, failure: Exception) -> None:
    paths = set()

    def answer(request: httpx.Request) -> httpx.Response:
        paths.add(request.url.path)
        raise failure

    report = client(answer).check_access()
    assert len(paths) == 1
    assert (report.exit_code, report.key_accepted) == (1, None)
    assert "canary" not in report.table()


def test_too_many_requests_end_the_check(client: MakeClient) -> None:
    paths = set()

    def answer(request: httpx.Request) -> httpx.Response:
        paths.add(request.url.path)
        return error(429, None)

    report = client(answer).check_access()
    assert (len(paths), report.exit_code) == (1, 1)


def test_a_route_that_fails_for_a_moment_is_asked_again(client: MakeClient) -> None:
    answers = iter([error(503, None)])
    report = client(lambda request: next(answers, None) or error(400, "unsupported_filter")).check_access()
    assert set(found(report).values()) == {"granted"}


def test_a_client_without_a_usable_key_raises_what_a_call_raises(client: MakeClient) -> None:
    with pytest.raises(ConfigurationError):
        client(always(400, "unsupported_filter"), api_key=lambda: "").check_access()


# The report


def test_scopes_beyond_what_was_asked_for_are_worth_a_warning_and_no_failure(client: MakeClient) -> None:
    report = client(always(400, "unsupported_filter")).check_access("documents.transcript")
    assert report.required_scopes == {ENCOUNTERS, DOCUMENTS}
    assert report.excess_scopes == {PATIENTS, RECORDINGS}
    assert report.exit_code == 0
    assert f"warning: the key also has {PATIENTS}, {RECORDINGS}" in report.table()


def test_a_denied_route_that_nobody_needs_is_no_failure(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        wanted = request.url.path.endswith("/transcript")
        return error(400, "unsupported_filter") if wanted else error(403, None)

    report = client(answer).check_access("documents.transcript")
    assert (report.exit_code, report.excess_scopes) == (0, frozenset())
    assert "warning" not in report.table()


def test_a_denial_counts_more_than_a_doubt(client: MakeClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return error(403, None) if request.url.path.endswith("/audio") else error(503, None)

    assert client(answer).check_access().exit_code == 3


def test_the_report_is_json_and_text_and_holds_no_key_and_no_message(
    client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    report = client(always(403, "scope_missing"), api_key="canarykey").check_access()
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


# Against a server that behaves as published


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(encounters=2) as running:
        yield running


def check(sandbox: Sandbox, api_key: str, *operations: str) -> AccessReport:
    with ChartHero(api_key=api_key, base_url=sandbox.base_url) as ch:
        return ch.check_access(*operations)


def test_a_key_of_the_sandbox_is_told_what_it_may_do(sandbox: Sandbox) -> None:
    assert set(found(check(sandbox, "ch_sk_sandbox_full")).values()) == {"granted"}
    report = check(sandbox, "ch_sk_sandbox_without_recordings_read")
    assert [name for name, outcome in found(report).items() if outcome == "denied"] == ["documents.audio"]
    assert set(found(check(sandbox, "ch_sk_sandbox_not_enabled")).values()) == {"denied"}
    assert check(sandbox, "ch_sk_sandbox_revoked_key").key_accepted is False


def test_the_synchronous_and_the_asynchronous_check_find_the_same(sandbox: Sandbox) -> None:
    from charthero_ext import AsyncChartHero

    key = "ch_sk_sandbox_without_patients_read"

    async def check_async() -> AccessReport:
        async with AsyncChartHero(api_key=key, base_url=sandbox.base_url) as ch:
            return await ch.check_access("documents.audio")

    report = check(sandbox, key, "documents.audio")
    assert asyncio.run(check_async()) == report
    assert (report.exit_code, report.excess_scopes) == (0, frozenset())
    assert found(report)["encounters.get"] == "denied"
