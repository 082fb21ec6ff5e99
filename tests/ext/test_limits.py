"""Limits for the bodies and headers of a broken or hostile server."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext._response import MAX_ERROR_BODY, Response
from charthero_ext.errors import ApiStatusError, TransportError

from .conftest import example

MakeClient = Callable[..., ChartHero]

GZIP = {"Content-Encoding": "gzip"}


def answering(status: int, content: bytes, headers: dict[str, str]) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


def bomb(size: int) -> bytes:
    """Return *size* compressed blanks."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    piece = b" " * 1_000_000
    return b"".join([*(packer.compress(piece) for _ in range(size // len(piece))), packer.flush()])


def test_only_gzip_is_accepted_and_decoded(client: MakeClient) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return answering(200, gzip.compress(json.dumps(example("encounters.get")).encode()), GZIP)(request)

    assert client(answer).encounters.get("enc_1").encounter_id == "enc_synthetic_0001"
    assert asked == ["gzip"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 5000])
def test_an_encoding_other_than_gzip_is_refused(client: MakeClient, encoding: str) -> None:
    with pytest.raises(TransportError) as caught:
        client(answering(200, b"synthetic", {"Content-Encoding": encoding}), attempts=1).encounters.get("enc_1")
    assert caught.value.reason == "damaged"


def test_a_decompression_bomb_is_refused_and_not_retried(client: MakeClient) -> None:
    sent: list[None] = []
    content = bomb(100_000_000)
    assert len(content) < 200_000

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(None)
        return answering(200, content, GZIP)(request)

    with pytest.raises(TransportError, match="larger than 64,000,000 bytes") as caught:
        client(answer).encounters.get("enc_1")
    assert (caught.value.reason, len(sent)) == ("too_large", 1)


@pytest.mark.parametrize("limit", [1, 1000, 65_536])
@pytest.mark.parametrize("status", [200, 404])
def test_decompression_stops_one_byte_after_the_limit(status: int, limit: int) -> None:
    response = Response(limit=limit)
    response.begin(status, {"content-encoding": "gzip"}, is_decoded=False)
    with pytest.raises(TransportError, match="larger than"):
        response.write(bomb(10_000_000))
    assert len(response.body) <= (limit if status == 200 else MAX_ERROR_BODY) + 1


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [(bomb(10_000_000), None), (gzip.compress(b'{"reason_code": "invalid_offset"}'), "invalid_offset")],
    ids=["bomb", "small"],
)
def test_a_compressed_error_body_is_decoded_up_to_a_limit(
    client: MakeClient, content: bytes, reason_code: str | None
) -> None:
    with pytest.raises(ApiStatusError) as caught:
        client(answering(404, content, GZIP)).encounters.get("enc_1")
    assert (caught.value.status_code, caught.value.reason_code) == (404, reason_code)


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-9], lambda packed: b"x" + packed, lambda packed: packed[:1]]
)
def test_a_damaged_compressed_body_is_retried(client: MakeClient, damage: Callable[[bytes], bytes]) -> None:
    packed = gzip.compress(json.dumps(example("encounters.get")).encode())
    answers = iter([damage(packed), packed])
    ch = client(lambda request: answering(200, next(answers), GZIP)(request))
    assert ch.encounters.get("enc_1").encounter_id == "enc_synthetic_0001"


def test_the_size_of_the_published_spec_is_limited(client: MakeClient) -> None:
    report = client(answering(200, bomb(30_000_000), GZIP)).check_spec("https://docs.example.test/openapi.json")
    assert report.outcome == "could not tell"
    assert "larger than 20,000,000 bytes" in report.reason


@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "content-encoding", "x-request-id"])
@pytest.mark.parametrize("value", ["1" * 60_000, " " * 60_000 + "x", "," * 60_000, "Thu, " * 12_000])
def test_a_huge_header_changes_nothing(client: MakeClient, name: str, value: str) -> None:
    with pytest.raises(ApiStatusError) as caught:
        client(lambda request: httpx.Response(404, headers={name: value})).encounters.get("enc_1")
    assert caught.value.request_id is None


def test_a_body_of_several_gzip_members_is_read_whole(client: MakeClient) -> None:
    answer = answering(200, gzip.compress(b"one") + gzip.compress(b"two"), GZIP)
    assert client(answer).get("/external/v1/later").body == b"onetwo"
