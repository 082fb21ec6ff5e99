"""Turn the published artifact into a canonical document whose names are ours.

In: the artifact (any operation ids, tags, schema names and spellings) and ``openapi/surface.toml``. Out: an OpenAPI 3.1
document in which every operation and model the client promises has its promised name, found by route and position, and
everything else keeps its own. Only names, types and descriptions pass, and each is checked or rebuilt on the way:
the result becomes code.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from scripts.artifact import ROOT, ArtifactError, load_snapshot
from scripts.schemas import COMPONENTS, ObjectView, Schemas, types_of

__all__ = ["Canonical", "Surface", "SurfaceError", "canonicalize", "load_surface", "main"]

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
SHOWABLE = frozenset({"id", "time", "enum", "count"})
FORMATS = frozenset({"date-time", "date", "uuid"})

#: Names a generated model needs for itself. A property called so still arrives, as an additional property.
RESERVED = frozenset({"additional_properties", "additional_keys", "from_dict", "to_dict", "self", "cls"})


class SurfaceError(ArtifactError):
    """The artifact lacks something a promised name needs. The text names the route and the field."""


@frozen
class Surface:
    """The promised names, as ``openapi/surface.toml`` lists them."""

    operations: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]


@frozen
class Canonical:
    """What canonicalizing gives: the document to generate from, and facts that it has no place for.

    ``scopes`` holds what the artifact itself declares per operation, and lacks an operation for which it declares
    nothing. ``notes`` says what was left out, a line each.
    """

    document: dict[str, Any]
    scopes: dict[str, list[str]]
    notes: list[str]


def load_surface(path: Path = SURFACE) -> Surface:
    """Read the promised names from *path*."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Surface(operations=content["operations"], models=content["models"])


def canonicalize(document: dict[str, Any], surface: Surface) -> Canonical:
    """Return *document* under the names of *surface*.

    Raises:
        SurfaceError: A promised name cannot be placed.
        ArtifactError: The document refers outside itself or holds a name that cannot be made safe.
    """
    return _Canonicalizer(Schemas(document), surface).run()


@define
class _Claim:
    """Where a model was found: a place for people, and the schema there."""

    place: str
    node: Any


