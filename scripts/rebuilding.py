"""Rebuild an artifact's schemas under canonical names, from the few keywords that matter to generated code.

Nothing is copied: types, references, property names that can be attributes, and descriptions are written again, so that
no other part of an untrusted document reaches the generator.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from attrs import Factory, define

from scripts.alternatives import SCHEMA_NAME, Alternative, Identity, kinds, without_null
from scripts.naming import OF_THE_CODE, Names, folded, identifier, is_property_name, pascal, shown, text
from scripts.placing import Claim
from scripts.schemas import Schemas
from scripts.surface import KINDS, Field, Surface

__all__ = ["SCALARS", "Rebuilder", "reference"]

#: The field kinds of surface.toml that a repr may show, apart from open enumerations and models.
SHOWABLE = frozenset({"id", "time", "count", "code"})
SCALARS = frozenset({"string", "integer", "number", "boolean"})


@define
class Rebuilder:
    """Rebuilds the schemas of one document into ``components``."""

    schemas: Schemas
    surface: Surface
    claims: dict[str, list[Claim]]
    notes: list[str]
    components: dict[str, Any] = Factory(dict)
    # What is in an object -> the name it is generated under.
    _known: dict[frozenset[Identity], str] = Factory(dict)
    _names: Names = Factory(Names)

    def models(self) -> None:
        """Rebuild every promised model, and every object among the components."""
        self._names.taken |= {*map(folded, self.surface.models), *OF_THE_CODE}
        claimed: dict[frozenset[Identity], set[str]] = defaultdict(set)
        for model, claims in self.claims.items():
            for claim in claims:
                claimed[_identity(claim.objects)].add(model)
        self._known = {identity: next(iter(models)) for identity, models in claimed.items() if len(models) == 1}
        named: dict[str, list[Alternative]] = {}
        for upstream, schema in self.schemas.components("schemas").items():
            objects = _objects(self.schemas.read((reference(upstream.replace("~", "~0").replace("/", "~1")),)))
            is_alias = isinstance(schema, dict) and "$ref" in schema
            if objects and not is_alias and _identity(objects) not in self._known:
                name = identifier(upstream, "Schema")
                name = self._names.unused(f"Upstream{name}" if folded(name) in self._names.taken else name)
                self._known[_identity(objects)] = name
                named[name] = objects
        for model, spec in self.surface.models.items():
            self.components[model] = self._model(model, spec)
        for name, objects in sorted(named.items()):
            self.components[name] = self._merged(objects, name)

    def schema(
        self, values: list[Alternative], name: str, within: frozenset[frozenset[Identity]] = frozenset()
    ) -> dict[str, Any]:
        """Rebuild the union of *values*; *name* is for an object without a name of its own."""
        some = without_null(values)
        if not some:
            return {}
        if objects := _objects(values):
            rebuilt = [self._object(objects, name)]
        elif all(kinds([one]) == {"array"} for one in some):
            identity = _identity(some)
            items = [] if identity in within else self.schemas.items(some)
            rebuilt = [{"type": "array", "items": self.schema(items, f"{name}Item", within | {identity})}]
        else:
            rebuilt = list(map(_scalar, some))
        union = _any_of(rebuilt, nullable=len(some) < len(values))
        if description := _description(values):
            union["description"] = description
        return union

    def _model(self, model: str, spec: dict[str, Any]) -> dict[str, Any]:
        # Several routes may lead to the same component.
        objects = [*{one.identity: one for claim in self.claims[model] for one in claim.objects}.values()]
        schema = self._merged(objects, model, fields=spec["fields"])
        field_kinds = {field: declared.kind for field, declared in spec["fields"].items()}
        schema["x-charthero"] = {
            "fields": sorted(spec["fields"]),
            "essential": spec.get("essential", []),
            "shown": {
                field: "model" if kind in self.surface.models else kind
                for field, kind in field_kinds.items()
                if kind in SHOWABLE | self.surface.models.keys()
            },
            "known": {
                field: self._known_values(objects, model, field)
                for field, kind in field_kinds.items()
                if kind == "enum"
            },
            # The generator ignores a description beside a reference.
            "descriptions": {
                field: property_["description"]
                for field, property_ in schema["properties"].items()
                if "description" in property_
            },
            "dates": [field for field, kind in field_kinds.items() if kind == "date"],
        }
        return schema

    def _merged(self, objects: list[Alternative], name: str, fields: dict[str, Field] | None = None) -> dict[str, Any]:
        """Merge the alternatives of an object into one object that fits each of them.

        The promised *fields* have their promised types; every other property is as the artifact describes it.
        """
        fields = fields or {}
        always = frozenset.intersection(*(one.required for one in objects)) if objects else frozenset[str]()
        promised = {field for field, declared in fields.items() if not declared.may_be_absent}
        properties: dict[str, Any] = {}
        attributes = Names(set(map(folded, fields)))
        for key in dict.fromkeys([*fields, *(key for one in objects for key in one.fields)]):
            if key in fields:
                properties[key] = self._pinned(self.schemas.field(objects, key), fields[key])
            elif is_property_name(key) and folded(key) not in attributes.taken:
                attributes.unused(key)
                properties[key] = self.schema(self.schemas.field(objects, key), name + pascal(key))
            else:
                self.notes.append(f"{name}: {shown(key)} cannot be an attribute and is read as an additional property")
        return {
            "type": "object",
            "description": _description(objects, of_component=True),
            "properties": properties,
            "required": sorted(promised | (always & properties.keys() - fields.keys())),
            "additionalProperties": True,
        }

    def _pinned(self, values: list[Alternative], field: Field) -> dict[str, Any]:
        """Return the promised type of *field* with the artifact's description."""
        schema: dict[str, Any] = dict(KINDS[field.kind]) if field.kind in KINDS else reference(field.kind)
        if field.is_list:
            schema = {"type": "array", "items": schema}
        if field.is_nullable:
            schema = {"anyOf": [schema, {"type": "null"}]}
        if description := _description(values):
            schema["description"] = description
        return schema

    def _known_values(self, objects: list[Alternative], model: str, field: str) -> list[str]:
        """Return the values of an enumeration that the artifact lists, or that were seen so far."""
        listed = [json.loads(value) for one in self.schemas.field(objects, field) for value in one.values or ()]
        seen = self.surface.seen.get(f"{model}.{field}", [])
        return sorted({value for value in [*listed, *seen] if isinstance(value, str)})

    def _object(self, objects: list[Alternative], name: str) -> dict[str, Any]:
        """Return a reference to the component that is any one of *objects*."""
        identity = _identity(objects)
        if identity not in self._known:
            self._known[identity] = self._names.unused(name)
            self.components[self._known[identity]] = self._merged(objects, self._known[identity])
        return reference(self._known[identity])


