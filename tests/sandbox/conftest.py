"""One running sandbox for all tests, back at its beginning for each; and the artifact, to judge its answers by.

The artifact is the one that was written from the developer pages, like the sandbox, and not the snapshot: a pulled one
may describe more or less than they do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from charthero_ext.sandbox import Sandbox

API = "/external/v1"
DEVELOPER_PAGES = Path(__file__).parents[1] / "reconstructed.json"
ARTIFACT = json.loads(DEVELOPER_PAGES.read_bytes())

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox(encounters=500, ties=40, artifact=DEVELOPER_PAGES) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture(scope="session")
def http(running: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.base_url, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def get(sandbox: Sandbox, http: httpx.Client) -> Get:
    """GET a path below the API's prefix with a key that may do everything, or another."""

    def get(path: str, *, key: str | None = "ch_sk_sandbox_full", headers: Any = None, params: Any = None) -> Any:
        authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        return http.get(API + path, params=params, headers={**authorization, **(headers or {})})

    return get


def assert_conforms(response: httpx.Response, template: str) -> Any:
    """The body is what the artifact promises for this path and status; returns it."""
    promised = ARTIFACT["paths"][API + template]["get"]["responses"][str(response.status_code)]
    schema = promised["content"]["application/json"]["schema"]
    assert response.headers["content-type"] == "application/json"
    jsonschema.Draft202012Validator(
        {**schema, "components": ARTIFACT["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(response.json())
    return response.json()


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """What an error body says, after a look at its shape."""
    body = response.json()
    assert set(body) == {"error", "reason_code", "message", "field"}
    return response.status_code, body["reason_code"], body["field"]


def with_documents(get: Get, *schema_types: str) -> dict[str, Any]:
    """The newest completed encounter that has a document of each type."""
    for encounter in get("/encounters", params={"limit": 100}).json()["items"]:
        types = {document["schema_type"] for document in encounter["documents"]}
        if encounter["status"] == "completed" and types >= set(schema_types):
            return encounter
    raise AssertionError("no such encounter")


def document_path(encounter: dict[str, Any], schema_type: str, rest: str = "") -> str:
    document = next(document for document in encounter["documents"] if document["schema_type"] == schema_type)
    return f"/encounters/{encounter['encounter_id']}/documents/{document['document_id']}{rest}"
