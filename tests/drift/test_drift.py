"""What the program says and what it exits with: 0, 1, or 2 where it could not tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import drift
from scripts.artifact import sha256

from .changes import field
from .conftest import Docs
from .published import Document, artifact, raw


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot, pulled as recorded; the environment of a job is not there."""
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


def with_value(document: Document) -> None:
    field(document, "Encounter", "status")["enum"].append("signed")


def with_null(document: Document) -> None:
    field(document, "Encounter", "status").update(nullable=True)


def with_words(document: Document) -> None:
    document["info"]["description"] = "Other."


def nothing(document: Document) -> None:
    """Leave the document as it is."""


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (nothing, {"any": 0, "warning": 0, "breaking": 0}),
        (with_words, {"any": 1, "warning": 0, "breaking": 0}),
        (with_value, {"any": 1, "warning": 1, "breaking": 0}),
        (with_null, {"any": 1, "warning": 1, "breaking": 1}),
    ],
)
def test_drift_counts_from_the_severity_that_is_asked_for(
    change: Callable[[Document], None], codes: dict[str, int], docs: Docs, snapshot: Path
) -> None:
    published = artifact()
    change(published)
    docs.body = raw(published)
    assert {level: drift.main([docs.url, "--fail-on", level]) for level in codes} == codes


def test_by_default_any_difference_counts_even_of_layout_alone(docs: Docs, snapshot: Path) -> None:
    docs.body = json.dumps(artifact(), indent=2).encode()
    assert drift.main([docs.url]) == 1
    assert drift.main([docs.url, "--fail-on", "warning"]) == 0


def test_what_changed_is_told_with_the_public_name(
    docs: Docs, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = artifact()
    with_null(published)
    docs.body = raw(published)
    assert drift.main([docs.url]) == 1
    out = capsys.readouterr().out
    assert "breaking  received-null-added: Encounter.status" in out
    assert out.endswith("drift: 1 breaking\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"body": b"<!doctype html><title>Sign in</title>"}, "HTML"),
        ({"body": b'{"openapi": "3.1.0", "paths": {'}, "cut short"),
        ({"body": raw(artifact()), "cut_short": True}, "cut short"),
        ({"body": b"{}"}, "not an OpenAPI"),
        ({"body": b'{"swagger": "2.0", "paths": {}}'}, "Swagger 2"),
        ({"body": b""}, "not JSON"),
        ({"status": 404}, "HTTP 404"),
        ({"status": 503}, "HTTP 503"),
        ({"status": 304}, "HTTP 304"),
        ({"body": raw(artifact()), "status": 403}, "HTTP 403"),
    ],
    ids=["html", "truncated", "cut short", "empty", "swagger", "nothing", "404", "503", "304", "403"],
)
@pytest.mark.parametrize("form", ["text", "markdown", "json", "github"])
def test_no_usable_answer_is_never_green(
    answer: dict[str, object], reason: str, form: str, docs: Docs, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in answer.items():
        setattr(docs, name, value)
    assert drift.main([docs.url, "--format", form, "--fail-on", "breaking"]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert form == "text" or "could not tell" in captured.out.lower()


def test_a_host_that_does_not_answer_is_never_green(docs: Docs, snapshot: Path) -> None:
    assert drift.main(["http://127.0.0.1:1/openapi.json"]) == 2


def test_without_a_snapshot_there_is_nothing_to_compare_with(docs: Docs, snapshot: Path) -> None:
    docs.body = raw(artifact())
    snapshot.unlink()
    assert drift.main([docs.url]) == 2


@pytest.mark.parametrize("content", [b"{}", b"<html>", b'{"openapi": "3.1.0", "paths": {}}'])
def test_a_snapshot_nothing_could_be_built_from_is_nothing_to_compare_with(
    content: bytes, docs: Docs, snapshot: Path
) -> None:
    docs.body = raw(artifact())
    snapshot.write_bytes(content)
    assert drift.main([docs.url]) == 2


def test_a_fault_of_our_own_is_no_answer(
    docs: Docs, snapshot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(*_: object) -> object:
        raise RecursionError

    docs.body = raw(artifact())
    monkeypatch.setattr(drift, "compare", faulty)
    assert drift.main([docs.url]) == 2
    assert "RecursionError" in capsys.readouterr().err


def test_a_misspelt_option_is_no_answer(snapshot: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        drift.main(["--fail-on", "sometimes"])
    assert stopped.value.code == 2


def test_an_etag_that_did_not_change_proves_nothing(docs: Docs, snapshot: Path) -> None:
    docs.headers = {"ETag": '"1"', "Last-Modified": "Fri, 01 May 2026 00:00:00 GMT"}
    docs.body = raw(artifact())
    assert drift.main([docs.url]) == 0
    published = artifact()
    with_null(published)
    docs.body = raw(published)
    assert drift.main([docs.url]) == 1
    assert not any(name.startswith("if-") for asked in docs.asked for name in asked)


@pytest.mark.parametrize("form", ["text", "markdown", "json", "github"])
def test_a_reconstructed_snapshot_says_so_on_top(
    form: str,
    docs: Docs,
    snapshot: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record(tmp_path, "reconstructed")
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    published = artifact()
    with_null(published)
    docs.body = raw(published)
    assert drift.main([docs.url, "--format", form]) == 1
    out = summary.read_text() if form == "github" else capsys.readouterr().out
    assert (
        0 <= out.index("reconstructed") < out.index("received-null-added" if form in ("text", "json") else "Encounter")
    )


def test_a_snapshot_that_was_changed_by_hand_says_so(
    docs: Docs, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs.body = raw(artifact())
    snapshot.write_bytes(json.dumps(artifact(), indent=1).encode())
    assert drift.main([docs.url]) == 1
    assert "does not match the snapshot" in capsys.readouterr().out


def test_json_is_for_programs(docs: Docs, snapshot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = artifact()
    with_value(published)
    docs.body = raw(published)
    assert drift.main([docs.url, "--format", "json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["verdict"] == "drift"
    assert facts["snapshot_sha256"] == sha256(snapshot.read_bytes())
    assert facts["published_sha256"] == sha256(docs.body)
    assert [finding["public"] for finding in facts["findings"]] == ["Encounter.status"]


def test_github_gets_annotations_and_a_summary(
    docs: Docs, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("Before.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    published = artifact()
    with_null(published)
    docs.body = raw(published)
    assert drift.main([docs.url, "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith("::error file=openapi/openapi.json,title=received-null-added")
    assert summary.read_text().startswith("Before.\n## Drift: 1 breaking\n\n### Breaking\n\n* ⚠ `Encounter.status`: ")


def test_a_password_in_the_address_is_not_repeated(
    docs: Docs, snapshot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs.body = raw(artifact())
    address = docs.url.replace("http://", "http://user:synthetic-password@") + "?token=synthetic-token"
    for form in ("markdown", "json"):
        assert drift.main([address, "--format", form]) == 0
    assert drift.main([f"{address}#html", "--format", "markdown"]) == 0
    docs.status = 404
    for form in ("text", "markdown", "json", "github"):
        assert drift.main([address, "--format", form]) == 2
    captured = capsys.readouterr()
    assert "synthetic-" not in captured.out + captured.err
