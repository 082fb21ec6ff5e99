"""Whether the published artifact is the one in the package, asked by the client itself."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext import ChartHero, Settings
from charthero_ext.client import SpecReport
from tests.docs_host import Docs, answer
from tests.ext.conftest import EITHER_CLIENT, perform

KEY = "ch_sk_synthetic_canary"
PACKAGED = (resources.files("charthero_client") / "openapi.json").read_bytes()
DOCUMENT = json.loads(PACKAGED)


def check(kind: Any, url: str) -> SpecReport:
    settings = Settings.load(api_key=KEY, base_url="https://api.example.test")
    report: SpecReport = perform(kind(settings=settings), lambda ch: ch.check_spec(url))
    return report


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("body", "status", "outcome", "reason"),
    [
        (PACKAGED, 200, "same", "the same bytes"),
        (json.dumps(DOCUMENT, sort_keys=True).encode(), 200, "same", ""),
        (json.dumps({**DOCUMENT, "paths": {}}).encode(), 200, "differs", ""),
        (b"<html>", 200, "could not tell", "not JSON"),
        (PACKAGED[:-2], 200, "could not tell", "not JSON"),
        (b"[" * 100_000, 200, "could not tell", "not JSON"),
        (b"{}", 200, "could not tell", "not an OpenAPI document"),
        (b"[]", 200, "could not tell", "not an OpenAPI document"),
        (PACKAGED, 404, "could not tell", "HTTP 404"),
        (PACKAGED, 503, "could not tell", "HTTP 503"),
        (PACKAGED, 304, "could not tell", "HTTP 304"),
    ],
    ids=["same", "layout", "content", "html", "truncated", "nested", "empty", "list", "404", "503", "304"],
)
def test_the_report_says_whether_the_published_artifact_is_the_packaged_one(
    kind: Any, body: bytes, status: int, outcome: str, reason: str, docs: Docs
) -> None:
    docs.answers = [answer(status, body)]
    report = check(kind, docs.url)
    assert (report.outcome, report.same) == (outcome, outcome == "same")
    assert reason in report.reason
    assert report.built_from_sha256 == ARTIFACT_SHA256
    assert (report.published_sha256 == ARTIFACT_SHA256) == (reason == "the same bytes")
    assert report.reconstructed == DOCUMENT["info"].get("description", "").startswith("Reconstructed ")


@EITHER_CLIENT
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/openapi.json",
        "http://docs.example.test/openapi.json",
        "ftp://127.0.0.1/",
        "openapi.json",
        "https://",
        "http://[",
        "user:synthetic-password@docs.example.test/openapi.json",
        "https:user:synthetic-password@docs.example.test/openapi.json",
        "https:///user:synthetic-password@docs.example.test/openapi.json",
    ],
)
def test_an_unusable_address_gives_no_answer(kind: Any, url: str) -> None:
    report = check(kind, url)
    assert report.outcome == "could not tell"
    assert report.published_sha256 is None
    assert "synthetic-" not in repr(report)


@EITHER_CLIENT
def test_the_check_sends_no_credentials_and_shows_no_key(
    kind: Any, docs: Docs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login synthetic password synthetic-password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    docs.answers = [answer(body=PACKAGED)]
    with caplog.at_level(0):
        report = check(kind, docs.url)
    ((_, asked),) = docs.requests
    assert "authorization" not in asked
    assert KEY not in repr(asked) + repr(report) + caplog.text


@EITHER_CLIENT
def test_the_report_hides_a_password_in_the_address(kind: Any, docs: Docs) -> None:
    docs.answers = [answer(body=PACKAGED)]
    report = check(kind, docs.url.replace("http://", "http://user:synthetic-password@") + "?token=synthetic-token")
    assert report.same
    assert "synthetic-" not in repr(report)


def test_a_package_that_was_tampered_with_gives_no_answer(docs: Docs, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.answers = [answer(body=PACKAGED)]
    monkeypatch.setattr("charthero_ext._spec.ARTIFACT_SHA256", "0" * 64)
    report = check(ChartHero, docs.url)
    assert report.outcome == "could not tell"
    assert not docs.requests
