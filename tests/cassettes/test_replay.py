"""The project's cassettes replay without a network, hold no patient, and fit the snapshot."""

from __future__ import annotations

import gzip
import json
import re
import socket
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import vcr
import yaml
from charthero_client.contract import ROUTES
from vcr.errors import CannotOverwriteExistingCassetteException

from charthero_ext import ChartHero, Settings
from charthero_ext.errors import InvalidRequestError, NotFoundError
from charthero_ext.models import UNSET
from charthero_ext.testing import vcr_config
from tests.docs_host import answer, docs_host
from tests.payloads import BODIES

HERE = Path(__file__).parent
SPEC = json.loads((HERE.parent / "reconstructed.json").read_text())


@pytest.fixture
def ch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChartHero]:
    """A client that cannot open a socket."""

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a replay opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with ChartHero(settings=Settings.load(api_key="ch_sk_replay", base_url="https://api.example.test")) as client:
        yield client


def cassette(name: str) -> Any:
    return vcr.VCR(record_mode="none", **vcr_config()).use_cassette(str(HERE / name))


def interactions() -> Iterator[tuple[str, str, int, Any]]:
    """Yield cassette, path, status and body of everything recorded."""
    for path in sorted(HERE.glob("*.yaml")):
        for each in yaml.safe_load(path.read_text())["interactions"]:
            if each["response"]["headers"]["content-type"] != ["application/json"]:
                continue
            body = json.loads(each["response"]["body"]["string"])
            yield path.name, httpx.URL(each["request"]["uri"]).path, each["response"]["status"]["code"], body


def test_a_listing_replays(ch: ChartHero) -> None:
    with cassette("listing.yaml"):
        page = ch.encounters.list(limit=3)
    assert (len(page.items), page.total) == (3, 50)
    assert {encounter.patient.first_name for encounter in page.items} <= {"scrubbed", UNSET, None}


def test_every_record_replays_through_its_model(ch: ChartHero) -> None:
    with cassette("listing.yaml"):
        encounter_id = ch.encounters.list(limit=3).items[0].encounter_id
    with cassette("records.yaml"):
        encounter = ch.encounters.get(encounter_id)
        documents = {document.schema_type: document.document_id for document in encounter.documents}
        document = ch.documents.get(encounter_id, documents["document"])
        transcript = ch.documents.transcript(encounter_id, documents["ambient_transcript"])
        audio = ch.documents.audio(encounter_id, documents["ambient_transcript"])
    assert document.content
    assert document.content.text == "scrubbed"
    assert {turn.text for turn in transcript.transcript.turns} == {"scrubbed"}
    assert audio.audio_url == "https://scrubbed.invalid/"


def test_refusals_replay_as_the_errors_they_were(ch: ChartHero) -> None:
    with cassette("refusals.yaml"):
        with pytest.raises(InvalidRequestError) as caught:
            ch.encounters.list(limit=0)
        assert caught.value.reason_code == "invalid_limit"
        with pytest.raises(NotFoundError):
            ch.encounters.get("enc_nobody")


@pytest.mark.parametrize(
    ("name", "path", "status", "body"), [pytest.param(*each, id=each[1]) for each in interactions()]
)
def test_a_recorded_body_is_as_documented(name: str, path: str, status: int, body: Any) -> None:
    """If this fails, record again: ``python -m tests.cassettes.record``."""
    route = next(r for _, r in ROUTES.values() if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", r), path))
    described = SPEC["paths"][route]["get"]["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": SPEC["components"]}).validate(body)


CANARY = "canary"


def payloads() -> dict[str, Any]:
    """Return bodies with a canary in every field that a repr hides, and in unknown fields."""

    def planted(node: Any) -> Any:
        if isinstance(node, dict):
            kept = ("_id", "_at", "status", "schema_type", "encounter_type", "provider", "speaker", "format")
            changed = {
                name: value if isinstance(value, str) and name.endswith(kept) else planted(value)
                for name, value in node.items()
            }
            return {**changed, "added_later": f"{CANARY} later", f"{CANARY}_name": 1}
        if isinstance(node, list):
            return [planted(item) for item in node]
        return f"{CANARY} {node}" if isinstance(node, str) else node

    return {operation: planted(body) for operation, body in BODIES.items()}


def call(operation: str, settings: Settings) -> Any:
    ids = {"encounters.list": (), "encounters.get": ("enc_1",)}.get(operation, ("enc_1", "doc_1"))
    resource, _, method = operation.partition(".")
    with ChartHero(settings=settings) as ch:
        return getattr(getattr(ch, resource), method)(*ids)


@pytest.mark.parametrize("operation", ROUTES)
@pytest.mark.parametrize("is_packed", [True, False])
def test_hidden_values_never_reach_a_cassette(operation: str, is_packed: bool, tmp_path: Path) -> None:
    body = json.dumps(payloads()[operation]).encode()
    headers = {"set_cookie": f"session={CANARY}", "x_patient": CANARY, "content_type": f"application/json; p={CANARY}"}
    if is_packed:
        body, headers["content_encoding"] = gzip.compress(body), "gzip"
    target = tmp_path / "recorded.yaml"

    with docs_host() as host, vcr.VCR(record_mode="once", **vcr_config()).use_cassette(str(target)):
        host.answers = [answer(200, body, **headers)]
        base_url = str(httpx.URL(host.url).join("/"))
        settings = Settings.load(api_key="ch_sk_canary", base_url=base_url, attempts=1)
        live = call(operation, settings)
    assert CANARY not in target.read_text()
    with vcr.VCR(record_mode="none", **vcr_config()).use_cassette(str(target)):
        assert type(call(operation, settings)) is type(live)


