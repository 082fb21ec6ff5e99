"""Shapes with other schemas for the same bodies: inline, nullable, in an envelope, a union, composed."""

from __future__ import annotations

import copy
from typing import Any

from .shapes import (
    ALL,
    DOCUMENT,
    ENCOUNTER,
    LIST,
    Document,
    inlined,
    json_of,
    reference,
    respond,
    rewrite,
    schemas,
    shape,
    spelled_nullable,
)

__all__: list[str] = []


@shape()
def null_first_in_one_of(document: Document) -> None:
    def either(node: dict[str, Any]) -> dict[str, Any]:
        described = {"description": node.pop("description")}
        return {"oneOf": [{"type": "null"}, node], **described}

    rewrite(document, lambda node: spelled_nullable(node, either))


def _null_as_in_3_0(document: Document) -> None:
    """3.0.3 has neither null nor webhooks, so the webhook is where tools put it."""
    rewrite(document, lambda node: spelled_nullable(node, lambda plain: {**plain, "nullable": True}))
    document["openapi"] = "3.0.3"
    document["x-webhooks"] = document.pop("webhooks")
    for schema in schemas(document).values():
        schema.pop("examples", None)


@shape(encounter=lambda body: {"encounter": {**body, "patient": None}})
def nullable_references_as_in_3_0(document: Document) -> None:
    _null_as_in_3_0(document)
    for name, key in (("PublicEncounter", "patient"), ("PublicDocument", "content")):
        field = schemas(document)[name]["properties"][key]
        schemas(document)[name]["properties"][key] = {"allOf": [field], "nullable": True}


@shape(encounter=lambda body: {"encounter": {**body, "documents": None}})
def nullable_references_and_lists(document: Document) -> None:
    encounter = schemas(document)["PublicEncounter"]["properties"]
    encounter["patient"] = {"anyOf": [encounter["patient"], {"type": "null"}]}
    encounter["documents"] = {"oneOf": [{"type": "null"}, encounter["documents"]]}
    content = schemas(document)["PublicDocument"]["properties"]["content"]
    schemas(document)["PublicDocument"]["properties"]["content"] = {"anyOf": [{"type": "null"}, content]}


@shape()
def nothing_nullable(document: Document) -> None:
    rewrite(document, lambda node: spelled_nullable(node, lambda plain: plain))


@shape()
def everything_nullable(document: Document) -> None:
    for schema in schemas(document).values():
        for name, node in schema["properties"].items():
            schema["properties"][name] = {"anyOf": [node, {"type": "null"}]}


@shape(same=ALL, encounter=lambda body: body, document=lambda body: body)
def detail_bodies_bare(document: Document) -> None:
    respond(document, ENCOUNTER, reference("PublicEncounter"))
    respond(document, DOCUMENT, reference("PublicDocument"))


@shape(encounter=lambda body: {"data": body}, document=lambda body: {"result": body}, transcript=lambda b: {"data": b})
def envelopes_of_other_names(document: Document) -> None:
    def envelope(key: str, name: str) -> dict[str, Any]:
        return {"type": "object", "properties": {key: reference(name)}, "required": [key]}

    respond(document, ENCOUNTER, envelope("data", "PublicEncounter"))
    respond(document, DOCUMENT, {"allOf": [envelope("result", "PublicDocument")]})
    transcript = f"{DOCUMENT}/transcript"
    respond(document, transcript, envelope("data", "PublicDocumentTranscript"))


@shape(encounter=lambda body: {"encounter": body, "request_id": "r1"}, document=lambda body: {"document": body, "n": 1})
def envelopes_with_more_in_them(document: Document) -> None:
    schemas(document)["PublicEncounterDetail"]["properties"]["request_id"] = {"type": "string"}
    schemas(document)["PublicDocumentDetail"]["properties"]["links"] = {
        "type": "object",
        "properties": {"self": {"type": "string"}},
    }


