"""The order of the checks, and every documented reason code."""

from __future__ import annotations

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import API, Get, ask_without_socket, document_path, refusal, with_documents

SCOPES = {
    "/encounters": {"encounters:read", "patients:read", "documents:read"},
    "/encounters/e": {"encounters:read", "patients:read", "documents:read"},
    "/encounters/e/documents/d": {"encounters:read", "documents:read"},
    "/encounters/e/documents/d/transcript": {"encounters:read", "documents:read"},
    "/encounters/e/documents/d/audio": {"encounters:read", "documents:read", "recordings:read"},
}
OPERATIONS = dict(
    zip(
        SCOPES,
        ("encounters.list", "encounters.get", "documents.get", "documents.transcript", "documents.audio"),
        strict=True,
    )
)
paths = pytest.mark.parametrize("path", SCOPES)


@pytest.mark.parametrize(
    ("key", "reason_code"),
    [
        (None, "missing_bearer"),
        ("ch_sk_sandbox_api_keys_disabled", "api_keys_disabled"),
        ("sandbox", "malformed_token"),
        ("ch_sk_", "malformed_token"),
        ("ch_sk_sandbox full", "malformed_token"),
        ("ch_sk_sandbox_unknown", "invalid_key"),
        ("ch_sk_sandbox_disabled_key", "disabled_key"),
        ("ch_sk_sandbox_revoked_key", "revoked_key"),
        ("ch_sk_sandbox_expired_key", "expired_key"),
    ],
)
@paths
def test_every_route_refuses_an_invalid_key_with_its_reason_code(
    get: Get, path: str, key: str | None, reason_code: str
) -> None:
    response = get(path, key=key)

    assert refusal(response) == (401, reason_code, None)
    assert response.json()["error"] == "api_key_validation_failed"
    assert response.headers["www-authenticate"] == "Bearer"


def test_only_one_bearer_token_is_accepted(http: httpx.Client, sandbox: Sandbox) -> None:
    def ask(*authorization: str, query: str = "") -> tuple[int, str, str | None]:
        return refusal(
            http.get(f"{API}/encounters{query}", headers=[("Authorization", value) for value in authorization])
        )

    good = f"Bearer {sandbox.api_key}"
    assert ask(sandbox.api_key)[1] == "missing_bearer"
    assert ask("Bearer")[1] == "missing_bearer"
    assert ask("Basic abc")[1] == "missing_bearer"
    assert ask(query=f"?api_key={sandbox.api_key}")[1] == "missing_bearer"
    assert ask(good, good)[1] == "malformed_token"
    assert http.get(f"{API}/encounters", headers={"Authorization": good.replace("B", "b")}).status_code == 200


def test_production_refuses_a_test_key(get: Get) -> None:
    assert get("/encounters", key="ch_sk_test_sandbox_full").status_code == 200
    production = Sandbox(encounters=1, production=True)
    headers = {"Authorization": "Bearer ch_sk_test_sandbox_full"}
    response = ask_without_socket(production, f"{production.base_url}{API}/encounters", headers=headers)
    assert refusal(response) == (401, "test_prefix_not_allowed", None)


@paths
@pytest.mark.parametrize("scope", ["encounters:read", "patients:read", "documents:read", "recordings:read"])
def test_a_route_needs_exactly_its_scopes(get: Get, path: str, scope: str) -> None:
    response = get(path, key=f"ch_sk_sandbox_without_{scope.replace(':', '_')}")

    if scope in SCOPES[path]:
        assert refusal(response) == (403, "missing_scope", None)
    else:
        assert response.status_code in (200, 404)


@paths
def test_a_route_can_be_disabled_for_the_organization(get: Get, sandbox: Sandbox, path: str) -> None:
    assert refusal(get(path, key="ch_sk_sandbox_not_enabled")) == (403, "route_not_enabled", None)

    operation = OPERATIONS[path]
    sandbox.enable_route(operation, False)
    assert refusal(get(path)) == (403, "route_not_enabled", None)
    assert [get(other).status_code == 403 for other in SCOPES] == [other == path for other in SCOPES]

    sandbox.enable_route(operation, True)
    assert get(path).status_code in (200, 404)


@paths
@pytest.mark.parametrize("query", ["status=completed", "updated_at=x", "Limit=1", "=", "x"])
def test_an_unsupported_query_key_is_refused_after_key_and_enablement(get: Get, path: str, query: str) -> None:
    key = query.partition("=")[0]
    assert refusal(get(f"{path}?{query}")) == (400, "unsupported_filter", key)
    # Enablement is checked before the query, and the key before enablement.
    assert refusal(get(f"{path}?{query}", key="ch_sk_sandbox_not_enabled"))[0] == 403
    assert refusal(get(f"{path}?{query}", key="ch_sk_sandbox_unknown"))[0] == 401


def test_other_routes_refuse_the_parameters_of_the_list(get: Get) -> None:
    for path in list(SCOPES)[1:]:
        for parameter in ("limit", "offset", "sort_order", "start_at", "end_at"):
            assert refusal(get(path, params={parameter: "1"})) == (400, "unsupported_filter", parameter)


