"""Rebuilds an artifact's operations: the promised ones under promised names, the others under their own."""

from __future__ import annotations

import re
from typing import Any

from attrs import Factory, define

from scripts.naming import Names, folded, identifier, pascal, shown, text
from scripts.paging import Paging, paging
from scripts.placing import Placer, json_schema
from scripts.rebuilding import SCALARS, Rebuilder
from scripts.schemas import COMPONENTS, Schemas, listed
from scripts.surface import KINDS, Surface, SurfaceError

__all__ = ["Operations"]

#: OpenAPI describes these elsewhere and says to ignore them as parameters.
NOT_PARAMETERS = frozenset({"accept", "authorization", "content-type"})

#: The folded names of a generated function's own variables; no parameter can have such a name.
OF_THE_FUNCTION = frozenset(["cast", "cookies", "errors", "headers", "httpx", "kwargs", "params", "quote", "response"])


class _UnfitError(Exception):
    """An operation that is not promised cannot be generated; the text says why."""


@define
class Operations:
    """Rebuilds the operations of one document."""

    schemas: Schemas
    surface: Surface
    placer: Placer
    rebuilder: Rebuilder
    notes: list[str]
    _names: Names = Factory(Names)

    def promised(self, name: str, operation: dict[str, Any]) -> dict[str, Any]:
        """Return the promised operation *name*.

        Raises:
            SurfaceError: The artifact lacks a parameter that is sent, or needs one that is not.
        """
        spec = self.surface.operations[name]
        route, wanted = spec["route"], spec.get("parameters", {})
        self._names.unused(spec["id"])
        query = self._query(operation)
        for parameter in self._parameters(operation):
            if parameter.get("in") in ("header", "cookie") and parameter.get("required") is True:
                needed = f"{parameter['in']} {shown(parameter.get('name'))}"
                raise SurfaceError(f"{route}: it now needs the {needed}, which {name} does not send", name)
        for key, kind in wanted.items():
            if key not in query:
                raise SurfaceError(f"{route}: the artifact has no query parameter `{key}`, which {name} needs", name)
            schema = query[key].get("schema", {})
            self.placer.check_kind([schema], kind, f"{route} query", f"{name}.{key}")
            if refused := self._refused(schema, spec.get("accepts", {}).get(key, [])):
                raise SurfaceError(f"{route} query: `{key}` refuses {refused}, which {name} sends", f"{name}.{key}")
        for key, parameter in query.items():
            if key not in wanted and parameter.get("required") is True:
                raise SurfaceError(
                    f"{route}: it now needs the query parameter {shown(key)}, which {name} does not send", name
                )
        model = next(model for model, model_spec in self.surface.models.items() if model_spec.get("response") == name)
        body = {"application/json": {"schema": {"$ref": COMPONENTS + model}}}
        return {
            "operationId": spec["id"],
            "tags": [spec["tag"]],
            "summary": text(operation.get("summary")),
            "description": text(operation.get("description")),
            "parameters": [
                {"name": key, "in": "path", "required": True, "schema": {"type": "string"}}
                for key in re.findall(r"{(\w+)}", route)
            ]
            + [
                {"name": key, "in": "query", "schema": KINDS[kind], "description": text(query[key].get("description"))}
                for key, kind in wanted.items()
            ],
            "responses": {"200": {"description": "", "content": body}},
        }

    def paging(self, name: str, operation: dict[str, Any]) -> Paging:
        """Return the page size and the largest offset of a list operation.

        Raises:
            SurfaceError: They leave the pager no way to work.
        """
        query = {key: parameter.get("schema", {}) for key, parameter in self._query(operation).items()}
        return paging(self.schemas, query, self.surface.operations[name]["route"])

    def _query(self, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self._parameters(operation) if one["in"] == "query"}

    def _refused(self, schema: Any, needed: list[str]) -> str:
        """Return the values that a closed enumeration lacks."""
        listed_values = [one.values for one in self.schemas.read([(schema,)]) if "string" in one.allowed]
        accepted = {value for values in listed_values for value in values or ()}
        return "" if None in listed_values else ", ".join(one for one in needed if f'"{one}"' not in accepted)

    def scopes(self, name: str, operation: dict[str, Any]) -> list[str]:
        """Return the scopes that the artifact asks for; of several alternatives, the one with the fewest."""
        security = operation.get("security", self.schemas.document.get("security"))
        alternatives = [
            sorted({scope for scopes in entry.values() for scope in listed(scopes) if isinstance(scope, str)})
            for entry in listed(security)
            if isinstance(entry, dict)
        ]
        declared = min(alternatives, key=len, default=[])
        documented = self.surface.operations[name]["scopes"]
        if declared and set(declared) != set(documented):
            asked, pages = (", ".join(map(shown, sorted(scopes))) for scopes in (declared, documented))
            self.notes.append(f"{name}: the artifact asks for the scopes {asked}; the developer pages for {pages}")
        return declared

    def other(self, method: str, path: str, operation: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return an operation that is not promised, and its path; None, with a note, if it cannot be generated."""
        try:
            return self._other(method, path, operation)
        except _UnfitError as reason:
            self.notes.append(f"{method.upper()} {shown(path[:120])}: left out, {reason}")
            return None

    def _other(self, method: str, path: str, operation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if not re.fullmatch(r"/([\w/.~:@+,;=-]|{[\w.-]+})*", path, re.ASCII):
            raise _UnfitError("the path has characters that cannot be generated")
        words = identifier(f"{method}_{path}", "operation")
        name = self._names.unused(identifier(operation.get("operationId"), words))
        content, required = self._request(operation)
        path, parameters = self._sendable(path, operation, name, "body" if content is not None else "")
        rebuilt: dict[str, Any] = {
            "operationId": name,
            "tags": [identifier(next(iter(listed(operation.get("tags"))), None), "default")],
            "summary": text(operation.get("summary")),
            "parameters": parameters,
            "responses": {},
        }
        if content is not None:
            schema = self.rebuilder.schema([content], pascal(f"{name}_body"))
            rebuilt["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
        responses = operation.get("responses")
        for status, node in responses.items() if isinstance(responses, dict) else ():
            if re.fullmatch(r"2\d\d|2XX", status, re.ASCII):
                body = json_schema(self.schemas.target(node)[0])
                schema = {} if body is None else self.rebuilder.schema([body], pascal(f"{name}_response_{status}"))
                json_content = {} if body is None else {"content": {"application/json": {"schema": schema}}}
                rebuilt["responses"][status] = {"description": "", **json_content}
        return path, rebuilt

    def _request(self, operation: dict[str, Any]) -> tuple[Any, bool]:
        if "requestBody" not in operation:
            return None, False
        request, _ = self.schemas.target(operation["requestBody"])
        if (body := json_schema(request)) is None:
            raise _UnfitError("its request body is not JSON")
        return body, request.get("required") is True

    def _parameters(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the parameters that OpenAPI describes as parameters, each once."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for node in operation["parameters"]:
            parameter, _ = self.schemas.target(node)
            name, place = parameter.get("name"), parameter.get("in")
            if not isinstance(name, str) or place not in ("path", "query", "header", "cookie"):
                continue
            if place != "header" or name.lower() not in NOT_PARAMETERS:
                found.setdefault((place, name), parameter)
        return list(found.values())

    def _sendable(self, path: str, operation: dict[str, Any], name: str, body: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the path and the parameters, under names that generated code can use."""
        described = self._parameters(operation)
        arguments = Names({*OF_THE_FUNCTION, body})
        rebuilt = []
        for key in re.findall(r"{([\w.-]+)}", path):
            node = next((one for one in described if (one["in"], one["name"]) == ("path", key)), {})
            argument = arguments.unused(identifier(key, "value"))
            path = path.replace(f"{{{key}}}", f"{{{argument}}}", 1)
            rebuilt.append({"name": argument, "in": "path", "required": True, **self._scalar(node, name, argument)})
        for parameter in described:
            key, place, required = parameter["name"], parameter["in"], parameter.get("required") is True
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

    def _scalar(self, parameter: dict[str, Any], name: str, key: str) -> dict[str, Any]:
        """Rebuild a parameter's schema; outside of the query, it is a scalar."""
        schema = self.rebuilder.schema([parameter.get("schema", {})], pascal(f"{name}_{key}"))
        if parameter.get("in") != "query" and (schema.get("type") not in SCALARS or "format" in schema):
            schema = {"type": "string"}
        return {"schema": schema, "description": text(parameter.get("description"))}
