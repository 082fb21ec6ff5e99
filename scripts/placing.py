"""Finding in an artifact what each promised name stands for, by route and position.

Whatever the artifact calls its operations and schemas, the body of a route's success is one model, the items of a list
in it another. What cannot be placed is an error that names the route and the field.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from scripts.artifact import ROOT, ArtifactError
from scripts.schemas import ObjectView, Schemas, listed

__all__ = [
    "KINDS",
    "Claim",
    "Placement",
    "Placer",
    "Surface",
    "SurfaceError",
    "json_schema",
    "load_surface",
    "unwrapped",
]

SURFACE = ROOT / "openapi" / "surface.toml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PREFIX = "/external/v1"

#: The JSON type and format that each field kind of surface.toml stands for.
KINDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "enum": {"type": "string"},
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "number": {"type": "number"},
}


class SurfaceError(ArtifactError):
    """The artifact lacks something a promised name needs.

    The text names the route and the field; ``public`` is the name that cannot be placed.
    """

    def __init__(self, text: str, public: str) -> None:
        super().__init__(text)
        self.public = public


@frozen
class Surface:
    """The promised names, as ``openapi/surface.toml`` lists them."""

    operations: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]


@frozen
class Claim:
    """Where a model was found: a place for people, and the schema there."""

    place: str
    node: Any


@frozen
class Placement:
    """Where everything promised is, and what is there besides."""

    operations: dict[str, dict[str, Any]]
    others: dict[tuple[str, str], dict[str, Any]]
    claims: dict[str, list[Claim]]
    views: dict[str, list[ObjectView]]


def load_surface(path: Path = SURFACE) -> Surface:
    """Read the promised names from *path*."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Surface(operations=content["operations"], models=content["models"])


