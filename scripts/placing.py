"""Find each promised name in an artifact, by route and position.

The names of operations and schemas do not matter: the 200 body of a route is one model, and the items of a list in that
body are another. If a promised name is missing, the error names the route and the field.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define, frozen

from scripts.alternatives import Alternative
from scripts.routes import JSON, Route, bodies, fitting_webhook, route_key, routes, webhooks
from scripts.schemas import Schemas
from scripts.surface import KINDS, Field, Surface, SurfaceError

__all__ = ["Claim", "Placement", "Placer", "unwrapped"]

#: Formats that contradict a promised instant.
NOT_INSTANTS = frozenset({"date", "time", "duration"})


@frozen
class Claim:
    """A schema that a model was found in, and its place for error messages."""

    place: str
    node: Any


@frozen
class Placement:
    """Where each promised name is, and the other routes."""

    operations: dict[str, Route]
    others: list[Route]
    claims: dict[str, list[Claim]]
    views: dict[str, list[Alternative]]


@define
class Placer:
    """Finds the names of *surface* in one document. ``notes`` gets a line for each model that the document lacks."""

    schemas: Schemas
    surface: Surface
    notes: list[str]
    claims: dict[str, list[Claim]] = Factory(dict)

    def place(self) -> Placement:
        """Find everything that is promised.

        Raises:
            SurfaceError: Something is missing, or contradicts its promised kind.
        """
        described = routes(self.schemas)
        found: dict[str, Route] = {}
        for name, spec in self.surface.operations.items():
            route = described.pop(route_key(*spec["route"].split(" ")), None)
            if route is None:
                raise SurfaceError(f"{spec['route']}: the artifact has no such route, which {name} needs", name)
            found[name] = route
        self.claims = {name: [] for name in self.surface.models}
        for model, spec in self.surface.models.items():
            self._claim_roots(model, spec, found)
        views = {model: self._views(model) for model in self.surface.models}
        return Placement(found, [*described.values()], self.claims, views)

    def check_kind(self, nodes: list[Any], kind: str, place: str, public: str) -> None:
        """Raise if the artifact gives *public* another JSON type than the promised one."""
        wanted = KINDS[kind]["type"] if kind in KINDS else kind
        allowed = {wanted, "integer"} if wanted == "number" else {wanted}
        found = {name for node in nodes for name in self.schemas.kinds(node)}
        if kind == "time" and found <= allowed:
            branches = [branch for node in nodes for branch in self.schemas.branches(node)]
            formats = [self.schemas.target(branch)[0].get("format") for branch in branches]
            wanted, allowed = "date-time", set()
            found = {name for name in formats if isinstance(name, str)} & NOT_INSTANTS
        if not found <= allowed:
            raise SurfaceError(
                f"{place}: `{public.rpartition('.')[2]}` is {'/'.join(sorted(found))}, and {public} needs {wanted}",
                public,
            )

    def _claim_roots(self, model: str, spec: dict[str, Any], found: dict[str, Route]) -> None:
        if operation := spec.get("response"):
            place = f"{self.surface.operations[operation]['route']} 200"
            statuses = [status for status in ("200", "2XX", "default") if status in found[operation].responses]
            body = bodies(found[operation].responses[statuses[0]]).get(JSON) if statuses else None
            if body is None:
                raise SurfaceError(f"{place}: the artifact describes no JSON body, which {model} needs", model)
            self._claim(model, place, unwrapped(self.schemas, body, spec["essential"]))
        elif operation := spec.get("errors"):
            place = f"{self.surface.operations[operation]['route']} 4XX"
            for status in ("401", "403", "400", "404", "4XX", "422", "503", "default"):
                body = bodies(found[operation].responses.get(status, {})).get(JSON)
                if body is not None and any("reason_code" in view.fields for view in self.schemas.objects(body)):
                    return self._claim(model, place, body)
            self.notes.append(f"{place}: the artifact has no such error body; {model} is built from surface.toml")
        elif webhook := spec.get("webhook"):
            body = self._webhook(webhook, spec)
            if body is not None:
                return self._claim(model, f"webhook {webhook}", body)
            self.notes.append(f"webhook {webhook}: the artifact has none; {model} is built from surface.toml")
        return None

    def _claim(self, model: str, place: str, node: Any) -> None:
        branches = self.schemas.branches(node)
        self.claims[model].append(Claim(place, branches[0] if len(branches) == 1 else node))

    def _webhook(self, name: str, spec: dict[str, Any]) -> Any:
        """Return the body of a webhook; None if there is no such webhook, or it has no JSON body."""
        described = {hook: route for (hook, method), route in webhooks(self.schemas).items() if method == "post"}
        found = fitting_webhook(self.schemas, described, name, spec["fields"])
        return bodies(described[found].request).get(JSON) if found is not None else None

    def _views(self, model: str) -> list[Alternative]:
        """Return the model's views, after claiming the models that its fields name."""
        views: list[Alternative] = []
        for claim in self.claims[model]:
            here = self.schemas.objects(claim.node)
            if not here:
                raise SurfaceError(f"{claim.place}: the artifact describes no object, which {model} needs", model)
            views.extend(here)
            for name, field in self.surface.models[model]["fields"].items():
                nodes = [node for view in here for node in view.fields.get(name, [])]
                self._check_field(nodes, field, claim.place, f"{model}.{name}")
        return views

    def _check_field(self, nodes: list[Any], field: Field, place: str, public: str) -> None:
        """Check one field of one claim, and claim the model it names."""
        name = public.rpartition(".")[2]
        if not nodes:
            if field.is_described:
                raise SurfaceError(f"{place}: the artifact has no field `{name}`, which {public} needs", public)
            return
        if field.is_list:
            self.check_kind(nodes, "array", place, public)
            nodes = [self._items(node, place, public) for node in nodes]
        if field.kind in KINDS:
            self.check_kind(nodes, field.kind, place, public)
        else:
            self.check_kind(nodes, "object", place, public)
            self._claim(field.kind, f"{place}.{name}" + "[]" * field.is_list, _union(nodes))

    def _items(self, node: Any, place: str, public: str) -> Any:
        arrays = [self.schemas.target(branch)[0] for branch in self.schemas.branches(node)]
        if not arrays or any("items" not in array for array in arrays):
            field = public.rpartition(".")[2]
            raise SurfaceError(f"{place}: the field `{field}` is not a list, which {public} needs", public)
        return _union([array["items"] for array in arrays])


def unwrapped(schemas: Schemas, body: Any, essential: list[str]) -> Any:
    """Return the schema inside an envelope: an object of which exactly one property has the *essential* fields.

    A union of envelopes gives the union of the schemas in them. Any other body is returned unchanged.
    """

    def fits(node: Any) -> bool:
        return any(set(essential) <= view.fields.keys() for view in schemas.objects(node))

    if fits(body):
        return body
    inner = [
        [nodes for nodes in view.fields.values() if any(fits(node) for node in nodes)] for view in schemas.objects(body)
    ]
    if not inner or any(len(found) != 1 for found in inner):
        return body
    return _union([node for (nodes,) in inner for node in nodes])


def _union(nodes: list[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else {"anyOf": nodes}
