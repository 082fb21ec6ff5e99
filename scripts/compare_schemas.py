"""The difference between two JSON Schemas, as one who sends or receives the data meets it.

What counts is what may travel: references, unions and nullability are looked through in every spelling of 3.0 and 3.1,
and alternatives are paired by what they look like, not by what they are called.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import Factory, define, evolve, frozen

from scripts.artifact import ArtifactError
from scripts.compare_values import is_prose, value_changes
from scripts.findings import Finding, shown
from scripts.schemas import ObjectView, Schemas, types_of

__all__ = ["Place", "SchemaComparison"]

EVERY_TYPE = frozenset({"string", "integer", "number", "boolean", "array", "object"})

#: More findings or more steps than this, and the artifact was made to exhaust its reader.
MAX_FINDINGS, MAX_STEPS = 5_000, 100_000


@frozen
class Place:
    """Where in the contract a schema is, whether callers send it, and what it is called in Python."""

    route: str
    path: str
    sent: bool
    public: str = ""
    model: str | None = None

    @property
    def way(self) -> str:
        """The word that begins the rules for this direction."""
        return "sent" if self.sent else "received"

    def inside(self) -> Place:
        """Return the place within an object: the fields of a model are called by the model's own name."""
        return evolve(self, public=self.model) if self.model else self

    def field(self, name: str, model: str | None) -> Place:
        """Return the place of a field, which may be a model of its own."""
        public = f"{self.public}.{name}" if self.public else ""
        return evolve(self, path=f"{self.path}.{name}", public=public, model=model)


