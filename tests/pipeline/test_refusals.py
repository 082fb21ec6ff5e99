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
LIMIT, OFFSET, SORT_ORDER = 0, 1, 2


def canonical(change: Change) -> canonicalize.Canonical:
    """Return the canonical form of the changed artifact."""
    document = unchanged()
    change(document)
    return canonicalize.canonicalize(document, load_surface())


def refusal(change: Change) -> str:
    """Return the one line that an artifact is refused with."""
    with pytest.raises(ArtifactError) as refused:
        canonical(change)
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 300
    return line


def drop(schema: str, field: str) -> Change:
    return lambda document: schemas(document)[schema]["properties"].pop(field)


def retype(schema: str, field: str, node: Any) -> Change:
    return lambda document: schemas(document)[schema]["properties"].update({field: node})


def accept(position: int, schema: Any) -> Change:
    """Return a change of the schema of a parameter of the list route."""
    return lambda document: document["paths"][LIST]["get"]["parameters"][position].update(schema=schema)


def require(place: str, name: str = "needed") -> Change:
    parameter = {"name": name, "in": place, "required": True, "schema": {"type": "string"}}
    return lambda document: document["paths"][AUDIO]["get"]["parameters"].append(parameter)


def respond_with(responses: Any) -> Change:
    return lambda document: document["paths"][LIST]["get"].update(responses=responses)


def without_updated_at(path: str) -> Change:
    """Return a change that leaves a field out of the encounters of one of the two routes that have them."""

    def change(document: Document) -> None:
        page, whole, lacking = (inlined(document, reference(f"PublicEncounter{end}")) for end in ("List", "", ""))
        del lacking["properties"]["updated_at"]
        page["properties"]["items"]["items"] = lacking if path == LIST else whole
        respond(document, LIST, page)
        respond(document, ENCOUNTER, lacking if path == ENCOUNTER else whole)

    return change


ROUTES = {"encounters.list": LIST, "encounters.get": ENCOUNTER, "documents.get": DOCUMENT}
ROUTES |= {"documents.transcript": TRANSCRIPT, "documents.audio": AUDIO}
STRING_OR_OBJECT = {"anyOf": [{"type": "object", "properties": {"patient_id": {}}}, {"type": "string"}]}
NO_JSON = f"GET {LIST} 200: the artifact describes no JSON body, which EncounterPage needs"
NO_LIST = "the field `items` is not a list, which EncounterPage.items needs"
NO_UPDATED_AT = "the artifact has no field `updated_at`, which Encounter.updated_at needs"
ONE_OF_TWO, ONE_TO_A_PAGE = (
    "`limit` does not accept every value from 1 to 2",
    "`offset` does not accept every value from 0 to 100",
)


def lost(schema: str, field: str, place: str, public: str) -> tuple[Change, str]:
    return drop(schema, field), f"{place}: the artifact has no field `{field}`, which {public} needs"


def typed(schema: str, field: str, node: Any, place: str, line: str) -> tuple[Change, str]:
    return retype(schema, field, node), f"GET {place} 200{line}"


def status(node: Any, found: str) -> tuple[Change, str]:
    line = f"GET {ENCOUNTER} 200: `status` is {found}, and Encounter.status needs string"
    return retype("PublicEncounter", "status", node), line


def bounded(position: int, schema: Any, line: str) -> tuple[Change, str]:
    return accept(position, schema), f"GET {LIST} query: {line}, which encounters.iter sends"


