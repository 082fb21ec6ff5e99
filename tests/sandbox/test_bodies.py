"""The bodies of the routes, checked against the artifact and without our client."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from datetime import datetime
from typing import Any

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import (
    API,
    DEVELOPER_PAGES,
    Get,
    ask_without_socket,
    assert_conforms,
    document_path,
    with_documents,
)

ENCOUNTER = {
    "encounter_id",
    "organization_id",
    "created_at",
    "updated_at",
    "date_of_service",
    "encounter_type",
    "status",
    "patient",
    "documents",
}


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_every_body_matches_the_artifact_and_has_no_other_field(get: Get) -> None:
    page = assert_conforms(get("/encounters", params={"limit": 40}), "/encounters")
    assert set(page) == {"items", "limit", "offset", "total"}
    for encounter in page["items"]:
        assert set(encounter) == ENCOUNTER
        detail = get(f"/encounters/{encounter['encounter_id']}")
        assert assert_conforms(detail, "/encounters/{encounter_id}") == {"encounter": encounter}
        for summary in encounter["documents"]:
            check_document(get, encounter, summary)


def check_document(get: Get, encounter: dict[str, Any], summary: dict[str, Any]) -> None:
    template = "/encounters/{encounter_id}/documents/{document_id}"
    path = f"/encounters/{encounter['encounter_id']}/documents/{summary['document_id']}"
    document = assert_conforms(get(path), template)["document"]
    shared = {"document_id", "schema_type", "status", "title", "workflow_variant"}
    assert {name: document[name] for name in shared} == {name: summary[name] for name in shared}
    assert document["encounter_id"] == encounter["encounter_id"]
    transcript, audio = get(f"{path}/transcript"), get(f"{path}/audio")
    assert_conforms(transcript, f"{template}/transcript")
    assert_conforms(audio, f"{template}/audio")
    if summary["schema_type"] == "document":
        assert set(summary) == shared
        assert document["content"]["format"] == "markdown"
        assert (transcript.status_code, audio.status_code) == (400, 400)
    else:
        assert set(summary) == shared | {"audio_duration_seconds"}
        assert "content" not in document
        ready = 200 if summary["status"] == "completed" else 404
        assert (transcript.status_code, audio.status_code) == (ready, ready)


def test_the_turns_of_a_transcript_fill_the_audio_without_overlap(get: Get) -> None:
    encounter = with_documents(get, "ambient_transcript")
    body = get(document_path(encounter, "ambient_transcript", "/transcript")).json()["transcript"]
    turns = body["turns"]

    assert 100 < len(turns) < 1000
    assert [turn["start"] for turn in turns[1:]] == [turn["end"] for turn in turns[:-1]]
    assert (turns[0]["start"], turns[-1]["end"]) == (0, body["audio_duration_seconds"])
    assert all(turn["start"] <= turn["end"] and turn["text"] for turn in turns)
    assert {turn["speaker"] for turn in turns} == {"clinician", "patient"}


def test_patients_have_several_encounters_and_synthetic_names(get: Get) -> None:
    patients = [encounter["patient"] for encounter in get("/encounters", params={"limit": 100}).json()["items"]]
    named = [patient for patient in patients if "last_name" in patient]

    assert 0 < len({patient["patient_id"] for patient in patients}) < len(patients)
    assert 0 < len(named) < len(patients)
    assert {len(patient) for patient in patients} == {1, 4}
    assert all(patient["last_name"].startswith("Synthetic-") for patient in named)
    assert all(datetime.fromisoformat(patient["date_of_birth"]).year < 2020 for patient in named)


def test_the_detail_route_can_return_the_bare_encounter() -> None:
    sandbox = Sandbox(encounters=1, encounter_envelope=False)
    (encounter_id,) = sandbox.encounter_ids()
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    body = ask_without_socket(sandbox, f"{sandbox.base_url}{API}/encounters/{encounter_id}", headers=headers).json()
    assert set(body) == ENCOUNTER


def test_the_artifact_needs_no_key_and_supports_etags(http: httpx.Client) -> None:
    response = http.get("/openapi/v1/openapi.json")
    assert response.status_code == 200
    assert response.content == DEVELOPER_PAGES.read_bytes()
    etag = response.headers["etag"]

    for known in (etag, f'"other", W/{etag}', "*"):
        again = http.get("/openapi/v1/openapi.json", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    changed = http.get("/openapi/v1/openapi.json", headers={"If-None-Match": '"other"'})
    assert changed.content == response.content


def test_another_artifact_can_be_served(tmp_path: Any) -> None:
    path = tmp_path / "openapi.json"
    path.write_bytes(b'{"openapi": "3.1.0"}')
    for artifact in (path, path.read_bytes()):
        sandbox = Sandbox(encounters=1, artifact=artifact)
        served = ask_without_socket(sandbox, f"{sandbox.base_url}/openapi/v1/openapi.json")
        assert served.content == path.read_bytes()


def test_the_api_works_without_a_socket() -> None:
    sandbox = Sandbox(encounters=3)
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    page = ask_without_socket(sandbox, f"{sandbox.base_url}{API}/encounters", headers=headers).json()
    path = document_path(sandbox.append(), "ambient_transcript", "/audio")
    audio = ask_without_socket(sandbox, f"{sandbox.base_url}{API}{path}", headers=headers).json()

    assert page["total"] == 3
    assert ask_without_socket(sandbox, audio["audio_url"]).content[:4] == b"RIFF"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_the_sandbox_can_listen_on_ipv6() -> None:
    with Sandbox(encounters=1, host="::1") as sandbox, httpx.Client(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        assert client.get(f"{sandbox.base_url}{API}/encounters", headers=headers).json()["total"] == 1
        path = document_path(sandbox.append(), "ambient_transcript", "/audio")
        audio_url = client.get(f"{sandbox.base_url}{API}{path}", headers=headers).json()["audio_url"]
        assert audio_url.startswith("http://[::1]:")
        assert client.get(audio_url).status_code == 200


def test_the_sandbox_is_also_an_async_context_manager() -> None:
    async def ask() -> int:
        async with Sandbox(encounters=1) as sandbox, httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{sandbox.base_url}/openapi/v1/openapi.json")).status_code

    assert asyncio.run(ask()) == 200


def test_a_closed_sandbox_does_not_listen_and_can_start_again() -> None:
    sandbox = Sandbox(encounters=1)
    urls = []
    for _ in range(2):
        with sandbox:
            urls.append(f"{sandbox.base_url}/openapi/v1/openapi.json")
            assert httpx.get(urls[-1], trust_env=False).status_code == 200
            with pytest.raises(RuntimeError, match="already"):
                sandbox.__enter__()
    for url in urls:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_the_sandbox_does_not_import_the_client() -> None:
    program = "from charthero_ext.sandbox import Sandbox; import sys; Sandbox(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("charthero")}
    assert {name for name in ours if name.startswith("charthero_ext") and ".sandbox" not in name} == {
        "charthero_ext",
        "charthero_ext._lazy",
    }
    # The generated package is imported to read the artifact, but not its modules.
    assert not any(name.startswith(("charthero_client.api", "charthero_client.models")) for name in ours)
