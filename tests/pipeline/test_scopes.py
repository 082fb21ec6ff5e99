"""The artifact's scopes and the documented ones have to agree, wherever the artifact names any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.scopes import disagreements, main
from scripts.surface import load_surface

from .shapes import LIST, operations, unchanged

DOCUMENTED = ["encounters:read", "patients:read", "documents:read"]


def secured(document: dict[str, Any], *alternatives: Any) -> dict[str, Any]:
    document["paths"][LIST]["get"]["security"] = list(alternatives)
    return document


def test_the_snapshot_agrees_with_the_developer_pages() -> None:
    assert main([]) == 0


def test_an_artifact_that_names_no_scopes_cannot_disagree() -> None:
    document = unchanged()
    for operation in operations(document):
        operation["security"] = [{"bearer": []}]
    assert disagreements(document, load_surface()) == []


@pytest.mark.parametrize("scopes", [DOCUMENTED, DOCUMENTED[::-1], [*DOCUMENTED, "patients:read"]])
def test_the_order_of_scopes_means_nothing(scopes: list[str]) -> None:
    assert disagreements(secured(unchanged(), {"bearer": scopes}), load_surface()) == []


@pytest.mark.parametrize(
    ("scopes", "asked"),
    [
        ([*DOCUMENTED, "all:read"], "`all:read`, `documents:read`, `encounters:read`, `patients:read`"),
        (DOCUMENTED[:2], "`encounters:read`, `patients:read`"),
        (["other:read"], "`other:read`"),
    ],
)
def test_a_scope_more_or_less_is_a_disagreement_that_names_operation_and_scopes(scopes: list[str], asked: str) -> None:
    assert disagreements(secured(unchanged(), {"bearer": scopes}), load_surface()) == [
        f"encounters.list: the artifact asks for {asked};"
        " the developer pages for `documents:read`, `encounters:read`, `patients:read`"
    ]


def test_a_scope_cannot_write_to_the_terminal() -> None:
    (line,) = disagreements(secured(unchanged(), {"bearer": ["a\x1b[31m\nb"]}), load_surface())
    assert line.isprintable()


def test_the_program_names_the_disagreement_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = tmp_path / "openapi.json"
    artifact.write_text(json.dumps(secured(unchanged(), {"bearer": ["other:read"]})), encoding="utf-8")
    assert main([str(artifact)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("scopes: encounters.list: the artifact asks for `other:read`")
    assert "surface.toml" in said


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"openapi": "3.1.0", "paths": {}}'])
def test_an_artifact_that_cannot_be_used_fails_in_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "openapi.json"
    artifact.write_bytes(content)
    assert main([str(artifact)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main([str(tmp_path / "nowhere.json")]) == 1
