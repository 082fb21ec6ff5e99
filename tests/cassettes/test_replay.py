"""The project's own cassettes: they replay without a network, hold nobody, and fit the snapshot."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import vcr
import yaml
from charthero_client.contract import ROUTES

from charthero_ext import ChartHero, Settings
from charthero_ext.errors import InvalidRequestError, NotFoundError
from charthero_ext.models import UNSET
from charthero_ext.testing import vcr_config
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


def test_a_body_that_stopped_fitting_would_be_noticed() -> None:
    _, _, _, body = next(each for each in interactions() if each[0] == "listing.yaml")
    del body["items"][0]["created_at"]
    with pytest.raises(jsonschema.ValidationError, match="created_at"):
        test_a_recorded_body_is_as_documented("listing.yaml", ROUTES["encounters.list"][1], 200, body)


CANARY = "canary"


def payloads() -> dict[str, Any]:
    """Return answers with a canary in every field that may not be shown, and in fields nobody knows."""

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


@pytest.mark.parametrize("operation", ROUTES)
@pytest.mark.parametrize("is_packed", [True, False])
def test_nothing_that_may_not_be_shown_reaches_the_disk(
    operation: str, is_packed: bool, tmp_path: Path, served: Any
) -> None:
    body = json.dumps(payloads()[operation]).encode()
    headers = {"Set-Cookie": f"session={CANARY}", "X-Patient": CANARY, "Content-Type": "application/json"}
    if is_packed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    url = served(body, headers)
    target = tmp_path / "recorded.yaml"
    settings = Settings.load(api_key="ch_sk_canary", base_url=url, attempts=1)
    ids = () if operation == "encounters.list" else ("enc_1",) if operation == "encounters.get" else ("enc_1", "doc_1")
    resource, _, method = operation.partition(".")

    def call() -> Any:
        with ChartHero(settings=settings) as ch:
            return getattr(getattr(ch, resource), method)(*ids)

    with vcr.VCR(record_mode="once", **vcr_config()).use_cassette(str(target)):
        live = call()
    text = target.read_text()
    assert CANARY not in text
    assert "ch_sk" not in text
    with vcr.VCR(record_mode="none", **vcr_config()).use_cassette(str(target)):
        assert type(call()) is type(live)


def test_a_recording_and_its_url_are_not_kept(tmp_path: Path, served: Any) -> None:
    url = served(b"RIFF" + CANARY.encode(), {"Content-Type": "audio/wav"})
    target = tmp_path / "recorded.yaml"
    with vcr.VCR(record_mode="once", **vcr_config()).use_cassette(str(target)), httpx.Client() as client:
        client.get(f"{url}/media/{CANARY}.wav?signature={CANARY}", headers={"Authorization": f"Bearer {CANARY}"})
    assert CANARY not in target.read_text()
    assert "https://scrubbed.invalid/" in target.read_text()
