"""Reading JSON Schema as OpenAPI 3.0 and 3.1 write it: references, unions, nullability.

Everything here only reads. An artifact's schema may be inline or referenced, one schema or a union, nullable in any of
three spellings; these functions make those differences invisible to their callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from scripts.artifact import ArtifactError

__all__ = ["COMPONENTS", "ObjectView", "Schemas", "listed", "types_of"]

COMPONENTS = "#/components/schemas/"

#: Unions and compositions multiply; a schema that needs more steps than this is made to exhaust its reader.
MAX_STEPS = 5_000
MAX_VIEWS = 256

TYPE_NAMES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


@frozen
class ObjectView:
    """One way an object may look: its properties, and which of them it always has."""

    properties: dict[str, list[Any]]
    required: frozenset[str]

    def combined_with(self, other: ObjectView) -> ObjectView:
        """Return the view of an object that satisfies both (``allOf``)."""
        properties = {name: list(nodes) for name, nodes in self.properties.items()}
        for name, nodes in other.properties.items():
            properties.setdefault(name, []).extend(nodes)
        return ObjectView(properties, self.required | other.required)


def listed(value: object) -> list[Any]:
    """Return *value* if it is a list, and else an empty one."""
    return value if isinstance(value, list) else []


def types_of(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types a schema names, or its ``enum`` or ``const`` imply; empty where it names none."""
    declared = schema.get("type")
    names = {name for name in (declared if isinstance(declared, list) else [declared]) if isinstance(name, str)}
    if not names:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        names = {_type_of_value(value) for value in listed(values)}
    if schema.get("nullable") is True:
        names.add("null")
    return names & TYPE_NAMES


def _type_of_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


