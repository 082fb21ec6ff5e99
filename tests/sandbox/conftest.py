"""One running sandbox for all tests, reset before each, and the artifact that its responses are checked against.

The artifact is the one written from the developer pages, not the snapshot: a pulled artifact may describe more or less
than the pages do.
"""

from __future__ import annotations

import asyncio
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
    with httpx.Client(base_url=running.base_url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def get(sandbox: Sandbox, http: httpx.Client) -> Get:
    """GET a path below the API's prefix, by default with a key that has every scope."""

    def get(path: str, *, key: str | None = "ch_sk_sandbox_full", headers: Any = None, params: Any = None) -> Any:
        authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        return http.get(API + path, params=params, headers={**authorization, **(headers or {})})

    return get


def ask_without_socket(
    sandbox: Sandbox, url: str, *, headers: dict[str, str] | None = None, client: str = "127.0.0.1"
) -> httpx.Response:
    """GET a URL from the ASGI application, as a program on the machine ``client``."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app, client=(client, 1))) as http:
            return await http.get(url, headers=headers)

    return asyncio.run(ask())


def assert_conforms(response: httpx.Response, template: str) -> Any:
    """Validate a response against the artifact, and return its body."""
    promised = ARTIFACT["paths"][API + template]["get"]["responses"][str(response.status_code)]
    schema = promised["content"]["application/json"]["schema"]
    assert response.headers["content-type"] == "application/json"
    jsonschema.Draft202012Validator(
        {**schema, "components": ARTIFACT["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(response.json())
    return response.json()


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """Check the shape of an error body, and return its status, reason code and field."""
    body = response.json()
    assert set(body) == {"error", "reason_code", "message", "field"}
    return response.status_code, body["reason_code"], body["field"]


def with_documents(get: Get, *schema_types: str) -> dict[str, Any]:
    """Return the newest completed encounter with a document of each type."""
    for encounter in get("/encounters", params={"limit": 100}).json()["items"]:
        types = {document["schema_type"] for document in encounter["documents"]}
        if encounter["status"] == "completed" and types >= set(schema_types):
            return encounter
    raise AssertionError("no such encounter")


def document_path(encounter: dict[str, Any], schema_type: str, rest: str = "") -> str:
    document = next(document for document in encounter["documents"] if document["schema_type"] == schema_type)
    return f"/encounters/{encounter['encounter_id']}/documents/{document['document_id']}{rest}"
