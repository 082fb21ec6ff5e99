"""Find each promised name in an artifact, by route and position.

The names of operations and schemas do not matter: the 200 body of a route is one model, and the items of a list in that
body are another. If a promised name is missing, the error names the route and the field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import Factory, define, frozen

from scripts.alternatives import Alternative, kinds, without_null
from scripts.routes import JSON, Route, bodies, fitting_webhook, route_key, routes, webhooks
from scripts.schemas import Schemas
from scripts.surface import KINDS, Field, Surface, SurfaceError

__all__ = ["Claim", "Placer", "check_kind", "holders"]

#: Formats that contradict a promised instant.
NOT_INSTANTS = frozenset({"date", "time", "duration"})


@frozen
class Claim:
    """The alternatives that a model was found in, and their place for error messages."""

    place: str
    alternatives: list[Alternative]

    @property
    def objects(self) -> list[Alternative]:
        """The alternatives that are objects."""
        return [one for one in self.alternatives if one.is_object]


@define
class Placer:
    """Finds the names of *surface* in one document. ``notes`` gets a line for each model that the document lacks.

    ``others`` holds the routes without a promise.
    """

    schemas: Schemas
    surface: Surface
    notes: list[str]
    operations: dict[str, Route] = Factory(dict)
    others: list[Route] = Factory(list)
    claims: dict[str, list[Claim]] = Factory(dict)

    def place(self) -> None:
        """Find everything that is promised.

        Raises:
            SurfaceError: Something is missing, or contradicts its promised kind.
        """
        described = routes(self.schemas)
        for name, spec in self.surface.operations.items():
            route = described.pop(route_key(*spec["route"].split(" ")), None)
            if route is None:
                raise SurfaceError(f"{spec['route']}: the artifact has no such route, which {name} needs", name)
            self.operations[name] = route
        self.others = [*described.values()]
        self.claims = {name: [] for name in self.surface.models}
        for model, spec in self.surface.models.items():
            self._claim_root(model, spec)
        # In surface.toml, a model comes before the models that its fields name.
        for model, claims in self.claims.items():
            for claim in claims:
                self._check_fields(model, claim)

    def _claim(self, model: str, place: str, alternatives: list[Alternative]) -> None:
        self.claims[model].append(Claim(place, alternatives))

    def _claim_root(self, model: str, spec: dict[str, Any]) -> None:
        if operation := spec.get("response"):
            place = f"{self.surface.operations[operation]['route']} 200"
            responses = self.operations[operation].responses
            status = next((status for status in ("200", "2XX", "default") if status in responses), "")
            content = bodies(responses.get(status, {}))
            if JSON not in content:
                raise SurfaceError(f"{place}: the artifact describes no JSON body, which {model} needs", model)
            body = self.schemas.read((content[JSON],))
            envelope = holders(self.schemas, body, spec["essential"])
            self._claim(model, place, self.schemas.field(body, *envelope) if len(envelope) == 1 else body)
        elif operation := spec.get("errors"):
            place = f"{self.surface.operations[operation]['route']} 4XX"
            for status in ("401", "403", "400", "404", "4XX", "422", "503", "default"):
                response = self.operations[operation].responses.get(status, {})
                body = self.schemas.read((bodies(response).get(JSON),))
                if any("reason_code" in one.fields for one in body):
                    return self._claim(model, place, body)
            self.notes.append(f"{place}: the artifact has no such error body; {model} is built from surface.toml")
        elif webhook := spec.get("webhook"):
            described = {hook: route for (hook, method), route in webhooks(self.schemas).items() if method == "post"}
            hook = fitting_webhook(self.schemas, described, webhook, spec["fields"])
            if hook is not None and JSON in (content := bodies(described[hook].request)):
                return self._claim(model, f"webhook {webhook}", self.schemas.read((content[JSON],)))
            self.notes.append(f"webhook {webhook}: the artifact has none; {model} is built from surface.toml")
        return None

    def _check_fields(self, model: str, claim: Claim) -> None:
        """Check the fields of one claim, and claim the models that they name."""
        if not claim.objects:
            raise SurfaceError(f"{claim.place}: the artifact describes no object, which {model} needs", model)
        for name, field in self.surface.models[model]["fields"].items():
            if any(name in one.fields for one in claim.objects):
                self._check_field(self.schemas.field(claim.objects, name), field, claim.place, f"{model}.{name}")
            elif field.is_described:
                text = f"{claim.place}: the artifact has no field `{name}`, which {model}.{name} needs"
                raise SurfaceError(text, f"{model}.{name}")

    def _check_field(self, values: list[Alternative], field: Field, place: str, public: str) -> None:
        name = public.rpartition(".")[2]
        if field.is_list:
            check_kind(values, "array", place, public)
            arrays = without_null(values)
            if not arrays or any("[]" not in one.children for one in arrays):
                raise SurfaceError(f"{place}: the field `{name}` is not a list, which {public} needs", public)
            values = self.schemas.items(arrays)
        check_kind(values, field.kind if field.kind in KINDS else "object", place, public)
        if field.kind not in KINDS:
            self._claim(field.kind, f"{place}.{name}" + "[]" * field.is_list, values)


def check_kind(values: list[Alternative], kind: str, place: str, public: str) -> None:
    """Raise if the artifact gives *public* another JSON type than the promised one."""
    wanted = KINDS[kind]["type"] if kind in KINDS else kind
    allowed = {wanted, "integer"} if wanted == "number" else {wanted}
    found = kinds(values)
    if kind == "time" and found <= allowed:
        wanted, allowed = "date-time", set()
        found = {text for one in values for keyword, text in one.said if keyword == "format"} & NOT_INSTANTS
    if not found <= allowed:
        field = public.rpartition(".")[2]
        raise SurfaceError(f"{place}: `{field}` is {'/'.join(sorted(found))}, and {public} needs {wanted}", public)


def holders(schemas: Schemas, body: list[Alternative], essential: Iterable[str]) -> list[str]:
    """Return the fields of an envelope that hold an object with the *essential* fields.

    Empty if the body has these fields itself, or is not an envelope.
    """

    def fits(alternatives: list[Alternative]) -> bool:
        return any({*essential} <= one.fields.keys() for one in alternatives)

    names = dict.fromkeys(name for one in body for name in one.fields)
    return [] if fits(body) else [name for name in names if fits(schemas.field(body, name))]
