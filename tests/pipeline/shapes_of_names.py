"""Shapes with other names: of operations, tags, schemas, parameters and paths."""

from __future__ import annotations

import re
from typing import Any

from .shapes import (
    ALL,
    DOCUMENT,
    ENCOUNTER,
    LIST,
    Document,
    add_titles,
    any_of_null,
    json_of,
    operations,
    reference,
    rename_schemas,
    rewrite,
    schemas,
    shape,
    spelled_nullable,
)

__all__: list[str] = []


@shape(same=ALL - {"ApiError"})
def framework_style(document: Document) -> None:
    """As FastAPI writes it: long ids, titles everywhere, its own 422, ``anyOf`` null, no other error, a key header."""
    for path, item in document["paths"].items():
        operation = item["get"]
        words = re.sub(r"\W+", "_", operation["summary"].lower())
        operation["operationId"] = f"{words}{re.sub(r'[^a-z0-9]', '_', path)}_get"
        operation["tags"] = ["public-api", "v1"]
        operation["security"] = [{"HTTPBearer": []}]
        operation["parameters"] = [
            *operation.get("parameters", []),
            {"name": "authorization", "in": "header", "required": True, "schema": {"type": "string"}},
        ]
        operation["responses"] = {
            "200": operation["responses"]["200"],
            "422": json_of(reference("HTTPValidationError")),
        }
    del schemas(document)["PublicApiError"]
    place = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    schemas(document)["ValidationError"] = {
        "properties": {
            "loc": {"items": place, "type": "array", "title": "Location"},
            "msg": {"type": "string", "title": "Message"},
            "type": {"type": "string", "title": "Error Type"},
            "input": {"title": "Input"},
            "ctx": {"type": "object", "title": "Context"},
        },
        "type": "object",
        "required": ["loc", "msg", "type"],
        "title": "ValidationError",
    }
    schemas(document)["HTTPValidationError"] = {
        "properties": {"detail": {"items": reference("ValidationError"), "type": "array", "title": "Detail"}},
        "type": "object",
        "title": "HTTPValidationError",
    }

    rewrite(document, lambda node: spelled_nullable(node, any_of_null))
    add_titles(document)


@shape()
def ids_in_camel_case_missing_and_used_twice(document: Document) -> None:
    first, second, third, fourth, fifth = operations(document)
    first |= {"operationId": "list", "tags": ["encounter controller"]}
    second |= {"operationId": "get_encounter", "tags": []}
    third |= {"operationId": "get_encounter"}
    del fourth["operationId"], fourth["tags"]
    fifth |= {"operationId": "import"}
    document.pop("tags")


@shape()
def other_schema_names(document: Document) -> None:
    rename_schemas(document, {name: f"Dto{number}" for number, name in enumerate(schemas(document))})


@shape()
def schemas_called_by_our_names_for_something_else(document: Document) -> None:
    rename_schemas(
        document,
        {
            "PublicDocumentSummary": "Document",
            "PublicDocument": "DocumentSummary",
            "PublicTranscriptTurn": "Transcript",
            "PublicDocumentTranscript": "TranscriptTurn",
            "PublicEncounter": "EncounterPage",
            "PublicEncounterList": "Encounter",
            "PublicApiError": "Patient",
            "PublicPatient": "ApiError",
            "PublicDocumentAudio": "TranscriptReadyEvent",
            "PublicEncounterDetail": "AudioUrl",
        },
    )


@shape(same=ALL - {"Encounter"})
def names_that_differ_only_in_case(document: Document) -> None:
    rename_schemas(document, {"PublicEncounter": "encounter", "PublicPatient": "person"})
    for name in ("Encounter", "ENCOUNTER", "Person", "PERSON", "per_son"):
        schemas(document)[name] = {"type": "object", "properties": {f"of_{name}": {"type": "string"}}}
        schemas(document)["encounter"]["properties"][f"my{name}"] = reference(name)