LIST = ROUTES["encounters.list"][1]
KEY = {"Authorization": f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("uri", "headers"),
    [
        (f"https://media.example.test/{CANARY}.wav?signature={CANARY}", {}),
        (f"https://media.example.test{LIST}?signature={CANARY}", {}),
        (f"https://media.example.test{LIST}/{CANARY}?limit=1", {}),
        (f"https://{CANARY}:{CANARY}@{CANARY}.example.test{LIST}?limit=1#{CANARY}", KEY),
        (f"https://media.example.test{LIST}?{CANARY}=1&limit=1&signature={CANARY}", KEY),
        (f"https://media.example.test{LIST}?limit={CANARY}&start_at={CANARY}&sort_order={CANARY}", KEY),
        (f"https://media.example.test{LIST}/%20{CANARY}%20", KEY),
        (f"https://media.example.test{LIST}/enc_1/{CANARY}", KEY),
    ],
)
def test_a_recorded_request_keeps_only_known_parts(uri: str, headers: dict[str, str], tmp_path: Path) -> None:
    written = recorded(tmp_path, uri, headers=headers)
    assert CANARY.encode() not in written
    expected = b"https://api.example.test/external/v1/encounters?limit=" if headers and "limit" in uri else SCRUBBED
    assert expected in written


SCRUBBED = b"https://scrubbed.invalid/"
ENVELOPED = json.dumps({f"{CANARY}_name": BODIES["encounters.get"]["encounter"]}).encode()
SHIFTED = json.dumps(
    {"items": f"{CANARY} x", "limit": f"{CANARY} x", "offset": [CANARY], "total": {CANARY: CANARY}}
).encode()


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"{}", extensions={"reason_phrase": CANARY.encode()}),
        httpx.Response(599, content=b"{}", extensions={"reason_phrase": CANARY.encode()}),
        httpx.Response(200, content=CANARY, headers={"Content-Type": f"{CANARY}/{CANARY}; charset={CANARY}"}),
        httpx.Response(502, content=f"<p>{CANARY}</p>", headers={"Content-Type": f"text/html; title={CANARY}"}),
        httpx.Response(503, content=json.dumps(CANARY), headers={"Retry-After": CANARY, "Date": f"Mon, {CANARY}"}),
        httpx.Response(503, content=CANARY, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}),
        httpx.Response(302, headers={"Location": f"https://x.example.test/{CANARY}", f"X-{CANARY}": CANARY}),
        httpx.Response(200, content=ENVELOPED),
        httpx.Response(200, content=SHIFTED),
        httpx.Response(
            404, json={"error": f"{CANARY} x", "reason_code": f"{CANARY} x", "message": CANARY, "field": CANARY}
        ),
    ],
)
def test_a_recorded_response_keeps_only_known_parts(response: httpx.Response, tmp_path: Path) -> None:
    assert CANARY.encode() not in recorded(tmp_path, f"https://x.example.test{LIST}", response, headers=KEY)


def recorded(directory: Path, uri: str, response: httpx.Response | None = None, *, headers: dict[str, str]) -> bytes:
    """Record one request, and return the bytes of the cassette."""
    response = response or httpx.Response(200, content=CANARY)
    target = directory / "recorded.yaml"
    with vcr.VCR(record_mode="once", **vcr_config()).use_cassette(str(target)) as tape:
        sent = {"code": response.status_code, "message": response.reason_phrase}
        fields = {name: [value] for name, value in response.headers.multi_items()}
        answer = {"status": sent, "headers": fields, "body": {"string": response.content}}
        tape.append(vcr.request.Request("GET", uri, CANARY, headers), answer)
    return target.read_bytes()


def test_a_date_stays_a_date_in_a_cassette() -> None:
    encounter = next(body["encounter"] for *_, body in interactions() if "encounter" in body)
    assert encounter["date_of_service"] == encounter["patient"]["date_of_birth"] == "1970-01-01"


def test_a_cassette_replays_a_recording_as_a_short_wav(ch: ChartHero, tmp_path: Path) -> None:
    path = next(path for *_, path, _, body in interactions() if "audio_url" in body)
    *_, encounter_id, _, document_id, _ = path.split("/")
    with cassette("records.yaml"):
        ch.documents.download_audio(encounter_id, document_id, tmp_path / "visit.wav")
    with wave.open(str(tmp_path / "visit.wav")) as recording:
        assert 0 < recording.getnframes() < 1000


def test_a_request_missing_from_a_cassette_is_explained_by_vcrpy(ch: ChartHero) -> None:
    with cassette("listing.yaml"), pytest.raises(CannotOverwriteExistingCassetteException) as caught:
        ch.encounters.list(limit=77)
    assert "limit=77" in str(caught.value)
    assert "listing.yaml" in str(caught.value)
