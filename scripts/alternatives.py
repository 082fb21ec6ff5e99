"""Read a JSON Schema as a list of plain alternatives, so that equal schemas compare equal in every spelling.

An alternative has no references, unions or compositions left: ``$ref``, ``allOf``, ``anyOf``, ``oneOf``, type arrays
and every spelling of null are resolved. Keywords beside a ``$ref`` count.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

from attrs import Factory, frozen

from scripts.artifact import ArtifactError

__all__ = ["BOUNDS", "CONSTRAINTS", "EVERY_TYPE", "NULL", "SCHEMA_NAME", "Alternative", "Identity", "Said", "Together"]
__all__ += ["as_text", "each_with_each", "is_prose", "kinds", "listed", "own_alternative", "room", "types_of"]
__all__ += ["without_null", "words_of"]

#: A schema, or several that apply at once.
Together = tuple[Any, ...]
#: A keyword and its value as text.
Said = tuple[str, str]
#: The names and the identities of the schemas in a value.
Identity = frozenset[tuple[str, int]]

EVERY_TYPE = frozenset({"string", "integer", "number", "boolean", "array", "object"})

#: Among the words of an alternative, the name of the component that follows.
SCHEMA_NAME = "schema name"

#: A schema with more alternatives was made to exhaust its reader.
MAX_ALTERNATIVES = 256

#: Keywords that only people read. All keywords that begin with `x-` belong here too.
PROSE = frozenset({"description", "summary", "title", "example", "examples", "externalDocs", "$comment"})

#: Each keyword that restricts values of one JSON type, and that type. The others restrict values of every type.
RESTRICTS = {
    # Every number may be an integer.
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), "integer"),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), "string"),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("minProperties", "maxProperties", "additionalProperties", "discriminator"), "object"),
}
BOUNDS = frozenset(keyword for keyword in RESTRICTS if keyword.startswith(("min", "max")))
#: Bounds that say nothing if they are zero.
LENGTHS = frozenset({"minLength", "minItems", "minProperties"})
CONSTRAINTS = frozenset({"pattern", "multipleOf", "uniqueItems", "readOnly", "writeOnly"})
UNDERSTOOD = RESTRICTS.keys() | {
    *("type", "nullable", "enum", "const", "format", "default", "deprecated", "exclusiveMinimum", "exclusiveMaximum"),
    *("$ref", "allOf", "anyOf", "oneOf", "properties", "required", "items"),
    *("$schema", "$id", "$anchor", "$defs", "definitions", "xml"),
}


@frozen
class Alternative:
    """One form that a value may have.

    ``types`` and ``values`` are None if all are allowed. A type ``number`` comes with the type ``integer``.
    ``said`` holds the other keywords that restrict values, and ``words`` those for people, the outermost schema first.
    ``children`` are the schemas of what is in a value: a field's name after a dot, ``[]`` for the elements of an array,
    ``*`` for the other fields of an object.
    """

    types: frozenset[str] | None = None
    values: frozenset[str] | None = None
    said: frozenset[Said] = frozenset()
    words: tuple[Said, ...] = ()
    children: dict[str, Together] = Factory(dict)
    required: frozenset[str] = frozenset()
    component: str = ""

    @property
    def allowed(self) -> frozenset[str]:
        """The JSON types that values may have. A schema without a type is an object if it describes fields."""
        if self.types is not None or not self.children:
            return self.types or EVERY_TYPE
        return frozenset({"array"} if self.children.keys() == {"[]"} else {"object"})

    @property
    def is_object(self) -> bool:
        """Whether this is explicitly an object."""
        return bool(self.fields) or "object" in (self.types or ())

    @property
    def identity(self) -> Identity:
        """What is in a value. It stays the same however the schema is wrapped or referenced."""
        return frozenset((name, id(schema)) for name, schemas in self.children.items() for schema in schemas)

    @property
    def fields(self) -> dict[str, Together]:
        """The schemas of an object's fields, by name."""
        return {name[1:]: schemas for name, schemas in self.children.items() if name.startswith(".")}

    def joined_with(self, other: Alternative) -> Alternative | None:
        """Return the alternative that satisfies both, or None if no value can."""
        types = _common(self.types, other.types)
        if types == frozenset():
            return None
        names = {**self.children, **other.children}
        return Alternative(
            types,
            _common(self.values, other.values),
            self.said | other.said,
            self.words + other.words,
            {name: self.children.get(name, ()) + other.children.get(name, ()) for name in names},
            self.required | other.required,
            self.component or other.component,
        )

    def restrictions(self, type_name: str) -> frozenset[Said]:
        """Return the restrictions on values of one JSON type; of several equal bounds, only the tightest."""
        said = defaultdict(set[str], {"value": set(self.values or ())})
        for keyword, text in self.said:
            if RESTRICTS.get(keyword, type_name) == type_name and keyword not in ("default", "deprecated"):
                is_integer = self.types is not None and "number" not in self.types
                said[keyword].add(_inclusive(keyword, text) if is_integer else text)
        for keyword in BOUNDS & said.keys():
            said[keyword] = {min(said[keyword], key=partial(room, keyword))}
        return frozenset((keyword, text) for keyword, texts in said.items() for text in texts)


