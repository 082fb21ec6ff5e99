"""Rebuild an artifact's schemas under canonical names, from the few keywords that matter to generated code.

Nothing is copied: types, references, property names that can be attributes, and descriptions are written again, so that
no other part of an untrusted document reaches the generator.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define

from scripts.alternatives import Alternative
from scripts.naming import OF_THE_CODE, Names, folded, identifier, is_property_name, pascal, shown, text
from scripts.placing import Placement
from scripts.schemas import COMPONENTS, Schemas, listed
from scripts.surface import KINDS, Field, Surface

__all__ = ["SCALARS", "Rebuilder"]

#: The field kinds of surface.toml that a repr may show, apart from open enumerations and models.
SHOWABLE = frozenset({"id", "time", "count", "code"})
SCALARS = frozenset({"string", "integer", "number", "boolean"})


@define
class Rebuilder:
    """Rebuilds the schemas of one document into ``components``."""

    schemas: Schemas
    surface: Surface
    placement: Placement
    notes: list[str]
    components: dict[str, Any] = Factory(dict)
    # The upstream component -> the name it is generated under.
    _upstream: dict[str, str] = Factory(dict)
    # The identities of the schemas that describe an object without a name -> the name it is generated under.
    _inline: dict[tuple[int, ...], str] = Factory(dict)
    _names: Names = Factory(Names)

    def models(self) -> None:
        """Rebuild every promised model, and every object among the components."""
        self._name_components()
        for model, spec in self.surface.models.items():
            self.components[model] = self._model(model, spec)
            for claim in self.placement.claims[model]:
                self._inline.setdefault(self._identity(self.schemas.branches(claim.node)), model)
        for upstream, name in sorted(self._upstream.items()):
            if name not in self.components:
                node = _reference(upstream)
                self.components[name] = self._merged(self.schemas.objects(node), name)
                self.components[name]["description"] = text(self.schemas.target(node)[0].get("description"))

    def schema(self, nodes: list[Any], name: str, seen: frozenset[int] = frozenset()) -> dict[str, Any]:
        """Rebuild the union of *nodes*; *name* is for an object without a name of its own."""
        branches = {
            id(self.schemas.target(branch)[0]): branch for node in nodes for branch in self.schemas.branches(node)
        }
        if not branches or branches.keys() & seen:
            return {}
        seen |= branches.keys()
        described = list(branches.values())
        if all(self.schemas.is_object(branch) for branch in described):
            rebuilt = [self._object(described, name)]
        elif all(self.schemas.kinds(branch) == {"array"} for branch in described):
            items = [self.schemas.target(branch)[0].get("items") for branch in described]
            rebuilt = [{"type": "array", "items": self.schema(items, f"{name}Item", seen)}]
        else:
            rebuilt = [self._scalar(branch) for branch in described]
        union = _any_of(rebuilt, nullable=any(self.schemas.nullable(node) for node in nodes))
        if description := self._description(nodes):
            union["description"] = description
        return union

    def _name_components(self) -> None:
        """Name every upstream component: after the one model that claims it directly, or else as upstream does."""
        claimed: dict[str, set[str]] = {}
        for model, claims in self.placement.claims.items():
            for claim in claims:
                upstream = self.schemas.target(claim.node)[1]
                if upstream is not None and len(self.schemas.branches(claim.node)) == 1:
                    claimed.setdefault(upstream, set()).add(model)
        self._names.taken |= {*map(folded, self.surface.models), *OF_THE_CODE}
        components = self.schemas.document.get("components")
        upstream_schemas = components.get("schemas") if isinstance(components, dict) else None
        for upstream in upstream_schemas if isinstance(upstream_schemas, dict) else ():
            node = _reference(upstream)
            models = claimed.get(upstream, set())
            if len(models) == 1:
                self._upstream[upstream] = next(iter(models))
            elif self.schemas.is_object(node) and self.schemas.target(node)[1] == upstream:
                name = identifier(upstream, "Schema")
                taken = folded(name) in self._names.taken
                self._upstream[upstream] = self._names.unused(f"Upstream{name}" if taken else name)

    def _model(self, model: str, spec: dict[str, Any]) -> dict[str, Any]:
        views = self.placement.views[model]
        schema = self._merged(views, model, fields=spec["fields"])
        kinds = {field: declared.kind for field, declared in spec["fields"].items()}
        schema["x-charthero"] = {
            "fields": sorted(spec["fields"]),
            "essential": spec.get("essential", []),
            "shown": {
                field: "model" if kind in self.surface.models else kind
                for field, kind in kinds.items()
                if kind in SHOWABLE | self.surface.models.keys()
            },
            "known": {
                field: self._known_values(views, model, field) for field, kind in kinds.items() if kind == "enum"
            },
            # The generator ignores a description beside a reference.
            "descriptions": {
                field: property_["description"]
                for field, property_ in schema["properties"].items()
                if "description" in property_
            },
            "dates": [field for field, kind in kinds.items() if kind == "date"],
        }
        if claims := self.placement.claims[model]:
            schema["description"] = self._description([self._target(claim.node) for claim in claims])
        return schema

    def _merged(self, views: list[Alternative], name: str, fields: dict[str, Field] | None = None) -> dict[str, Any]:
        """Merge the alternatives of an object into one object that fits each of them.

        The promised *fields* have their promised types; every other property is as the artifact describes it.
        """
        fields = fields or {}
        described: dict[str, list[Any]] = {field: [] for field in fields}
        for view in views:
            for key, schemas in view.fields.items():
                described.setdefault(key, []).extend(schemas)
        always = frozenset.intersection(*(view.required for view in views)) if views else frozenset[str]()
        promised = {field for field, declared in fields.items() if not declared.may_be_absent}
        properties: dict[str, Any] = {}
        attributes = Names(set(map(folded, fields)))
        for key, here in described.items():
            if key in fields:
                properties[key] = self._pinned(here, fields[key])
            elif is_property_name(key) and folded(key) not in attributes.taken:
                attributes.unused(key)
                properties[key] = self.schema(here, name + pascal(key))
            else:
                self.notes.append(f"{name}: {shown(key)} cannot be an attribute and is read as an additional property")
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(promised | (always & properties.keys() - fields.keys())),
            "additionalProperties": True,
        }

    def _pinned(self, nodes: list[Any], field: Field) -> dict[str, Any]:
        """Return the promised type of *field* with the artifact's description."""
        schema: dict[str, Any] = dict(KINDS[field.kind]) if field.kind in KINDS else {"$ref": COMPONENTS + field.kind}
        if field.is_list:
            schema = {"type": "array", "items": schema}
        if field.is_nullable:
            schema = {"anyOf": [schema, {"type": "null"}]}
        if description := self._description(nodes):
            schema["description"] = description
        return schema

    def _description(self, nodes: list[Any]) -> str:
        """Return the distinct descriptions of *nodes* and their alternatives, after a note if they are deprecated."""
        found = [described for node in nodes for described in self._descriptions(node) if described]
        holders = [holder for node in nodes for holder in (node, self._target(node)) if isinstance(holder, dict)]
        note = ["Deprecated."] if any(holder.get("deprecated") is True for holder in holders) else []
        return text(" ".join([*note, *dict.fromkeys(found)]))

    def _descriptions(self, node: Any) -> list[str]:
        branches = self.schemas.branches(node)
        found = [text(holder.get("description")) for holder in (node, self._target(node)) if isinstance(holder, dict)]
        own = next(filter(None, found), "")
        inner = [text(self._target(branch).get("description")) for branch in branches]
        return [own, *inner] if len(branches) > 1 else [own or next(filter(None, inner), "")]

    def _target(self, node: Any) -> dict[str, Any]:
        return self.schemas.target(node)[0]

    def _known_values(self, views: list[Alternative], model: str, field: str) -> list[str]:
        """Return the values of an enumeration that the artifact lists, or that were seen so far."""
        branches = [
            self._target(branch)
            for view in views
            for node in view.fields.get(field, [])
            for branch in self.schemas.branches(node)
        ]
        values = [value for branch in branches for value in [*listed(branch.get("enum")), branch.get("const")]]
        seen = self.surface.seen.get(f"{model}.{field}", [])
        return sorted({value for value in [*values, *seen] if isinstance(value, str)})

    def _object(self, branches: list[Any], name: str) -> dict[str, Any]:
        """Return a reference to the component that is any one of *branches*."""
        views = [view for branch in branches for view in self.schemas.objects(branch)]
        upstream = self.schemas.target(branches[0])[1]
        if len(branches) == 1 and upstream in self._upstream:
            return {"$ref": COMPONENTS + self._upstream[upstream]}
        if not any(view.fields for view in views):
            return {}
        key = self._identity(branches)
        if key not in self._inline:
            self._inline[key] = self._names.unused(name)
            self.components[self._inline[key]] = self._merged(views, self._inline[key])
        return {"$ref": COMPONENTS + self._inline[key]}

    def _identity(self, branches: list[Any]) -> tuple[int, ...]:
        return tuple(sorted(id(self._target(branch)) for branch in branches))

    def _scalar(self, branch: Any) -> dict[str, Any]:
        types = self.schemas.kinds(branch)
        if len(types) != 1 or not types <= SCALARS:
            return {}
        (name,) = types
        # Only instants are decoded. Dates and UUIDs stay text, so that every other text is kept as it was written.
        is_instant = name == "string" and self._target(branch).get("format") == "date-time"
        return {"type": name, "format": "date-time"} if is_instant else {"type": name}


def _reference(upstream: str) -> dict[str, Any]:
    return {"$ref": COMPONENTS + upstream.replace("~", "~0").replace("/", "~1")}


def _any_of(schemas: list[dict[str, Any]], *, nullable: bool) -> dict[str, Any]:
    distinct = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    if {} in distinct:
        return {}
    if nullable:
        distinct.append({"type": "null"})
    return dict(distinct[0]) if len(distinct) == 1 else {"anyOf": distinct}
