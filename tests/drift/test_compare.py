"""What is a difference, and what only looks like one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.artifact import ArtifactError
from scripts.compare import compare
from scripts.findings import as_annotations, as_markdown, as_text
from scripts.severity import Severity

from .changes import everything_renamed, field
from .published import LIST, SURFACE, Document, artifact, body, parameter, raw, schemas


def findings(before: Document, after: Document) -> list[Any]:
    return compare(raw(before), raw(after), SURFACE)


def rules(before: Document, after: Document) -> set[str]:
    return {finding.rule for finding in findings(before, after)}


def inlined(document: Document, node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return inlined(document, schemas(document)[node["$ref"].rpartition("/")[2]])
        return {key: inlined(document, value) for key, value in node.items()}
    return [inlined(document, value) for value in node] if isinstance(node, list) else node


def test_what_the_artifact_calls_things_is_only_info() -> None:
    after = artifact()
    everything_renamed(after)
    found = findings(artifact(), after)
    assert {finding.rule for finding in found} == {"schema-renamed", "operation-renamed", "tags-changed"}
    assert {finding.severity for finding in found} == {Severity.INFO}


def test_schemas_written_out_in_place_are_the_same_schemas() -> None:
    before = artifact()
    after = {**before, "paths": inlined(before, before["paths"]), "webhooks": inlined(before, before["webhooks"])}
    assert rules(before, after) == {"unused-schema-changed"}
    assert rules(after, before) == {"unused-schema-changed"}


NULLABLE: list[dict[str, Any]] = [
    {"type": ["string", "null"]},
    {"type": "string", "nullable": True},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [{"type": "null"}, {"type": "string"}]},
    {"allOf": [{"type": "string", "nullable": True}]},
]


@pytest.mark.parametrize("other", NULLABLE[1:])
def test_null_is_the_same_null_in_every_spelling(other: dict[str, Any]) -> None:
    before, after = artifact(), artifact()
    schemas(before)["WirePatient"]["properties"]["first_name"] = dict(NULLABLE[0])
    schemas(after)["WirePatient"]["properties"]["first_name"] = other
    assert rules(before, after) <= {"order-changed", "unjudged"}
    assert [finding.public for finding in findings(artifact(), after)] == ["Patient.first_name"]
    assert rules(artifact(), after) == {"received-null-added"}


def test_a_reference_may_be_wrapped_to_be_described() -> None:
    after = artifact()
    schemas(after)["WireEncounter"]["properties"]["patient"] = {
        "allOf": [{"$ref": "#/components/schemas/WirePatient"}],
        "description": "Wrapped.",
    }
    assert rules(artifact(), after) == {"prose-changed"}


def test_one_change_is_told_once_and_names_every_route() -> None:
    after = artifact()
    schemas(after)["WireEncounter"]["required"].remove("status")
    (finding,) = findings(artifact(), after)
    assert finding.public == "Encounter.status"
    assert {finding.route, *finding.also} == {f"GET {LIST}", f"GET {LIST}/{{encounter_id}}"}
    assert finding.path == "$.items[].status"


def test_a_payload_is_judged_like_a_response() -> None:
    def change(document: Document, model: str, name: str) -> None:
        field(document, model, name).update(type=["string", "null"])
        schemas(document)[f"Wire{model}"]["required"].remove(name)

    response, payload = artifact(), artifact()
    change(response, "Encounter", "updated_at")
    change(payload, "TranscriptReadyEvent", "occurred_at")
    assert rules(artifact(), response) == rules(artifact(), payload)


@pytest.mark.parametrize(
    "loop",
    [
        {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Loop"}}},
        {"type": "array", "items": {"$ref": "#/components/schemas/Loop"}},
        {"anyOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "string"}]},
        {"allOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "string"}]},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Loop"}},
    ],
)
def test_schemas_that_hold_themselves_are_compared_to_the_end(loop: dict[str, Any]) -> None:
    before = artifact()
    schemas(before)["Loop"] = loop
    schemas(before)["WireEncounter"]["properties"]["loop"] = {"$ref": "#/components/schemas/Loop"}
    after = copy.deepcopy(before)
    field(after, "Encounter", "status")["enum"].append("signed")
    assert rules(before, after) == {"received-value-added"}
    after = copy.deepcopy(before)
    schemas(after)["Loop"]["deprecated"] = True
    assert "deprecated" in rules(before, after)


def test_schemas_knotted_to_exhaust_a_reader_are_refused() -> None:
    def knot(document: Document) -> None:
        for depth in range(40):
            inner = {"$ref": f"#/components/schemas/Knot{depth + 1}"}
            schemas(document)[f"Knot{depth}"] = {"type": "object", "properties": {"a": inner, "b": inner}}
        schemas(document)["Knot40"] = {"type": "string"}
        schemas(document)["WireEncounter"]["properties"]["knot"] = {"$ref": "#/components/schemas/Knot0"}

    before, after = artifact(), artifact()
    knot(before)
    knot(after)
    after["info"]["version"] = "v2"
    with pytest.raises(ArtifactError, match="too intertwined"):
        compare(raw(before), raw(after), SURFACE)


def test_alternatives_are_paired_by_what_they_look_like() -> None:
    before = artifact()
    document = schemas(before)["WireDocument"]
    metadata = {**document, "properties": {**document["properties"], "schema_type": {"const": "ambient_transcript"}}}
    text = {**document, "properties": {**document["properties"], "schema_type": {"const": "document"}}}
    schemas(before).update(WireDocument={"oneOf": [metadata, text]})
    after = copy.deepcopy(before)
    first, second = schemas(after)["WireDocument"]["oneOf"]
    schemas(after)["WireDocument"]["oneOf"] = [second, first]
    assert rules(before, after) == {"order-changed"}
    second["properties"]["pages"] = {"type": "integer"}
    (finding,) = findings(before, after)
    assert (finding.rule, finding.public) == ("received-field-added", "Document.pages")


def test_a_bound_for_whole_numbers_is_the_same_in_both_spellings() -> None:
    after = artifact()
    limit = parameter(after, "limit")["schema"]
    limit.pop("maximum")
    limit["exclusiveMaximum"] = 101
    assert rules(artifact(), after) == {"unjudged"}


def test_an_envelope_that_lost_what_it_held_says_which_field() -> None:
    after = artifact()
    schemas(after)["WireEncounter"]["properties"].pop("encounter_id")
    found = {(finding.rule, finding.public) for finding in findings(artifact(), after)}
    assert ("promised-field-removed", "Encounter.encounter_id") in found


def test_what_else_is_in_an_envelope_is_seen() -> None:
    after = artifact()
    schemas(after)["WireEncounterDetail"]["properties"]["trace"] = {"type": "string"}
    (finding,) = findings(artifact(), after)
    assert (finding.rule, finding.public) == ("received-field-added", "encounters.get.trace")


def test_an_error_body_is_the_same_model_on_every_route() -> None:
    after = artifact()
    field(after, "ApiError", "reason_code")["enum"] = ["a"]
    (finding,) = findings(artifact(), after)
    assert finding.public == "ApiError.reason_code"
    assert len(finding.also) == len(SURFACE.operations) - 1


def test_another_place_of_security_asks_for_nothing_more() -> None:
    after = artifact()
    scopes = after["paths"][LIST]["get"].pop("security")
    after["security"] = scopes
    for item in after["paths"].values():
        for operation in item.values():
            operation.setdefault("security", [])
    assert findings(artifact(), after)
    assert "scopes-needed" not in rules(artifact(), after)


@pytest.mark.parametrize("reference", ["https://elsewhere.test/schema.json", "#/components/schemas/Nowhere"])
def test_references_out_of_the_artifact_are_no_answer(reference: str) -> None:
    after = artifact()
    body(after)["content"]["application/json"]["schema"] = {"$ref": reference}
    with pytest.raises(ArtifactError, match="leads"):
        compare(raw(artifact()), raw(after), SURFACE)


def paths_of(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(path for key, child in children for path in paths_of(child, (*here, key)))]


ALL_PATHS = [path for path in paths_of(artifact()) if path]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    "",
    "x`y\n::error::z",
    [],
    {},
    {"type": "null"},
    {"$ref": "#/info"},
    [{}],
    "get",
]
edits = st.tuples(st.sampled_from(ALL_PATHS), st.sampled_from(["remove", *range(len(VALUES))]))


def edit(document: Document, path: tuple[Any, ...], what: Any) -> None:
    node: Any = document
    for key in path[:-1]:
        if not isinstance(node, (dict, list)):
            return
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(node, (dict, list)):
        try:
            if what == "remove":
                del node[path[-1]]
            else:
                node[path[-1]] = copy.deepcopy(VALUES[what])
        except (KeyError, IndexError, TypeError):
            return


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(edits, min_size=1, max_size=4))
def test_whatever_is_changed_there_is_an_answer_or_a_refusal(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    after = artifact()
    for path, what in changes:
        edit(after, path, what)
    try:
        found = compare(raw(artifact()), raw(after), SURFACE)
    except ArtifactError:
        return
    assert bool(found) == (raw(after) != raw(artifact()))
    assert [finding.severity for finding in found] == sorted((finding.severity for finding in found), reverse=True)
    render: Callable[..., str]
    for render in (as_text, as_markdown, as_annotations):
        assert all(line.isprintable() for line in render(found).split("\n"))
    assert all(line.startswith("::") for line in as_annotations(found).splitlines())
