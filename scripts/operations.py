"""Rebuild an artifact's operations: promised ones under promised names, others under their own names."""

from __future__ import annotations

import math
import re
from typing import Any

from attrs import Factory, define

from scripts.alternatives import Alternative, listed, room
from scripts.naming import Names, folded, identifier, pascal, shown, text
from scripts.placing import check_kind
from scripts.rebuilding import SCALARS, Rebuilder, reference
from scripts.routes import JSON, Parameter, Route, bodies, scopes_by_scheme
from scripts.schemas import Schemas
from scripts.surface import KINDS, Surface, SurfaceError

__all__ = ["Operations"]

#: The largest values that ChartHero's developer pages document, for an artifact that states no maximum.
DOCUMENTED = {"limit": 100, "offset": 10_000}

#: OpenAPI describes these elsewhere and says to ignore them as parameters.
NOT_PARAMETERS = frozenset({"accept", "authorization", "content-type"})

#: The folded names of a generated function's own variables; no parameter can have such a name.
OF_THE_FUNCTION = frozenset(["cast", "cookies", "errors", "headers", "httpx", "kwargs", "params", "quote", "response"])


class _UnfitError(Exception):
    """An operation without a promise cannot be generated; the text says why."""


@define
class Operations:
    """Rebuilds the operations of one document."""

    schemas: Schemas
    surface: Surface
    rebuilder: Rebuilder
    notes: list[str]
    _names: Names = Factory(Names)

    def promised(self, name: str, operation: Route) -> dict[str, Any]:
        """Return the promised operation *name*.

        Raises:
            SurfaceError: The artifact lacks a parameter that is sent, or needs one that is not.
        """
        spec = self.surface.operations[name]
        route, wanted = spec["route"], spec.get("parameters", {})
        self._names.unused(spec["id"])
        query = operation.query
        for key, kind in wanted.items():
            if key not in query:
                raise SurfaceError(f"{route}: the artifact has no query parameter `{key}`, which {name} needs", name)
            values = self.schemas.read((query[key].schema,))
            check_kind(values, kind, f"{route} query", f"{name}.{key}")
            if refused := _refused(values, spec.get("accepts", {}).get(key, [])):
                raise SurfaceError(f"{route} query: `{key}` refuses {refused}, which {name} sends", f"{name}.{key}")
        for one in _parameters(operation):
            if one.required and one.place != "path" and not (one.place == "query" and one.name in wanted):
                place = "query parameter" if one.place == "query" else one.place
                raise SurfaceError(
                    f"{route}: it now needs the {place} {shown(one.name)}, which {name} does not send", name
                )
        model = next(model for model, model_spec in self.surface.models.items() if model_spec.get("response") == name)
        body = {"application/json": {"schema": reference(model)}}
        return {
            "operationId": spec["id"],
            "tags": [spec["tag"]],
            "summary": text(operation.node.get("summary")),
            "description": text(operation.node.get("description")),
            "parameters": [
                {"name": key, "in": "path", "required": True, "schema": {"type": "string"}}
                for key in re.findall(r"{(\w+)}", route)
            ]
            + [
                {
                    "name": key,
                    "in": "query",
                    "schema": KINDS[kind],
                    "description": text(query[key].node.get("description")),
                }
                for key, kind in wanted.items()
            ],
            "responses": {"200": {"description": "", "content": body}},
        }

    def largest(self, operation: Route, name: str, low: int, high: int) -> int:
        """Return the largest value of a parameter of `encounters.list` that the artifact accepts.

        Raises:
            SurfaceError: It does not accept every value from *low* to *high*, which the pager sends.
        """
        lowest, highest = -math.inf, math.inf
        for one in self.schemas.read((operation.query[name].schema,)):
            for keyword, bound in one.restrictions("integer"):
                if keyword in ("minimum", "maximum"):
                    number, excluded = room(keyword, bound)
                    farthest = math.ceil(number) - 1 if excluded else math.floor(number)
                    lowest = max(lowest, -farthest) if keyword == "minimum" else lowest
                    highest = min(highest, farthest) if keyword == "maximum" else highest
                elif keyword in ("value", "multipleOf"):
                    lowest = math.inf
        largest = DOCUMENTED[name] if highest == math.inf else int(highest)
        if lowest > low or largest < high:
            values = f"every value from {low} to {high}, which encounters.iter sends"
            raise SurfaceError(f"{operation.title} query: `{name}` does not accept {values}", f"encounters.list.{name}")
        return largest

    def scopes(self, name: str, operation: Route) -> list[str]:
        """Return the scopes that the artifact asks for; of several alternatives, the one with the fewest."""
        alternatives = [set[str]().union(*way.values()) for way in scopes_by_scheme(self.schemas, operation)]
        declared = sorted(min(alternatives, key=len, default=()))
        documented = self.surface.operations[name]["scopes"]
        if declared and set(declared) != set(documented):
            asked, pages = (", ".join(map(shown, sorted(scopes))) for scopes in (declared, documented))
            self.notes.append(f"{name}: the artifact asks for the scopes {asked}; the developer pages for {pages}")
        return declared

    def other(self, path: str, operation: Route) -> tuple[str, dict[str, Any]] | None:
        """Return an operation that is not promised, and its path; None, with a note, if it cannot be generated."""
        try:
            return self._other(path, operation)
        except _UnfitError as reason:
            self.notes.append(f"{operation.method.upper()} {shown(path[:120])}: left out, {reason}")
            return None

    def _other(self, path: str, operation: Route) -> tuple[str, dict[str, Any]]:
        if not re.fullmatch(r"/([\w/.~:@+,;=-]|{[\w.-]+})*", path, re.ASCII):
            raise _UnfitError("the path has characters that cannot be generated")
        words = identifier(f"{operation.method}_{path}", "operation")
        name = self._names.unused(identifier(operation.node.get("operationId"), words))
        content = bodies(operation.request).get(JSON)
        if content is None and "requestBody" in operation.node:
            raise _UnfitError("its request body is not JSON")
        path, parameters = self._sendable(path, operation, name, "body" if content is not None else "")
        rebuilt: dict[str, Any] = {
            "operationId": name,
            "tags": [identifier(next(iter(listed(operation.node.get("tags"))), None), "default")],
            "summary": text(operation.node.get("summary")),
            "parameters": parameters,
            "responses": {},
        }
        if content is not None:
            schema = self.rebuilder.schema(self.schemas.read((content,)), pascal(f"{name}_body"))
            required = operation.request.get("required") is True
            rebuilt["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
        for status, response in operation.responses.items():
            if re.fullmatch(r"2\d\d|2XX", status, re.ASCII):
                rebuilt["responses"][status] = {"description": ""}
                if (body := bodies(response).get(JSON)) is not None:
                    schema = self.rebuilder.schema(self.schemas.read((body,)), pascal(f"{name}_response_{status}"))
                    rebuilt["responses"][status]["content"] = {"application/json": {"schema": schema}}
        return path, rebuilt

    def _sendable(self, path: str, operation: Route, name: str, body: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the path and the parameters, under names that generated code can use."""
        described = _parameters(operation)
        arguments = Names({*OF_THE_FUNCTION, body})
        rebuilt = []
        for key in re.findall(r"{([\w.-]+)}", path):
            one = next((one for one in described if (one.place, one.name) == ("path", key)), Parameter(key, "path", {}))
            argument = arguments.unused(identifier(key, "value"))
            path = path.replace(f"{{{key}}}", f"{{{argument}}}", 1)
            rebuilt.append({"name": argument, "in": "path", "required": True, **self._scalar(one, name, argument)})
        for parameter in described:
            key, place, required = parameter.name, parameter.place, parameter.required
            if place == "path":
                continue
            if not re.fullmatch(r"[\w$.@\[\]:-]{1,80}", key, re.ASCII) or folded(key) in arguments.taken:
                if required:
                    raise _UnfitError(f"its parameter {shown(key)} cannot be generated")
                self.notes.append(f"{name}: the parameter {shown(key)} is left out, its name cannot be generated")
                continue
            arguments.taken |= {folded(key), f"json{folded(key)}"}
            rebuilt.append({"name": key, "in": place, "required": required, **self._scalar(parameter, name, key)})
        return path, rebuilt

    def _scalar(self, parameter: Parameter, name: str, key: str) -> dict[str, Any]:
        """Rebuild a parameter's schema; outside of the query, it is a scalar."""
        schema = self.rebuilder.schema(self.schemas.read((parameter.schema,)), pascal(f"{name}_{key}"))
        if parameter.place != "query" and (schema.get("type") not in SCALARS or "format" in schema):
            schema = {"type": "string"}
        return {"schema": schema, "description": text(parameter.node.get("description"))}


def _refused(values: list[Alternative], needed: list[str]) -> str:
    """Return the values that a closed enumeration lacks."""
    listed_values = [one.values for one in values if "string" in one.allowed]
    accepted = {value for found in listed_values for value in found or ()}
    return "" if None in listed_values else ", ".join(one for one in needed if f'"{one}"' not in accepted)


def _parameters(operation: Route) -> list[Parameter]:
    """Return what OpenAPI describes as a parameter."""
    return [
        one
        for one in operation.parameters.values()
        if one.place in ("path", "query", "cookie")
        or (one.place == "header" and one.name.lower() not in NOT_PARAMETERS)
    ]