def _union(document: Document, **more: Any) -> dict[str, Any]:
    """Split the document into one with text, and the metadata of a transcript."""
    whole = schemas(document).pop("PublicDocument")
    metadata = copy.deepcopy(whole)
    del metadata["properties"]["content"]
    whole["required"].append("content")
    schemas(document)["PublicTextDocument"] = whole
    schemas(document)["PublicAmbientTranscript"] = metadata
    return {"oneOf": [reference("PublicTextDocument"), reference("PublicAmbientTranscript")], **more}


def _kinds(document: Document, spelling: Any) -> None:
    for name, value in (("PublicTextDocument", "document"), ("PublicAmbientTranscript", "ambient_transcript")):
        kind = schemas(document)[name]["properties"]["schema_type"]
        schemas(document)[name]["properties"]["schema_type"] = {**kind, **spelling(value)}


@shape(same=ALL)
def a_document_union_with_discriminator(document: Document) -> None:
    mapping = {
        "document": "#/components/schemas/PublicTextDocument",
        "ambient_transcript": "#/components/schemas/PublicAmbientTranscript",
    }
    union = _union(document, discriminator={"propertyName": "schema_type", "mapping": mapping})
    _kinds(document, lambda value: {"const": value})
    schemas(document)["PublicDocument"] = union


@shape(document=lambda body: {"document": body})
def a_union_of_envelopes(document: Document) -> None:
    branches = _union(document)["oneOf"]
    schemas(document)["PublicDocumentDetail"] = {
        "oneOf": [{"type": "object", "properties": {"document": one}, "required": ["document"]} for one in branches]
    }


@shape(same=ALL - {"Document"})
def a_document_union_over_a_common_base(document: Document) -> None:
    whole = schemas(document).pop("PublicDocument")
    content = whole["properties"].pop("content")
    schemas(document)["DocumentBase"] = whole
    text = {"type": "object", "properties": {"content": content, "extra": {"type": "string"}}, "required": ["content"]}
    audio = {"properties": {"audio_duration_seconds": {"type": "number"}, "extra": {"type": "integer"}}}
    branches = [{"allOf": [reference("DocumentBase"), text]}, {"allOf": [audio, reference("DocumentBase")]}]
    schemas(document)["PublicDocument"] = {"anyOf": branches}


@shape(same=ALL - {"DocumentSummary"}, page=lambda body: body)
def one_schema_for_a_document_wherever_it_is(document: Document) -> None:
    schemas(document)["PublicEncounter"]["properties"]["documents"]["items"] = reference("PublicDocument")
    del schemas(document)["PublicDocumentSummary"]


ENUMS = {
    "PublicEncounter": {"status": ["completed", "draft"], "encounter_type": ["ambient"]},
    "PublicDocumentSummary": {"schema_type": ["document", "ambient_transcript"]},
    "PublicTranscriptTurn": {"speaker": ["clinician", "patient"]},
}
ENUM_MODELS = frozenset({"Encounter", "DocumentSummary", "TranscriptTurn"})


@shape(same=ALL - {"Encounter"})
def enumerations_inline(document: Document) -> None:
    for name, fields in ENUMS.items():
        for key, values in fields.items():
            schemas(document)[name]["properties"][key]["enum"] = values


@shape(same=ALL - ENUM_MODELS)
def enumerations_wrapped_and_nullable(document: Document) -> None:
    """A shared enumeration as 3.0 tools describe a reference to one: wrapped in ``allOf``, to be described."""
    for name, fields in ENUMS.items():
        for key, values in fields.items():
            schemas(document)[f"{name}{key}"] = {"type": "string", "enum": values, "title": key}
            shared = {"allOf": [reference(f"{name}{key}")], "description": "One of several."}
            schemas(document)[name]["properties"][key] = shared
    encounter = schemas(document)["PublicEncounter"]["properties"]
    encounter["encounter_type"] = encounter["encounter_type"]["allOf"][0]
    schemas(document)["PublicDocumentSummary"]["properties"]["status"] = {"enum": ["completed", None]}


