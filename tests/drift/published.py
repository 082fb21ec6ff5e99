"""An artifact to change: small, synthetic, and with a place for every rule.

It is made from ``openapi/surface.toml`` and not from the snapshot, so that these tests mean the same whatever was
pulled.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from scripts.surface import KINDS, Field, load_surface
from tests.pipeline.shapes import schemas

__all__ = ["LIST", "NOTES", "SURFACE", "artifact", "body", "parameter", "raw", "schemas"]

Document = dict[str, Any]

SURFACE = load_surface()
LIST = "/external/v1/encounters"
#: A route that this client does not promise.
NOTES = "/external/v1/notes"
BOUNDS: dict[str, Document] = {
    "limit": {"minimum": 1, "maximum": 100, "default": 50},
    "offset": {"minimum": 0, "maximum": 10_000, "default": 0},
    "sort_order": {"enum": ["asc", "desc"], "default": "desc"},
}
HEADERS = ("ChartHero-Event-Id", "ChartHero-Signature")
#: Values that the artifact lists; of the others it says nothing.
LISTED = {"status": ["completed", "draft"], "encounter_type": ["a"]}
ENVELOPES = {"Encounter": "encounter", "Document": "document"}


def artifact() -> Document:
    """Return the artifact, to be changed at will."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Synthetic", "version": "v1", "description": "Synthetic."},
        "servers": [{"url": "https://api.example.test"}],
        "paths": {**dict(map(_route, SURFACE.operations)), NOTES: {"post": _notes()}},
        "webhooks": {
            spec["webhook"]: {"post": _webhook(model)} for model, spec in SURFACE.models.items() if "webhook" in spec
        },
        "components": {
            "schemas": {
                **{_wire(model): _schema(spec["fields"]) for model, spec in SURFACE.models.items()},
                **{
                    f"{_wire(model)}Detail": {
                        "type": "object",
                        "properties": {field: _reference(_wire(model))},
                        "required": [field],
                    }
                    for model, field in ENVELOPES.items()
                },
                "WireNote": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"]}},
                    "required": ["text"],
                },
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


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


def _wire(model: str) -> str:
    return f"Wire{model}"


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Document) -> Document:
    return {"description": "Synthetic.", "content": {"application/json": {"schema": schema}}}


def _schema(fields: dict[str, Field]) -> Document:
    return {
        "type": "object",
        "properties": {
            name: _kind(field) | ({"enum": [*LISTED[name]]} if name in LISTED else {}) for name, field in fields.items()
        },
        "required": [name for name, field in fields.items() if field.is_described],
    }


def _kind(field: Field) -> Document:
    schema = dict(KINDS[field.kind]) if field.kind in KINDS else _reference(_wire(field.kind))
    return {"type": "array", "items": schema} if field.is_list else schema


def _route(name: str) -> tuple[str, Document]:
    spec = SURFACE.operations[name]
    path = spec["route"].partition(" ")[2]
    model = next(model for model, found in SURFACE.models.items() if found.get("response") == name)
    operation = {
        "operationId": f"wire_{spec['id']}",
        "tags": ["Wire"],
        "security": [{"key": [*spec["scopes"]]}],
        "parameters": [
            *(
                {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}
                for part in path.split("/")
                if part.startswith("{")
            ),
            *(
                {"name": key, "in": "query", "schema": {**KINDS[kind], **copy.deepcopy(BOUNDS.get(key, {}))}}
                for key, kind in spec.get("parameters", {}).items()
            ),
        ],
        "responses": {
            "200": _json(_reference(f"{_wire(model)}Detail" if model in ENVELOPES else _wire(model))),
            "401": _json(_reference(_wire("ApiError"))),
        },
    }
    return path, {"get": operation}


def _notes() -> Document:
    times = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
    tags = {"type": "array", "items": {"type": "string"}}
    answer = {"type": "object", "properties": {"size": {"type": "integer"}, "at": times, "tags": tags}}
    return {
        "operationId": "wire_add_note",
        "parameters": [{"name": "draft", "in": "query", "schema": {"type": "boolean"}}],
        "requestBody": {"content": {"application/json": {"schema": _reference("WireNote")}}},
        "responses": {"200": {"description": "", "content": {"application/json": {"schema": answer}, "text/csv": {}}}},
    }


def _webhook(model: str) -> Document:
    headers = [{"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in HEADERS]
    return {
        "operationId": f"wire_on_{model}",
        "parameters": headers,
        "requestBody": _json(_reference(_wire(model))),
        "responses": {"2XX": {"description": ""}},
    }