class _Steps:
    """What one question may cost."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def take(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ArtifactError("a schema combines too many alternatives")


@frozen
class Schemas:
    """The schemas of one document."""

    document: dict[str, Any]

    def target(self, node: Any) -> tuple[dict[str, Any], str | None]:
        """Follow references; return the schema, and the component it is where it is one.

        Raises:
            ArtifactError: A reference leads out of the document, nowhere, or back to itself.
        """
        name, seen = None, set()
        while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            if reference in seen:
                raise ArtifactError(f"the reference {_shown(reference)} leads back to itself")
            seen.add(reference)
            node, name = self._at(reference)
        return (node if isinstance(node, dict) else {}), name

    def referenced(self, node: dict[str, Any]) -> tuple[Any, str]:
        """Follow the reference of *node* one step; return the schema, and the component's name if it is one.

        Raises:
            ArtifactError: As for `target`.
        """
        self.target(node)
        schema, name = self._at(node["$ref"])
        return schema, name or ""

    def _at(self, reference: str) -> tuple[Any, str | None]:
        if not reference.startswith("#"):
            raise ArtifactError(f"the reference {_shown(reference)} leads out of the document")
        node: Any = self.document
        keys = reference.split("/")
        for position, part in enumerate(keys[1:]):
            plain = part.replace("~1", "/").replace("~0", "~")
            # A pointer in a URL is percent-encoded, but not every tool does that.
            for key in (plain, unquote(part).replace("~1", "/").replace("~0", "~")):
                if isinstance(node, dict) and key in node:
                    node = node[key]
                    break
            else:
                if not (isinstance(node, list) and part.isdecimal() and int(part) < len(node)):
                    raise ArtifactError(f"the reference {_shown(reference)} leads nowhere")
                node = node[int(part)]
            keys[position + 1] = key
        if keys[0] != "#" or len(keys) == 1:
            raise ArtifactError(f"the reference {_shown(reference)} leads nowhere")
        return node, keys[3] if len(keys) == 4 and keys[1:3] == ["components", "schemas"] else None

    def branches(self, node: Any) -> list[Any]:
        """Return the alternatives of a union, nulls left out; a schema that is no union is its own only one.

        An ``allOf`` around a single schema, as 3.0 has it where a reference is to be described, is that schema.
        """
        found: dict[int, Any] = {}
        for branch in self._branches(node, frozenset(), _Steps()):
            schema, _ = self.target(branch)
            if types_of(schema) != {"null"}:
                found.setdefault(id(schema), branch)
        return list(found.values())

    def _branches(self, node: Any, seen: frozenset[int], steps: _Steps) -> Iterator[Any]:
        steps.take()
        schema, _ = self.target(node)
        if id(schema) in seen:
            return
        alternatives = [*listed(schema.get("oneOf")), *listed(schema.get("anyOf"))]
        parts = listed(schema.get("allOf"))
        if "properties" in schema or (parts and alternatives) or len(parts) > 1 or not (parts or alternatives):
            yield node
            return
        for alternative in parts or alternatives:
            yield from self._branches(alternative, seen | {id(schema)}, steps)

    def nullable(self, node: Any) -> bool:
        """Tell whether null is allowed, in any of the spellings of 3.0 and 3.1."""
        return self._nullable(node, frozenset(), _Steps())

    def _nullable(self, node: Any, seen: frozenset[int], steps: _Steps) -> bool:
        steps.take()
        schema, _ = self.target(node)
        if id(schema) in seen:
            return False
        seen |= {id(schema)}
        if "null" in types_of(schema) or None in listed(schema.get("enum")):
            return True
        parts = listed(schema.get("allOf"))
        alternatives = [*listed(schema.get("oneOf")), *listed(schema.get("anyOf"))]
        return any(self._nullable(part, seen, steps) for part in alternatives) or (
            bool(parts) and all(self._nullable(part, seen, steps) for part in parts)
        )

    def kinds(self, node: Any) -> set[str]:
        """Return the JSON types *node* may have, null left out; empty where it does not say."""
        found = (self._kinds(branch, frozenset(), _Steps()) for branch in self.branches(node))
        return {kind for kinds in found for kind in kinds} - {"null"}

    def _kinds(self, node: Any, seen: frozenset[int], steps: _Steps) -> set[str]:
        steps.take()
        schema, _ = self.target(node)
        kinds = types_of(schema)
        if not kinds - {"null"} and isinstance(schema.get("properties"), dict):
            kinds = {"object"}
        elif not kinds - {"null"} and "items" in schema:
            kinds = {"array"}
        if id(schema) not in seen:
            for part in listed(schema.get("allOf")):
                kinds |= self._kinds(part, seen | {id(schema)}, steps)
        return kinds

    def views(self, node: Any) -> list[ObjectView]:
        """Return every way the object described by *node* may look; empty where *node* describes no object."""
        return self._views(node, frozenset(), _Steps())

    def _views(self, node: Any, seen: frozenset[int], steps: _Steps) -> list[ObjectView]:
        steps.take()
        schema, _ = self.target(node)
        if id(schema) in seen:
            return []
        seen |= {id(schema)}
        properties = schema.get("properties")
        own = ObjectView(
            {name: [value] for name, value in properties.items()} if isinstance(properties, dict) else {},
            frozenset(name for name in listed(schema.get("required")) if isinstance(name, str)),
        )
        views = [own] if isinstance(properties, dict) or "object" in types_of(schema) else []
        for part in listed(schema.get("allOf")):
            views = _each_with_each(views or [own], self._views(part, seen, steps)) or views
        alternatives = [
            view
            for alternative in (*listed(schema.get("oneOf")), *listed(schema.get("anyOf")))
            for view in self._views(alternative, seen, steps)
        ]
        return _each_with_each(views or [own], alternatives) or views

    def is_object(self, node: Any) -> bool:
        """Tell whether *node* describes an object and nothing else, null left aside."""
        branches = self.branches(node)
        return bool(branches) and all(self.views(branch) for branch in branches)


def _each_with_each(left: list[ObjectView], right: list[ObjectView]) -> list[ObjectView]:
    if len(left) * len(right) > MAX_VIEWS:
        raise ArtifactError("a schema combines too many alternatives")
    return [one.combined_with(other) for one in left for other in right]


def _shown(reference: str) -> str:
    return repr(reference[:120])
