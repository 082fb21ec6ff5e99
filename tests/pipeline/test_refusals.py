"""An unusable artifact is refused with one line that names the fault and its place, and nothing changes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import artifact, canonicalize, generate, pull
from scripts.artifact import ArtifactError, parse
from scripts.surface import SurfaceError, load_surface

from .shapes import (
    AUDIO,
    DOCUMENT,
    ENCOUNTER,
    LIST,
    TRANSCRIPT,
    Document,
    inlined,
    reference,
    respond,
    schemas,
    unchanged,
)

Change = Callable[[Document], Any]


def refusal(change: Change) -> str:
    """Return the one line that an artifact is refused with."""
    document = unchanged()
    change(document)
    with pytest.raises(ArtifactError) as refused:
        canonicalize.canonicalize(document, load_surface())
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 300
    return line


def drop(document: Document, schema: str, field: str) -> None:
    del schemas(document)[schema]["properties"][field]


def retype(document: Document, schema: str, field: str, node: Any) -> None:
    schemas(document)[schema]["properties"][field] = node


ROUTES = {"encounters.list": LIST, "encounters.get": ENCOUNTER, "documents.get": DOCUMENT}
ROUTES |= {"documents.transcript": TRANSCRIPT, "documents.audio": AUDIO}


@pytest.mark.parametrize(("name", "path"), ROUTES.items())
def test_a_route_that_is_gone_is_named(name: str, path: str) -> None:
    line = refusal(lambda document: document["paths"].pop(path))
    assert line == f"GET {path}: the artifact has no such route, which {name} needs"


def test_a_route_with_another_method_is_gone() -> None:
    def change(document: Document) -> None:
        document["paths"][AUDIO]["post"] = document["paths"][AUDIO].pop("get")

    assert refusal(change).startswith(f"GET {AUDIO}: the artifact has no such route")


@pytest.mark.parametrize(
    ("schema", "field", "place", "public"),
    [
        ("PublicEncounterList", "total", f"GET {LIST} 200", "EncounterPage.total"),
        ("PublicEncounterList", "items", f"GET {LIST} 200", "EncounterPage.items"),
        ("PublicEncounter", "status", f"GET {ENCOUNTER} 200", "Encounter.status"),
        ("PublicPatient", "patient_id", f"GET {ENCOUNTER} 200.patient", "Patient.patient_id"),
        ("PublicDocumentSummary", "title", f"GET {ENCOUNTER} 200.documents[]", "DocumentSummary.title"),
        ("PublicDocument", "content", f"GET {DOCUMENT} 200", "Document.content"),
        ("PublicDocumentContent", "text", f"GET {DOCUMENT} 200.content", "DocumentContent.text"),
        ("PublicTranscriptTurn", "end", f"GET {TRANSCRIPT} 200.transcript.turns[]", "TranscriptTurn.end"),
        ("PublicDocumentAudio", "audio_url", f"GET {AUDIO} 200", "AudioUrl.audio_url"),
        ("PublicApiError", "field", f"GET {LIST} 4XX", "ApiError.field"),
        ("TranscriptReadyWebhook", "resources", "webhook recording.transcript_ready", "TranscriptReadyEvent.resources"),
    ],
)
def test_a_field_that_is_gone_is_named_with_its_route(schema: str, field: str, place: str, public: str) -> None:
    line = refusal(lambda document: drop(document, schema, field))
    assert line == f"{place}: the artifact has no field `{field}`, which {public} needs"


def test_a_field_that_only_one_of_two_routes_lacks_is_named_with_that_route() -> None:
    def without(document: Document, path: str) -> None:
        whole = inlined(document, reference("PublicEncounter"))
        lacking = inlined(document, reference("PublicEncounter"))
        del lacking["properties"]["updated_at"]
        bodies = {LIST: inlined(document, reference("PublicEncounterList")), ENCOUNTER: whole}
        bodies[LIST]["properties"]["items"]["items"] = lacking if path == LIST else whole
        bodies[ENCOUNTER] = lacking if path == ENCOUNTER else whole
        for place, body in bodies.items():
            respond(document, place, body)

    line = "the artifact has no field `updated_at`, which Encounter.updated_at needs"
    assert refusal(lambda document: without(document, LIST)) == f"GET {LIST} 200.items[]: {line}"
    assert refusal(lambda document: without(document, ENCOUNTER)) == f"GET {ENCOUNTER} 200: {line}"


@pytest.mark.parametrize("field", ["first_name", "last_name", "date_of_birth"])
def test_a_field_the_artifact_may_leave_out_is_not_needed(field: str) -> None:
    document = unchanged()
    drop(document, "PublicPatient", field)
    canonical = canonicalize.canonicalize(document, load_surface()).document
    assert field in canonical["components"]["schemas"]["Patient"]["properties"]


@pytest.mark.parametrize(
    ("node", "found"),
    [
        ({"type": "integer"}, "integer"),
        ({"type": ["boolean", "null"]}, "boolean"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer/string"),
        ({"allOf": [{"type": "integer"}]}, "integer"),
        ({"allOf": [{"description": "x"}, {"type": "number"}]}, "number"),
        ({"$ref": "#/components/schemas/PublicPatient"}, "object"),
        ({"properties": {"text": {"type": "string"}}}, "object"),
        ({"items": {"type": "string"}}, "array"),
        ({"enum": [1, 2]}, "integer"),
        ({"const": True}, "boolean"),
    ],
)
def test_a_field_of_another_type_is_named_with_both_types(node: Any, found: str) -> None:
    line = refusal(lambda document: retype(document, "PublicEncounter", "status", node))
    assert line == f"GET {ENCOUNTER} 200: `status` is {found}, and Encounter.status needs string"


STRING_OR_OBJECT = {"anyOf": [{"type": "object", "properties": {"patient_id": {}}}, {"type": "string"}]}


@pytest.mark.parametrize(
    ("schema", "field", "node", "line"),
    [
        ("EncounterList", "items", {"type": "object"}, "`items` is object, and EncounterPage.items needs array"),
        (
            "EncounterList",
            "items",
            {"type": "array"},
            "the field `items` is not a list, which EncounterPage.items needs",
        ),
        ("EncounterList", "total", {"type": "number"}, "`total` is number, and EncounterPage.total needs integer"),
        (
            "Encounter",
            "patient",
            {"type": ["string", "null"]},
            "`patient` is string, and Encounter.patient needs object",
        ),
        ("Encounter", "patient", STRING_OR_OBJECT, "`patient` is object/string, and Encounter.patient needs object"),
        (
            "Encounter",
            "patient",
            {"type": "object"},
            "the artifact has no field `patient_id`, which Patient.patient_id needs",
        ),
        ("Encounter", "patient", {}, "the artifact describes no object, which Patient needs"),
        (
            "Encounter",
            "created_at",
            {"type": "string", "format": "date"},
            "`created_at` is date, and Encounter.created_at needs date-time",
        ),
    ],
)
def test_a_field_of_an_unusable_type_is_named(schema: str, field: str, node: Any, line: str) -> None:
    assert refusal(lambda document: retype(document, f"Public{schema}", field, node)).endswith(f": {line}")


def test_a_whole_number_is_a_number() -> None:
    document = unchanged()
    retype(document, "PublicTranscriptTurn", "start", {"type": "integer"})
    canonicalize.canonicalize(document, load_surface())


@pytest.mark.parametrize("name", ["limit", "offset", "sort_order", "start_at", "end_at"])
def test_a_parameter_that_is_gone_is_named(name: str) -> None:
    def change(document: Document) -> None:
        operation = document["paths"][LIST]["get"]
        operation["parameters"] = [one for one in operation["parameters"] if one["name"] != name]

    line = refusal(change)
    assert line == f"GET {LIST}: the artifact has no query parameter `{name}`, which encounters.list needs"


@pytest.mark.parametrize(
    ("position", "schema", "line"),
    [
        (0, {"type": "string"}, "`limit` is string, and encounters.list.limit needs integer"),
        (2, {"type": "string", "enum": ["desc"]}, "`sort_order` refuses asc, which encounters.list sends"),
    ],
)
def test_a_parameter_that_refuses_what_is_sent_is_named(position: int, schema: Any, line: str) -> None:
    def change(document: Document) -> None:
        document["paths"][LIST]["get"]["parameters"][position]["schema"] = schema

    assert refusal(change) == f"GET {LIST} query: {line}"


@pytest.mark.parametrize(
    ("place", "needed"),
    [("query", "query parameter `needed`"), ("header", "header `needed`"), ("cookie", "cookie `needed`")],
)
def test_a_required_parameter_that_is_not_sent_is_named(place: str, needed: str) -> None:
    parameter = {"name": "needed", "in": place, "required": True, "schema": {"type": "string"}}
    added = refusal(lambda document: document["paths"][AUDIO]["get"]["parameters"].append(parameter))
    assert added == f"GET {AUDIO}: it now needs the {needed}, which documents.audio does not send"


@pytest.mark.parametrize("name", ["Authorization", "authorization", "Accept", "Content-Type"])
def test_a_header_that_openapi_describes_elsewhere_may_be_required(name: str) -> None:
    document = unchanged()
    parameter = {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    document["paths"][AUDIO]["get"]["parameters"].append(parameter)
    canonicalize.canonicalize(document, load_surface())


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("webhooks"),
        lambda document: document.update(webhooks={}),
        lambda document: document.update(webhooks=[]),
        lambda document: document.update(webhooks={"other": {"get": {}}}),
        lambda document: document.update(webhooks={key: next(iter(document["webhooks"].values())) for key in "ab"}),
    ],
)
def test_without_the_webhook_its_model_comes_from_the_surface_with_a_note(change: Change) -> None:
    document = unchanged()
    change(document)
    canonical = canonicalize.canonicalize(document, load_surface())
    assert canonical.notes == [
        "webhook recording.transcript_ready: the artifact has none; TranscriptReadyEvent is built from surface.toml"
    ]
    event = canonical.document["components"]["schemas"]["TranscriptReadyEvent"]
    assert event["properties"]["occurred_at"] == {"type": "string", "format": "date-time"}
    assert event["required"] == ["api_version", "id", "occurred_at", "organization_id", "resources", "type"]


LIMIT, OFFSET = 0, 1


def with_bounds(position: int, schema: Any) -> Document:
    document = unchanged()
    schemas(document)["Fifty"] = {"type": "integer", "maximum": 50}
    document["paths"][LIST]["get"]["parameters"][position]["schema"] = schema
    return document


@pytest.mark.parametrize(
    ("schema", "largest"),
    [
        ({"type": "integer"}, 100),
        ({"type": "integer", "minimum": 1, "maximum": 50}, 50),
        ({"type": "integer", "minimum": 1, "maximum": 500.0}, 500),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 51}, 50),
        ({"type": "integer", "maximum": 51, "exclusiveMaximum": True}, 50),
        ({"anyOf": [{"type": "integer", "maximum": 50}, {"type": "null"}]}, 50),
        ({"allOf": [{"type": "integer", "maximum": 70}, {"maximum": 50}]}, 50),
        (reference("Fifty"), 50),
        (True, 100),
        ({"allOf": [True, []], "maximum": 1e999}, 100),
        ({**reference("Fifty"), "maximum": 20}, 20),
    ],
)
def test_the_page_size_is_the_largest_that_the_artifact_accepts(schema: Any, largest: int) -> None:
    canonical = canonicalize.canonicalize(with_bounds(LIMIT, schema), load_surface())
    assert canonical.max_limit == largest


def test_the_largest_offset_is_the_one_that_the_artifact_accepts() -> None:
    document = with_bounds(OFFSET, {"type": "integer", "minimum": 0, "maximum": 250})
    assert canonicalize.canonicalize(document, load_surface()).max_offset == 250


@pytest.mark.parametrize(
    ("position", "schema", "name", "values"),
    [
        (LIMIT, {"type": "integer", "maximum": 1}, "limit", "from 1 to 2"),
        (LIMIT, {"type": "integer", "minimum": 10}, "limit", "from 1 to 2"),
        (LIMIT, {"type": "integer", "enum": [25, 50, 100]}, "limit", "from 1 to 2"),
        (OFFSET, {"type": "integer", "maximum": 99}, "offset", "from 0 to 100"),
        (OFFSET, {"type": "integer", "exclusiveMinimum": 0}, "offset", "from 0 to 100"),
        (OFFSET, {"type": "integer", "multipleOf": 50}, "offset", "from 0 to 100"),
    ],
)
def test_bounds_that_leave_the_pager_no_way_to_work_are_named(
    position: int, schema: Any, name: str, values: str
) -> None:
    with pytest.raises(SurfaceError) as refused:
        canonicalize.canonicalize(with_bounds(position, schema), load_surface())
    line = f"GET {LIST} query: `{name}` does not accept every value {values}, which encounters.iter sends"
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "responses",
    [None, {}, {"200": None}, {"200": {"description": ""}}, {"200": {"content": {"text/html": {"schema": {}}}}}, []],
)
def test_a_success_without_a_json_body_is_named(responses: Any) -> None:
    line = refusal(lambda document: document["paths"][LIST]["get"].update(responses=responses))
    assert line == f"GET {LIST} 200: the artifact describes no JSON body, which EncounterPage needs"


def test_the_body_of_another_model_is_refused() -> None:
    def change(document: Document) -> None:
        respond(document, ENCOUNTER, reference("PublicPatient"))

    assert refusal(change).startswith(f"GET {ENCOUNTER} 200: the artifact has no field `encounter_id`")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("https://elsewhere.example/schema.json", "leads out of the document"),
        ("file:///etc/hosts", "leads out of the document"),
        ("#/components/schemas/Nobody", "leads nowhere"),
        ("#/components/schemas/PublicPatient/properties/nothing", "leads nowhere"),
        ("#/servers/7", "leads nowhere"),
        ("#anchor", "leads nowhere"),
        ("#", "leads nowhere"),
        ("", "leads out of the document"),
    ],
)
@pytest.mark.parametrize(("schema", "field"), [("PublicEncounter", "patient"), ("PublicPatient", "not_promised")])
def test_a_reference_that_leads_nowhere_or_elsewhere_is_shown(schema: str, field: str, target: str, line: str) -> None:
    refused = refusal(lambda document: retype(document, schema, field, {"$ref": target}))
    assert refused == f"the reference {target!r} {line}"


def test_a_cycle_of_references_is_refused() -> None:
    def change(document: Document) -> None:
        schemas(document)["A"], schemas(document)["B"] = reference("B"), reference("A")
        retype(document, "PublicEncounter", "patient", reference("A"))

    assert refusal(change) == "the reference '#/components/schemas/A' leads back to itself"


@pytest.mark.parametrize("keyword", ["allOf", "oneOf", "anyOf"])
@pytest.mark.parametrize("leaf", [{"type": "string"}, {"type": "object", "properties": {"a": {}}}, {"nullable": False}])
def test_alternatives_that_multiply_are_refused_at_once(keyword: str, leaf: Any) -> None:
    def change(document: Document) -> None:
        schemas(document)["L40"] = leaf
        for level in range(40):
            halves = [{keyword: [reference(f"L{level + 1}")]}, {keyword: [reference(f"L{level + 1}")], "title": "x"}]
            schemas(document)[f"L{level}"] = {keyword: halves}
        retype(document, "PublicPatient", "extra", reference("L0"))

    assert refusal(change) == "a schema combines too many alternatives"


def test_compositions_of_unions_that_multiply_are_refused_at_once() -> None:
    def change(document: Document) -> None:
        union = {"oneOf": [{"properties": {f"p{number}": {}}} for number in range(10)]}
        retype(document, "PublicPatient", "extra", {"allOf": [union] * 8})

    assert refusal(change) == "a schema combines too many alternatives"


# Bytes that are no artifact at all


WHOLE = json.dumps(unchanged()).encode()
HTML, BROKEN, DEEP = "the answer is HTML or XML, not JSON", "not JSON, or cut short", "the JSON is nested too deeply"
OTHER_VERSION = "not an OpenAPI 3.0 or 3.1 document"
NO_ARTIFACT = {
    "html": (b"<!doctype html><title>Docs</title>", f"{HTML}; is the address the artifact's own?"),
    "html after a byte order mark": (b"\xef\xbb\xbf\n <html>", HTML),
    "nothing": (b"", BROKEN),
    "cut short": (WHOLE[: len(WHOLE) // 2], BROKEN),
    "cut in a character": ('{"openapi": "3.1.0é'.encode()[:-1], BROKEN),
    "another encoding": (WHOLE.decode().encode("utf-16"), BROKEN),
    "yaml": (b"openapi: 3.1.0\npaths: {}\n", BROKEN),
    "a list": (b"[]", "the JSON is not an object"),
    "null": (b"null", "the JSON is not an object"),
    "no openapi": (b'{"data": []}', OTHER_VERSION),
    "swagger 2": (b'{"swagger": "2.0", "paths": {}}', "this is a Swagger 2 document; OpenAPI 3.x is needed"),
    "a version to come": (b'{"openapi": "4.0.0", "paths": {}}', OTHER_VERSION),
    "a version that is a number": (b'{"openapi": 3.1, "paths": {}}', OTHER_VERSION),
    "no paths": (b'{"openapi": "3.1.0", "webhooks": {}}', "the document has no `paths`"),
    "paths in a list": (b'{"openapi": "3.1.0", "paths": []}', "the document has no `paths`"),
    "another api": (
        b'{"openapi": "3.1.0", "paths": {"/pets": {"get": {}}}}',
        f"GET {LIST}: the artifact has no such route",
    ),
    "equal keys": (b'{"openapi": "3.1.0", "paths": {}, "paths": {}}', "an object has the same key twice"),
    "not a number": (b'{"openapi": "3.1.0", "paths": {"x": NaN}}', "NaN is not JSON"),
    "infinity": (b'{"openapi": "3.1.0", "paths": {"x": -Infinity}}', "-Infinity is not JSON"),
    "a number without end": (b'{"openapi": ' + b"9" * 100_000 + b"}", BROKEN),
    "a megabyte of brackets": (b"[" * 1_000_000, DEEP),
    "a megabyte of objects": (b'{"a":' * 200_000, DEEP),
    "deep, and whole": (b'{"openapi":"3.1.0","paths":{"x":' + b"[" * 150 + b"]" * 150 + b"}}", DEEP),
}


@pytest.mark.parametrize(("content", "line"), NO_ARTIFACT.values(), ids=NO_ARTIFACT.keys())
def test_pull_refuses_bytes_that_are_not_an_artifact_and_keeps_the_snapshot(
    content: bytes,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "fetched.json").write_bytes(content)
    snapshot_path, record = tmp_path / "openapi.json", tmp_path / "source.json"
    snapshot_path.write_bytes(b"the old snapshot")
    record.write_bytes(b"the old record")
    monkeypatch.setattr(pull.store, "__kwdefaults__", {"snapshot": snapshot_path, "record": record})

    assert pull.main([str(tmp_path / "fetched.json")]) == 1

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.fullmatch(rf"pull: .*{re.escape(line)}.*; the snapshot is as it was\n", said)
    assert (snapshot_path.read_bytes(), record.read_bytes()) == (b"the old snapshot", b"the old record")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched.json", "openapi.json", "source.json"]


def test_generate_shows_a_refusal_as_one_line_and_programs_get_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = unchanged()
    drop(document, "PublicEncounter", "status")
    lacking = tmp_path / "lacking.json"
    lacking.write_text(json.dumps(document))
    monkeypatch.setattr(generate, "GENERATED", tmp_path / "generated" / "charthero_client")
    monkeypatch.setattr(generate.generate_into, "__defaults__", (lacking,))
    line = f"GET {ENCOUNTER} 200: the artifact has no field `status`, which Encounter.status needs"

    assert generate.main([]) == 1
    assert capsys.readouterr().err == f"generate: {line}\n"
    assert list((tmp_path / "generated").iterdir()) == []
    with pytest.raises(SurfaceError) as refused:
        canonicalize.canonicalize(document, load_surface())
    assert refused.value.public == "Encounter.status"


@pytest.mark.parametrize("levels", [artifact.MAX_DEPTH - 3, sys.getrecursionlimit() // 2, sys.getrecursionlimit() * 3])
def test_no_depth_of_nesting_ends_in_a_traceback(levels: int) -> None:
    nested: bytes = b'{"allOf":[' * levels + b"{}" + b"]}" * levels
    content = WHOLE[:-1] + b', "x-deep": ' + nested + b"}"
    try:
        canonicalize.canonicalize(parse(content), load_surface())
    except ArtifactError as error:
        assert str(error) == "the JSON is nested too deeply"  # noqa: PT017
