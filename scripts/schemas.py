"""Reading JSON Schema as OpenAPI 3.0 and 3.1 write it: references, unions, nullability.

Everything here only reads. An artifact's schema may be inline or referenced, one schema or a union, nullable in any of
three spellings; these functions make those differences invisible to their callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from scripts.artifact import ArtifactError

__all__ = ["COMPONENTS", "ObjectView", "Schemas", "types_of"]

COMPONENTS = "#/components/schemas/"

#: Unions inside ``allOf`` multiply; a document that needs more than this is made to exhaust its reader.
MAX_VIEWS = 256

type_names = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


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


def types_of(node: dict[str, Any]) -> set[str]:
    """Return the JSON types a schema names, or its ``enum`` or ``const`` imply; empty where it names none."""
    declared = node.get("type")
    names = set(declared) if isinstance(declared, list) else {declared} if isinstance(declared, str) else set()
    if not names:
        values = node.get("enum", [node["const"]] if "const" in node else [])
        names = {_type_of_value(value) for value in values} if isinstance(values, list) else set()
    if node.get("nullable") is True:
        names.add("null")
    return names & type_names


def _type_of_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


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
                raise ArtifactError(f"the reference {reference[:120]!r} leads back to itself")
            seen.add(reference)
            name = reference.removeprefix(COMPONENTS) if reference.startswith(COMPONENTS) else None
            node = self._at(reference)
        return (node if isinstance(node, dict) else {}), name

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ArtifactError(f"the reference {reference[:120]!r} leads out of the document")
        node: Any = self.document
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                raise ArtifactError(f"the reference {reference[:120]!r} leads nowhere")
        return node

    def branches(self, node: Any) -> list[Any]:
        """Return the alternatives of a union, nulls left out; a schema that is no union is its own only one."""
        return [branch for branch in self._branches(node, frozenset()) if types_of(self.target(branch)[0]) != {"null"}]

    def _branches(self, node: Any, seen: frozenset[int]) -> Iterator[Any]:
        schema, _ = self.target(node)
        alternatives = [*_list(schema.get("oneOf")), *_list(schema.get("anyOf"))]
        if not alternatives or id(schema) in seen or "properties" in schema:
            yield node
            return
        for alternative in alternatives:
            yield from self._branches(alternative, seen | {id(schema)})

    def nullable(self, node: Any) -> bool:
        """Tell whether null is allowed, in any of the spellings of 3.0 and 3.1."""
        schema, _ = self.target(node)
        if "null" in types_of(schema) or None in _list(schema.get("enum")):
            return True
        parts = _list(schema.get("allOf"))
        alternatives = [*_list(schema.get("oneOf")), *_list(schema.get("anyOf"))]
        return any(self.nullable(part) for part in alternatives) or (
            bool(parts) and all(self.nullable(part) for part in parts)
        )

    def views(self, node: Any, seen: frozenset[int] = frozenset()) -> list[ObjectView]:
        """Return every way the object described by *node* may look; empty where *node* describes no object."""
        schema, _ = self.target(node)
        if id(schema) in seen:
            return []
        seen |= {id(schema)}
        properties = schema.get("properties")
        own = ObjectView(
            {name: [value] for name, value in properties.items()} if isinstance(properties, dict) else {},
            frozenset(name for name in _list(schema.get("required")) if isinstance(name, str)),
        )
        views = [own] if isinstance(properties, dict) or "object" in types_of(schema) else []
        for part in _list(schema.get("allOf")):
            views = _each_with_each(views or [own], self.views(part, seen))
        alternatives = [
            view
            for alternative in (*_list(schema.get("oneOf")), *_list(schema.get("anyOf")))
            for view in self.views(alternative, seen)
        ]
        return _each_with_each(views or [own], alternatives) if alternatives else views


def _each_with_each(left: list[ObjectView], right: list[ObjectView]) -> list[ObjectView]:
    if len(left) * len(right) > MAX_VIEWS:
        raise ArtifactError("a schema combines too many alternatives")
    return [one.combined_with(other) for one in left for other in right] if right else left


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