@shape()
def composed_with_all_of(document: Document) -> None:
    encounter = schemas(document)["PublicEncounter"]
    timestamps = {key: encounter["properties"].pop(key) for key in ("created_at", "updated_at")}
    identity = {key: encounter["properties"].pop(key) for key in ("encounter_id", "organization_id")}
    schemas(document)["Identity"] = {"type": "object", "properties": identity, "required": list(identity)}
    schemas(document)["Stamped"] = {
        "allOf": [reference("Identity"), {"properties": timestamps, "required": list(timestamps)}]
    }
    rest = {"type": "object", "properties": encounter["properties"], "required": encounter["required"][4:]}
    schemas(document)["PublicEncounter"] = {
        "allOf": [reference("Stamped"), rest],
        "description": encounter["description"],
    }


@shape(
    same=ALL - {"Encounter"},
    page=lambda body: {
        **body,
        "items": [{**body["items"][0], "parent": body["items"][0], "follow_ups": body["items"]}],
    },
)
def recursive_schemas(document: Document) -> None:
    encounter = schemas(document)["PublicEncounter"]["properties"]
    encounter["parent"] = {"anyOf": [reference("PublicEncounter"), {"type": "null"}]}
    encounter["follow_ups"] = {"type": "array", "items": reference("PublicEncounter")}
    encounter["tree"] = reference("Tree")
    schemas(document)["Tree"] = {"properties": {"kids": {"items": reference("Tree"), "type": "array"}}}
    schemas(document)["Nest"] = {"type": "array", "items": reference("Nest")}
    schemas(document)["Either"] = {"anyOf": [reference("Either"), {"type": "string"}, {"type": "null"}]}
    schemas(document)["Self"] = {"allOf": [reference("Self")], "properties": {"x": reference("Self")}}
    encounter["nest"], encounter["either"] = reference("Nest"), reference("Either")
    schemas(document)["PublicPatient"]["properties"]["patient_id"]["not"] = reference("Either")


@shape(same=ALL - {"Encounter"})
def recursion_without_components(document: Document) -> None:
    place = "#/paths/~1external~1v1~1encounters/get/responses/200/content/application~1json/schema"
    document["paths"][LIST] = inlined(document, document["paths"][LIST])
    content = document["paths"][LIST]["get"]["responses"]["200"]["content"]["application/json"]
    item = content["schema"]["properties"]["items"]["items"]
    item["properties"]["note"] = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "answer": {"$ref": f"{place}/properties/items/items/properties/note"},
        },
    }


@shape(same=ALL - {"Encounter"})
def definitions_beside_their_use(document: Document) -> None:
    """As pydantic dumps a schema: ``$defs`` inside the component that uses them."""
    encounter = schemas(document)["PublicEncounter"]
    encounter["$defs"] = {"Person": schemas(document).pop("PublicPatient"), "Room": {"properties": {"nr": {}}}}
    encounter["properties"]["patient"] = {"$ref": "#/components/schemas/PublicEncounter/$defs/Person"}
    encounter["properties"]["room"] = {"$ref": "#/components/schemas/PublicEncounter/$defs/Room"}


FIELDS = """
    encounterId encounter-id encounter.id Encounter_Id createdAt type type_ Type class import None self cls shown
    str list datetime Any UNSET Model cast toDict to_dict fromDict from_body fromBody additionalProperties
    additional_properties additional_keys additionalKeys id ID _essential __class__ __init__ _names json items keys
    field fields copy schema model_config annotations ClassVar show_id showKnown UUID
"""
MORE: dict[str, Any] = {
    "either": {"of_the_component": "v"},
    "perhaps": None,
    "lists": [1, 2],
    "tuple": ["v", 1],
    "map": {"v": "v"},
    "day": "2026-02-30",
    "days": ["2026-02-28", "yesterday"],
    "no_type": [[{}]],
    "anything": {"v": [None]},
    "nothing": 1.5,
    "odd": 1,
    "weird": "v",
    "flag": False,
}
PARAMETERS = """
    client url body response headers params httpx quote errors Any self class class_ start-at start_at startAt start.at
    _kwargs kwargs json_body cookies UNSET cast
"""


