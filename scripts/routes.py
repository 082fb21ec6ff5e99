"""Read the routes and webhooks of a document: their parameters, bodies and security."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from scripts.alternatives import listed
from scripts.schemas import Schemas
from scripts.surface import PREFIX

__all__ = [
    "JSON",
    "Parameter",
    "Route",
    "bodies",
    "fitting_webhook",
    "needs",
    "other_media_keys",
    "route_key",
    "routes",
]
__all__ += ["scopes_by_scheme", "webhooks"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

#: What every JSON media type is called here.
JSON = "JSON"

#: How this client authenticates.
OURS = "http bearer"


@frozen
class Parameter:
    """A parameter of a route, or a header of a webhook."""

    name: str
    place: str
    node: dict[str, Any]

    @property
    def required(self) -> bool:
        """Whether a request must have it."""
        return self.place == "path" or self.node.get("required") is True

    @property
    def schema(self) -> Any:
        """The schema of its value."""
        return self.node["schema"] if "schema" in self.node else next(iter(bodies(self.node).values()), {})

    @property
    def style(self) -> str:
        """How its value is written in a request; empty for the default."""
        usual = "form" if self.place in ("query", "cookie") else "simple"
        style = self.node.get("style", usual)
        explode = self.node.get("explode", style == "form") is True
        words = [] if (style, explode) == (usual, usual == "form") else [f"{style}{', exploded' if explode else ''}"]
        words += ["reserved characters as they are"] if self.node.get("allowReserved") is True else []
        return ", ".join([*words, *(() if "schema" in self.node else bodies(self.node))])


@frozen
class Route:
    """A route, or a webhook whose name is in ``path``. References are resolved.

    The key of a parameter is its place and its name or position.
    """

    title: str
    method: str
    path: str
    node: dict[str, Any]
    parameters: dict[tuple[str, str], Parameter]
    request: dict[str, Any]
    responses: dict[str, dict[str, Any]]

    @property
    def query(self) -> dict[str, Parameter]:
        """The parameters in the query, by name."""
        return {name: one for (place, name), one in self.parameters.items() if place == "query"}

    @property
    def successes(self) -> list[str]:
        """The statuses that mean success, plain ones first."""
        plain = sorted(status for status in self.responses if re.fullmatch(r"2\d\d|2XX", status))
        return plain or [status for status in self.responses if status == "default"]


def route_key(method: str, path: str) -> tuple[str, str]:
    """Return the key of a route, without the names of path parameters, the common prefix and a trailing slash."""
    return method.lower(), re.sub(r"{[^/]*}", "{}", path).removeprefix(PREFIX).rstrip("/")


def routes(schemas: Schemas) -> dict[tuple[str, str], Route]:
    """Return the routes of a document."""
    found: dict[tuple[str, str], Route] = {}
    # If two routes differ only in the prefix, the route with the prefix is the promised one.
    items = _items(schemas, schemas.document["paths"], "{method} {name}")
    for route in sorted(items, key=lambda route: not route.path.startswith(PREFIX)):
        key = route_key(route.method, route.path)
        found[(route.method, route.title) if key in found else key] = route
    return found


def webhooks(schemas: Schemas) -> dict[tuple[str, str], Route]:
    """Return the webhooks of a document, by name and method."""
    # OpenAPI 3.0 has no webhooks; tools put them under the second key.
    described = schemas.document.get("webhooks", schemas.document.get("x-webhooks"))
    found = _items(schemas, described if isinstance(described, dict) else {}, "webhook {name}")
    return {(route.path, route.method): route for route in found}


def fitting_webhook(schemas: Schemas, described: dict[str, Route], name: str, fields: Iterable[str]) -> str | None:
    """Return *name* if a webhook has it, or else the only webhook whose body has all *fields*."""
    if name in described:
        return name
    fitting = [
        other
        for other, route in described.items()
        if any({*fields} <= one.fields.keys() for one in schemas.read((bodies(route.request).get(JSON),)))
    ]
    return fitting[0] if len(fitting) == 1 else None


def bodies(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of a request, response or parameter by media type; every JSON one under one name."""
    content = holder.get("content")
    found: dict[str, Any] = {}
    for media_type, node in content.items() if isinstance(content, dict) else ():
        essence = media_type.partition(";")[0].strip().lower()
        is_json = essence == "application/json" or essence.endswith("+json")
        found.setdefault(JSON if is_json else essence, node.get("schema", {}) if isinstance(node, dict) else {})
    return found


def other_media_keys(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of the media types of a request or response, without schemas and examples."""
    content = holder.get("content")
    return {
        f"{media_type} {key}": value
        for media_type, node in (content.items() if isinstance(content, dict) else ())
        for key, value in (node.items() if isinstance(node, dict) else ())
        if key not in ("schema", "example", "examples")
    }


def needs(schemas: Schemas, route: Route, documented: list[str]) -> list[str]:
    """Return what a key needs, by alternative. If the artifact has no scopes, the *documented* ones are needed."""
    ways = []
    for way in scopes_by_scheme(schemas, route):
        schemes, scopes = {_scheme(schemas, name) for name in way}, set().union(*way.values())
        ways.append(schemes | (scopes or set(documented if schemes == {OURS} else [])))
    return [", ".join(sorted(way)) for way in ways or [set[str]()]]


def scopes_by_scheme(schemas: Schemas, route: Route) -> list[dict[str, set[str]]]:
    """Return the alternatives of the route's security: of each, the scopes by the name of their scheme."""
    return [
        {name: {scope for scope in listed(scopes) if isinstance(scope, str)} for name, scopes in entry.items()}
        for entry in listed(route.node.get("security", schemas.document.get("security")))
        if isinstance(entry, dict)
    ]


def _scheme(schemas: Schemas, name: str) -> str:
    scheme = schemas.target(schemas.components("securitySchemes").get(name))
    words = [scheme.get("type"), str(scheme.get("scheme", "")).lower(), scheme.get("in"), scheme.get("name")]
    return " ".join(str(word) for word in words if word) or name


def _items(schemas: Schemas, items: dict[str, Any], title: str) -> Iterator[Route]:
    for name, node in items.items():
        item = schemas.target(node)
        shared = {key: value for key, value in item.items() if key not in METHODS}
        for method in METHODS:
            if isinstance(operation := item.get(method), dict):
                responses = operation.get("responses")
                yield Route(
                    title=title.format(method=method.upper(), name=name),
                    method=method,
                    path=name,
                    node={**shared, **operation},
                    parameters=_parameters(
                        schemas, name, [*listed(item.get("parameters")), *listed(operation.get("parameters"))]
                    ),
                    request=schemas.target(operation.get("requestBody")),
                    responses={
                        status: schemas.target(response)
                        for status, response in (responses.items() if isinstance(responses, dict) else ())
                    },
                )


def _parameters(schemas: Schemas, path: str, nodes: list[Any]) -> dict[tuple[str, str], Parameter]:
    in_path = re.findall(r"{([^/]*?)}", path)
    found = {}
    for node in nodes:
        parameter = schemas.target(node)
        name, place = parameter.get("name"), str(parameter.get("in"))
        if not isinstance(name, str):
            continue
        key = name.lower() if place == "header" else name
        if place == "path" and name in in_path:
            key = str(in_path.index(name))
        found[place, key] = Parameter(name, place, parameter)
    return found