def reference(name: str) -> dict[str, Any]:
    """Return a reference to a schema among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def _identity(values: list[Alternative]) -> frozenset[Identity]:
    return frozenset(one.identity for one in values)


def _objects(values: list[Alternative]) -> list[Alternative]:
    """Return *values* without null if all of them are objects; empty if not, or if no field of them is known."""
    some = without_null(values)
    are_objects = any(one.fields for one in some) and all(kinds([one]) == {"object"} for one in some)
    return some if are_objects else []


def _description(values: list[Alternative], *, of_component: bool = False) -> str:
    """Return the distinct descriptions of *values*, after a note if they are deprecated; of one, only the outermost.

    With *of_component*, the words of a field that refers to a component do not count.
    """
    some = without_null(values)
    is_one = len(some) == 1
    found: list[str] = []
    for one in some:
        keywords = [keyword for keyword, _ in one.words]
        start = keywords.index(SCHEMA_NAME) if of_component and is_one and SCHEMA_NAME in keywords else 0
        own = [text(json.loads(value)) for keyword, value in one.words[start:] if keyword == "description"]
        found += own[:1] if is_one else own
    is_deprecated = not of_component and some and all(("deprecated", "") in one.said for one in some)
    return text(" ".join(dict.fromkeys(filter(None, [*(["Deprecated."] if is_deprecated else []), *found]))))


def _scalar(value: Alternative) -> dict[str, Any]:
    types = kinds([value])
    if len(types) != 1 or not types <= SCALARS:
        return {}
    (name,) = types
    # Only instants are decoded. Dates and UUIDs stay text, so that every other text is kept as it was written.
    is_instant = name == "string" and ("format", "date-time") in value.said
    return {"type": name, "format": "date-time"} if is_instant else {"type": name}


def _any_of(schemas: list[dict[str, Any]], *, nullable: bool) -> dict[str, Any]:
    distinct = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    if {} in distinct:
        return {}
    if nullable:
        distinct.append({"type": "null"})
    return dict(distinct[0]) if len(distinct) == 1 else {"anyOf": distinct}
