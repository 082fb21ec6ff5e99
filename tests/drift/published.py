"""An artifact to change: small, synthetic, and with a place for every rule.

It is made from what the developer pages show and not from the snapshot, so that these tests mean the same whatever was
pulled.
"""

from __future__ import annotations

import json
from typing import Any

from scripts.surface import load_surface
from tests.pipeline.shapes import Document, reference, rename_schemas, rewrite, schemas, spelled_nullable, unchanged

__all__ = ["LIST", "NOTES", "SURFACE", "Document", "artifact", "body", "parameter", "raw", "schemas"]

SURFACE = load_surface()
LIST = "/external/v1/encounters"
#: A route that this client does not promise.
NOTES = "/external/v1/notes"
#: The names of schemas that are not the promised name after a prefix.
NAMES = {
    "PublicEncounterList": "WireEncounterPage",
    "PublicTranscriptContent": "WireTranscriptContent",
    "PublicDocumentTranscript": "WireTranscript",
    "PublicDocumentAudio": "WireAudioUrl",
    "TranscriptReadyResources": "WireEventResources",
    "TranscriptReadyWebhook": "WireTranscriptReadyEvent",
}


def artifact() -> Document:
    """Return the artifact, to be changed at will. Nothing in it is nullable, and everything required."""
    document = unchanged()
    rename_schemas(document, {name: NAMES.get(name, name.replace("Public", "Wire")) for name in schemas(document)})
    rewrite(document, lambda node: spelled_nullable(node, lambda plain: plain))
    for schema in schemas(document).values():
        schema["required"] = list(schema["properties"])
    for name in ("first_name", "last_name", "date_of_birth"):
        schemas(document)["WirePatient"]["required"].remove(name)
    encounter = schemas(document)["WireEncounter"]["properties"]
    encounter["status"]["enum"] = ["completed", "draft"]
    encounter["encounter_type"]["enum"] = ["a"]
    schemas(document)["WireNote"] = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"]}},
        "required": ["text"],
    }
    for item in document["paths"].values():
        item["get"]["responses"] = {status: item["get"]["responses"][status] for status in ("200", "401")}
    document["paths"][NOTES] = {"post": _notes()}
    return document


def raw(document: Document) -> bytes:
    """Return *document* as it might be served."""
    return json.dumps(document).encode()


def parameter(document: Document, name: str) -> dict[str, Any]:
    """Return a parameter of the list route."""
    return next(node for node in document["paths"][LIST]["get"]["parameters"] if node["name"] == name)


def body(document: Document, path: str = LIST, method: str = "get", status: str = "200") -> dict[str, Any]:
    """Return what a route answers with."""
    found: dict[str, Any] = document["paths"][path][method]["responses"][status]
    return found


def _notes() -> Document:
    times = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
    tags = {"type": "array", "items": {"type": "string"}}
    answer = {"type": "object", "properties": {"size": {"type": "integer"}, "at": times, "tags": tags}}
    return {
        "operationId": "wire_add_note",
        "security": [],
        "parameters": [{"name": "draft", "in": "query", "schema": {"type": "boolean"}}],
        "requestBody": {"content": {"application/json": {"schema": reference("WireNote")}}},
        "responses": {"200": {"description": "", "content": {"application/json": {"schema": answer}, "text/csv": {}}}},
    }