@shape(
    same=ALL - {"Encounter", "Patient", "Document", "EncounterPage"},
    page=lambda body: {**body, "page": {"next": 2}, "items": [{**body["items"][0], "class": "A", "self": {"x": 1}}]},
    encounter=lambda body: {"encounter": {**body, **dict.fromkeys(FIELDS.split(), "v"), "page": {"not_a_page": "v"}}},
    document=lambda body: {"document": {**body, **MORE}},
)
def extra_fields(document: Document) -> None:
    """Fields whose inline objects or Python names could meet others': promised, generated or reserved ones."""
    text: dict[str, Any] = {"type": "string"}
    encounter = schemas(document)["PublicEncounter"]["properties"]
    encounter["page"] = {"type": "object", "properties": {"not_a_page": text}}  # EncounterPage
    encounter["Page"] = {"type": "object", "properties": {"another": text}}
    schemas(document)["EncounterPlan"] = {"type": "object", "properties": {"of_the_component": text}}
    encounter["plan"] = {
        "type": "object",
        "properties": {"of_the_field": {"type": "object", "properties": {"a": text}}},
    }
    encounter["plans"] = {"type": "array", "items": {"type": "object", "properties": {"b": text}}}
    encounter["plansItem"] = {"type": "object", "properties": {"c": text}}
    encounter["component_plan"] = reference("EncounterPlan")
    for name in FIELDS.split():
        encounter[name] = {"type": "string"}
    encounter["x" * 300] = {"type": "object", "properties": {"y" * 300: {"type": "object", "properties": {"z": text}}}}
    schemas(document)["PublicPatient"]["properties"]["contact"] = {
        "anyOf": [{"type": "object", "properties": {"phone": text}}, {"type": "null"}]
    }
    schemas(document)["PublicPatient"]["properties"]["any"] = {"anyOf": [text, {"type": "object", "properties": {}}]}
    schemas(document)["PublicDocument"]["properties"] |= {
        "either": {"anyOf": [reference("EncounterPlan"), reference("PublicPatient")]},
        "perhaps": {"anyOf": [reference("EncounterPlan"), {"type": "null"}]},
        "lists": {"anyOf": [{"type": "array", "items": text}, {"type": "array", "items": {"type": "integer"}}]},
        "tuple": {"type": "array", "prefixItems": [text, text], "items": False},
        "map": {"type": "object", "additionalProperties": text},
        "day": {"type": "string", "format": "date"},
        "days": {"type": "array", "items": {"type": "string", "format": "date"}},
        "no_type": {},
        "anything": True,
        "nothing": False,
        "odd": {"type": ["string", "integer"]},
        "weird": {"type": "file"},
        "flag": {"type": "boolean", "default": "__import__('os')"},
    }
    schemas(document)["PublicEncounterList"]["properties"]["page"] = {"properties": {"next": {"type": "integer"}}}


@shape()
def extra_schemas(document: Document) -> None:
    for number, schema in enumerate(
        (
            {"type": "string", "enum": ["a", "b"]},
            {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"oneOf": [reference("PublicPatient"), reference("PublicEncounter")]},
            {"allOf": [reference("PublicPatient"), {"properties": {"insured": {"type": "boolean"}}}]},
            {"type": ["object", "null"], "properties": {"x": {"type": "string"}}},
            {"properties": {}, "type": "object"},
            {"$ref": "#/components/schemas/PublicPatient"},
            True,
        )
    ):
        schemas(document)[f"Extra{number}"] = schema


def _parameter(name: str, place: str, schema: Any, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required or place == "path", "schema": schema}


