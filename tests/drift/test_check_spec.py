"""Whether the published artifact is the one in the package, asked by the client itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext import AsyncChartHero, ChartHero, Settings
from charthero_ext._spec import PUBLISHED
from charthero_ext.client import SpecReport
from tests.docs_host import Docs, answer

KEY = "ch_sk_synthetic_canary"
PACKAGED = (resources.files("charthero_client") / "openapi.json").read_bytes()


def sync(url: str) -> SpecReport:
    with ChartHero(settings=settings()) as ch:
        return ch.check_spec(url)


def awaited(url: str) -> SpecReport:
    async def check() -> SpecReport:
        async with AsyncChartHero(settings=settings()) as ch:
            return await ch.check_spec(url)

    return asyncio.run(check())


def settings() -> Settings:
    return Settings.load(api_key=KEY, base_url="https://api.example.test")


both = pytest.mark.parametrize("check", [sync, awaited])
Check = Callable[[str], SpecReport]


DOCUMENT = json.loads(PACKAGED)


@both
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
    check: Check, body: bytes, status: int, outcome: str, reason: str, docs: Docs
) -> None:
    docs.answers = [answer(status, body)]
    report = check(docs.url)
    assert (report.outcome, report.same) == (outcome, outcome == "same")
    assert reason in report.reason
    assert report.built_from_sha256 == ARTIFACT_SHA256
    assert (report.published_sha256 == ARTIFACT_SHA256) == (reason == "the same bytes")


@both
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/openapi.json",
        "http://docs.example.test/openapi.json",
        "ftp://127.0.0.1/",
        "openapi.json",
        "https://",
        "http://[",
    ],
)
def test_an_unusable_address_gives_no_answer(check: Check, url: str) -> None:
    report = check(url)
    assert report.outcome == "could not tell"
    assert report.published_sha256 is None


@both
def test_the_check_sends_no_credentials_and_shows_no_key(
    check: Check, docs: Docs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login synthetic password synthetic-password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    docs.answers = [answer(body=PACKAGED)]
    with caplog.at_level(0):
        report = check(docs.url)
    ((_, asked),) = docs.requests
    assert "authorization" not in asked
    assert KEY not in repr(asked) + repr(report) + caplog.text


@both
def test_the_report_hides_a_password_in_the_address(check: Check, docs: Docs) -> None:
    docs.answers = [answer(body=PACKAGED)]
    report = check(docs.url.replace("http://", "http://user:synthetic-password@") + "?token=synthetic-token")
    assert report.same
    assert "synthetic-" not in repr(report)


def test_a_package_that_was_tampered_with_gives_no_answer(docs: Docs, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.answers = [answer(body=PACKAGED)]
    monkeypatch.setattr("charthero_ext._spec.ARTIFACT_SHA256", "0" * 64)
    report = sync(docs.url)
    assert report.outcome == "could not tell"
    assert not docs.requests


def test_a_reconstructed_artifact_is_named_as_one(docs: Docs) -> None:
    docs.answers = [answer(body=PACKAGED)]
    about = json.loads(PACKAGED)["info"].get("description", "")
    assert sync(docs.url).reconstructed == about.startswith("Reconstructed ")


def test_the_published_address_is_the_one_the_developer_pages_name() -> None:
    assert PUBLISHED == "https://developers.charthero.ai/openapi/v1/openapi.json"
