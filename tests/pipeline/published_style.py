"""Shapes in the style of the published artifact: sorted, closed schemas with titles, two kinds of document."""

from __future__ import annotations

import copy
import json
from typing import Any

from .shapes import (
    ALL,
    DOCUMENT,
    Document,
    add_titles,
    any_of_null,
    inlined,
    operations,
    reference,
    rename_schemas,
    respond,
    rewrite,
    schemas,
    shape,
    spelled_nullable,
    unchanged,
)

__all__ = ["published"]

TEXT, TRANSCRIPT = "PublicDocumentDetail", "PublicAmbientTranscriptDocumentDetail"
KINDS = {"ambient_transcript": TRANSCRIPT, "document": TEXT}


def published() -> Document:
    """Return the unchanged artifact in the published style."""
    document = unchanged()
    in_published_style(document)
    return document


def in_published_style(document: Document) -> None:
    """Rewrite *document* as a sorted Pydantic export, with a union of the two document kinds in an envelope."""
    rename_schemas(
        document,
        {
            "PublicDocumentDetail": "PublicDocumentEnvelope",
            "PublicDocument": TEXT,
            "TranscriptReadyWebhook": "PublicTranscriptReadyEvent",
            "TranscriptReadyResources": "PublicTranscriptReadyResources",
        },
    )
    _split_document_kinds(document)
    rewrite(document, lambda node: spelled_nullable(node, any_of_null))
    add_titles(document)
    for schema in schemas(document).values():
        schema["additionalProperties"] = False
        for node in (schema, *schema["properties"].values()):
            node.pop("examples", None)
    for operation in operations(document):
        for response in operation["responses"].values():
            response["content"]["application/json"].pop("example", None)
    exported = json.loads(json.dumps(document, sort_keys=True))
    document.clear()
    document.update(exported)


def _nullable_as_in_3_0(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("anyOf", [])[1:] == [{"type": "null"}]:
        return {**{key: value for key, value in node.items() if key != "anyOf"}, **node["anyOf"][0], "nullable": True}
    if "const" in node:
        return {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}
    return node


def _split_document_kinds(document: Document) -> None:
    text = schemas(document)[TEXT]
    transcript = schemas(document)[TRANSCRIPT] = copy.deepcopy(text)
    del transcript["properties"]["content"]
    transcript["properties"]["audio_duration_seconds"] = {"type": ["number", "null"], "description": "Length."}
    text["required"].append("content")
    for kind, name in KINDS.items():
        schemas(document)[name]["properties"]["schema_type"] = {"type": "string", "const": kind, "description": "Kind."}
    schemas(document)["PublicDocumentEnvelope"]["properties"]["document"] = {
        "oneOf": [reference(name) for name in KINDS.values()],
        "discriminator": {
            "propertyName": "schema_type",
            "mapping": {k: reference(n)["$ref"] for k, n in KINDS.items()},
        },
    }


UNLIKE = ALL - {"Document"}


@shape(same=UNLIKE)
def published_union_in_an_envelope_with_discriminator(document: Document) -> None:
    in_published_style(document)


@shape(same=UNLIKE, document=lambda body: body)
def published_bare_union_without_discriminator(document: Document) -> None:
    in_published_style(document)
    del schemas(document)["PublicDocumentEnvelope"]
    respond(document, DOCUMENT, {"anyOf": [reference(name) for name in KINDS.values()]})


@shape(same=UNLIKE)
def published_with_nothing_required(document: Document) -> None:
    in_published_style(document)
    rewrite(document, lambda node: {key: value for key, value in node.items() if key != "required"})


@shape(same=UNLIKE)
def published_with_the_prefix_in_the_server_url_and_trailing_slashes(document: Document) -> None:
    in_published_style(document)
    document["servers"] = [{"url": "https://api.example.test/external/v1"}]
    document["paths"] = {f"{path.removeprefix('/external/v1')}/": item for path, item in document["paths"].items()}


@shape(same=UNLIKE - {"EventResources", "TranscriptReadyEvent"})
def published_as_3_0_without_the_webhook(document: Document) -> None:
    in_published_style(document)
    rewrite(document, _nullable_as_in_3_0)
    document["openapi"] = "3.0.3"
    del document["webhooks"]


@shape(same=UNLIKE)
def published_with_everything_inline(document: Document) -> None:
    in_published_style(document)
    for key in ("paths", "webhooks"):
        document[key] = inlined(document, document[key])
    del document["components"]["schemas"]