@shape()
def extra_routes(document: Document) -> None:
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    patient = reference("PublicPatient")
    either = {"anyOf": [patient, reference("PublicEncounter"), {"type": "null"}]}
    ok = {"200": json_of(text)}
    list_patients = {
        "operationId": "listPatients",
        "tags": ["Patients"],
        "parameters": [
            _parameter("q", "query", texts),
            _parameter("x-trace", "header", text),
            _parameter("session", "cookie", text),
            _parameter("since", "query", {"type": "string", "format": "date-time"}),
        ],
        "responses": {"200": json_of({"type": "array", "items": patient})},
    }
    create_patient = {
        "operationId": "createPatient",
        "tags": ["Patients"],
        "requestBody": {"required": True, **json_of(patient)},
        "responses": {"201": json_of(patient), "204": {"description": ""}},
    }
    get_patient = {
        "tags": ["Patients"],
        "parameters": [_parameter("patient-id", "path", text)],
        "responses": {"200": json_of(either)},
    }
    places = [
        _parameter("in_body", "body", text),
        _parameter("object", "query", {"type": "object", "properties": {"a": text, "b": text}}),
        _parameter("list", "header", texts),
        _parameter("when", "header", {"type": "string", "format": "date-time"}),
        _parameter("model", "cookie", patient),
        _parameter("nullable", "header", {"anyOf": [text, {"type": "null"}]}),
        _parameter("any", "header", {}),
        {"name": "content", "in": "query", "content": {"application/json": {"schema": text}}},
        {"name": "nothing", "in": "query"},
        "not a parameter",
    ]
    in_path = [_parameter("list", "path", texts), _parameter("model", "path", {"anyOf": [patient, {"type": "null"}]})]
    names = [
        _parameter("id", "path", text),
        _parameter("id", "query", text),
        _parameter("ID", "query", text),
        _parameter("Id", "header", text),
        *(_parameter(name, "query", text) for name in PARAMETERS.split()),
    ]
    put_union = {
        "requestBody": json_of(either),
        "responses": {
            "200": json_of(either),
            "202": {"description": "", "content": {"application/json": {}}},
            "203": {"description": "", "content": {"text/csv": {"schema": text}}},
        },
    }
    patch_union = {
        "requestBody": json_of({"type": "string", "format": "uuid"}),
        "responses": {"200": json_of({"type": "array"})},
    }
    upload = {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}
    document["paths"] |= {
        "/external/v1/patients": {"get": list_patients, "post": create_patient},
        "/external/v1/patients/{patient-id}": {
            "get": get_patient,
            "delete": {"tags": ["class"], "parameters": [], "responses": {"302": {"description": "gone"}}},
        },
        "/external/v1/odd/{0}/{undeclared}": {"get": {"parameters": [_parameter("0", "path", text)], "responses": ok}},
        "/external/v1/odd/declared": {"get": {"parameters": [_parameter("absent", "path", text)], "responses": ok}},
        "/external/v1/odd/twice/{a}/{a}": {"get": {"parameters": [_parameter("a", "path", text)], "responses": ok}},
        "/external/v1/odd/places": {"get": {"parameters": places, "responses": ok}},
        "/external/v1/odd/path/{list}/{model}": {"get": {"parameters": in_path, "responses": ok}},
        "/external/v1/odd/names/{id}": {
            "get": {
                "parameters": names,
                "requestBody": json_of(texts),
                "responses": {"2XX": ok["200"], "default": ok["200"]},
            }
        },
        "/external/v1/odd/unions": {"put": put_union, "patch": patch_union},
        "/external/v1/odd/upload": {"post": {"requestBody": upload, "responses": ok}},
        "/external/v1/encounters/{other}": {
            "delete": {"operationId": "get_encounter", "responses": {}},
            "parameters": [_parameter("other", "path", text)],
        },
        "/external/v1/weird path/{é}": {"get": {"responses": ok}},
        "relative": {"get": {"responses": ok}},
        "/external/v1/empty": {"get": {}},
        "/external/v1/none": None,
    }
    for number in range(5):
        document["paths"][f"/external/v1/things{number}"] = {
            "get": {"operationId": "list-things", "tags": ["Encounters"], "responses": {}},
            "post": {"operationId": "listThings", "tags": ["encounters"], "responses": {}},
        }
