"""Recordings behind signed URLs."""

from __future__ import annotations

import io
import wave
from datetime import timedelta
from typing import Any

import httpx
import pytest

from charthero_ext.sandbox import Sandbox
from tests.sandbox.conftest import Get, document_path, with_documents


@pytest.fixture
def signed(get: Get) -> dict[str, Any]:
    return get(document_path(with_documents(get, "ambient_transcript"), "ambient_transcript", "/audio")).json()


def fetch(http: httpx.Client, signed: dict[str, Any], **headers: str) -> httpx.Response:
    return http.get(signed["audio_url"], headers=headers)


def test_a_recording_on_another_host_is_as_long_as_its_transcript(
    get: Get, http: httpx.Client, sandbox: Sandbox
) -> None:
    encounter = with_documents(get, "ambient_transcript")
    signed = get(document_path(encounter, "ambient_transcript", "/audio")).json()
    response = fetch(http, signed)

    assert not signed["audio_url"].startswith(sandbox.base_url)
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as recording:
        seconds = recording.getnframes() / recording.getframerate()
        assert len(set(recording.readframes(1000))) > 10
    transcript = next(document for document in encounter["documents"] if "audio_duration_seconds" in document)
    assert seconds == transcript["audio_duration_seconds"]


def test_the_media_host_refuses_an_api_key(http: httpx.Client, signed: dict[str, Any], sandbox: Sandbox) -> None:
    assert fetch(http, signed, Authorization=f"Bearer {sandbox.api_key}").status_code == 400


def test_a_url_stops_working_when_it_expires(http: httpx.Client, get: Get, sandbox: Sandbox) -> None:
    now = sandbox.clock.now().replace(microsecond=0) + timedelta(seconds=1)
    sandbox.clock.set(now)
    signed = get(document_path(with_documents(get, "ambient_transcript"), "ambient_transcript", "/audio")).json()
    assert signed["expires_at"] == sandbox.timestamp(now + timedelta(minutes=5))

    sandbox.clock.set(now + timedelta(minutes=5, microseconds=-1))
    assert fetch(http, signed).status_code == 200
    sandbox.clock.set(now + timedelta(minutes=5))
    assert fetch(http, signed).status_code == 403


def test_a_changed_url_is_refused(http: httpx.Client, signed: dict[str, Any]) -> None:
    url = signed["audio_url"]
    path, _, query = url.partition("?")
    for changed in (
        path,
        f"{url}0",
        url.replace("expires=", "expires=9"),
        url.replace("/doc_", "/doc_0"),
        f"{path}?é=é",
    ):
        assert http.get(changed).status_code == 403
    assert http.get(path.replace(".wav", ".mp3") + f"?{query}").status_code == 404


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=1000-", 1000, None), ("bytes=-44", -44, None)],
)
def test_a_range_request_returns_only_the_range(
    http: httpx.Client, signed: dict[str, Any], asked: str, start: int, stop: int
) -> None:
    whole = fetch(http, signed).content
    part = fetch(http, signed, Range=asked)

    assert part.status_code == 206
    assert part.content == whole[start:stop]
    first = start % len(whole)
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(whole)}"
    beyond = fetch(http, signed, Range=f"bytes=0-{len(whole) * 2}")
    assert (beyond.status_code, beyond.content) == (206, whole)


def test_an_unsatisfiable_range_is_refused_with_the_size(http: httpx.Client, signed: dict[str, Any]) -> None:
    size = len(fetch(http, signed).content)
    for asked in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0"):
        refused = fetch(http, signed, Range=asked)
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-1", "bytes=-", "bytes=a-b", "seconds=0-1", "0-1"])
def test_a_malformed_range_is_ignored(http: httpx.Client, signed: dict[str, Any], asked: str) -> None:
    assert fetch(http, signed, Range=asked).status_code == 200


def test_if_range_resumes_only_the_same_recording(http: httpx.Client, signed: dict[str, Any]) -> None:
    etag = fetch(http, signed).headers["etag"]
    assert fetch(http, signed, Range="bytes=5-", **{"If-Range": etag}).status_code == 206
    assert fetch(http, signed, Range="bytes=5-", **{"If-Range": '"other"'}).status_code == 200
