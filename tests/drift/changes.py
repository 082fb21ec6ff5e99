"""Changes to an artifact, and the rule of the severity table that each falls under, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from tests.pipeline.shapes import rename_schemas

from .published import LIST, NOTES, Document, body, parameter, schemas

__all__ = ["CHANGES", "Change", "added_field", "everything_renamed", "field"]

ENCOUNTER = f"{LIST}/{{encounter_id}}"
DOCUMENT = f"{ENCOUNTER}/documents/{{document_id}}"
AUDIO = f"{DOCUMENT}/audio"
EVENT, EVENT_MODEL = "recording.transcript_ready", "TranscriptReadyEvent"
SHOT = {"type": "object", "properties": {"shot": {"type": "string"}, "lens": {"type": "string"}}}
NEEDED = {"name": "n", "in": "query", "required": True, "schema": {"type": "string"}}
OTHER_SCHEME = {"bearerAuth": {"type": "apiKey", "in": "header", "name": "X"}}

Edit = Callable[[Document], object]


@frozen
class Change:
    """An edit of an artifact, its rule, the rule of the reverse edit, and the public name in the finding.

    ``back`` is None if no client can be built from the changed artifact.
    """

    title: str
    rule: str
    back: str | None
    do: Edit
    public: str = ""


# Places in the artifact


def operation(document: Document, path: str = LIST, method: str = "get") -> Any:
    return document["paths"][path][method]


def notes(document: Document) -> Any:
    return operation(document, NOTES, "post")


def notes_answer(document: Document) -> Any:
    return body(document, NOTES, "post")


def answered(document: Document, name: str) -> Any:
    """Return a field in the response of the route without a promise."""
    return notes_answer(document)["content"]["application/json"]["schema"]["properties"][name]


def event(document: Document) -> Any:
    return document["webhooks"][EVENT]["post"]


def model(document: Document, name: str) -> Any:
    return schemas(document)[f"Wire{name}"]


def properties(document: Document, of: str) -> Any:
    return model(document, of)["properties"]


def field(document: Document, of: str, name: str) -> Any:
    return properties(document, of)[name]


def query(document: Document, name: str) -> Any:
    return parameter(document, name)["schema"]


# Edits


def put(select: Callable[..., Any], *where: str, **values: Any) -> Edit:
    return lambda new: select(new, *where).update(values)


def drop(key: str, select: Callable[..., Any], *where: str) -> Edit:
    return lambda new: select(new, *where).pop(key)


def put_in(key: str, value: Any, select: Callable[..., Any], *where: str) -> Edit:
    return lambda new: select(new, *where)[key].append(value)


def drop_from(key: str, value: Any, select: Callable[..., Any], *where: str) -> Edit:
    return lambda new: select(new, *where)[key].remove(value)


def both(*edits: Edit) -> Edit:
    return lambda new: [edit(new) for edit in edits]


def moved(old: str, new: str, select: Callable[..., Any]) -> Edit:
    return lambda document: select(document).update({new: select(document).pop(old)})


def united(select: Callable[..., Any], *where: str) -> Edit:
    """Make a schema a union of what it was and another alternative."""

    def edit(new: Document) -> None:
        node = select(new, *where)
        before = dict(node)
        node.clear()
        node["oneOf"] = [before, SHOT]

    return edit


def everything_renamed(document: Document) -> None:
    """Rename everything that only the artifact names."""
    rename_schemas(document, {name: f"Other{name}" for name in schemas(document)})
    for item in document["paths"].values():
        for each in item.values():
            each.update(operationId=f"other_{each.get('operationId')}", tags=["Other"])


def added_field(document: Document, of: str, name: str, *, required: bool = False) -> None:
    properties(document, of)[name] = {"type": "string"}
    if required:
        model(document, of)["required"].append(name)


def with_field(of: str, name: str, *, required: bool = False) -> Edit:
    return lambda new: added_field(new, of, name, required=required)


def with_other_path_parameter(new: Document) -> None:
    new["paths"][f"{LIST}/{{id}}"] = new["paths"].pop(ENCOUNTER)
    operation(new, f"{LIST}/{{id}}")["parameters"][0].update(name="id")


def without_envelope(new: Document) -> None:
    body(new, ENCOUNTER)["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/WireEncounter"}


def exclusive(select: Callable[..., Any], *where: str, maximum: int) -> Edit:
    """Give a number another maximum, in the spelling that excludes it."""
    return both(drop("maximum", select, *where), put(select, *where, exclusiveMaximum=maximum + 1))


def without_start(new: Document) -> None:
    operation(new)["parameters"].remove(parameter(new, "start_at"))


def without_version(new: Document) -> None:
    event(new)["parameters"].pop()


paths, webhooks = (lambda new: new["paths"]), (lambda new: new["webhooks"])
security_schemes = lambda new: new["components"]["securitySchemes"]  # noqa: E731
responses = lambda new: operation(new)["responses"]  # noqa: E731
draft = lambda new: notes(new)["parameters"][0]["schema"]  # noqa: E731
sent_content = lambda new: notes(new)["requestBody"]["content"]  # noqa: E731
event_header = lambda new: event(new)["parameters"][0]  # noqa: E731
START = "encounters.list(start_at=)"
#: Each rule and the rule of the reverse change -> cases: a title, the edit, and the public name in the finding.
CASES: dict[tuple[str, str | None], list[tuple[str, Edit, str]]] = {
    ("surface-lost", None): [
        ("a promised route is gone", drop(AUDIO, paths), "documents.audio"),
        ("a promised field is gone", drop("status", properties, "Encounter"), "Encounter.status"),
    ],
    ("spelling-changed", "spelling-changed"): [
        ("OpenAPI 3.1.1", lambda new: new.update(openapi="3.1.1"), ""),
        ("another host", lambda new: new["servers"][0].update(url="https://b.test"), ""),
        ("another description", put(model, "Patient", description="Other."), ""),
        ("another summary", put(operation, summary="S"), ""),
        ("another example", put(field, "Patient", "patient_id", example="p"), ""),
        ("another order of parameters", lambda new: operation(new)["parameters"].reverse(), ""),
        ("another order of values", lambda new: query(new, "sort_order")["enum"].reverse(), ""),
        ("another order of keys", lambda new: new.update(info=new.pop("info")), ""),
        ("a schema without a use", lambda new: schemas(new).update(WireSpare={"type": "object"}), ""),
        ("a renamed schema", lambda new: rename_schemas(new, {"WirePatient": "Person"}), ""),
        ("another operation id", put(operation, operationId="x"), ""),
        ("another tag", put(operation, tags=["Other"]), ""),
        ("another name of a path parameter", with_other_path_parameter, ""),
        ("a trailing slash", moved(LIST, f"{LIST}/", paths), ""),
        ("the prefix in the server's URL", moved(LIST, "/encounters", paths), ""),
        (
            "documented scopes that are not declared",
            lambda new: operation(new)["security"][0].update(bearerAuth=[]),
            "",
        ),
    ],
    ("unknown-changed", "unknown-changed"): [
        ("callbacks", put(operation, callbacks={}), "encounters.list"),
        ("an unknown keyword of a schema", put(field, "Patient", "first_name", contains={}), "Patient.first_name"),
        ("an unknown key of the document", lambda new: new.update(jsonSchemaDialect="x"), ""),
    ],
    ("route-removed", "route-added"): [
        ("a route is gone", drop(NOTES, paths), ""),
        ("another method", moved("post", "put", lambda new: new["paths"][NOTES]), ""),
    ],
    ("route-added", "route-removed"): [
        ("a route that differs only in the prefix", put(paths, **{"/encounters": {"get": {"responses": {}}}}), ""),
    ],
    ("webhook-removed", "webhook-added"): [
        ("the webhook is gone", drop(EVENT, webhooks), EVENT_MODEL),
    ],
    ("webhook-added", "webhook-removed"): [
        ("another webhook", put(webhooks, x={"post": {"requestBody": {}}}), ""),
    ],
    ("event-changed", "event-changed"): [
        ("a renamed webhook", moved(EVENT, "other", webhooks), EVENT_MODEL),
    ],
    ("deprecated-added", "deprecated-removed"): [
        ("a deprecated route", put(operation, deprecated=True), "encounters.list"),
        ("a deprecated field", put(field, "Encounter", "status", deprecated=True), "Encounter.status"),
        ("a deprecated parameter", put(parameter, "offset", deprecated=True), "encounters.list(offset=)"),
        ("a deprecated reference", put(field, "Encounter", "patient", deprecated=True), "Encounter.patient"),
    ],
    ("sent-needs-tightened", "sent-needs-loosened"): [
        ("one more scope", lambda new: operation(new)["security"][0]["bearerAuth"].append("x:read"), "encounters.list"),
        ("security on an open route", put(notes, security=[{"bearerAuth": ["notes:write"]}]), ""),
    ],
    ("sent-needs-tightened", "sent-needs-tightened"): [
        ("another way of authenticating", put(security_schemes, **OTHER_SCHEME), "encounters.list"),
    ],
    ("sent-promised-field-removed", None): [
        ("a parameter that the client sends is gone", without_start, START),
    ],
    ("sent-field-removed", "sent-field-added"): [
        ("another parameter is gone", put(notes, parameters=[]), ""),
    ],
    ("sent-required-field-added", "sent-field-removed"): [
        ("a required parameter", put_in("parameters", NEEDED, notes), ""),
        ("a required field", with_field("Note", "n", required=True), ""),
    ],
    ("sent-required-field-added", None): [
        ("a required header", put_in("parameters", {**NEEDED, "in": "header"}, operation), "encounters.list(n=)"),
    ],
    ("sent-required-added", "sent-required-removed"): [
        ("a parameter became required", put(parameter, "start_at", required=True), START),
        ("a field that is sent became required", put_in("required", "kind", model, "Note"), ""),
        ("a body became required", lambda new: notes(new)["requestBody"].update(required=True), ""),
    ],
    ("sent-style-changed", "sent-style-changed"): [
        ("another style of a parameter", put(parameter, "start_at", style="pipeDelimited"), START),
    ],
    ("sent-bound-tightened", "sent-bound-loosened"): [
        ("a smaller page", put(query, "limit", maximum=50), "encounters.list(limit=)"),
        ("a smaller page, excluded", exclusive(query, "limit", maximum=50), "encounters.list(limit=)"),
        ("a nearer end of paging", put(query, "offset", maximum=9_999), "encounters.list(offset=)"),
        ("a shorter text", put(field, "Note", "text", maxLength=5), ""),
        ("a longer shortest text", put(field, "Note", "text", minLength=5), ""),
    ],
    ("sent-bound-tightened", None): [
        ("a larger smallest page", put(query, "limit", minimum=2), "encounters.list(limit=)"),
    ],
    ("sent-default-changed", "sent-default-changed"): [
        ("another default", put(query, "limit", default=20), "encounters.list(limit=)"),
    ],
    ("sent-type-added", "sent-type-removed"): [
        ("more types of a parameter", put(draft, type=["boolean", "string"]), ""),
    ],
    ("sent-type-removed", "sent-type-removed"): [
        ("another type of a parameter", put(draft, type="string"), ""),
    ],
    ("sent-null-added", "sent-null-removed"): [
        ("null is sent", put(field, "Note", "text", type=["string", "null"]), ""),
    ],
    ("sent-value-added", "sent-value-removed"): [
        ("one more value is sent", put_in("enum", "none", query, "sort_order"), "encounters.list(sort_order=)"),
    ],
    ("sent-value-opened", "sent-value-closed"): [
        ("any value is sent", drop("enum", field, "Note", "kind"), ""),
    ],
    ("sent-format-added", "sent-format-removed"): [
        ("no format is sent", drop("format", query, "start_at"), START),
    ],
    ("sent-format-removed", None): [
        ("a date is sent instead of an instant", put(query, "start_at", format="date"), START),
    ],
    ("sent-constraint-added", "sent-constraint-removed"): [
        ("a pattern", put(field, "Note", "text", pattern="^x"), ""),
        ("a closed object", put(model, "Note", additionalProperties=False), ""),
    ],
    ("sent-alternative-added", "sent-alternative-removed"): [
        ("one more alternative is sent", united(model, "Note"), ""),
    ],
    ("sent-field-added", "sent-field-removed"): [
        ("an optional field is sent", with_field("Note", "n"), ""),
    ],
    ("sent-media-type-added", "sent-media-type-removed"): [
        ("one more media type is sent", put(sent_content, **{"text/plain": {}}), ""),
    ],
    ("received-promised-field-removed", None): [
        ("a promised field of a body is gone", drop("status", properties, "Encounter"), "Encounter.status"),
        ("a promised field of an event is gone", drop("type", properties, EVENT_MODEL), f"{EVENT_MODEL}.type"),
    ],
    ("received-field-removed", "received-field-added"): [
        ("an optional field is gone", drop("first_name", properties, "Patient"), "Patient.first_name"),
    ],
    ("received-field-added", "received-required-field-removed"): [
        ("one more required field", with_field("Encounter", "ward", required=True), "Encounter.ward"),
    ],
    ("received-field-added", "received-field-removed"): [
        ("one more field of an event", with_field("EventResources", "room_id"), "EventResources.room_id"),
    ],
    ("received-required-removed", "received-required-added"): [
        ("a field may be missing", drop_from("required", "status", model, "Encounter"), "Encounter.status"),
        ("an event may lack a field", drop_from("required", "id", model, EVENT_MODEL), f"{EVENT_MODEL}.id"),
        ("an event may lack a header", put(event_header, required=False), f"{EVENT_MODEL}.header[ChartHero-Event-Id]"),
    ],
    ("received-required-field-removed", "received-field-added"): [
        ("a header of an event is gone", without_version, f"{EVENT_MODEL}.header[ChartHero-Webhook-Version]"),
    ],
    ("received-null-added", "received-null-removed"): [
        ("null comes", put(field, "Encounter", "updated_at", type=["string", "null"]), "Encounter.updated_at"),
        (
            "null comes in an event, as in OpenAPI 3.0",
            put(field, EVENT_MODEL, "id", nullable=True),
            f"{EVENT_MODEL}.id",
        ),
    ],
    ("received-type-added", "received-type-removed"): [
        ("more types come", put(answered, "size", type=["integer", "string"]), ""),
        ("more numbers come", put(answered, "size", type="number"), ""),
        ("any elements of a list come", drop("items", answered, "tags"), ""),
    ],
    ("received-type-added", "received-type-added"): [
        ("another type comes", put(answered, "size", type="string"), ""),
    ],
    ("received-value-added", "received-value-removed"): [
        ("one more value comes", put_in("enum", "signed", field, "Encounter", "status"), "Encounter.status"),
    ],
    ("received-value-opened", "received-value-closed"): [
        ("any value comes", drop("enum", field, "Encounter", "status"), "Encounter.status"),
    ],
    ("received-constant-changed", "received-constant-changed"): [
        ("another constant comes", put(field, "Encounter", "encounter_type", enum=["b"]), "Encounter.encounter_type"),
    ],
    ("received-format-added", None): [
        ("a date comes, and no instant", put(field, "Encounter", "created_at", format="date"), "Encounter.created_at"),
    ],
    ("received-format-opened", "received-format-closed"): [
        ("no format comes", drop("format", field, "Encounter", "created_at"), "Encounter.created_at"),
    ],
    ("received-format-removed", "received-format-added"): [
        ("fewer formats come", lambda new: answered(new, "at")["anyOf"].pop(), ""),
    ],
    ("received-bound-tightened", "received-bound-loosened"): [
        ("longer texts come", put(field, "Encounter", "status", maxLength=10), "Encounter.status"),
        ("larger numbers come", put(field, "EncounterPage", "total", maximum=10), "EncounterPage.total"),
    ],
    ("received-constraint-changed", "received-constraint-changed"): [
        ("another pattern comes", put(field, "Encounter", "status", pattern="^x"), "Encounter.status"),
    ],
    ("received-alternative-added", "received-alternative-removed"): [
        ("one more alternative comes", united(model, "DocumentContent"), "DocumentContent"),
        ("one more alternative of an event comes", united(model, "EventResources"), "EventResources"),
    ],
    ("discriminator-changed", "discriminator-changed"): [
        ("a discriminator", put(model, "Document", discriminator={"propertyName": "schema_type"}), "Document"),
    ],
    ("received-envelope-changed", "received-envelope-changed"): [
        ("no envelope", without_envelope, "Encounter"),
    ],
    ("received-body-removed", "received-body-added"): [
        ("no body", drop("content", notes_answer), ""),
        ("no JSON", lambda new: notes_answer(new)["content"].pop("application/json"), ""),
    ],
    ("received-media-type-removed", "received-media-type-added"): [
        ("no CSV", lambda new: notes_answer(new)["content"].pop("text/csv"), ""),
    ],
    ("received-success-removed", "received-success-removed"): [
        ("another status of success", moved("200", "201", lambda new: notes(new)["responses"]), ""),
    ],
    ("received-success-added", "received-success-closed"): [
        ("any status of success", moved("200", "2XX", lambda new: notes(new)["responses"]), ""),
    ],
    ("received-error-changed", "received-error-changed"): [
        ("another error", put(responses, **{"418": {"description": ""}}), "encounters.list"),
    ],
    ("received-header-changed", "received-header-changed"): [
        ("another header of a response", put(body, headers={"X-N": {}}), "encounters.list 200"),
    ],
}

CHANGES = [Change(title, *rules, do, public) for rules, cases in CASES.items() for title, do, public in cases]
