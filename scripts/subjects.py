"""Read an OpenAPI document as the subjects that facts are about: routes, parameters, bodies, models and fields.

A subject has a public name and a key, which is its place in the document. Two documents are compared key by key, so a
key has no operation ids and no schema names, which may change without a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from attrs import Factory, define, evolve

from scripts.alternatives import Alternative, Identity, Said, as_text, is_prose, without_null, words_of
from scripts.artifact import ArtifactError
from scripts.placing import holders
from scripts.routes import (
    JSON,
    Parameter,
    Route,
    bodies,
    fitting_webhook,
    needs,
    other_media_keys,
    route_key,
    routes,
    webhooks,
)
from scripts.schemas import Schemas
from scripts.surface import Surface

__all__ = ["Key", "Subject", "subjects"]

#: Where a subject is. Without its last part, it is the key of the subject around it.
Key = tuple[str, ...]

#: A document with more subjects, or deeper ones, was made to exhaust its reader.
MAX_SUBJECTS, MAX_DEPTH = 20_000, 60

#: Keys of the document, an operation, a body and a parameter that are read here. Others become facts as they are.
ABOUT = frozenset({"openapi", "info", "servers", "tags"})
DOCUMENT = ABOUT | {"paths", "webhooks", "x-webhooks", "components", "security"}
LABELS = frozenset({"operationId", "tags"})
OPERATION = LABELS | {"parameters", "requestBody", "responses", "security", "deprecated"}
BODY = frozenset({"content", "headers", "required"})
PARAMETER = frozenset(
    {"name", "in", "required", "schema", "content", "deprecated", "style", "explode", "allowReserved"}
)


@define
class Subject:
    """What facts are about.

    ``exists`` is the kind of fact that its existence is, or empty if it says nothing. ``facts`` holds the texts of each
    kind of fact, by the kind and by the JSON type that it restricts, if any; ``words`` what is said but is no fact.
    ``owner`` is the model or operation that it belongs to, and ``alternative`` tells which of several it is part of.
    """

    exists: str
    sent: bool
    name: str
    route: str
    path: str = ""
    owner: str = ""
    alternative: str = ""
    public: bool = False
    facts: dict[tuple[str, str], frozenset[str]] = Factory(dict)
    words: frozenset[Said] = frozenset()

    @property
    def way(self) -> str:
        """The direction."""
        return "sent" if self.sent else "received"

    def has_type(self, type_name: str) -> bool:
        """Tell whether values may have a JSON type; facts without a type are about all of them."""
        return not type_name or type_name in self.facts.get(("type", ""), ())

    def state(self, kind: str, texts: Iterable[str] | bool, type_name: str = "") -> Self:
        """Add the facts of one kind."""
        if found := frozenset([""] * texts if isinstance(texts, bool) else texts):
            self.facts[kind, type_name] = found
        return self

    def state_rest(self, node: dict[str, Any], known: frozenset[str], labels: frozenset[str] = frozenset()) -> None:
        """Add what a node of the document says, apart from the keys that are read elsewhere."""
        self.state("deprecated", node.get("deprecated") is True)
        self.state("keyword", [f"{key} {as_text(node[key])}" for key in node.keys() - known if not is_prose(key)])
        self.words |= {*words_of(node)} | {(label, as_text(node.get(label))) for label in labels}

    def inside(self, name: str, path: str, exists: str = "") -> Self:
        """Return a subject that belongs to this one."""
        return evolve(self, exists=exists, name=name, path=path, facts={}, words=frozenset())


def subjects(document: dict[str, Any], surface: Surface) -> dict[Key, Subject]:
    """Return every subject of *document*.

    Raises:
        ArtifactError: A reference leads nowhere, or the document was made to exhaust its reader.
    """
    reader = _Reader(Schemas(document), surface)
    reader.read()
    return reader.found


@define
class _Reader:
    schemas: Schemas
    surface: Surface
    found: dict[Key, Subject] = Factory(dict)

    def read(self) -> None:
        whole = self._add((), Subject("", True, "the document", ""))
        whole.state_rest(self.schemas.document, DOCUMENT, ABOUT)
        operations = {route_key(*spec["route"].split(" ")): name for name, spec in self.surface.operations.items()}
        for key, route in routes(self.schemas).items():
            self._route((" ".join(key),), route, operations.get(key, ""))
        hooks = webhooks(self.schemas)
        models = self._event_models(hooks)
        for (name, method), route in hooks.items():
            self._webhook((f"webhook {models.get(name, name)} {method}",), name, route, models.get(name, ""))

    def _add(self, key: Key, subject: Subject) -> Subject:
        self.found[key] = subject
        if len(self.found) > MAX_SUBJECTS:
            raise ArtifactError("the artifact is too intertwined to be read")
        return subject

    # Requests

    def _route(self, key: Key, route: Route, operation: str) -> None:
        name = operation or route.title
        subject = self._add(key, Subject("route", True, name, route.title, "", name, public=bool(operation)))
        subject.state_rest(route.node, OPERATION, LABELS)
        subject.words |= {("path", route.title)}
        promise = self.surface.operations.get(operation, {})
        subject.state("needs", needs(self.schemas, route, promise.get("scopes", [])))
        for (place, position), one in route.parameters.items():
            sends = place == "path" or one.name in promise.get("parameters", ())
            exists = "promised-field" if operation and sends else "field"
            self._parameter((*key, f"{place} {position}"), subject, one, f"{name}({one.name}=)", exists)
        body = Subject("", True, f"{name} body", route.title, "body", f"{name} body")
        body.state("required", route.request.get("required") is True).state("media-type", bodies(route.request))
        self._add((*key, "body"), body).state_rest({**route.request, **other_media_keys(route.request)}, BODY)
        for kind, schema in bodies(route.request).items():
            here = body.inside(body.name, "body" if kind == JSON else f"body {kind}")
            self._value((*key, "body", kind), here, self.schemas.read((schema,)))
        self._responses((*key, "responses"), route, operation, name)

    def _parameter(self, key: Key, around: Subject, one: Parameter, name: str, exists: str) -> None:
        subject = around.inside(name, f"{one.place} {one.name}", exists)
        subject.state("required", one.required).state("style", [one.style] if one.style and around.sent else [])
        subject.state_rest(one.node, PARAMETER)
        self._value(key, subject, self.schemas.read((one.schema,)))

    # Responses and webhooks

    def _responses(self, key: Key, route: Route, operation: str, name: str) -> None:
        described = {status: bodies(response) for status, response in route.responses.items()}
        whole = self._add(key, Subject("", False, name, route.title, "", name, public=bool(operation)))
        whole.state("success", route.successes)
        whole.state("error", [", ".join((one, *described[one])) for one in described if one not in route.successes])
        for status, response in route.responses.items():
            here = evolve(whole.inside(f"{name} {status}", status), owner=f"{name} {status}")
            # The first success is compared with the first success, whatever their statuses are.
            place = (*key, "success" if status in route.successes[:1] else status)
            self._add(place, here).state_rest({**response, **other_media_keys(response)}, BODY)
            headers = response.get("headers")
            here.state("header", headers if isinstance(headers, dict) else ())
            if status in route.successes:
                here.state("body", JSON in described[status]).state("media-type", described[status].keys() - {JSON})
            if JSON in described[status]:
                body = evolve(here.inside(here.name, "$"), public=False)
                body.route = route.title if status in route.successes else f"{route.title} {status}"
                values = self.schemas.read((described[status][JSON],))
                self._body(place, body, values, operation, status in route.successes)

    def _body(self, place: Key, body: Subject, values: list[Alternative], operation: str, is_success: bool) -> None:
        for model, spec in self.surface.models.items() if operation else ():
            if is_success and spec.get("response") == operation:
                return self._promised(place, body, values, operation, model)
            if not is_success and "errors" in spec and _has_any(values, spec["fields"]):
                body = evolve(body, name=model, owner=model, public=True)
                return self._value((*place, "$"), body, values, model)
        return self._value((*place, "$"), body, values)

    def _promised(self, place: Key, body: Subject, values: list[Alternative], operation: str, model: str) -> None:
        """Read the body of a promised operation: the model itself, or an object that holds it in one field."""
        spec = self.surface.models[model]
        envelope = holders(self.schemas, values, spec["essential"])
        if not envelope and not _has_any(values, spec["fields"]):
            # A model that lost an essential field is still the model.
            names = {name for one in values for name in one.fields}
            envelope = [name for name in sorted(names) if _has_any(self.schemas.field(values, name), spec["fields"])]
        if not envelope:
            body = evolve(body, name=model, owner=model, public=True)
            return self._value((*place, "model"), body.state("required", True), values, model)
        held = envelope[0]
        around = evolve(body, name=operation, owner=operation, public=True)
        self._value((*place, "$"), around, values, skip=held)
        found = around.inside(f"{operation}.{held}", f"$.{held}").state("envelope", [held])
        found.state("required", all(held in one.required for one in values))
        return self._value((*place, "model"), found, self.schemas.field(values, held), model)

    def _webhook(self, key: Key, event: str, route: Route, model: str) -> None:
        name, described = model or route.title, bodies(route.request)
        subject = self._add(key, Subject("webhook", False, name, route.title, "", name, public=bool(model)))
        subject.state_rest({**route.node, **other_media_keys(route.request)}, OPERATION, LABELS)
        subject.state("event", [event]).state("answer", route.responses)
        subject.state("body", JSON in described).state("media-type", described.keys() - {JSON})
        for (place, position), one in route.parameters.items():
            self._parameter((*key, f"{place} {position}"), subject, one, f"{name}.{place}[{one.name}]", "field")
        if JSON in described:
            self._value((*key, "$"), subject.inside(name, "$"), self.schemas.read((described[JSON],)), model)

    def _event_models(self, hooks: dict[tuple[str, str], Route]) -> dict[str, str]:
        """Return the models of the promised webhooks. A webhook with another name is found by its fields."""
        described = {name: route for (name, _), route in hooks.items()}
        promised = {model: spec for model, spec in self.surface.models.items() if "webhook" in spec}
        found = {
            fitting_webhook(self.schemas, described, spec["webhook"], spec["fields"]): model
            for model, spec in promised.items()
        }
        return {name: model for name, model in found.items() if name is not None}

    # Schemas

    def _value(
        self,
        key: Key,
        subject: Subject,
        values: list[Alternative],
        model: str = "",
        skip: str = "",
        within: frozenset[frozenset[Identity]] = frozenset(),
    ) -> None:
        """Add the alternatives of a value, and what is in them. *within* has what is in the values around it."""
        self._add(key, subject)
        _state_values(subject, values)
        here = frozenset(one.identity for one in values)
        if here in within:
            return
        if len(within) > MAX_DEPTH:
            raise ArtifactError("the artifact is nested too deeply")
        within |= {here}
        if arrays := [one for one in values if "[]" in one.children or "array" in (one.types or ())]:
            element = subject.inside(f"{subject.name}[]", f"{subject.path}[]")
            self._value((*key, "[]"), element, self.schemas.items(arrays), model, within=within)
        objects = [one for one in values if "object" in one.allowed and (one.types or one.children)]
        for label, one in self._labelled(objects):
            own = "" if skip or one.component in self.surface.models else one.component
            name = model or own or subject.name
            around = evolve(subject.inside(name, subject.path, "alternative"), owner=name)
            around.alternative = "; ".join(part for part in (subject.alternative, label) if part)
            _state_restrictions(around, {one.restrictions("object")}, "")
            self._add((*key, f"{{{label}}}"), around)
            kinds = self.surface.models[model]["fields"] if model else {}
            for child, schemas in one.children.items():
                kind, field = kinds.get(child[1:]), child[1:]
                if child in ("[]", f".{skip}"):
                    continue
                exists = "" if child == "*" else "promised-field" if kind and kind.is_described else "field"
                inner = around.inside(f"{name}.{field or child}", f"{subject.path}.{field or child}", exists)
                inner.state("required", field in one.required and child != "*")
                promised = kind.kind if kind and kind.kind in self.surface.models else ""
                self._value((*key, f"{{{label}}}", child), inner, self.schemas.read(schemas), promised, within=within)

    def _labelled(self, objects: list[Alternative]) -> list[tuple[str, Alternative]]:
        """Return the alternatives of an object with what tells them apart: constants, or the names of the fields."""
        labels: dict[str, Alternative] = {}
        for one in sorted(objects, key=lambda one: (sorted(one.children), sorted(one.required), sorted(one.said))):
            read = {name: self.schemas.read(schemas) for name, schemas in sorted(one.fields.items())}
            constants = [
                f"{name} {min(found[0].values)}"
                for name, found in read.items()
                if len(found) == 1 and found[0].values is not None and len(found[0].values) == 1
            ]
            label = ", ".join(constants or read) if len(objects) > 1 else ""
            labels[label if labels.get(label, one) == one else f"{label} {len(labels)}"] = one
        return list(labels.items())


def _has_any(values: list[Alternative], fields: Iterable[str]) -> bool:
    return any(name in one.fields for one in values for name in fields)


def _state_values(subject: Subject, alternatives: list[Alternative]) -> None:
    plain = without_null(alternatives)
    types = {name for one in plain for name in one.allowed}
    subject.state("type", types).state("null", any("null" in (one.types or ()) for one in alternatives))
    said = [dict(one.said) for one in plain]
    if said and all("deprecated" in one for one in said):
        subject.state("deprecated", True)
    defaults = [one["default"] for one in said if "default" in one][:1]
    subject.state("default", defaults if subject.sent else [])
    subject.words |= {word for one in alternatives for word in one.words}
    subject.words |= {("default", text) for text in defaults if not subject.sent}
    for name in types - {"number", "object"}:
        _state_restrictions(subject, {one.restrictions(name) for one in plain if name in one.allowed}, name)


def _state_restrictions(subject: Subject, alternatives: set[frozenset[Said]], type_name: str) -> None:
    """State what is said about values of one type. What differs between alternatives becomes one fact for each."""
    if frozenset() in alternatives:
        return
    joint = {kind for kind in ("value", "format") if all(kind in dict(one) for one in alternatives)}
    rest = {frozenset(said for said in one if said[0] not in joint) for one in alternatives}
    stated = {said for one in alternatives for said in one if said[0] in joint}
    if len(rest) == 1:
        stated |= next(iter(rest))
    else:
        texts = [", ".join(sorted(f"{kind} {text}" for kind, text in one)) for one in rest]
        subject.state("combination", texts, type_name)
    for kind in {kind for kind, _ in stated}:
        subject.state(kind, [text for other, text in stated if other == kind], type_name)
