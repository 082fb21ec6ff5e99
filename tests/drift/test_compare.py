"""Which changes of an artifact are differences, and which are only another spelling."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from scripts.artifact import ArtifactError
from scripts.compare import compare
from scripts.findings import Finding
from scripts.severity import Severity
from tests.pipeline.shapes import inlined

from .changes import added_field, everything_renamed, field
from .published import LIST, NOTES, SURFACE, Document, artifact, body, parameter, raw, schemas

SPELLING = {"spelling-changed"}


def findings(before: Document, after: Document) -> list[Finding]:
    return compare(raw(before), raw(after), SURFACE)


def rules(before: Document, after: Document) -> set[str]:
    return {finding.rule for finding in findings(before, after)}


def with_schema(schema: dict[str, Any], **components: Any) -> Document:
    """Return the artifact with a schema for `Patient.first_name`."""
    document = artifact()
    schemas(document).update(components)
    schemas(document)["WirePatient"]["properties"]["first_name"] = schema
    return document


def with_limit(schema: dict[str, Any], **components: Any) -> Document:
    """Return the artifact with a schema for the query parameter `limit`."""
    document = artifact()
    schemas(document).update(components)
    parameter(document, "limit")["schema"] = schema
    return document


def test_equal_bytes_have_no_findings() -> None:
    assert compare(raw(artifact()), raw(artifact()), SURFACE) == []


def test_renamed_ids_schemas_and_tags_are_one_finding_of_severity_info() -> None:
    after = artifact()
    everything_renamed(after)
    (finding,) = findings(artifact(), after)
    assert (finding.rule, finding.severity) == ("spelling-changed", Severity.INFO)
    assert finding.after == "operationId, schema name, tags"


def test_an_inline_schema_equals_a_referenced_one() -> None:
    before = artifact()
    after = {**before, "paths": inlined(before, before["paths"]), "webhooks": inlined(before, before["webhooks"])}
    assert rules(before, after) == rules(after, before) == SPELLING


@pytest.mark.parametrize(
    "spellings",
    [
        [
            {"type": ["string", "null"]},
            {"type": "string", "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"oneOf": [{"type": "null"}, {"type": "string"}]},
            {"allOf": [{"type": "string", "nullable": True}]},
            {"allOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"description": "Wrapped."}]},
            {"$ref": "#/components/schemas/Name", "description": "Beside a reference."},
            {"allOf": [{"$ref": "#/components/schemas/Name"}], "title": "Name"},
        ],
        [
            {"type": ["string", "integer"], "maxLength": 5},
            {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 5}]},
            {"oneOf": [{"type": "string", "maxLength": 5}, {"type": "integer"}]},
        ],
        [{"const": "a"}, {"enum": ["a"]}, {"type": "string", "enum": ["a"]}],
        [
            {"type": "integer", "maximum": 100, "minimum": 0},
            {"type": "integer", "exclusiveMaximum": 101, "exclusiveMinimum": -1},
            {"type": "integer", "maximum": 101, "exclusiveMaximum": True, "minimum": 0},
            {"allOf": [{"type": "integer", "maximum": 200}, {"maximum": 100, "minimum": 0}]},
        ],
        [{"type": "array", "items": {}}, {"type": "array", "items": True, "minItems": 0, "uniqueItems": False}],
    ],
    ids=["null", "several types", "constant", "bounds", "keywords that say nothing"],
)
def test_equal_schemas_are_equal_in_every_spelling(spellings: list[dict[str, Any]]) -> None:
    name = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    documents = [with_limit({"type": "integer"}, Name=name) for _ in spellings]
    for document, spelling in zip(documents, spellings, strict=True):
        body(document, NOTES, "post")["content"]["application/json"]["schema"] = spelling
    for other in documents[1:]:
        assert rules(documents[0], other) == SPELLING


def test_null_in_a_union_around_a_reference_is_null() -> None:
    union = {"anyOf": [{"$ref": "#/components/schemas/WirePatient"}, {"type": "null"}]}
    after = artifact()
    schemas(after)["WireEncounter"]["properties"]["patient"] = {"allOf": [union, {"description": "Wrapped."}]}
    assert {(one.rule, one.public) for one in findings(artifact(), after)} == {
        ("received-null-added", "Encounter.patient"),
        ("spelling-changed", ""),
    }


def test_keywords_beside_a_reference_count() -> None:
    limit = {"type": "integer", "minimum": 1, "maximum": 100}
    before = with_limit({"$ref": "#/components/schemas/Limit"}, Limit=limit)
    after = with_limit({"$ref": "#/components/schemas/Limit", "maximum": 50}, Limit=limit)
    (finding,) = findings(before, after)
    assert (finding.rule, finding.public) == ("sent-bound-tightened", "encounters.list(limit=)")
    assert finding.change == "maximum 100 → maximum 50"


@pytest.mark.parametrize(
    ("keyword", "looser"),
    [("maximum", 11), ("maxLength", 11), ("maxItems", 11), ("minimum", 9), ("minLength", 9), ("minItems", 9)],
)
def test_a_bound_that_allows_more_is_loosened(keyword: str, looser: int) -> None:
    def notes(bound: int) -> Document:
        document = artifact()
        kind = {"Length": "string", "Items": "array"}.get(keyword[3:], "integer")
        schemas(document)["WireNote"]["properties"]["text"] = {"type": kind, keyword: bound}
        return document

    assert rules(notes(10), notes(looser)) == {"sent-bound-loosened"}
    assert rules(notes(looser), notes(10)) == {"sent-bound-tightened"}
    if keyword.startswith("max"):
        assert rules(notes(10), notes(0)) == {"sent-bound-tightened"}


def kinds_of_documents(*constants: str) -> Document:
    document = artifact()
    schema = schemas(document)["WireDocument"]
    alternatives = [
        {**schema, "properties": {**schema["properties"], "schema_type": {"const": constant}}} for constant in constants
    ]
    alternatives[0]["properties"]["pages"] = {"type": "integer"}
    schemas(document)["WireDocument"] = {"oneOf": alternatives}
    return document


def test_a_renamed_constant_that_callers_branch_on_is_breaking() -> None:
    found = findings(kinds_of_documents("document", "transcript"), kinds_of_documents("note", "transcript"))
    (finding,) = found
    assert (finding.rule, finding.public) == ("received-constant-changed", "Document.schema_type")
    assert (finding.severity, finding.change) == (Severity.BREAKING, 'value "document" → value "note"')


def test_alternatives_are_paired_by_likeness() -> None:
    before = kinds_of_documents("document", "transcript")
    after = copy.deepcopy(before)
    schemas(after)["WireDocument"]["oneOf"].reverse()
    assert rules(before, after) == SPELLING
    schemas(after)["WireDocument"]["oneOf"][0]["properties"]["language"] = {"type": "string"}
    (finding,) = findings(before, after)
    assert (finding.rule, finding.public) == ("received-field-added", "Document.language")


@pytest.mark.parametrize(
    "loop",
    [
        {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Loop"}}},
        {"type": "array", "items": {"$ref": "#/components/schemas/Loop"}},
        {"anyOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "string"}]},
        {"allOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "string"}]},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Loop"}},
    ],
    ids=["object", "array", "anyOf", "allOf", "map"],
)
def test_recursive_schemas_are_compared_completely(loop: dict[str, Any]) -> None:
    before = with_schema({"type": "string"}, Loop=loop)
    schemas(before)["WireEncounter"]["properties"]["loop"] = {"$ref": "#/components/schemas/Loop"}
    after = copy.deepcopy(before)
    field(after, "Encounter", "status")["enum"].append("signed")
    assert rules(before, after) == {"received-value-added"}
    after = copy.deepcopy(before)
    schemas(after)["Loop"]["deprecated"] = True
    assert "deprecated-added" in rules(before, after)


def knotted(document: Document) -> None:
    """Make each of forty schemas hold the next one twice."""
    for depth in range(40):
        inner = {"$ref": f"#/components/schemas/Knot{depth + 1}"}
        schemas(document)[f"Knot{depth}"] = {"type": "object", "properties": {"a": inner, "b": inner}}
    schemas(document)["Knot40"] = {"type": "string"}


def chained(document: Document) -> None:
    """Make a schema that is a hundred references away."""
    for depth in range(100):
        schemas(document)[f"Knot{depth}"] = {"$ref": f"#/components/schemas/Knot{depth + 1}", "title": "Link"}
    schemas(document)["Knot100"] = {"type": "string"}


def multiplied(document: Document) -> None:
    """Describe an error by a hundred alternatives of ten fields, each of which takes thousands of steps to read."""
    for depth in range(20):
        schemas(document)[f"Knot{depth}"] = {"allOf": [{"$ref": f"#/components/schemas/Knot{depth + 1}"}]}
    schemas(document)["Knot20"] = {"type": "string"}
    schemas(document)["Union"] = {"anyOf": [{"$ref": "#/components/schemas/Knot0"}] * 100}
    fields = {f"f{number}": {"$ref": "#/components/schemas/Union"} for number in range(10)}
    schemas(document)["Fields"] = {"type": "object", "properties": fields}
    branches = [
        {"allOf": [{"$ref": "#/components/schemas/Fields"}], "properties": {f"p{number}": {}}} for number in range(100)
    ]
    content = {"application/json": {"schema": {"anyOf": branches}}}
    document["paths"]["/external/v1/encounters"]["get"]["responses"]["418"] = {"description": "", "content": content}


@pytest.mark.parametrize("exhaust", [knotted, chained, multiplied])
def test_schemas_that_would_exhaust_the_reader_are_refused(exhaust: Callable[[Document], None]) -> None:
    after = artifact()
    exhaust(after)
    notes = after["paths"][NOTES]["post"]["responses"]["200"]["content"]["application/json"]
    notes["schema"] = {"$ref": "#/components/schemas/Knot0"}
    with pytest.raises(ArtifactError, match=r"too intertwined|too many alternatives"):
        compare(raw(artifact()), raw(after), SURFACE)


def test_an_envelope_that_lost_an_essential_field_names_it() -> None:
    after = artifact()
    schemas(after)["WireEncounter"]["properties"].pop("encounter_id")
    found = {(finding.rule, finding.public) for finding in findings(artifact(), after)}
    assert found == {("surface-lost", "Encounter.encounter_id")} | {
        ("received-promised-field-removed", "Encounter.encounter_id")
    }


@pytest.mark.parametrize(
    ("change", "rule", "public", "routes"),
    [
        (
            lambda new: schemas(new)["WireEncounter"]["required"].remove("status"),
            "received-required-removed",
            "Encounter.status",
            2,
        ),
        (lambda new: added_field(new, "EncounterDetail", "trace"), "received-field-added", "encounters.get.trace", 1),
        (
            lambda new: field(new, "ApiError", "reason_code").update(enum=["a"]),
            "received-value-closed",
            "ApiError.reason_code",
            len(SURFACE.operations),
        ),
        (
            lambda new: field(new, "Patient", "first_name").update({"not": {}}),
            "unknown-changed",
            "Patient.first_name",
            2,
        ),
    ],
)
def test_one_change_is_one_finding_that_names_every_route(
    change: Callable[[Document], object], rule: str, public: str, routes: int
) -> None:
    after = artifact()
    change(after)
    (finding,) = findings(artifact(), after)
    assert (finding.rule, finding.public, len({finding.route, *finding.also})) == (rule, public, routes)
    assert finding.place.startswith(f"{finding.route} {finding.path}")


def test_an_error_body_that_changes_for_one_status_names_the_status() -> None:
    def with_errors(lost: str = "") -> Document:
        document = artifact()
        error = schemas(document)["WireApiError"]
        responses = document["paths"][LIST]["get"]["responses"]
        for status in ("401", "404"):
            properties = {name: one for name, one in error["properties"].items() if status != "404" or name != lost}
            responses[status] = {"content": {"application/json": {"schema": {**error, "properties": properties}}}}
        return document

    (finding,) = findings(with_errors(), with_errors("field"))
    assert (finding.public, finding.route, finding.path) == ("ApiError.field", f"GET {LIST} 404", "$.field")
    assert not finding.also


def test_security_declared_for_the_whole_document_is_the_same_security() -> None:
    after = artifact()
    after["security"] = after["paths"][LIST]["get"].pop("security")
    for item in after["paths"].values():
        for operation in item.values():
            operation.setdefault("security", [])
    after["paths"][LIST]["get"].pop("security")
    assert "sent-needs-tightened" not in rules(artifact(), after)