NULL = Alternative(types=frozenset({"null"}))


def without_null(alternatives: list[Alternative]) -> list[Alternative]:
    """Return *alternatives* without those of which null is the only value."""
    return [one for one in alternatives if one.types != frozenset({"null"})]


def kinds(alternatives: Iterable[Alternative]) -> set[str]:
    """Return the JSON types that *alternatives* name, without null; empty if they name none."""
    named = {name for one in alternatives if one.types or one.children for name in one.allowed} - {"null"}
    return named - {"integer"} if "number" in named else named


def listed(value: object) -> list[Any]:
    """Return *value* if it is a list, and else an empty one."""
    return value if isinstance(value, list) else []


def types_of(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a schema names, or that its ``enum`` or ``const`` implies; empty if it has no type."""
    declared = schema.get("type")
    names = {name for name in (declared if isinstance(declared, list) else [declared]) if isinstance(name, str)}
    if not names:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        names = {_type_of_value(value) for value in listed(values)}
    if schema.get("nullable") is True:
        names.add("null")
    return names & (EVERY_TYPE | {"null"})


def _type_of_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def is_prose(keyword: str) -> bool:
    """Tell whether only people read a keyword."""
    return keyword in PROSE or keyword.startswith("x-")


def words_of(node: dict[str, Any]) -> tuple[Said, ...]:
    """Return the keywords of *node* that only people read."""
    return tuple((keyword, as_text(value)) for keyword, value in node.items() if is_prose(keyword))


def own_alternative(node: dict[str, Any], types: set[str], component: str) -> Alternative:
    """Return what a schema itself says, without its references, its unions and null."""
    values = node.get("enum", [node["const"]] if "const" in node else None)
    properties, others = node.get("properties"), node.get("additionalProperties")
    children = {f".{name}": (schema,) for name, schema in properties.items()} if isinstance(properties, dict) else {}
    children |= {"[]": (node["items"],)} if "items" in node else {}
    children |= {"*": (others,)} if isinstance(others, dict) and others else {}
    return Alternative(
        frozenset(types | ({"integer"} if "number" in types else set())) or None,
        frozenset(as_text(value) for value in values if value is not None) if isinstance(values, list) else None,
        frozenset(_said(node)),
        words_of(node) + (((SCHEMA_NAME, component),) if component else ()),
        children,
        frozenset(name for name in listed(node.get("required")) if isinstance(name, str)),
        component,
    )


def _said(node: dict[str, Any]) -> Iterator[Said]:
    for keyword, value in node.items():
        if keyword in BOUNDS and _is_number(value) and (value or keyword not in LENGTHS):
            yield keyword, _number(value, excluded=node.get(f"exclusive{keyword.capitalize()}") is True)
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum") and _is_number(value):
            yield keyword.removeprefix("exclusive").lower(), _number(value, excluded=True)
        elif keyword == "format" and isinstance(value, str):
            yield keyword, value
        elif keyword == "discriminator" and isinstance(value, dict):
            yield keyword, str(value.get("propertyName"))
        elif keyword == "additionalProperties" and (value is False or (value and isinstance(value, dict))):
            yield keyword, "of one schema" if value else "none"
        elif keyword == "default":
            yield keyword, as_text(value)
        elif keyword in CONSTRAINTS | {"deprecated"} and value is not None and value is not False:
            yield keyword, "" if value is True else as_text(value)
        elif keyword not in UNDERSTOOD and not is_prose(keyword):
            yield "keyword", f"{keyword} {as_text(value)}"


def room(keyword: str, text: str) -> tuple[Decimal, int]:
    """Return how far a bound lets values go; greater is freer."""
    number, _, excluded = text.partition(" ")
    return Decimal(number) * (1 if keyword.startswith("max") else -1), -1 if excluded else 0


def _inclusive(keyword: str, text: str) -> str:
    """Return a bound of integers in the spelling that includes the bound."""
    number, _, excluded = text.partition(" ")
    is_integer = excluded and number.lstrip("-").isdecimal()
    return str(int(number) + (1 if keyword == "minimum" else -1)) if is_integer else text


def _number(value: float, *, excluded: bool) -> str:
    return f"{int(value) if value % 1 == 0 else value}" + (" excluded" if excluded else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def each_with_each(left: list[Alternative], right: list[Alternative]) -> list[Alternative]:
    """Return what satisfies one of *left* and one of *right*.

    Raises:
        ArtifactError: There are too many combinations.
    """
    if len(left) * len(right) > MAX_ALTERNATIVES:
        raise ArtifactError("a schema combines too many alternatives")
    return [both for one in left for other in right if (both := one.joined_with(other)) is not None]


def as_text(value: Any) -> str:
    """Return a value of the document as JSON."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
