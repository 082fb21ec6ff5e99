"""One change per rule of the severity table: what is done to the artifact, and what it is called forwards and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from .published import LIST, NOTES, Document, body, parameter, schemas

__all__ = ["CHANGES", "Change", "added_field", "everything_renamed", "field"]

ENCOUNTER = f"{LIST}/{{encounter_id}}"
AUDIO = f"{ENCOUNTER}/documents/{{document_id}}/audio"
EVENT = "recording.transcript_ready"


@frozen
class Change:
    """What is done to an artifact, the one rule it falls under, and the one its reverse falls under.

    ``back`` is None where the changed artifact is none a client can be built from, so that there is no way back.
    """

    title: str
    rule: str
    back: str | None
    do: Callable[[Document], object]
    public: str = ""


def operation(document: Document, path: str = LIST, method: str = "get") -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method]
    return found


def event(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = document["webhooks"][EVENT]["post"]
    return found


def field(document: Document, model: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = schemas(document)[f"Wire{model}"]["properties"][name]
    return found


def size(document: Document) -> dict[str, Any]:
    """Return a number that the route nobody promised answers with."""
    found: dict[str, Any] = body(document, NOTES, "post")["content"]["application/json"]["schema"]["properties"]["size"]
    return found


def renamed(document: Document, old: str, new: str) -> None:
    """Rename a schema, and every reference to it."""
    schemas(document)[new] = schemas(document).pop(old)
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("$ref") == f"#/components/schemas/{old}":
                node["$ref"] = f"#/components/schemas/{new}"
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def everything_renamed(document: Document) -> None:
    """Rename whatever only the artifact gives a name to."""
    for name in list(schemas(document)):
        renamed(document, name, f"Other{name}")
    for item in document["paths"].values():
        for operation in item.values():
            operation.update(operationId=f"other_{operation.get('operationId')}", tags=["Other"])


def added_field(document: Document, model: str, name: str, *, required: bool = False) -> None:
    schema = schemas(document)[f"Wire{model}"]
    schema["properties"][name] = {"type": "string"}
    if required:
        schema["required"].append(name)


def unioned(node: dict[str, Any], *alternatives: dict[str, Any]) -> None:
    """Make *node* a union of what it was and *alternatives*."""
    before = dict(node)
    node.clear()
    node["oneOf"] = [before, *alternatives]


def moved(document: Document, old: str, new: str) -> None:
    document["paths"][new] = document["paths"].pop(old)


SHOT = {"type": "object", "properties": {"shot": {"type": "string"}, "lens": {"type": "string"}}}

CHANGES = [
    # The document
    Change(
        "a promised route is gone for the surface",
        "surface-lost",
        None,
        lambda new: new["paths"].pop(AUDIO),
        "documents.audio",
    ),
    Change(
        "a promised field is gone for the surface",
        "surface-lost",
        None,
        lambda new: schemas(new)["WireEncounter"]["properties"].pop("status"),
        "Encounter.status",
    ),
    Change("written in 3.1.1", "openapi-changed", "openapi-changed", lambda new: new.update(openapi="3.1.1")),
    Change(
        "another host", "about-changed", "about-changed", lambda new: new["servers"][0].update(url="https://b.test")
    ),
    Change(
        "another description",
        "prose-changed",
        "prose-changed",
        lambda new: schemas(new)["WirePatient"].update(description="Other."),
        "Encounter.patient",
    ),
    Change("an operation's summary", "prose-changed", "prose-changed", lambda new: operation(new).update(summary="S")),
    Change(
        "an example",
        "prose-changed",
        "prose-changed",
        lambda new: field(new, "Patient", "patient_id").update(example="p"),
    ),
    Change(
        "the order of parameters", "order-changed", "order-changed", lambda new: operation(new)["parameters"].reverse()
    ),
    Change(
        "the order of an enumeration",
        "order-changed",
        "order-changed",
        lambda new: parameter(new, "sort_order")["schema"]["enum"].reverse(),
    ),
    Change(
        "the order of keys", "formatting-changed", "formatting-changed", lambda new: new.update(info=new.pop("info"))
    ),
    Change(
        "a schema nothing refers to",
        "unused-schema-changed",
        "unused-schema-changed",
        lambda new: schemas(new).update(WireSpare={"type": "object"}),
    ),
    Change(
        "a schema renamed",
        "schema-renamed",
        "schema-renamed",
        lambda new: renamed(new, "WirePatient", "Person"),
        "Patient",
    ),
    Change("callbacks", "unjudged", "unjudged", lambda new: operation(new).update(callbacks={})),
    # Routes and webhooks
    Change(
        "a route this client does not promise is gone",
        "route-removed",
        "route-added",
        lambda new: new["paths"].pop(NOTES),
    ),
    Change(
        "another method on a route is gone",
        "route-removed",
        "route-added",
        lambda new: new["paths"][NOTES].update(put=new["paths"][NOTES].pop("post")),
    ),
    Change(
        "another name of a path parameter",
        "route-respelled",
        "route-respelled",
        lambda new: (
            moved(new, ENCOUNTER, f"{LIST}/{{id}}"),
            operation(new, f"{LIST}/{{id}}")["parameters"][0].update(name="id"),
        ),
        "encounters.get",
    ),
    Change(
        "the prefix is in the server's URL",
        "route-respelled",
        "route-respelled",
        lambda new: moved(new, LIST, "/encounters"),
        "encounters.list",
    ),
    Change(
        "another operation id",
        "operation-renamed",
        "operation-renamed",
        lambda new: operation(new).update(operationId="x"),
        "encounters.list",
    ),
    Change(
        "another tag",
        "tags-changed",
        "tags-changed",
        lambda new: operation(new).update(tags=["Other"]),
        "encounters.list",
    ),
    Change(
        "another webhook",
        "webhook-added",
        "webhook-removed",
        lambda new: new["webhooks"].update({"x": {"post": {"requestBody": {}}}}),
    ),
    Change(
        "a webhook renamed",
        "webhook-renamed",
        "webhook-renamed",
        lambda new: new["webhooks"].update({"other": new["webhooks"].pop(EVENT)}),
    ),
    Change(
        "a deprecated route",
        "deprecated",
        "deprecation-withdrawn",
        lambda new: operation(new).update(deprecated=True),
        "encounters.list",
    ),
    Change(
        "a deprecated field",
        "deprecated",
        "deprecation-withdrawn",
        lambda new: field(new, "Encounter", "status").update(deprecated=True),
        "Encounter.status",
    ),
    Change(
        "a deprecated parameter",
        "deprecated",
        "deprecation-withdrawn",
        lambda new: parameter(new, "offset").update(deprecated=True),
        "encounters.list(offset=)",
    ),
    Change(
        "a deprecated reference",
        "deprecated",
        "deprecation-withdrawn",
        lambda new: field(new, "Encounter", "patient").update(deprecated=True),
        "Encounter.patient",
    ),
    # Security
    Change(
        "one scope more",
        "scopes-needed",
        "scopes-released",
        lambda new: operation(new)["security"][0]["key"].append("x:read"),
        "encounters.list",
    ),
    Change(
        "another way of authenticating",
        "scopes-needed",
        "scopes-needed",
        lambda new: new["components"]["securitySchemes"].update(key={"type": "apiKey", "in": "header", "name": "X"}),
        "encounters.list",
    ),
    Change(
        "the documented scopes not declared",
        "scopes-released",
        "security-respelled",
        lambda new: operation(new)["security"][0].update(key=[]),
        "encounters.list",
    ),
    Change(
        "security where there was none",
        "scopes-needed",
        "scopes-released",
        lambda new: operation(new, NOTES, "post").update(security=[{"key": ["notes:write"]}]),
    ),
    # Parameters and request bodies: sent
    Change(
        "a parameter that is sent is gone",
        "parameter-removed",
        None,
        lambda new: operation(new)["parameters"].remove(parameter(new, "start_at")),
        "encounters.list(start_at=)",
    ),
    Change(
        "a parameter that is not sent is gone",
        "unsent-parameter-removed",
        "parameter-added",
        lambda new: operation(new, NOTES, "post").update(parameters=[]),
    ),
    Change(
        "a required parameter that is not sent is gone",
        "required-parameter-added",
        "unsent-parameter-removed",
        lambda new: operation(new, NOTES, "post")["parameters"].append(
            {"name": "n", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
    ),
    Change(
        "a required header",
        "required-parameter-added",
        None,
        lambda new: operation(new)["parameters"].append(
            {"name": "X-N", "in": "header", "required": True, "schema": {"type": "string"}}
        ),
        "encounters.list(X-N=)",
    ),
    Change(
        "a parameter became required",
        "parameter-now-required",
        "parameter-now-optional",
        lambda new: parameter(new, "start_at").update(required=True),
        "encounters.list(start_at=)",
    ),
    Change(
        "a parameter is written otherwise",
        "parameter-style-changed",
        "parameter-style-changed",
        lambda new: parameter(new, "start_at").update(style="pipeDelimited"),
        "encounters.list(start_at=)",
    ),
    Change(
        "a smaller page",
        "pager-bound-tightened",
        "sent-bound-loosened",
        lambda new: parameter(new, "limit")["schema"].update(maximum=99),
        "encounters.list(limit=)",
    ),
    Change(
        "a smaller page, in the other spelling",
        "pager-bound-tightened",
        "sent-bound-loosened",
        lambda new: (
            parameter(new, "limit")["schema"].pop("maximum"),
            parameter(new, "limit")["schema"].update(exclusiveMaximum=100),
        ),
        "encounters.list(limit=)",
    ),
    Change(
        "a nearer end of paging",
        "pager-bound-tightened",
        "sent-bound-loosened",
        lambda new: parameter(new, "offset")["schema"].update(maximum=9_999),
        "encounters.list(offset=)",
    ),
    Change(
        "a larger least page",
        "sent-bound-tightened",
        None,
        lambda new: parameter(new, "limit")["schema"].update(minimum=2),
        "encounters.list(limit=)",
    ),
    Change(
        "another default",
        "sent-default-changed",
        "sent-default-changed",
        lambda new: parameter(new, "limit")["schema"].update(default=20),
        "encounters.list(limit=)",
    ),
    Change(
        "a wider type sent",
        "sent-type-widened",
        "sent-type-narrowed",
        lambda new: operation(new, NOTES, "post")["parameters"][0]["schema"].update(type=["boolean", "string"]),
    ),
    Change(
        "another type sent",
        "sent-type-changed",
        "sent-type-changed",
        lambda new: operation(new, NOTES, "post")["parameters"][0]["schema"].update(type="string"),
    ),
    Change(
        "null sent",
        "sent-null-accepted",
        "sent-null-refused",
        lambda new: field(new, "Note", "text").update(type=["string", "null"]),
    ),
    Change(
        "a value sent",
        "sent-value-added",
        "sent-value-removed",
        lambda new: parameter(new, "sort_order")["schema"]["enum"].append("none"),
        "encounters.list(sort_order=)",
    ),
    Change(
        "any value sent",
        "sent-values-opened",
        "sent-values-closed",
        lambda new: field(new, "Note", "kind").pop("enum"),
    ),
    Change(
        "a format sent",
        "sent-format-dropped",
        "sent-format-tightened",
        lambda new: parameter(new, "start_at")["schema"].pop("format"),
        "encounters.list(start_at=)",
    ),
    Change(
        "a date in place of an instant",
        "sent-format-tightened",
        None,
        lambda new: parameter(new, "start_at")["schema"].update(format="date"),
        "encounters.list(start_at=)",
    ),
    Change(
        "a pattern sent",
        "sent-constraint-tightened",
        "sent-constraint-dropped",
        lambda new: field(new, "Note", "text").update(pattern="^x"),
    ),
    Change(
        "nothing else sent",
        "sent-constraint-tightened",
        "sent-constraint-dropped",
        lambda new: schemas(new)["WireNote"].update(additionalProperties=False),
    ),
    Change(
        "one alternative more sent",
        "sent-branch-added",
        "sent-branch-removed",
        lambda new: unioned(schemas(new)["WireNote"], SHOT),
    ),
    Change(
        "an optional field sent", "sent-field-added", "sent-field-removed", lambda new: added_field(new, "Note", "n")
    ),
    Change(
        "a required field sent",
        "sent-required-field-added",
        "sent-field-removed",
        lambda new: added_field(new, "Note", "n", required=True),
    ),
    Change(
        "a field sent became required",
        "sent-field-now-required",
        "sent-field-now-optional",
        lambda new: schemas(new)["WireNote"]["required"].append("kind"),
    ),
    Change(
        "a body became required",
        "body-now-required",
        "body-now-optional",
        lambda new: operation(new, NOTES, "post")["requestBody"].update(required=True),
    ),
    # Responses and webhooks: received
    Change(
        "a promised field is gone",
        "promised-field-removed",
        None,
        lambda new: schemas(new)["WireEncounter"]["properties"].pop("status"),
        "Encounter.status",
    ),
    Change(
        "a promised field of an event is gone",
        "promised-field-removed",
        None,
        lambda new: schemas(new)["WireTranscriptReadyEvent"]["properties"].pop("type"),
        "TranscriptReadyEvent.type",
    ),
    Change(
        "a field that may be missing is gone",
        "received-field-removed",
        "received-field-added",
        lambda new: schemas(new)["WirePatient"]["properties"].pop("first_name"),
        "Patient.first_name",
    ),
    Change(
        "a field more, always there",
        "received-field-added",
        "received-required-field-removed",
        lambda new: added_field(new, "Encounter", "ward", required=True),
        "Encounter.ward",
    ),
    Change(
        "a field more in an event",
        "received-field-added",
        "received-field-removed",
        lambda new: added_field(new, "EventResources", "room_id"),
        "EventResources.room_id",
    ),
    Change(
        "a field may be missing",
        "received-field-now-optional",
        "received-field-now-required",
        lambda new: schemas(new)["WireEncounter"]["required"].remove("status"),
        "Encounter.status",
    ),
    Change(
        "a field of an event may be missing",
        "received-field-now-optional",
        "received-field-now-required",
        lambda new: schemas(new)["WireEventResources"]["required"].remove("document_id"),
        "EventResources.document_id",
    ),
    Change(
        "an event's header may be missing",
        "received-field-now-optional",
        "received-field-now-required",
        lambda new: event(new)["parameters"][0].update(required=False),
        "TranscriptReadyEvent",
    ),
    Change(
        "an event's header is gone",
        "received-required-field-removed",
        "received-field-added",
        lambda new: event(new)["parameters"].pop(),
        "TranscriptReadyEvent",
    ),
    Change(
        "null comes",
        "received-null-added",
        "received-null-removed",
        lambda new: field(new, "Encounter", "updated_at").update(type=["string", "null"]),
        "Encounter.updated_at",
    ),
    Change(
        "null comes in an event, in the spelling of 3.0",
        "received-null-added",
        "received-null-removed",
        lambda new: field(new, "TranscriptReadyEvent", "occurred_at").update(nullable=True),
        "TranscriptReadyEvent.occurred_at",
    ),
    Change(
        "more types come",
        "received-type-widened",
        "received-type-narrowed",
        lambda new: size(new).update(type=["integer", "string"]),
    ),
    Change(
        "more numbers come",
        "received-type-widened",
        "received-type-narrowed",
        lambda new: size(new).update(type="number"),
    ),
    Change(
        "another type comes",
        "received-type-changed",
        "received-type-changed",
        lambda new: size(new).update(type="string"),
    ),
    Change(
        "a value more comes",
        "received-value-added",
        "received-value-removed",
        lambda new: field(new, "Encounter", "status")["enum"].append("signed"),
        "Encounter.status",
    ),
    Change(
        "any value comes",
        "received-values-opened",
        "received-values-closed",
        lambda new: field(new, "Encounter", "status").pop("enum"),
        "Encounter.status",
    ),
    Change(
        "another format comes",
        "received-format-changed",
        None,
        lambda new: field(new, "Encounter", "created_at").update(format="date"),
        "Encounter.created_at",
    ),
    Change(
        "no format comes",
        "received-format-changed",
        "received-format-added",
        lambda new: field(new, "Encounter", "created_at").pop("format"),
        "Encounter.created_at",
    ),
    Change(
        "longer values come",
        "received-constraint-changed",
        "received-constraint-changed",
        lambda new: field(new, "Encounter", "status").update(maxLength=10),
        "Encounter.status",
    ),
    Change(
        "larger numbers come",
        "received-constraint-changed",
        "received-constraint-changed",
        lambda new: field(new, "EncounterPage", "total").update(maximum=10),
        "EncounterPage.total",
    ),
    Change(
        "one alternative more comes",
        "received-branch-added",
        "received-branch-removed",
        lambda new: unioned(schemas(new)["WireDocumentContent"], SHOT),
        "DocumentContent",
    ),
    Change(
        "one event has one alternative more",
        "received-branch-added",
        "received-branch-removed",
        lambda new: unioned(schemas(new)["WireEventResources"], SHOT),
        "EventResources",
    ),
    Change(
        "no envelope any more",
        "envelope-changed",
        "envelope-changed",
        lambda new: body(new, ENCOUNTER)["content"]["application/json"].update(
            schema={"$ref": "#/components/schemas/WireEncounter"}
        ),
        "encounters.get",
    ),
    Change(
        "no body any more",
        "received-body-removed",
        "received-body-added",
        lambda new: body(new, NOTES, "post").pop("content"),
    ),
    Change(
        "no JSON any more",
        "media-type-removed",
        "media-type-added",
        lambda new: body(new, NOTES, "post")["content"].pop("application/json"),
    ),
    Change(
        "no CSV any more",
        "other-media-type-removed",
        "media-type-added",
        lambda new: body(new, NOTES, "post")["content"].pop("text/csv"),
    ),
    Change(
        "another status of success",
        "success-status-removed",
        "success-status-removed",
        lambda new: operation(new, NOTES, "post")["responses"].update(
            {"201": operation(new, NOTES, "post")["responses"].pop("200")}
        ),
    ),
    Change(
        "any status of success",
        "success-status-added",
        "success-status-narrowed",
        lambda new: operation(new, NOTES, "post")["responses"].update(
            {"2XX": operation(new, NOTES, "post")["responses"].pop("200")}
        ),
    ),
    Change(
        "another error",
        "error-status-changed",
        "error-status-changed",
        lambda new: operation(new)["responses"].update({"418": {"description": ""}}),
        "encounters.list",
    ),
    Change(
        "another header of a response",
        "headers-changed",
        "headers-changed",
        lambda new: body(new).update(headers={"X-N": {"schema": {"type": "string"}}}),
        "encounters.list",
    ),
]