@pytest.mark.parametrize("parameter", ["limit", "offset"])
@pytest.mark.parametrize(
    "value",
    ["", "+5", "-1", "05", "5.0", "\uff11", "\u0663", "1e2", " 5", "5 ", "5_0", "0x5", "five", "10001", "9" * 5000],
)
def test_integers_must_be_canonical(get: Get, parameter: str, value: str) -> None:
    assert refusal(get("/encounters", params={parameter: value})) == (400, f"invalid_{parameter}", parameter)


def test_integers_have_bounds_and_defaults(get: Get) -> None:
    assert refusal(get("/encounters", params={"limit": "0"})) == (400, "invalid_limit", "limit")
    assert refusal(get("/encounters", params={"limit": "101"})) == (400, "invalid_limit", "limit")
    page = get("/encounters", params={"limit": "100", "offset": "10000"}).json()
    assert (page["limit"], page["offset"], page["items"]) == (100, 10000, [])
    assert (get("/encounters").json()["limit"], get("/encounters").json()["offset"]) == (50, 0)


@pytest.mark.parametrize(
    ("query", "reason_code", "field"),
    [
        ("limit=5&limit=5", "invalid_limit", "limit"),
        ("offset=0&offset=1", "invalid_offset", "offset"),
        ("sort_order=asc&sort_order=asc", "invalid_sort", "sort_order"),
        ("start_at=2026-01-01T00:00:00Z&start_at=2026-01-01T00:00:00Z", "invalid_query", "start_at"),
        ("sort_order=ASC", "invalid_sort", "sort_order"),
        ("sort_order=", "invalid_sort", "sort_order"),
        ("end_at=", "invalid_query", "end_at"),
        ("start_at=2026-01-01", "invalid_query", "start_at"),
        ("start_at=2026-01-01T00:00:00", "invalid_query", "start_at"),
        ("start_at=2026-02-30T00:00:00Z", "invalid_query", "start_at"),
        ("start_at=2026-W01-1T00:00:00Z", "invalid_query", "start_at"),
        ("start_at=1767225600", "invalid_query", "start_at"),
        # A plus sign that was not escaped arrives as a space.
        ("start_at=2026-01-01T00:00:00+00:00", "invalid_query", "start_at"),
        ("start_at=2026-01-01T00:00:00Z&end_at=2026-01-01T00:00:00Z", "invalid_query", None),
        ("start_at=2026-01-01T01:00:00Z&end_at=2026-01-01T01:30:00%2B01:00", "invalid_query", None),
    ],
)
def test_an_invalid_list_parameter_is_refused(get: Get, query: str, reason_code: str, field: str | None) -> None:
    assert refusal(get(f"/encounters?{query}")) == (400, reason_code, field)


@pytest.mark.parametrize(
    "instant",
    [
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.123456789Z",
        "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00-0500",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_every_form_of_an_aware_datetime_is_accepted(get: Get, instant: str) -> None:
    assert get("/encounters", params={"start_at": instant}).status_code == 200


def test_the_resource_is_checked_last(get: Get, sandbox: Sandbox) -> None:
    encounter = with_documents(get, "document", "ambient_transcript")
    foreign = sandbox.other_organization_encounter_id

    for rest in ("", "/documents/doc_x", "/documents/doc_x/transcript", "/documents/doc_x/audio"):
        assert refusal(get(f"/encounters/enc_x{rest}")) == (404, "not_found", None)
        assert refusal(get(f"/encounters/{foreign}{rest}")) == (403, "organization_not_allowed", None)
    for rest in ("/transcript", "/audio"):
        wrong_type = get(document_path(encounter, "document", rest))
        assert refusal(wrong_type) == (400, "unsupported_document_type", "document_id")


def test_another_organization_sees_only_its_own_encounters(get: Get, sandbox: Sandbox) -> None:
    other = get("/encounters", key="ch_sk_sandbox_other_organization").json()
    ids = {encounter["encounter_id"] for encounter in other["items"]}

    assert sandbox.other_organization_encounter_id in ids
    assert ids.isdisjoint(sandbox.encounter_ids())


def test_a_document_is_found_only_under_its_encounter(get: Get) -> None:
    encounters = get("/encounters").json()["items"]
    encounter = with_documents(get, "document")
    stranger = next(other for other in encounters if other != encounter)
    path = document_path(encounter, "document")

    assert get(path).status_code == 200
    moved = path.replace(encounter["encounter_id"], stranger["encounter_id"])
    assert refusal(get(moved)) == (404, "not_found", None)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@paths
def test_other_methods_than_get_are_refused_with_an_error_body(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, API + path)
    assert refusal(response) == (405, "method_not_allowed", None)
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/external/v1", "/external/v1/encounters/", "/external/v2/encounters", "/docs"])
def test_an_unknown_path_is_not_found_and_never_redirected(http: httpx.Client, path: str) -> None:
    assert refusal(http.get(path)) == (404, "not_found", None)