@shape()
def input_and_output_variants(document: Document) -> None:
    """As FastAPI splits a model that is read and written."""
    rename_schemas(document, {"PublicEncounter": "Encounter-Output", "PublicPatient": "Patient-Output"})
    schemas(document)["Encounter-Input"] = {"type": "object", "properties": {"note": {"type": "string"}}}
    schemas(document)["Patient-Input"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    body = {"required": True, **json_of(reference("Encounter-Input"))}
    created = json_of(reference("Encounter-Output"))
    document["paths"][LIST]["post"] = {"requestBody": body, "responses": {"201": created}}


@shape()
def names_no_identifier_can_have(document: Document) -> None:
    names = ["Page«Encounter»", "a/b", "x~y", "100%", "Ärztliche Notiz", "病歴", "1st", "with space", "", "..", "class"]
    rename_schemas(document, dict(zip(schemas(document), names, strict=False)))


@shape()
def references_in_percent_encoding(document: Document) -> None:
    rename_schemas(document, {"PublicEncounter": "Public Encounter", "PublicPatient": "Page[Patient]"})
    spelled = {"Public Encounter": "Public%20Encounter", "Page[Patient]": "Page%5BPatient%5D"}

    def change(node: dict[str, Any]) -> dict[str, Any]:
        for plain, encoded in spelled.items():
            if node.get("$ref") == f"#/components/schemas/{plain}":
                return {"$ref": f"#/components/schemas/{encoded}"}
        return node

    rewrite(document, change)


AWKWARD = """
    Number Model Any Response Client AuthenticatedClient UUID Literal None True Error Unset UNSET HTTPStatus Mapping
    ClassVar File Optional Union List Dict Self datetime date str int object type Exception T Encounters api models
    types errors client TypeError ValueError import init Surprises Field Config Base Generic Final
"""


@shape(same=ALL - {"Encounter"})
def schemas_named_like_what_generated_code_uses(document: Document) -> None:
    for name in AWKWARD.split():
        schemas(document)[name] = {
            "type": "object",
            "properties": {
                "at": {"type": "string", "format": "date-time"},
                "key": {"type": "string", "format": "uuid"},
            },
        }
        schemas(document)["PublicEncounter"]["properties"][f"the_{name}"] = reference(name)
        document["paths"][f"/external/v1/awkward/{name}"] = {
            "post": {
                "operationId": name,
                "tags": [name],
                "requestBody": json_of(reference(name)),
                "responses": {
                    "200": json_of({"type": "array", "items": reference(name)}),
                    "201": json_of(reference(name)),
                },
            }
        }


@shape()
def path_parameters_called_otherwise(document: Document) -> None:
    for old in list(document["paths"]):
        item = document["paths"].pop(old)
        for parameter in item["get"]["parameters"]:
            if parameter["in"] == "path":
                parameter["name"] = {"encounter_id": "encounter-id", "document_id": "class"}[parameter["name"]]
        document["paths"][old.replace("encounter_id", "encounter-id").replace("document_id", "class")] = item


@shape()
def a_namesake_without_the_prefix(document: Document) -> None:
    """An internal route first, with the same path but for the prefix, and another body."""
    internal = {"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "string"}}}}
    get = {"responses": {"200": json_of(internal)}}
    document["paths"] = {"/encounters": {"get": get}, "/encounters/{id}": {"get": get}, **document["paths"]}
    document["paths"]["/encounters/{id}"]["parameters"] = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]


@shape()
def the_webhook_by_reference_among_others(document: Document) -> None:
    item = document["webhooks"]["recording.transcript_ready"]
    test = {"type": "object", "properties": {"id": {"type": "string"}, "type": {"type": "string"}}}
    document["components"]["pathItems"] = {"ready": item}
    document["components"]["requestBodies"] = {"ready": item["post"]["requestBody"]}
    item["post"]["requestBody"] = {"$ref": "#/components/requestBodies/ready"}
    document["webhooks"] = {
        "webhook.endpoint_test": {"post": {"requestBody": json_of(test), "responses": {"200": {"description": ""}}}},
        "events": {"$ref": "#/components/pathItems/ready"},
    }


@shape()
def everything_by_reference(document: Document) -> None:
    """Path items and responses by reference, and the parameters of the path, partly by reference."""
    components = document["components"]
    components |= {"parameters": {}, "responses": {}, "pathItems": {}}
    for number, (path, item) in enumerate(document["paths"].items()):
        item["parameters"] = item["get"].pop("parameters")
        components["parameters"][f"p{number}"] = item["parameters"][0]
        item["parameters"][0] = {"$ref": f"#/components/parameters/p{number}"}
        for status, response in item["get"]["responses"].items():
            components["responses"][f"r{number}_{status}"] = response
            item["get"]["responses"][status] = {"$ref": f"#/components/responses/r{number}_{status}"}
        components["pathItems"][f"i{number}"] = item
        document["paths"][path] = {"$ref": f"#/components/pathItems/i{number}"}


@shape()
def one_error_body_for_every_status(document: Document) -> None:
    for operation in operations(document):
        error = operation["responses"]["401"]
        operation["responses"] = {"200": operation["responses"]["200"], "default": error}


@shape()
def success_and_media_type_spelled_broadly(document: Document) -> None:
    for number, operation in enumerate(operations(document)):
        response = operation["responses"].pop("200")
        schema = response["content"].pop("application/json")
        media = ("application/json; charset=utf-8", "application/vnd.charthero.v1+json", "Application/JSON")[number % 3]
        response["content"] = {"text/html": {"schema": {"type": "string"}}, media: schema}
        operation["responses"]["2XX" if number % 2 else "200"] = response


@shape()
def links_callbacks_and_extensions_everywhere(document: Document) -> None:
    for operation in operations(document):
        operation["x-internal"] = {"$ref": "https://elsewhere.example/never-followed"}
        operation["callbacks"] = {"done": {"{$request.body#/url}": {"post": {"responses": {}}}}}
        operation["responses"]["200"]["links"] = {"next": {"operationId": "nowhere"}}
    document["x-tag-groups"] = [{"name": "\u202e", "tags": [None]}]
    document["paths"][ENCOUNTER]["x-gateway"] = {"timeout": 3}
    document["paths"][DOCUMENT]["summary"] = "A document"