REFUSALS = [
    *(
        (
            lambda document, path=path: document["paths"].pop(path),
            f"GET {path}: the artifact has no such route, which {name} needs",
        )
        for name, path in ROUTES.items()
    ),
    (
        lambda document: document["paths"][AUDIO].update(post=document["paths"][AUDIO].pop("get")),
        f"GET {AUDIO}: the artifact has no such route, which documents.audio needs",
    ),
    lost("PublicEncounterList", "total", f"GET {LIST} 200", "EncounterPage.total"),
    lost("PublicEncounterList", "items", f"GET {LIST} 200", "EncounterPage.items"),
    lost("PublicEncounter", "status", f"GET {ENCOUNTER} 200", "Encounter.status"),
    lost("PublicPatient", "patient_id", f"GET {ENCOUNTER} 200.patient", "Patient.patient_id"),
    lost("PublicDocumentSummary", "title", f"GET {ENCOUNTER} 200.documents[]", "DocumentSummary.title"),
    lost("PublicDocument", "content", f"GET {DOCUMENT} 200", "Document.content"),
    lost("PublicDocumentContent", "text", f"GET {DOCUMENT} 200.content", "DocumentContent.text"),
    lost("PublicTranscriptTurn", "end", f"GET {TRANSCRIPT} 200.transcript.turns[]", "TranscriptTurn.end"),
    lost("PublicDocumentAudio", "audio_url", f"GET {AUDIO} 200", "AudioUrl.audio_url"),
    lost("PublicApiError", "field", f"GET {LIST} 4XX", "ApiError.field"),
    lost("TranscriptReadyWebhook", "resources", "webhook recording.transcript_ready", "TranscriptReadyEvent.resources"),
    (without_updated_at(LIST), f"GET {LIST} 200.items[]: {NO_UPDATED_AT}"),
    (without_updated_at(ENCOUNTER), f"GET {ENCOUNTER} 200: {NO_UPDATED_AT}"),
    status({"type": "integer"}, "integer"),
    status({"type": ["boolean", "null"]}, "boolean"),
    status({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer/string"),
    status({"allOf": [{"type": "integer"}]}, "integer"),
    status({"allOf": [{"description": "x"}, {"type": "number"}]}, "number"),
    status({"$ref": "#/components/schemas/PublicPatient"}, "object"),
    status({"properties": {"text": {"type": "string"}}}, "object"),
    status({"items": {"type": "string"}}, "array"),
    status({"enum": [1, 2]}, "integer"),
    status({"const": True}, "boolean"),
    typed(
        "PublicEncounterList",
        "items",
        {"type": "object"},
        LIST,
        ": `items` is object, and EncounterPage.items needs array",
    ),
    typed("PublicEncounterList", "items", {"type": "array"}, LIST, f": {NO_LIST}"),
    typed(
        "PublicEncounterList",
        "total",
        {"type": "number"},
        LIST,
        ": `total` is number, and EncounterPage.total needs integer",
    ),
    typed(
        "PublicEncounter",
        "patient",
        {"type": ["string", "null"]},
        ENCOUNTER,
        ": `patient` is string, and Encounter.patient needs object",
    ),
    typed(
        "PublicEncounter",
        "patient",
        STRING_OR_OBJECT,
        ENCOUNTER,
        ": `patient` is object/string, and Encounter.patient needs object",
    ),
    typed(
        "PublicEncounter",
        "patient",
        {"type": "object"},
        ENCOUNTER,
        ".patient: the artifact has no field `patient_id`, which Patient.patient_id needs",
    ),
    typed(
        "PublicEncounter", "patient", {}, ENCOUNTER, ".patient: the artifact describes no object, which Patient needs"
    ),
    typed(
        "PublicEncounter",
        "created_at",
        {"type": "string", "format": "date"},
        ENCOUNTER,
        ": `created_at` is date, and Encounter.created_at needs date-time",
    ),
    (
        lambda document: document["paths"][LIST]["get"]["parameters"].pop(OFFSET),
        f"GET {LIST}: the artifact has no query parameter `offset`, which encounters.list needs",
    ),
    (
        accept(LIMIT, {"type": "string"}),
        f"GET {LIST} query: `limit` is string, and encounters.list.limit needs integer",
    ),
    (
        accept(SORT_ORDER, {"type": "string", "enum": ["desc"]}),
        f"GET {LIST} query: `sort_order` refuses asc, which encounters.list sends",
    ),
    bounded(LIMIT, {"type": "integer", "maximum": 1}, ONE_OF_TWO),
    bounded(LIMIT, {"type": "integer", "minimum": 10}, ONE_OF_TWO),
    bounded(LIMIT, {"type": "integer", "enum": [25, 50, 100]}, ONE_OF_TWO),
    bounded(OFFSET, {"type": "integer", "maximum": 99}, ONE_TO_A_PAGE),
    bounded(OFFSET, {"type": "integer", "exclusiveMinimum": 0}, ONE_TO_A_PAGE),
    bounded(OFFSET, {"type": "integer", "multipleOf": 50}, ONE_TO_A_PAGE),
    *(
        (require(place), f"GET {AUDIO}: it now needs the {words} `needed`, which documents.audio does not send")
        for place, words in (("query", "query parameter"), ("header", "header"), ("cookie", "cookie"))
    ),
    *((respond_with(responses), NO_JSON) for responses in (None, {}, [], {"200": None}, {"200": {"description": ""}})),
    (respond_with({"200": {"content": {"text/html": {"schema": {}}}}}), NO_JSON),
    (
        lambda document: respond(document, ENCOUNTER, reference("PublicPatient")),
        f"GET {ENCOUNTER} 200: the artifact has no field `encounter_id`, which Encounter.encounter_id needs",
    ),
]


@pytest.mark.parametrize(("change", "line"), REFUSALS, ids=[line for _, line in REFUSALS])
def test_an_artifact_that_breaks_a_promise_is_refused_by_name(change: Change, line: str) -> None:
    assert refusal(change) == line


@pytest.mark.parametrize("field", ["first_name", "last_name", "date_of_birth"])
def test_a_field_the_artifact_may_leave_out_is_not_needed(field: str) -> None:
    found = canonical(drop("PublicPatient", field)).document
    assert field in found["components"]["schemas"]["Patient"]["properties"]


def test_a_whole_number_is_a_number() -> None:
    canonical(retype("PublicTranscriptTurn", "start", {"type": "integer"}))


@pytest.mark.parametrize("name", ["Authorization", "authorization", "Accept", "Content-Type"])
def test_a_header_that_openapi_describes_elsewhere_may_be_required(name: str) -> None:
    canonical(require("header", name))


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
    found = canonical(change)
    assert found.notes == [
        "webhook recording.transcript_ready: the artifact has none; TranscriptReadyEvent is built from surface.toml"
    ]
    event = found.document["components"]["schemas"]["TranscriptReadyEvent"]
    assert event["properties"]["occurred_at"] == {"type": "string", "format": "date-time"}
    assert event["required"] == ["api_version", "id", "occurred_at", "organization_id", "resources", "type"]


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
    def change(document: Document) -> None:
        schemas(document)["Fifty"] = {"type": "integer", "maximum": 50}
        accept(LIMIT, schema)(document)

    assert canonical(change).max_limit == largest


def test_the_largest_offset_is_the_one_that_the_artifact_accepts() -> None:
    assert canonical(accept(OFFSET, {"type": "integer", "minimum": 0, "maximum": 250})).max_offset == 250


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
    refused = refusal(retype(schema, field, {"$ref": target}))
    assert refused == f"the reference {target!r} {line}"


def test_a_reference_to_a_position_of_many_digits_is_refused() -> None:
    refused = refusal(retype("PublicEncounter", "patient", {"$ref": "#/tags/" + "7" * 5000}))
    assert refused.endswith("leads nowhere")


def test_a_cycle_of_references_is_refused() -> None:
    def change(document: Document) -> None:
        schemas(document)["A"], schemas(document)["B"] = reference("B"), reference("A")
        retype("PublicEncounter", "patient", reference("A"))(document)

    assert refusal(change) == "the reference '#/components/schemas/A' leads back to itself"


@pytest.mark.parametrize("keyword", ["allOf", "oneOf", "anyOf"])
@pytest.mark.parametrize("leaf", [{"type": "string"}, {"type": "object", "properties": {"a": {}}}, {"nullable": False}])
def test_alternatives_that_multiply_are_refused_at_once(keyword: str, leaf: Any) -> None:
    def change(document: Document) -> None:
        schemas(document)["L40"] = leaf
        for level in range(40):
            halves = [{keyword: [reference(f"L{level + 1}")]}, {keyword: [reference(f"L{level + 1}")], "title": "x"}]
            schemas(document)[f"L{level}"] = {keyword: halves}
        retype("PublicPatient", "extra", reference("L0"))(document)

    assert refusal(change) == "a schema combines too many alternatives"


def test_compositions_of_unions_that_multiply_are_refused_at_once() -> None:
    union = {"oneOf": [{"properties": {f"p{number}": {}}} for number in range(10)]}
    change = retype("PublicPatient", "extra", {"allOf": [union] * 8})
    assert refusal(change) == "a schema combines too many alternatives"


@pytest.mark.parametrize("link", [{"type": "array", "items": {}}, {"type": "object", "properties": {"next": {}}}])
def test_a_chain_of_schemas_without_end_is_refused(link: Any) -> None:
    def change(document: Document) -> None:
        place = "#/components/schemas/PublicPatient/$defs"
        links = [
            json.dumps(link).replace("{}", json.dumps({"$ref": f"{place}/{number + 1}"})) for number in range(2_000)
        ]
        schemas(document)["PublicPatient"]["$defs"] = [*map(json.loads, links), {"type": "string"}]
        retype("PublicPatient", "chain", {"$ref": f"{place}/0"})(document)

    assert refusal(change) == "the artifact is nested too deeply"


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
    "a bound of 4,300 digits": (
        WHOLE.replace(b'"maximum": 100,', b'"exclusiveMaximum": -' + b"9" * 4300 + b","),
        "a number has more than 300 digits",
    ),
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
    drop("PublicEncounter", "status")(document)
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