@define
class Placer:
    """Places the names of *surface* in one document."""

    schemas: Schemas
    surface: Surface
    claims: dict[str, list[Claim]] = Factory(dict)

    def place(self) -> Placement:
        """Find everything that is promised.

        Raises:
            SurfaceError: Something is not there, or not of the promised kind.
        """
        routes = self._routes()
        found = {name: self._route(name, routes) for name in self.surface.operations}
        self.claims = {name: [] for name in self.surface.models}
        for model, spec in self.surface.models.items():
            self._claim_roots(model, spec, {name: routes[route] for name, route in found.items()})
        views = {model: self._views(model) for model in self.surface.models}
        # Where the server's URL holds the prefix, it is missing in every path.
        prefix = "" if any(path.startswith(PREFIX) for _, path in found.values()) else PREFIX
        others = {
            (method, prefix + path): operation
            for (method, path), operation in routes.items()
            if (method, path) not in found.values()
        }
        operations = {name: routes[route] for name, route in found.items()}
        return Placement(operations, others, self.claims, views)

    def check_kind(self, nodes: list[Any], kind: str, place: str, public: str) -> None:
        """Raise where the artifact gives *public* another JSON type than it is promised to have."""
        wanted = KINDS[kind]["type"]
        allowed = {wanted, "integer"} if wanted == "number" else {wanted}
        found = {kind for node in nodes for kind in self.schemas.kinds(node)}
        if not found <= allowed:
            raise SurfaceError(
                f"{place}: `{public.rpartition('.')[2]}` is {'/'.join(sorted(found))}, and {public} needs {wanted}",
                public,
            )

    def _routes(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Index operations by method and path, with the path item's own parameters joined in."""
        routes: dict[tuple[str, str], dict[str, Any]] = {}
        for path, node in self.schemas.document["paths"].items():
            item, _ = self.schemas.target(node)
            for method in METHODS:
                if isinstance(operation := item.get(method), dict):
                    parameters = [*listed(operation.get("parameters")), *listed(item.get("parameters"))]
                    routes[method, path] = {**operation, "parameters": parameters}
        return routes

    def _route(self, name: str, routes: dict[tuple[str, str], dict[str, Any]]) -> tuple[str, str]:
        route = self.surface.operations[name]["route"]
        wanted, _, path = route.partition(" ")
        for shape in (_shape(path), _shape(path.removeprefix(PREFIX))):
            for method, candidate in routes:
                if method == wanted.lower() and _shape(candidate) == shape:
                    return method, candidate
        raise SurfaceError(f"{route}: the artifact has no such route, which {name} needs", name)

    def _claim_roots(self, model: str, spec: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
        if operation := spec.get("response"):
            place = f"{self.surface.operations[operation]['route']} 200"
            body = self._body(found[operation], ("200", "2XX", "default"))
            if body is None:
                raise SurfaceError(f"{place}: the artifact describes no JSON body, which {model} needs", model)
            self._claim(model, place, unwrapped(self.schemas, body, spec["essential"]))
        elif operation := spec.get("errors"):
            place = f"{self.surface.operations[operation]['route']} 4XX"
            for status in ("401", "403", "400", "404", "4XX", "422", "503", "default"):
                body = self._body(found[operation], (status,))
                if body is not None and any("reason_code" in view.properties for view in self.schemas.views(body)):
                    self._claim(model, place, body)
                    break
        elif webhook := spec.get("webhook"):
            self._claim(model, f"webhook {webhook}", self._webhook(webhook, spec, model))

    def _claim(self, model: str, place: str, node: Any) -> None:
        branches = self.schemas.branches(node)
        self.claims[model].append(Claim(place, branches[0] if len(branches) == 1 else node))

    def _webhook(self, name: str, spec: dict[str, Any], model: str) -> Any:
        # 3.0 has no webhooks of its own; tools put them under the second key.
        webhooks = self.schemas.document.get("webhooks", self.schemas.document.get("x-webhooks"))
        bodies = {}
        for key, node in webhooks.items() if isinstance(webhooks, dict) else ():
            post, _ = self.schemas.target(self.schemas.target(node)[0].get("post"))
            request, _ = self.schemas.target(post.get("requestBody"))
            if (body := json_schema(request)) is not None:
                bodies[key] = body
        if name in bodies:
            return bodies[name]
        fitting = [
            body
            for body in bodies.values()
            if any(set(spec["fields"]) <= view.properties.keys() for view in self.schemas.views(body))
        ]
        if len(fitting) != 1:
            raise SurfaceError(f"webhook {name}: the artifact has no such webhook, which {model} needs", model)
        return fitting[0]

    def _body(self, operation: dict[str, Any], statuses: tuple[str, ...]) -> Any:
        responses = operation.get("responses")
        for status in statuses:
            if isinstance(responses, dict) and status in responses:
                return json_schema(self.schemas.target(responses[status])[0])
        return None

    def _views(self, model: str) -> list[ObjectView]:
        """Return the model's views, having claimed for the models its fields name."""
        views: list[ObjectView] = []
        for claim in self.claims[model]:
            here = self.schemas.views(claim.node)
            if not here:
                raise SurfaceError(f"{claim.place}: the artifact describes no object, which {model} needs", model)
            views.extend(here)
            for field, kind in self.surface.models[model]["fields"].items():
                public = f"{model}.{field}"
                nodes = [node for view in here for node in view.properties.get(field, [])]
                if not nodes and not kind.endswith("?"):
                    raise SurfaceError(
                        f"{claim.place}: the artifact has no field `{field}`, which {public} needs", public
                    )
                child = kind.strip("[]?")
                if child not in self.surface.models:
                    self.check_kind(nodes, child, claim.place, public)
                elif nodes:
                    is_list = kind.startswith("[")
                    inner = [self._items(node, claim.place, public) for node in nodes] if is_list else nodes
                    self._claim(child, f"{claim.place}.{field}" + "[]" * is_list, _union(inner))
        return views

    def _items(self, node: Any, place: str, public: str) -> Any:
        arrays = [self.schemas.target(branch)[0] for branch in self.schemas.branches(node)]
        if not arrays or any("items" not in array for array in arrays):
            field = public.rpartition(".")[2]
            raise SurfaceError(f"{place}: the field `{field}` is not a list, which {public} needs", public)
        return _union([array["items"] for array in arrays])


def unwrapped(schemas: Schemas, body: Any, essential: list[str]) -> Any:
    """Look through an envelope: an object without the essential fields, one property of which has them.

    Of a union of envelopes, the union of what is in them.
    """

    def fits(node: Any) -> bool:
        return any(set(essential) <= view.properties.keys() for view in schemas.views(node))

    if fits(body):
        return body
    inner = [
        [nodes for nodes in view.properties.values() if any(fits(node) for node in nodes)]
        for view in schemas.views(body)
    ]
    if not inner or any(len(found) != 1 for found in inner):
        return body
    return _union([node for (nodes,) in inner for node in nodes])


def json_schema(holder: dict[str, Any]) -> Any:
    """Return the schema of the JSON content of a request or response, or None where it has none."""
    content = holder.get("content")
    for media_type, node in content.items() if isinstance(content, dict) else ():
        essence = media_type.partition(";")[0].strip().lower()
        if (essence == "application/json" or essence.endswith("+json")) and isinstance(node, dict):
            return node.get("schema")
    return None


def _union(nodes: list[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else {"anyOf": nodes}


def _shape(path: str) -> str:
    """Return *path* with its parameters' names left out, so that they do not matter."""
    return re.sub(r"{[^/]*}", "{}", path).rstrip("/")
