"""The facts of a document, as a person reads them."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from scripts import facts

from .changes import everything_renamed
from .published import LIST, NOTES, SURFACE, Document, artifact, body, parameter, raw, schemas


def lines(document: Document) -> list[str]:
    return facts.facts_of(document, SURFACE)


def test_facts_have_a_direction_a_public_name_and_a_statement() -> None:
    found = lines(artifact())
    assert found == sorted(found)
    assert [line for line in found if "encounters.list" in line and "limit=" in line] == [
        "sent encounters.list(limit=): default 50",
        "sent encounters.list(limit=): maximum 100",
        "sent encounters.list(limit=): minimum 1",
        "sent encounters.list(limit=): optional",
        "sent encounters.list(limit=): type integer",
    ]
    assert [line for line in found if line.startswith("received Encounter.status:")] == [
        "received Encounter.status: required",
        "received Encounter.status: type string",
        'received Encounter.status: value "completed"',
        'received Encounter.status: value "draft"',
    ]
    assert f"sent encounters.list: GET {LIST}" in found
    assert "sent encounters.list: needs documents:read, encounters:read, http bearer, patients:read" in found
    assert "received encounters.list: status 200" in found
    assert "received TranscriptReadyEvent: event recording.transcript_ready" in found


def test_routes_and_models_without_a_promise_have_their_own_names() -> None:
    document = artifact()
    schemas(document)["WirePatient"]["properties"]["ward"] = {"$ref": "#/components/schemas/WireWard"}
    schemas(document)["WireWard"] = {"type": "object", "properties": {"name": {"type": "string", "deprecated": True}}}
    found = lines(document)
    assert {line for line in found if "WireWard" in line} == {
        "received WireWard.name: deprecated",
        "received WireWard.name: optional",
        "received WireWard.name: type string",
    }
    assert {line for line in found if NOTES in line and "draft" in line} == {
        f"sent POST {NOTES}(draft=): optional",
        f"sent POST {NOTES}(draft=): type boolean",
    }
    assert "sent WireNote.text: required" in found


def test_a_fact_of_one_alternative_names_it() -> None:
    document = artifact()
    schema = schemas(document)["WireDocument"]
    other = copy.deepcopy(schema)
    schema["properties"]["schema_type"] = {"const": "document"}
    other["properties"]["schema_type"] = {"const": "ambient_transcript"}
    other["properties"].pop("content")
    schemas(document)["WireDocument"] = {"oneOf": [schema, other]}
    found = [line for line in lines(document) if line.startswith("received Document.content:")]
    assert found == [
        'received Document.content: required [schema_type "document"]',
        'received Document.content: type object [schema_type "document"]',
    ]


def test_a_fact_of_one_route_names_it() -> None:
    document = artifact()
    error = {**schemas(document)["WireApiError"], "required": []}
    body(document, status="401")["content"]["application/json"]["schema"] = error
    found = [line for line in lines(document) if line.startswith("received ApiError.message: optional")]
    assert found == [f"received ApiError.message: optional [GET {LIST} 401]"]


def test_names_order_and_prose_are_not_facts() -> None:
    document = artifact()
    everything_renamed(document)
    document["paths"][LIST]["get"]["parameters"].reverse()
    parameter(document, "limit")["description"] = "Other."
    own = [line for line in lines(document) if "OtherWireNote" not in line]
    assert own == [line for line in lines(artifact()) if "WireNote" not in line]


def test_hostile_text_stays_one_printable_line_of_bounded_length() -> None:
    document = artifact()
    hostile = "x\n\x1b[31m\u202e\ud800" + "y" * 500
    schemas(document)["WirePatient"]["properties"][hostile] = {"type": "string", "enum": [hostile]}
    found = lines(document)
    assert all(line.isprintable() and len(line) <= 300 for line in found)
    "\n".join(found).encode()


def test_the_program_prints_the_facts_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.json").write_bytes(raw(artifact()))
    assert facts.main([str(tmp_path / "spec.json")]) == 0
    assert capsys.readouterr().out.splitlines() == lines(artifact())


def test_stale_facts_fail_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(facts, "FACTS", tmp_path / "facts.txt")
    assert facts.main(["--check"]) == 1
    facts.write(facts.FACTS)
    assert facts.main(["--check"]) == 0
    facts.FACTS.write_text("received Encounter.status: optional\n")
    assert facts.main(["--check"]) == 1
    assert "run `make generate`" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{}", json.dumps({"openapi": "3.1.0", "paths": {"/x": {"$ref": "#/paths/~1x"}}})])
def test_a_document_that_cannot_be_read_is_an_error_of_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.json").write_text(content)
    assert facts.main([str(tmp_path / "spec.json")]) == 1
    assert capsys.readouterr().err.startswith("facts: ")
