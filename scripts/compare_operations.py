"""The difference between two operations: what callers send, what they get, and what they need for it."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve

from scripts.compare_schemas import Place, SchemaComparison
from scripts.compare_security import needs, security_change
from scripts.compare_values import is_prose
from scripts.findings import Finding, shown
from scripts.placing import unwrapped
from scripts.routes import JSON, Parameter, Route, bodies
from scripts.schemas import Schemas
from scripts.severity import RULES, Severity
from scripts.surface import Surface

__all__ = ["OperationComparison"]

#: Statuses that stand for whatever success a server answers with.
EVERY_SUCCESS = frozenset({"2XX", "default"})

#: What has rules of its own in an operation, a response and a parameter.
OPERATION = frozenset({"operationId", "tags", "parameters", "requestBody", "responses", "security", "deprecated"})
RESPONSE = frozenset({"content", "headers"})
PARAMETER = frozenset(
    {"name", "in", "required", "schema", "content", "deprecated", "style", "explode", "allowReserved"}
)


@define
class OperationComparison:
    """Compares operations, and adds what it finds to a comparison of schemas."""

    schemas: SchemaComparison
    surface: Surface

    def compare(self, old: Route, new: Route, public: str) -> None:
        """Compare a route; *public* is the name it is called by, empty where this client does not promise it."""
        place = Place(new.title, "", sent=True, public=public)
        if old.title != new.title:
            self.schemas.add("route-respelled", place, old.title, new.title)
        self._compare_notes(old, new, place)
        self._compare_needs(old, new, place)
        for key in dict.fromkeys([*old.parameters, *new.parameters]):
            self._compare_parameter(old.parameters.get(key), new.parameters.get(key), place)
        self._compare_request(old, new, evolve(place, public="", path="body"))
        self._compare_responses(old, new, place)

    def compare_webhook(self, old: Route, new: Route, model: str) -> None:
        """Compare a webhook, of which callers receive headers and a body; *model* is what the body is here."""
        place = Place(new.title, "", sent=False, public=model)
        self._compare_notes(old, new, place)
        for key in dict.fromkeys([*old.parameters, *new.parameters]):
            self._compare_header(old.parameters.get(key), new.parameters.get(key), place)
        before, after = bodies(old.request), bodies(new.request)
        self._compare_media_types(before, after, place)
        if JSON in before and JSON in after:
            self.schemas.compare(before[JSON], after[JSON], evolve(place, path="$", model=model or None))
        for status in sorted(old.responses.keys() ^ new.responses.keys()):
            self.schemas.add("unjudged", place, *_sides(f"answer {status}", status in new.responses))

    def same(self, old: Route, new: Route) -> bool:
        """Tell whether two webhooks carry the same, whatever they are called."""
        trial = OperationComparison(SchemaComparison(self.schemas.old, self.schemas.new, {}), self.surface)
        trial.compare_webhook(old, new, "")
        return all(RULES[finding.rule].severity == Severity.INFO for finding in trial.schemas.findings)

    def _compare_notes(self, old: Route, new: Route, place: Place) -> None:
        before, after = old.node, new.node
        if before.get("operationId") != after.get("operationId"):
            self.schemas.add("operation-renamed", place, before.get("operationId"), after.get("operationId"))
        if before.get("tags") != after.get("tags"):
            self.schemas.add("tags-changed", place, before.get("tags"), after.get("tags"))
        self.schemas.compare_deprecation(before, after, place)
        self.schemas.compare_prose(before, after, place)
        self._compare_rest(before, after, OPERATION, place)

    def _compare_rest(self, old: dict[str, Any], new: dict[str, Any], judged: frozenset[str], place: Place) -> None:
        for key in sorted({*old, *new} - judged):
            if not is_prose(key) and old.get(key) != new.get(key):
                self.schemas.add("unjudged", place, after=key)

    def _compare_needs(self, old: Route, new: Route, place: Place) -> None:
        before, after = needs(self.schemas.old, old.node), needs(self.schemas.new, new.node)
        documented = self.surface.operations[place.public]["scopes"] if place.public else None
        if rule := security_change(before, after, documented):
            before_words, after_words = (
                shown(" or ".join(", ".join(sorted(way)) or "nothing" for way in ways), 200) for ways in (before, after)
            )
            self.schemas.findings.append(
                Finding(rule, shown(place.route), public=place.public, before=before_words, after=after_words)
            )

    # Parameters

    def _compare_parameter(self, old: Parameter | None, new: Parameter | None, operation: Place) -> None:
        """Compare what callers send beside a body."""
        one = old or new
        assert one is not None  # noqa: S101 - the key comes from one of the two
        public = f"{operation.public}({one.name}=)" if operation.public else ""
        place = evolve(operation, path=f"{one.place} {one.name}", public=public)
        if new is None:
            sent = operation.public and self._sends(operation.public, one)
            self.schemas.add("parameter-removed" if sent else "unsent-parameter-removed", place)
        elif old is None:
            self.schemas.add("required-parameter-added" if new.required else "parameter-added", place)
        else:
            if old.required != new.required:
                self.schemas.add(f"parameter-now-{'required' if new.required else 'optional'}", place)
            if old.style != new.style:
                self.schemas.add("parameter-style-changed", place)
            self._compare_described(old, new, place)

    def _compare_header(self, old: Parameter | None, new: Parameter | None, webhook: Place) -> None:
        """Compare what comes with a webhook beside the body."""
        one = old or new
        assert one is not None  # noqa: S101 - the key comes from one of the two
        place = evolve(webhook, path=f"{one.place} {one.name}")
        if new is None:
            self.schemas.add(f"received-{'required-' if one.required else ''}field-removed", place)
        elif old is None:
            self.schemas.add("received-field-added", place)
        else:
            if old.required != new.required:
                self.schemas.add(f"received-field-now-{'required' if new.required else 'optional'}", place)
            self._compare_described(old, new, place)

    def _compare_described(self, old: Parameter, new: Parameter, place: Place) -> None:
        self.schemas.compare_deprecation(old.node, new.node, place)
        self.schemas.compare_prose(old.node, new.node, place)
        self._compare_rest(old.node, new.node, PARAMETER, place)
        self.schemas.compare(old.schema, new.schema, place)

    def _sends(self, operation: str, parameter: Parameter) -> bool:
        wanted = self.surface.operations[operation].get("parameters", {})
        return parameter.place == "path" or (parameter.place == "query" and parameter.name in wanted)

    # Bodies

    def _compare_request(self, old: Route, new: Route, place: Place) -> None:
        was, is_now = old.request.get("required") is True, new.request.get("required") is True
        if was != is_now:
            self.schemas.add(f"body-now-{'required' if is_now else 'optional'}", place)
        here, there = bodies(old.request), bodies(new.request)
        for kind in dict.fromkeys([*here, *there]):
            if kind in here and kind in there:
                self.schemas.compare(here[kind], there[kind], evolve(place, path="$"))
            elif kind in here:
                self.schemas.add("sent-branch-removed", place, kind)
            elif here or not is_now:
                self.schemas.add("sent-branch-added", place, after=kind)

    def _compare_responses(self, old: Route, new: Route, operation: Place) -> None:
        place = evolve(operation, sent=False)
        self._compare_successes(old.successes, new.successes, place)
        for status in sorted(old.responses.keys() ^ new.responses.keys()):
            if status not in (*old.successes, *new.successes):
                self.schemas.add("error-status-changed", place, *_sides(status, status in new.responses))
        pairs = [(status, status) for status in old.responses if status in new.responses]
        if old.successes and new.successes and not {*old.successes} & {*new.successes}:
            pairs.append((old.successes[0], new.successes[0]))
        for status, other in pairs:
            before, after, here = old.responses[status], new.responses[other], evolve(place, path=status)
            self.schemas.compare_prose(before, after, here)
            self._compare_rest(before, after, RESPONSE, here)
            if before.get("headers") != after.get("headers"):
                self.schemas.add("headers-changed", here)
            if status in old.successes:
                self._compare_media_types(bodies(before), bodies(after), here)
            if JSON in bodies(before) and JSON in bodies(after):
                compare = self._compare_success if status in old.successes else self._compare_error
                compare(bodies(before)[JSON], bodies(after)[JSON], evolve(place, path="$"))

    def _compare_successes(self, old: list[str], new: list[str], place: Place) -> None:
        for status in old:
            if status not in new and not EVERY_SUCCESS & {*new}:
                narrowed = status in EVERY_SUCCESS and new
                self.schemas.add(f"success-status-{'narrowed' if narrowed else 'removed'}", place, status)
        for status in new:
            if status not in old and not EVERY_SUCCESS & {*old}:
                self.schemas.add("success-status-added", place, after=status)

    def _compare_media_types(self, old: dict[str, Any], new: dict[str, Any], place: Place) -> None:
        if JSON in old and JSON not in new:
            self.schemas.add("media-type-removed" if new else "received-body-removed", place, JSON, ", ".join(new))
        if JSON in new and not old:
            self.schemas.add("received-body-added", place)
        for kind in sorted((old.keys() ^ new.keys()) - ({JSON} & old.keys())):
            if kind in old:
                self.schemas.add("other-media-type-removed", place, kind)
            elif old:
                self.schemas.add("media-type-added", place, after=kind)

    def _compare_error(self, old: Any, new: Any, place: Place) -> None:
        """Compare the bodies of errors, which are one model wherever they come from."""
        model = next((name for name, spec in self.surface.models.items() if "errors" in spec and place.public), None)
        self.schemas.compare(old, new, evolve(place, public=model or "", model=model))

    def _compare_success(self, old: Any, new: Any, place: Place) -> None:
        """Compare the bodies of success as the model they are, or hold in an envelope."""
        responses = {spec["response"]: name for name, spec in self.surface.models.items() if "response" in spec}
        model = responses.get(place.public)
        if model is None:
            self.schemas.compare(old, new, evolve(place, public=""))
            return
        essential = self.surface.models[model]["essential"]
        was, before = _opened(self.schemas.old, old, essential)
        is_now, after = _opened(self.schemas.new, new, essential)
        if was and not is_now and any(was in view.properties for view in self.schemas.new.views(new)):
            is_now = was  # the same envelope, around less than the model needs
        if was and was == is_now:
            # An envelope is read as a model that has one field and the operation's name.
            self.schemas.models[place.public] = {was: model}
            self.schemas.compare(old, new, evolve(place, model=place.public))
            return
        if was != is_now:
            self.schemas.add("envelope-changed", place, was or "bare", is_now or "bare")
        self.schemas.compare(before, after, evolve(place, public=model, model=model))


def _opened(schemas: Schemas, body: Any, essential: list[str]) -> tuple[str, Any]:
    """Return the field that holds the model, empty where the body is the model itself, and the model."""
    inner = unwrapped(schemas, body, essential)
    if inner is body:
        return "", body
    fields = (
        name
        for view in schemas.views(body)
        for name, nodes in view.properties.items()
        if any(set(essential) <= inside.properties.keys() for node in nodes for inside in schemas.views(node))
    )
    return next(fields, ""), inner


def _sides(text: str, is_new: bool) -> tuple[str | None, str | None]:
    """Return what was before and after, of something there is on one side only."""
    return (None, text) if is_new else (text, None)