@define
class _Canonicalizer:
    schemas: Schemas
    surface: Surface
    claims: dict[str, list[_Claim]] = Factory(dict)
    components: dict[str, Any] = Factory(dict)
    # The upstream component -> the name it is generated under.
    names: dict[str, str] = Factory(dict)
    notes: list[str] = Factory(list)

    def run(self) -> Canonical:
        routes = self._routes()
        paths: dict[str, dict[str, Any]] = {}
        scopes: dict[str, list[str]] = {}
        found = {name: self._operation(name, routes) for name in self.surface.operations}
        self.claims = {name: [] for name in self.surface.models}
        for model, spec in self.surface.models.items():
            self._claim_roots(model, spec, found)
        views = {model: self._views(model) for model in self.surface.models}
        self._name_components()
        for model, spec in self.surface.models.items():
            self.components[model] = self._model(model, spec, views[model])
        for upstream, name in sorted(self.names.items()):
            if name not in self.components:
                self.components[name] = self._object(
                    self.schemas.target({"$ref": COMPONENTS + _pointer(upstream)})[0], name
                )
        for name, operation in found.items():
            spec = self.surface.operations[name]
            path = spec["route"].partition(" ")[2]
            paths.setdefault(path, {})["get"] = self._promised(name, spec, operation)
            if declared := self._scopes(operation):
                scopes[name] = declared
        claimed = {id(operation) for operation in found.values()}
        used = {spec["id"] for spec in self.surface.operations.values()}
        for (method, path), operation in routes.items():
            if id(operation) not in claimed:
                extra = self._extra(method, path, operation, used)
                if extra is not None:
                    paths.setdefault(path, {})[method] = extra
        canonical = {
            "openapi": "3.1.0",
            "info": {"title": "ChartHero", "version": "v1"},
            "paths": paths,
            "components": {"schemas": dict(sorted(self.components.items()))},
        }
        return Canonical(canonical, scopes, self.notes)

    # Finding: routes, bodies, claims

    def _routes(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Index operations by method and path, with the path item's own parameters joined in."""
        routes: dict[tuple[str, str], dict[str, Any]] = {}
        for path, node in self.schemas.document["paths"].items():
            item, _ = self.schemas.target(node)
            for method in METHODS:
                if isinstance(operation := item.get(method), dict):
                    parameters = [*_list(operation.get("parameters")), *_list(item.get("parameters"))]
                    routes[method, path] = {**operation, "parameters": parameters}
        return routes

    def _operation(self, name: str, routes: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
        route = self.surface.operations[name]["route"]
        shape = _shape(route.partition(" ")[2])
        for (method, path), operation in routes.items():
            if method == "get" and _shape(path) in (shape, shape.removeprefix(PREFIX)):
                return operation
        raise SurfaceError(f"{route}: the artifact has no such route, which {name} needs")

    def _claim_roots(self, model: str, spec: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
        if operation := spec.get("response"):
            place = f"{self.surface.operations[operation]['route']} 200"
            body = self._body(found[operation], ("200", "2XX", "default"))
            if body is None:
                raise SurfaceError(f"{place}: the artifact describes no JSON body, which {model} needs")
            self.claims[model].append(_Claim(place, self._unwrapped(body, spec["essential"])))
        elif operation := spec.get("errors"):
            place = f"{self.surface.operations[operation]['route']} 4XX"
            for status in ("401", "403", "400", "404", "4XX", "422", "503", "default"):
                body = self._body(found[operation], (status,))
                if body is not None and any("reason_code" in view.properties for view in self.schemas.views(body)):
                    self.claims[model].append(_Claim(place, body))
                    break
        elif webhook := spec.get("webhook"):
            self.claims[model].append(_Claim(f"webhook {webhook}", self._webhook(webhook, spec, model)))

    def _webhook(self, name: str, spec: dict[str, Any], model: str) -> Any:
        webhooks = self.schemas.document.get("webhooks")
        bodies = {}
        for key, node in webhooks.items() if isinstance(webhooks, dict) else ():
            post, _ = self.schemas.target(self.schemas.target(node)[0].get("post"))
            request, _ = self.schemas.target(post.get("requestBody"))
            if (body := _json_schema(request)) is not None:
                bodies[key] = body
        if name in bodies:
            return bodies[name]
        fitting = [
            body
            for body in bodies.values()
            if any(set(spec["fields"]) <= view.properties.keys() for view in self.schemas.views(body))
        ]
        if len(fitting) != 1:
            raise SurfaceError(f"webhook {name}: the artifact has no such webhook, which {model} needs")
        return fitting[0]

    def _body(self, operation: dict[str, Any], statuses: tuple[str, ...]) -> Any:
        responses = operation.get("responses")
        for status in statuses:
            if isinstance(responses, dict) and status in responses:
                return _json_schema(self.schemas.target(responses[status])[0])
        return None

    def _unwrapped(self, body: Any, essential: list[str]) -> Any:
        """Look through an envelope: an object without the essential fields, one property of which has them."""
        views = self.schemas.views(body)
        if any(set(essential) <= view.properties.keys() for view in views):
            return body
        inner = [
            node
            for view in views
            for nodes in view.properties.values()
            for node in nodes
            if any(set(essential) <= inside.properties.keys() for inside in self.schemas.views(node))
        ]
        return inner[0] if len(inner) == 1 else body

    def _views(self, model: str) -> list[ObjectView]:
        """Return the model's views, having claimed for the models its fields name."""
        spec = self.surface.models[model]
        views: list[ObjectView] = []
        for claim in self.claims[model]:
            here = self.schemas.views(claim.node)
            if not here:
                raise SurfaceError(f"{claim.place}: the artifact describes no object, which {model} needs")
            views.extend(here)
            for field, kind in spec["fields"].items():
                nodes = [node for view in here for node in view.properties.get(field, [])]
                if not nodes and not kind.endswith("?"):
                    raise SurfaceError(
                        f"{claim.place}: the artifact has no field `{field}`, which {model}.{field} needs"
                    )
                child = kind.strip("[]?")
                if child in self.surface.models:
                    for node in nodes:
                        place = f"{claim.place}.{field}" + ("[]" if kind.startswith("[") else "")
                        self.claims[child].append(_Claim(place, self._item(node, kind, claim.place, model, field)))
                else:
                    self._check_kind(nodes, kind.rstrip("?"), f"{claim.place}", f"{model}.{field}")
        return views

    def _item(self, node: Any, kind: str, place: str, model: str, field: str) -> Any:
        branches = self.schemas.branches(node)
        branch = branches[0] if len(branches) == 1 else node
        if not kind.startswith("["):
            return branch
        schema, _ = self.schemas.target(branch)
        if "items" not in schema:
            raise SurfaceError(f"{place}: the field `{field}` is not a list, which {model}.{field} needs")
        items = self.schemas.branches(schema["items"])
        return items[0] if len(items) == 1 else schema["items"]

    def _check_kind(self, nodes: list[Any], kind: str, place: str, public: str) -> None:
        wanted = KINDS[kind]["type"]
        for node in nodes:
            for branch in self.schemas.branches(node):
                found = types_of(self.schemas.target(branch)[0]) - {"null"}
                allowed = {wanted, "integer"} if wanted == "number" else {wanted}
                if found and not found <= allowed:
                    raise SurfaceError(
                        f"{place}: the field `{public.partition('.')[2]}` is {'/'.join(sorted(found))}, "
                        f"and {public} needs {wanted}"
                    )

    # Naming

    def _name_components(self) -> None:
        """Give every upstream component its name: a model's where exactly one claims it directly, else its own."""
        claimed: dict[str, set[str]] = {}
        for model, claims in self.claims.items():
            for claim in claims:
                upstream = self.schemas.target(claim.node)[1]
                if upstream is not None and len(self.schemas.branches(claim.node)) == 1:
                    claimed.setdefault(upstream, set()).add(model)
        taken = {_folded(model) for model in self.surface.models}
        components = self.schemas.document.get("components")
        upstream_schemas = components.get("schemas") if isinstance(components, dict) else None
        for upstream in upstream_schemas if isinstance(upstream_schemas, dict) else ():
            models = claimed.get(upstream, set())
            if len(models) == 1:
                self.names[upstream] = next(iter(models))
            elif self.schemas.views({"$ref": COMPONENTS + _pointer(upstream)}):
                self.names[upstream] = self._unused(_identifier(upstream, "Schema"), taken)

    def _unused(self, name: str, taken: set[str]) -> str:
        candidate, number = name, 1
        if _folded(candidate) in taken:
            candidate = f"Upstream{name}"
        while _folded(candidate) in taken:
            number += 1
            candidate = f"Upstream{name}{number}"
        taken.add(_folded(candidate))
        return candidate

    # Rebuilding schemas

    def _model(self, model: str, spec: dict[str, Any], views: list[ObjectView]) -> dict[str, Any]:
        schema = self._merged(views, model, fields=spec["fields"])
        known = self._known_values(views, spec["fields"])
        schema["x-charthero"] = {
            "fields": sorted(spec["fields"]),
            "essential": spec.get("essential", []),
            "showable": sorted(
                field
                for field, kind in spec["fields"].items()
                if kind.strip("[]?") in SHOWABLE | self.surface.models.keys()
            ),
            "known": known,
        }
        if self.claims[model]:
            schema["description"] = _text(self.schemas.target(self.claims[model][0].node)[0].get("description"))
        return schema

    def _merged(self, views: list[ObjectView], name: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        """Merge the ways an object may look into one object that can look like any of them."""
        fields = fields or {}
        nodes: dict[str, list[Any]] = {field: [] for field in fields}
        for view in views:
            for key, here in view.properties.items():
                nodes.setdefault(key, []).extend(here)
        always = frozenset.intersection(*(view.required for view in views)) if views else frozenset(fields)
        properties: dict[str, Any] = {}
        for key, here in nodes.items():
            if key in fields:
                properties[key] = self._pinned(here, fields[key])
            elif _is_property_name(key):
                properties[key] = self._union(here, name + _pascal(key))
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(always & properties.keys()),
            "additionalProperties": True,
        }

    def _pinned(self, nodes: list[Any], kind: str) -> dict[str, Any]:
        optional, bare = kind.endswith("?"), kind.rstrip("?")
        child = bare.strip("[]")
        schema: dict[str, Any] = dict(KINDS[child]) if child in KINDS else {"$ref": COMPONENTS + child}
        if bare.startswith("["):
            schema = {"type": "array", "items": schema}
        if any(self.schemas.nullable(node) for node in nodes) or (optional and not nodes):
            schema = {"anyOf": [schema, {"type": "null"}]}
        descriptions = [self.schemas.target(node)[0].get("description") for node in nodes]
        if description := next((text for text in map(_text, descriptions) if text), ""):
            schema["description"] = description
        return schema

    def _known_values(self, views: list[ObjectView], fields: dict[str, str]) -> dict[str, list[str]]:
        """Return the enumerations the artifact closes; one branch that leaves a field open leaves it open."""
        known = {}
        for field, kind in fields.items():
            branches = [
                self.schemas.target(branch)[0]
                for view in views
                for node in view.properties.get(field, [])
                for branch in self.schemas.branches(node)
            ]
            values = [
                _list(branch.get("enum", [branch["const"]] if "const" in branch else None)) for branch in branches
            ]
            if kind.rstrip("?") == "enum" and values and all(values):
                known[field] = sorted({value for closed in values for value in closed if isinstance(value, str)})
        return known

    def _schema(self, node: Any, name: str, seen: frozenset[int] = frozenset()) -> dict[str, Any]:
        """Rebuild *node* from the few keywords that matter to generated code; *name* is for an inline object."""
        schema, upstream = self.schemas.target(node)
        if upstream in self.names:
            return {"$ref": COMPONENTS + self.names[upstream]}
        if id(schema) in seen:
            return {}
        seen |= {id(schema)}
        branches = self.schemas.branches(node)
        if views := self.schemas.views(node):
            if not any(view.properties for view in views) or len(branches) > len(views):
                return {}
            if name not in self.components:
                self.components[name] = {}
                self.components[name] = self._merged(views, name)
            return {"$ref": COMPONENTS + name}
        if len(branches) != 1 or branches[0] is not node:
            return self._any_of([self._schema(branch, name, seen) for branch in branches], self.schemas.nullable(node))
        rebuilt: dict[str, Any] = {}
        types = sorted(types_of(schema) - {"null"})
        if len(types) == 1:
            rebuilt["type"] = types[0]
            if types[0] == "array":
                rebuilt["items"] = self._schema(schema.get("items"), f"{name}Item", seen)
            elif types[0] == "string" and schema.get("format") in FORMATS:
                rebuilt["format"] = schema["format"]
            rebuilt = self._any_of([rebuilt], self.schemas.nullable(node))
        if description := _text(schema.get("description")):
            rebuilt["description"] = description
        return rebuilt

    def _union(self, nodes: list[Any], name: str) -> dict[str, Any]:
        rebuilt = [self._schema(node, name) for node in nodes]
        return self._any_of(rebuilt, nullable=False) if len(rebuilt) > 1 else rebuilt[0]

    def _any_of(self, schemas: list[dict[str, Any]], nullable: bool) -> dict[str, Any]:
        distinct = []
        for schema in schemas:
            bare = {key: value for key, value in schema.items() if key != "description"}
            for part in bare.get("anyOf", [bare]):
                if part not in distinct:
                    distinct.append(part)
        null = {"type": "null"}
        if {} in distinct or not distinct:
            return {}
        if nullable and null not in distinct:
            distinct.append(null)
        return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}

    def _object(self, node: dict[str, Any], name: str) -> dict[str, Any]:
        schema = self._merged(self.schemas.views(node), name)
        schema["description"] = _text(node.get("description"))
        return schema

    # Rebuilding operations

    def _promised(self, name: str, spec: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
        route = spec["route"]
        wanted: dict[str, str] = spec.get("parameters", {})
        query: dict[Any, dict[str, Any]] = {}
        for node in operation["parameters"]:
            parameter, _ = self.schemas.target(node)
            if parameter.get("in") == "query":
                query.setdefault(parameter.get("name"), parameter)
            elif parameter.get("in") in ("header", "cookie") and parameter.get("required") is True:
                needed = f"{parameter['in']} {_shown(parameter.get('name'))}"
                raise SurfaceError(f"{route}: it now needs the {needed}, which {name} does not send")
        for key, kind in wanted.items():
            if key not in query:
                raise SurfaceError(f"{route}: the artifact has no query parameter `{key}`, which {name} needs")
            self._check_kind([query[key].get("schema", {})], kind, f"{route} query", f"{name}.{key}")
        for key, parameter in query.items():
            if key not in wanted and parameter.get("required") is True:
                raise SurfaceError(
                    f"{route}: it now needs the query parameter {_shown(key)}, which {name} does not send"
                )
        model = next(model for model, model_spec in self.surface.models.items() if model_spec.get("response") == name)
        in_path = re.findall(r"{(\w+)}", route)
        return {
            "operationId": spec["id"],
            "tags": [spec["tag"]],
            "summary": _text(operation.get("summary")),
            "description": _text(operation.get("description")),
            "parameters": [
                {"name": key, "in": "path", "required": True, "schema": {"type": "string"}} for key in in_path
            ]
            + [
                {"name": key, "in": "query", "schema": KINDS[kind], "description": _text(query[key].get("description"))}
                for key, kind in wanted.items()
            ],
            "responses": {"200": _json_response(COMPONENTS + model)},
        }

    def _scopes(self, operation: dict[str, Any]) -> list[str]:
        """Return the scopes the artifact asks for: those of the alternative that asks for least."""
        security = operation.get("security", self.schemas.document.get("security"))
        alternatives = [
            sorted({scope for scopes in entry.values() for scope in _list(scopes) if isinstance(scope, str)})
            for entry in _list(security)
            if isinstance(entry, dict)
        ]
        return min(alternatives, key=len, default=[])

    def _extra(self, method: str, path: str, operation: dict[str, Any], used: set[str]) -> dict[str, Any] | None:
        """Rebuild an operation nobody promised, under its own name; None, with a note, where it cannot be one."""
        place = f"{method.upper()} {path[:120]}"
        if not re.fullmatch(r"(/|[\w.~:@+,;=-]|{\w+})+", path, re.ASCII):
            self.notes.append(f"{place!r}: left out, the path has characters that cannot be generated")
            return None
        words = _identifier(f"{method}_{path}", "operation")
        name = self._unused_operation(_identifier(operation.get("operationId"), words), used)
        parameters: list[dict[str, Any]] = []
        for node in operation["parameters"]:
            parameter, _ = self.schemas.target(node)
            key = parameter.get("name")
            if not isinstance(key, str) or not re.fullmatch(r"[\w$.@\[\]:-]+", key, re.ASCII):
                self.notes.append(f"{place}: left out, a parameter's name cannot be generated")
                return None
            if all(key != known["name"] or parameter.get("in") != known["in"] for known in parameters):
                parameters.append(
                    {
                        "name": key,
                        "in": parameter.get("in"),
                        "required": parameter.get("required") is True or parameter.get("in") == "path",
                        "schema": self._schema(parameter.get("schema", {}), _pascal(f"{name}_{key}")),
                        "description": _text(parameter.get("description")),
                    }
                )
        rebuilt: dict[str, Any] = {
            "operationId": name,
            "tags": [_identifier(next(iter(_list(operation.get("tags"))), None), "default")],
            "summary": _text(operation.get("summary")),
            "parameters": parameters,
            "responses": {},
        }
        if "requestBody" in operation:
            request, _ = self.schemas.target(operation["requestBody"])
            if (body := _json_schema(request)) is None:
                self.notes.append(f"{place}: left out, its request body is not JSON")
                return None
            content = {"application/json": {"schema": self._schema(body, _pascal(f"{name}_body"))}}
            rebuilt["requestBody"] = {"required": request.get("required") is True, "content": content}
        responses = operation.get("responses")
        for status, node in responses.items() if isinstance(responses, dict) else ():
            if re.fullmatch(r"2\d\d|2XX", str(status)):
                body = _json_schema(self.schemas.target(node)[0])
                schema = None if body is None else self._schema(body, _pascal(f"{name}_response_{status}"))
                content = {} if schema is None else {"content": {"application/json": {"schema": schema}}}
                rebuilt["responses"][str(status)] = {"description": "", **content}
        return rebuilt

    def _unused_operation(self, name: str, used: set[str]) -> str:
        candidate, number = name, 1
        while _folded(candidate) in {_folded(other) for other in used}:
            number += 1
            candidate = f"{name}_{number}"
        used.add(candidate)
        return candidate


def _json_schema(holder: dict[str, Any]) -> Any:
    """Return the schema of the JSON content of a request or response, or None where it has none."""
    content = holder.get("content")
    for media_type, node in content.items() if isinstance(content, dict) else ():
        essence = media_type.partition(";")[0].strip().lower()
        if (essence == "application/json" or essence.endswith("+json")) and isinstance(node, dict):
            return node.get("schema")
    return None


def _json_response(reference: str) -> dict[str, Any]:
    return {"description": "", "content": {"application/json": {"schema": {"$ref": reference}}}}


def _shape(path: str) -> str:
    """Return *path* with its parameters' names left out, so that they do not matter."""
    return re.sub(r"{[^/]*}", "{}", path).rstrip("/")


def _identifier(text: object, fallback: str) -> str:
    words = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_") if isinstance(text, str) else ""
    return words[:100] if words[:1].isalpha() else fallback


def _pascal(text: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", text))


def _folded(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())


def _is_property_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) is not None and name not in RESERVED


def _text(value: object) -> str:
    """Return a description as one line of printable text: it ends in a docstring."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in " ".join(value.split()) if character.isprintable())[:500]


def _shown(value: object) -> str:
    return f"`{_text(value)[:60]}`"


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def main(arguments: list[str] | None = None) -> int:
    """Print the canonical document of an artifact."""
    parser = argparse.ArgumentParser(description="Print the artifact under the names of openapi/surface.toml.")
    parser.add_argument("artifact", nargs="?", type=Path, help="an OpenAPI document (default: the snapshot)")
    options = parser.parse_args(arguments)
    try:
        _, document = load_snapshot(options.artifact) if options.artifact else load_snapshot()
        canonical = canonicalize(document, load_surface())
    except ArtifactError as error:
        print(f"canonicalize: {error}", file=sys.stderr)
        return 1
    print(json.dumps(canonical.document, indent=2, ensure_ascii=False))
    for note in canonical.notes:
        print(note, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
