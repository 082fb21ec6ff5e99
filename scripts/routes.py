"""Reading what a document says travels: routes and webhooks, their parameters and their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from scripts.placing import METHODS
from scripts.schemas import Schemas, listed
from scripts.surface import PREFIX

__all__ = ["JSON", "Parameter", "Route", "bodies", "route_key", "routes", "webhooks"]

#: What every JSON media type is called here.
JSON = "JSON"


@frozen
class Parameter:
    """A parameter, with what it says of itself."""

    name: str
    place: str
    node: dict[str, Any]

    @property
    def required(self) -> bool:
        """Whether a request without it is refused."""
        return self.place == "path" or self.node.get("required") is True

    @property
    def schema(self) -> Any:
        """The schema of its value."""
        return self.node["schema"] if "schema" in self.node else next(iter(bodies(self.node).values()), {})

    @property
    def style(self) -> str:
        """How its value is written in a request; empty for the usual way."""
        usual = "form" if self.place in ("query", "cookie") else "simple"
        style = self.node.get("style", usual)
        explode = self.node.get("explode", style == "form") is True
        words = [] if (style, explode) == (usual, usual == "form") else [f"{style}{', exploded' if explode else ''}"]
        words += ["reserved characters as they are"] if self.node.get("allowReserved") is True else []
        return ", ".join([*words, *(() if "schema" in self.node else bodies(self.node))])


@frozen
class Route:
    """A route or a webhook, references followed. A parameter's key is its place and name; in the path, its position."""

    title: str
    node: dict[str, Any]
    parameters: dict[tuple[str, str], Parameter]
    request: dict[str, Any]
    responses: dict[str, dict[str, Any]]

    @property
    def successes(self) -> list[str]:
        """The statuses that stand for success, the plain ones first."""
        plain = sorted(status for status in self.responses if re.fullmatch(r"2\d\d|2XX", status))
        return plain or [status for status in self.responses if status == "default"]


def route_key(method: str, path: str) -> tuple[str, str]:
    """Return what makes a route the same one: parameters' names and the common prefix do not matter."""
    return method.lower(), re.sub(r"{[^/]*}", "{}", path).removeprefix(PREFIX)


def routes(schemas: Schemas) -> dict[tuple[str, str], Route]:
    """Return the routes of a document."""
    found: dict[tuple[str, str], Route] = {}
    for method, path, route in _items(schemas, schemas.document["paths"], "{method} {name}"):
        key = route_key(method, path)
        found[(method, path) if key in found else key] = route
    return found


def webhooks(schemas: Schemas) -> dict[tuple[str, str], Route]:
    """Return the webhooks of a document, by name and method."""
    # 3.0 has no webhooks of its own; tools put them under the second key.
    described = schemas.document.get("webhooks", schemas.document.get("x-webhooks"))
    found = _items(schemas, described if isinstance(described, dict) else {}, "webhook {name}")
    return {(name, method): route for method, name, route in found}


def bodies(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of a request, response or parameter by media type; every JSON one under one name."""
    content = holder.get("content")
    found: dict[str, Any] = {}
    for media_type, node in content.items() if isinstance(content, dict) else ():
        essence = media_type.partition(";")[0].strip().lower()
        is_json = essence == "application/json" or essence.endswith("+json")
        found.setdefault(JSON if is_json else essence, node.get("schema", {}) if isinstance(node, dict) else {})
    return found


def _items(schemas: Schemas, items: dict[str, Any], title: str) -> Iterator[tuple[str, str, Route]]:
    for name, node in items.items():
        item, _ = schemas.target(node)
        shared = {key: value for key, value in item.items() if key not in METHODS}
        for method in METHODS:
            if isinstance(operation := item.get(method), dict):
                responses = operation.get("responses")
                route = Route(
                    title=title.format(method=method.upper(), name=name),
                    node={**shared, **operation},
                    parameters=_parameters(
                        schemas, name, [*listed(item.get("parameters")), *listed(operation.get("parameters"))]
                    ),
                    request=schemas.target(operation.get("requestBody"))[0],
                    responses={
                        status: schemas.target(response)[0]
                        for status, response in (responses.items() if isinstance(responses, dict) else ())
                    },
                )
                yield method, name, route


def _parameters(schemas: Schemas, path: str, nodes: list[Any]) -> dict[tuple[str, str], Parameter]:
    in_path = re.findall(r"{([^/]*?)}", path)
    found = {}
    for node in nodes:
        parameter, _ = schemas.target(node)
        name, place = str(parameter.get("name")), str(parameter.get("in"))
        key = name.lower() if place == "header" else name
        if place == "path" and name in in_path:
            key = str(in_path.index(name))
        found[place, key] = Parameter(name, place, parameter)
    return found
