"""Read the JSON Schemas of an OpenAPI document, 3.0 or 3.1: references, unions, nullability.

Nothing here changes a document. A schema may be inline or referenced, one schema or a union, nullable in any spelling:
the result is the same.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from attrs import define

from scripts.alternatives import NULL, Alternative, Together, each_with_each, listed, own_alternative, types_of
from scripts.artifact import ArtifactError

__all__ = ["Schemas"]

#: A schema with more steps or more depth would exhaust the reader, and so would a document with more steps.
MAX_STEPS, MAX_DEPTH, MAX_ALL_STEPS = 5_000, 60, 200_000


@define
class Schemas:
    """The schemas of one document."""

    document: dict[str, Any]
    _steps: int = 0
    _all_steps: int = 0

    def components(self, kind: str) -> dict[str, Any]:
        """Return the components of one kind, by name."""
        components = self.document.get("components")
        found = components.get(kind) if isinstance(components, dict) else None
        return found if isinstance(found, dict) else {}

    def target(self, node: Any) -> dict[str, Any]:
        """Follow references.

        Raises:
            ArtifactError: A reference leads out of the document, nowhere, or back to itself.
        """
        seen = set()
        while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            if reference in seen:
                raise ArtifactError(f"the reference {_shown(reference)} leads back to itself")
            seen.add(reference)
            node, _ = self._at(reference)
        return node if isinstance(node, dict) else {}

    def read(self, *any_of: Together) -> list[Alternative]:
        """Return the alternatives of a union, with everything resolved.

        Raises:
            ArtifactError: A reference leads nowhere, or the schema was made to exhaust its reader.
        """
        self._steps = 0
        return [found for together in any_of for found in self._together(together, frozenset())]

    def field(self, objects: list[Alternative], name: str) -> list[Alternative]:
        """Return the alternatives of one field of *objects*."""
        key = f".{name}"
        return self.read(*(one.children[key] for one in objects if key in one.children))

    def items(self, arrays: list[Alternative]) -> list[Alternative]:
        """Return the alternatives of the elements of *arrays*."""
        return self.read(*(one.children.get("[]", ({},)) for one in arrays))

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
                if not (isinstance(node, list) and part in map(str, range(len(node)))):
                    raise ArtifactError(f"the reference {_shown(reference)} leads nowhere")
                node = node[int(part)]
            keys[position + 1] = key
        if keys[0] != "#" or len(keys) == 1:
            raise ArtifactError(f"the reference {_shown(reference)} leads nowhere")
        return node, keys[3] if len(keys) == 4 and keys[1:3] == ["components", "schemas"] else None

    def _step(self, seen: frozenset[int]) -> None:
        self._steps += 1
        self._all_steps += 1
        if self._steps > MAX_STEPS or len(seen) > MAX_DEPTH or self._all_steps > MAX_ALL_STEPS:
            raise ArtifactError("a schema combines too many alternatives")

    def _together(self, nodes: Together, seen: frozenset[int]) -> list[Alternative]:
        found = [Alternative()]
        for node in nodes:
            found = each_with_each(found, self._alternatives(node, seen)) or found
        return found

    def _alternatives(self, node: Any, seen: frozenset[int]) -> list[Alternative]:
        self._step(seen)
        if not isinstance(node, dict):
            return [Alternative()]
        if id(node) in seen:
            return []
        seen |= {id(node)}
        parts, component = listed(node.get("allOf")), None
        if isinstance(node.get("$ref"), str):
            self.target(node)  # refuses a reference that leads back to itself
            schema, component = self._at(node["$ref"])
            if id(schema) in seen:
                return []
            parts = [schema, *parts]
        types = types_of({keyword: value for keyword, value in node.items() if keyword != "nullable"})
        found = [] if types == {"null"} else [own_alternative(node, types - {"null"}, component or "")]
        found = each_with_each(found, self._together(tuple(parts), seen))
        for union in (listed(node.get("oneOf")), listed(node.get("anyOf"))):
            branches = [one for branch in union for one in self._alternatives(branch, seen)]
            found = each_with_each(found, branches) if branches else found
        is_null = "null" in types or node.get("nullable") is True or None in listed(node.get("enum"))
        return [*found, NULL] if is_null else found


def _shown(reference: str) -> str:
    return repr(reference[:120])