@define
class SchemaComparison:
    """Compares the schemas of two documents and keeps what it finds.

    ``models`` has the fields of each model and what kind they are, as in ``openapi/surface.toml``.
    """

    old: Schemas
    new: Schemas
    models: dict[str, dict[str, str]]
    findings: list[Finding] = Factory(list)
    _within: set[tuple[int, int]] = Factory(set)
    _steps: int = 0
    # Schemas put together here. Each is made once, so that it has one identity: that is what ends a cycle.
    _joined: dict[tuple[str | int, ...], dict[str, Any]] = Factory(dict)

    def add(self, rule: str, place: Place, before: Any = None, after: Any = None) -> None:
        """Keep a finding.

        Raises:
            ArtifactError: There are too many.
        """
        self.findings.append(
            Finding(rule, shown(place.route), shown(place.path), shown(place.public), shown(before), shown(after))
        )
        if len(self.findings) > MAX_FINDINGS:
            raise ArtifactError("the artifacts have too little in common to be compared")

    def compare(self, old: Any, new: Any, place: Place) -> None:
        """Compare two schemas, which may be references, at one place.

        Raises:
            ArtifactError: A reference leads nowhere, or there is too much to compare.
        """
        before, after = self._read(self.old, old), self._read(self.new, new)
        pair = id(before), id(after)
        if pair in self._within:
            return
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise ArtifactError("the artifacts are too intertwined to be compared")
        self._within.add(pair)
        self._compare_notes(old, new, place)
        self._compare_types(before, after, place)
        self._within.discard(pair)

    def compare_prose(self, old: dict[str, Any], new: dict[str, Any], place: Place) -> None:
        """Note which words changed; the words themselves may be long."""
        changed = [key for key in sorted({*old, *new}) if is_prose(key) and old.get(key) != new.get(key)]
        if changed:
            self.add("prose-changed", place, after=", ".join(changed))

    def compare_deprecation(self, old: dict[str, Any], new: dict[str, Any], place: Place) -> None:
        """Note a deprecation that came or went."""
        was, is_now = old.get("deprecated") is True, new.get("deprecated") is True
        if was != is_now:
            self.add("deprecated" if is_now else "deprecation-withdrawn", place)

    def _compare_notes(self, old: Any, new: Any, place: Place) -> None:
        """Compare what is said about a schema, beside a reference to it or in it: names, words, defaults."""
        old_target, old_name = self.old.target(old)
        new_target, new_name = self.new.target(new)
        if old_name and new_name and old_name != new_name:
            self.add("schema-renamed", evolve(place, path="", public=place.model or ""), old_name, new_name)
        before, after = {**old_target, **_dict(old)}, {**new_target, **_dict(new)}
        self.compare_deprecation(before, after, place)
        self.compare_prose(before, after, place)
        if place.sent and before.get("default") != after.get("default"):
            texts = [
                f"default {json.dumps(node['default'])}" if "default" in node else None for node in (before, after)
            ]
            self.add("sent-default-changed", place, *texts)

    def _compare_types(self, old: dict[str, Any], new: dict[str, Any], place: Place) -> None:
        is_null = self.new.nullable(new)
        if is_null != self.old.nullable(old):
            words = ("null-accepted", "null-refused") if place.sent else ("null-added", "null-removed")
            self.add(f"{place.way}-{words[0] if is_null else words[1]}", place)
        before, after = self._by_type(self.old, old), self._by_type(self.new, new)
        if before.keys() != after.keys():
            wider, narrower = before.keys() < after.keys(), after.keys() < before.keys()
            if not before or not after or not (wider or narrower):
                change = "changed"
            else:
                change = "widened" if wider else "narrowed"
            self.add(f"{place.way}-type-{change}", place, _type_words(before), _type_words(after))
        # A schema that allows several types is under each of them, and compared once.
        done = set()
        for kind in sorted(before.keys() & after.keys()):
            here = before[kind], after[kind]
            pair = tuple(tuple(map(id, branches)) for branches in here)
            if kind == "object":
                self._compare_objects(*here, place)
            elif kind == "array":
                self._compare_items(*here, place)
            if pair not in done:
                done.add(pair)
                for found in value_changes(*here, sent=place.sent, public=place.public):
                    self.add(found.rule, place, found.before, found.after)

    def _compare_items(self, old: list[dict[str, Any]], new: list[dict[str, Any]], place: Place) -> None:
        items = [[branch["items"] for branch in branches if "items" in branch] for branches in (old, new)]
        if items[0] and items[1]:
            before, after = (self._together("anyOf", nodes) for nodes in items)
            self.compare(before, after, evolve(place, path=f"{place.path}[]"))

    def _compare_objects(self, old: list[dict[str, Any]], new: list[dict[str, Any]], place: Place) -> None:
        place = place.inside()
        before = [view for branch in old for view in self.old.views(branch)]
        after = [view for branch in new for view in self.new.views(branch)]
        pairs = _paired(before, after)
        for one, other in pairs:
            self._compare_views(one, other, place)
        if before and after:
            for view in _left(before, [one for one, _ in pairs]):
                self.add(f"{place.way}-branch-removed", place, _words(view))
            for view in _left(after, [other for _, other in pairs]):
                self.add(f"{place.way}-branch-added", place, after=_words(view))
        maps = [[branch["additionalProperties"] for branch in branches if _is_map(branch)] for branches in (old, new)]
        if len(maps[0]) == len(maps[1]) == 1:
            self.compare(maps[0][0], maps[1][0], evolve(place, path=f"{place.path}.*", model=None))

    def _compare_views(self, old: ObjectView, new: ObjectView, place: Place) -> None:
        for name in dict.fromkeys([*old.properties, *new.properties]):
            kind = self._kind(place, name).strip("[]?")
            where = place.field(name, kind if kind in self.models else None)
            if name not in new.properties:
                self.add(self._removal(name, old, place), where)
            elif name not in old.properties:
                required = "required-" if place.sent and name in new.required else ""
                self.add(f"{place.way}-{required}field-added", where)
            else:
                if (name in old.required) != (name in new.required):
                    word = "required" if name in new.required else "optional"
                    self.add(f"{place.way}-field-now-{word}", where)
                before, after = (self._together("allOf", view.properties[name]) for view in (old, new))
                self.compare(before, after, where)

    def _removal(self, name: str, old: ObjectView, place: Place) -> str:
        if place.sent:
            return "sent-field-removed"
        if not self._kind(place, name).endswith("?"):
            return "promised-field-removed"
        return "received-required-field-removed" if name in old.required else "received-field-removed"

    def _kind(self, place: Place, field: str) -> str:
        """Return the kind of a field as it is promised; of one that is not, that it may be missing."""
        return self.models[place.model].get(field, "?") if place.model else "?"

    # Reading

    def _read(self, schemas: Schemas, node: Any) -> dict[str, Any]:
        """Return the schema itself; an ``allOf`` around plain values is put together."""
        schema, _ = schemas.target(node)
        if not isinstance(schema.get("allOf"), list) or schemas.views(schema):
            return schema
        key = "read", id(schema)
        if key not in self._joined:
            self._joined[key] = schema  # where the parts lead back here
            joined: dict[str, Any] = {}
            for part in schema["allOf"]:
                joined |= self._read(schemas, part)
            self._joined[key] = joined | {name: value for name, value in schema.items() if name != "allOf"}
        return self._joined[key]

    def _by_type(self, schemas: Schemas, node: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """Return the alternatives by the JSON type they allow; a whole number is a number too."""
        found: dict[str, list[dict[str, Any]]] = {}
        for branch in schemas.branches(node):
            schema = self._read(schemas, branch)
            types = types_of(schema) - {"null"}
            if not types:
                types = {"object"} if schemas.views(schema) else {"array"} if "items" in schema else set(EVERY_TYPE)
            for kind in sorted(types | ({"integer"} if "number" in types else set())):
                found.setdefault(kind, []).append(schema)
        return found

    def _together(self, keyword: str, nodes: list[Any]) -> Any:
        if len(nodes) == 1:
            return nodes[0]
        return self._joined.setdefault((keyword, *map(id, nodes)), {keyword: nodes})


def _paired(old: list[ObjectView], new: list[ObjectView]) -> list[tuple[ObjectView, ObjectView]]:
    """Pair the alternatives that look most alike, the most alike first."""
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    likeness = sorted(
        ((_likeness(one, other), -i, -j) for i, one in enumerate(old) for j, other in enumerate(new)), reverse=True
    )
    pairs: dict[int, int] = {}
    for alike, i, j in likeness:
        if alike[1] > 0 and -i not in pairs and -j not in pairs.values():
            pairs[-i] = -j
    return [(old[i], new[j]) for i, j in sorted(pairs.items())]


def _likeness(one: ObjectView, other: ObjectView) -> tuple[int, float]:
    """Compare by the values that tell alternatives apart, then by the share of properties in common."""
    every = one.properties.keys() | other.properties.keys()
    shared = one.properties.keys() & other.properties.keys()
    return len(_tags(one) & _tags(other)), len(shared) / len(every) if every else 1.0


def _tags(view: ObjectView) -> set[str]:
    return {
        f"{name}={json.dumps(node.get('enum', [node.get('const')]), sort_keys=True)}"
        for name, nodes in view.properties.items()
        for node in nodes
        if isinstance(node, dict) and ("const" in node or "enum" in node)
    }


def _left(views: list[ObjectView], taken: list[ObjectView]) -> list[ObjectView]:
    return [view for view in views if not any(view is other for other in taken)]


def _words(view: ObjectView) -> str:
    return "{" + ", ".join(view.properties) + "}"


def _dict(node: Any) -> dict[str, Any]:
    # A schema may be `true`, which says nothing.
    return node if isinstance(node, dict) else {}


def _is_map(schema: dict[str, Any]) -> bool:
    return isinstance(schema.get("additionalProperties"), dict) and bool(schema["additionalProperties"])


def _type_words(by_type: dict[str, Any]) -> str:
    names = set(by_type) - ({"integer"} if "number" in by_type else set())
    return "anything" if set(by_type) == EVERY_TYPE else " or ".join(sorted(names)) or "null"
