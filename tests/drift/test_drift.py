"""What `python -m scripts.drift` prints, and its exit code: 0, 1, or 2 without an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import drift
from scripts.artifact import sha256
from tests.docs_host import Answer, Docs, answer

from .changes import field
from .published import Document, artifact, raw

every_form = pytest.mark.parametrize("form", ["text", "markdown", "json", "github"])
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a snapshot that was pulled."""
    path = tmp_path / "openapi.json"
    path.write_bytes(raw(artifact()))
    record(tmp_path, "pulled")
    monkeypatch.setattr(drift, "SNAPSHOT", path)
    monkeypatch.setattr(drift, "SOURCE", tmp_path / "source.json")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return path


def record(directory: Path, provenance: str) -> None:
    digest = sha256((directory / "openapi.json").read_bytes())
    (directory / "source.json").write_text(json.dumps({"sha256": digest, "provenance": provenance}))


def unchanged(document: Document) -> None:
    """Leave the document as it is."""


def with_words(document: Document) -> None:
    document["info"]["description"] = "Other."


def with_value(document: Document) -> None:
    field(document, "Encounter", "status")["enum"].append("signed")


def with_null(document: Document) -> None:
    field(document, "Encounter", "status").update(nullable=True)


def published(change: Callable[[Document], None]) -> bytes:
    document = artifact()
    change(document)
    return raw(document)


def with_other_layout(document: Document) -> None:
    document["info"] = document.pop("info")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (unchanged, {"any": 0, "warning": 0, "breaking": 0}),
        (with_other_layout, {"any": 1, "warning": 0, "breaking": 0}),
        (with_words, {"any": 1, "warning": 0, "breaking": 0}),
        (with_value, {"any": 1, "warning": 1, "breaking": 0}),
        (with_null, {"any": 1, "warning": 1, "breaking": 1}),
    ],
)
def test_drift_counts_from_the_given_severity_whatever_the_etag(
    change: Callable[[Document], None], codes: dict[str, int], docs: Docs, snapshot: Path, capsys: Captured
) -> None:
    docs.answers = [answer(body=published(change), etag='"1"', last_modified="Fri, 01 May 2026 00:00:00 GMT")]
    assert {level: drift.main([docs.url, "--fail-on", level]) for level in codes} == codes
    assert not any(name.startswith("if-") for _, headers in docs.requests for name in headers)
    out = capsys.readouterr().out
    if change is with_null:
        assert "breaking  received-null-added: Encounter.status" in out
        assert out.endswith("drift: 1 breaking\n")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answer(body=b"<!doctype html><title>Sign in</title>"), "HTML"),
        (answer(body=raw(artifact()), content_length="1000000"), "cut short"),
        (answer(body=b"{}"), "not an OpenAPI"),
        (answer(403, raw(artifact())), "HTTP 403"),
        (answer(304), "HTTP 304"),
    ],
    ids=["html", "cut short", "empty", "403", "304"],
)
@every_form
def test_an_unusable_answer_exits_with_2_and_says_why(
    bad: Answer, reason: str, form: str, docs: Docs, snapshot: Path, capsys: Captured
) -> None:
    docs.answers = [bad]
    assert drift.main([docs.url, "--format", form, "--fail-on", "breaking"]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert form == "text" or "could not tell" in captured.out.lower()


@pytest.mark.parametrize("content", [None, b"{}", b"<html>", b'{"openapi": "3.1.0", "paths": {}}'])
def test_an_unusable_snapshot_exits_with_2(content: bytes | None, docs: Docs, snapshot: Path) -> None:
    docs.answers = [answer(body=raw(artifact()))]
    snapshot.unlink() if content is None else snapshot.write_bytes(content)
    assert drift.main([docs.url]) == 2


def test_an_unexpected_error_exits_with_2(
    docs: Docs, snapshot: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def faulty(*_: object) -> object:
        raise RecursionError

    docs.answers = [answer(body=raw(artifact()))]
    monkeypatch.setattr(drift, "compare", faulty)
    assert drift.main([docs.url]) == 2
    assert "RecursionError" in capsys.readouterr().err


@every_form
def test_a_reconstructed_snapshot_is_mentioned_first(
    form: str, docs: Docs, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    record(tmp_path, "reconstructed")
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    docs.answers = [answer(body=published(with_null))]
    assert drift.main([docs.url, "--format", form]) == 1
    out = summary.read_text() if form == "github" else capsys.readouterr().out
    assert 0 <= out.index("reconstructed") < out.index("Encounter.status")


def test_a_snapshot_that_was_edited_is_mentioned(docs: Docs, snapshot: Path, capsys: Captured) -> None:
    docs.answers = [answer(body=raw(artifact()))]
    snapshot.write_bytes(json.dumps(artifact(), indent=1).encode())
    assert drift.main([docs.url]) == 1
    assert "does not match the snapshot" in capsys.readouterr().out


def test_json_is_for_programs(docs: Docs, snapshot: Path, capsys: Captured) -> None:
    docs.answers = [answer(body=published(with_value))]
    assert drift.main([docs.url, "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "drift"
    assert report["snapshot_sha256"] == sha256(snapshot.read_bytes())
    assert report["published_sha256"] == sha256(published(with_value))
    assert [finding["public"] for finding in report["findings"]] == ["Encounter.status"]


def test_github_gets_annotations_and_a_summary(
    docs: Docs, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("Before.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    docs.answers = [answer(body=published(with_null))]
    assert drift.main([docs.url, "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith("::error file=openapi/openapi.json,title=received-null-added")
    assert summary.read_text().startswith("Before.\n## Drift: 1 breaking\n\n### Breaking\n\n* ⚠ `Encounter.status`: ")


def test_the_password_of_an_address_is_never_printed(docs: Docs, snapshot: Path, capsys: Captured) -> None:
    docs.answers = [answer(body=raw(artifact()))]
    address = docs.url.replace("http://", "http://user:synthetic-password@") + "?token=synthetic-token"
    for form in ("markdown", "json"):
        assert drift.main([address, "--format", form]) == 0
    assert drift.main([f"{address}#html", "--format", "markdown"]) == 0
    docs.answers = [answer(404)]
    for form in ("text", "markdown", "json", "github"):
        assert drift.main([address, "--format", form]) == 2
    captured = capsys.readouterr()
    assert "synthetic-" not in captured.out + captured.err
