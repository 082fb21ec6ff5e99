"""Decode response bodies into models: open, lossless and counted.

``scripts/generate.py`` copies this file into the generated package. Every generated model is a subclass of `Model`.

**Open, lossless, counted.** A value that does not fit the artifact never fails a read. It is kept as it was received,
`Model.to_dict` returns it unchanged, and `SURPRISES` counts it by model, field and kind. Counts contain only names from
the artifact: an unknown field is counted per model, because its name is the server's and can be a patient's.

**Two passes.** Most bodies are exactly what the artifact describes. msgspec decodes those in C, in two passes:

1. *Check*: msgspec parses the body against a strict description of the model, a `msgspec.Struct` made from the model's
   type hints. It refuses unknown fields, unknown enumeration values, and instants that `encode` writes differently.
2. *Build*: msgspec parses the body again, this time into the model.

Together they cost little more than `json.loads`. One pass is not enough, because msgspec drops unknown fields when it
builds a model. If the check fails, a second description that accepts every text is tried, and unexpected texts are
counted afterwards. If that fails too, this module decodes the object field by field in Python. Objects inside it get
the two passes again, so one odd record does not slow down the other records of its page.

**Threads and forks.** msgspec inspects a model when it decodes it for the first time, and other threads can see the
unfinished result. A second thread would crash the process, and a child forked at that moment would crash later. So one
lock lets a single thread inspect models, and `os.fork` waits for that lock. The counts use the same lock.
"""

import datetime
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from threading import RLock
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, Union, get_args, get_origin, get_type_hints

from attrs import define, fields
from msgspec import DecodeError, Struct, convert, defstruct
from msgspec.json import Decoder, decode

__all__ = ["SURPRISES", "UNSET", "Model", "Number", "Unset", "encode"]

if TYPE_CHECKING:

    class Unset(Enum):
        """The type of `UNSET`, the value of a field that was not received. Test for it with ``is UNSET``."""

        UNSET = "UNSET"

        def __bool__(self) -> Literal[False]: ...

    UNSET: Final = Unset.UNSET
    #: A JSON number. An integer stays an integer, which type checkers accept as a float.
    Number = float
else:
    # msgspec leaves a field out only if its type and its default are msgspec's own.
    from msgspec import UNSET
    from msgspec import UnsetType as Unset

    Number = int | float

_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

#: What live data contained that the artifact does not describe, by model, field and kind. Never a value.
SURPRISES: Counter[str] = Counter()


def _surprise(path: str, kind: str, times: int = 1) -> None:
    with _lock:
        SURPRISES[f"{path}: {kind}"] += times


def encode(value: Any) -> Any:
    """Return *value* as JSON. An instant in UTC ends in `Z`."""
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text
    return [encode(item) for item in value] if isinstance(value, list) else value


class Model:
    """The base class of every model.

    Decoding keeps a value that does not fit as it was received. `to_dict` returns what was received, key by key and
    value by value, except for fields that were changed since.
    """

    # Set only for records with surprises. They are not attrs fields, because msgspec would spend time on them.
    __slots__ = ("_additional", "_received")

    _additional: dict[str, Any]
    # Attribute -> decoded and received value, where the decoded value does not tell how the received one was written.
    _received: dict[str, tuple[Any, Any]]

    # Fields without which a body is not this model.
    _essential: ClassVar[tuple[str, ...]] = ()
    # Attribute -> JSON name, where they differ.
    _names: ClassVar[Mapping[str, str]] = {}

    @property
    def additional_properties(self) -> dict[str, Any]:
        """The fields that were received but are not in the artifact."""
        if not hasattr(self, "_additional"):
            self._additional = {}
        return self._additional

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model) or type(self) is not type(other):
            return NotImplemented
        mine, others = getattr(self, "_additional", {}), getattr(other, "_additional", {})
        names = [field.attribute for field in _fields(type(self))]
        return mine == others and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # models are mutable

    @classmethod
    def from_body(cls, content: bytes) -> Self:
        """Decode the body of a response: the model's object, or an envelope with exactly one such object.

        Raises:
            ValueError: The body is not JSON, or an essential field is missing.
        """
        model = cls._in_two_passes(lambda target: decode(content, type=target, dec_hook=_check_notation))
        if model and all(getattr(model, name) not in (UNSET, None) for name in cls._essential):
            return model
        body = _parsed_json(content)
        if isinstance(body, dict) and not cls._is_body(body):
            inner = [name for name, value in body.items() if isinstance(value, dict) and cls._is_body(value)]
            if len(inner) == 1:
                if len(body) > 1:
                    _surprise(cls.__name__, "unknown field of the envelope", len(body) - 1)
                body = body[inner[0]]
        if not isinstance(body, dict) or not cls._is_body(body):
            raise ValueError(f"the body is not {cls.__name__}")
        return cls.from_dict(body)

    @classmethod
    def _is_body(cls, body: dict[str, Any]) -> bool:
        return all(
            any(part is not NoneType and _fits(body.get(field.name), part) for part in field.parts)
            for field in _fields(cls)
            if field.name in cls._essential
        )

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """Decode one JSON object."""
        model = cls._in_two_passes(lambda target: convert(src_dict, target, dec_hook=_check_notation))
        return model or cls._from_surprising(src_dict)

    @classmethod
    def _in_two_passes(cls, read: Callable[[Any], Any]) -> Self | None:
        """Decode with msgspec, or return None if that would lose something."""
        for description in _descriptions(cls):
            try:
                read(description)
                model: Self = read(cls)
            except DecodeError:
                continue
            if description is not _descriptions(cls)[0]:
                _count_texts(model)
            return model
        return None

    @classmethod
    def _from_surprising(cls, src_dict: Mapping[str, Any]) -> Self:
        rest = dict(src_dict)
        values: dict[str, Any] = {}
        received: dict[str, tuple[Any, Any]] = {}
        for field in _fields(cls):
            value = rest.pop(field.name, UNSET)
            if value is UNSET:
                if Unset not in field.parts:
                    _surprise(field.path, "missing")
                values[field.attribute] = UNSET
                continue
            values[field.attribute] = decoded = field.decode(value)
            if field.has_notations and encode(decoded) != value:
                received[field.attribute] = (decoded, value)
        model = cls(**values)
        if rest:
            _surprise(cls.__name__, "unknown field", len(rest))
            model._additional = rest
        if received:
            model._received = received
        return model

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object this model was decoded from, with the changes made since."""
        result = dict(getattr(self, "_additional", ()))
        received = getattr(self, "_received", {})
        for field in _fields(type(self)):
            value = getattr(self, field.attribute)
            if value is not UNSET:
                decoded, sent = received.get(field.attribute, (UNSET, None))
                result[field.name] = sent if decoded is value else encode(value)
        return result


class _AnyText(type):
    # A built-in method, because msgspec calls it for every instant.
    __instancecheck__: Any = str.__instancecheck__


class _Time(metaclass=_AnyText):
    """In a description: the text of an instant, written as `encode` writes it."""


def _check_notation(kind: type, text: Any) -> Any:
    marks = text[4:20:3] if isinstance(text, str) else ""
    has_seconds = marks == "--T::Z" and len(text) == 20
    if has_seconds or (marks == "--T::." and text[26:] == "Z" and text[20:26] != "000000"):
        return text
    raise ValueError


_inspected: dict[type[Model], tuple[type[Struct], ...]] = {}


def _descriptions(model: type[Model]) -> tuple[type[Struct], ...]:
    """Return the strict and the open description of *model*; empty if msgspec cannot decode it without loss."""
    if model not in _inspected:
        with _lock:
            if model not in _inspected:
                try:
                    strict, accepting = _description(model, {}, True), _description(model, {}, False)
                    for target in (strict, accepting, model):
                        Decoder(target, dec_hook=_check_notation)  # makes msgspec inspect it now
                    _inspected[model] = (strict, accepting)
                except TypeError:
                    _inspected[model] = ()
    return _inspected[model]


def _description(model: type[Model], done: dict[type[Model], type[Struct] | None], is_strict: bool) -> type[Struct]:
    """Return a type that accepts an object only if building *model* from it loses nothing.

    If it is strict, it also accepts only known values of enumerations, and only readable dates.

    Raises:
        TypeError: An attribute is not called like its field, or a model contains itself.
    """

    def described(parts: tuple[Any, ...], text: Any) -> Any:
        return Union[tuple(described_part(part, text) for part in parts)]  # noqa: UP007

    def described_part(part: Any, text: Any) -> Any:
        if get_origin(part) is list:
            return list[described(_parts(get_args(part)[0]), text)]  # type: ignore[misc]
        if _is_model(part):
            return _description(part, done, is_strict)
        return {datetime.datetime: _Time, str: text}.get(part, part)

    if model not in done:
        done[model] = None
        members = []
        for field in _fields(model):
            strict = datetime.date if field.is_date else Literal[tuple(field.known)] if field.known else str
            hint = described(field.parts, strict if is_strict else str)
            members.append((field.name, hint, UNSET) if Unset in field.parts else (field.name, hint))
        done[model] = defstruct(model.__name__, members, forbid_unknown_fields=True)
    if (description := done[model]) is None or model._names:
        raise TypeError
    return description


def _parsed_json(content: bytes) -> Any:
    try:
        return decode(content)
    except DecodeError:
        # The standard library reads more than JSON allows, such as NaN, and callers know its error.
        return json.loads(content)


@define
class _Field:
    """How one field is decoded."""

    attribute: str
    name: str
    path: str
    # The alternatives of the type hint.
    parts: tuple[Any, ...]
    known: frozenset[str]
    is_date: bool
    # Whether encoding the decoded value can give another text than was received.
    has_notations: bool
    # Whether it holds text to check or models to look into.
    is_counted: bool

    def decode(self, value: Any) -> Any:
        """Return *value* decoded, or as it was received if it does not fit."""
        self.count_text(value)
        return _decoded(value, self.parts, self.path)

    def count_text(self, value: Any) -> None:
        """Count a text that is an unknown value of an enumeration, or not a date."""
        if isinstance(value, str) and self.known and value not in self.known:
            _surprise(self.path, "unknown value")
        if isinstance(value, str) and self.is_date:
            try:
                datetime.datetime.fromisoformat(value)
            except ValueError:
                _surprise(self.path, "unreadable")


def _count_texts(model: Model) -> None:
    for field in _fields(type(model)):
        if field.is_counted:
            value = getattr(model, field.attribute)
            for each in value if isinstance(value, list) else (value,):
                if isinstance(each, Model):
                    _count_texts(each)
                else:
                    field.count_text(each)


def _fields_of(model: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(model)
    found = []
    for attribute in fields(model):
        name = model._names.get(attribute.name, attribute.name)
        known: frozenset[str] = getattr(attribute.repr, "known", frozenset())
        is_date = attribute.metadata.get("format") == "date"
        leaves = _leaves(hints[attribute.name])
        found.append(
            _Field(
                attribute=attribute.name,
                name=name,
                path=f"{model.__name__}.{name}",
                parts=_parts(hints[attribute.name]),
                known=known,
                is_date=is_date,
                has_notations=datetime.datetime in leaves,
                is_counted=bool(known) or is_date or any(map(_is_model, leaves)),
            )
        )
    return tuple(found)


_fields: Callable[[Any], tuple[_Field, ...]] = cache(_fields_of)


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _leaves(hint: Any) -> set[Any]:
    arguments = get_args(hint)
    return {leaf for argument in arguments for leaf in _leaves(argument)} if arguments else {hint}


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Model)


def _fits(value: Any, part: Any) -> bool:
    """Return whether *value* has the JSON type of a hint."""
    if part is Any or isinstance(value, bool):
        return part in (Any, bool)
    if part is float:
        return isinstance(value, int | float)
    json_type = dict if _is_model(part) else str if part is datetime.datetime else get_origin(part) or part
    return isinstance(value, json_type)


def _decoded(value: Any, parts: tuple[Any, ...], path: str) -> Any:
    """Return *value* decoded as the first hint that it fits. If it fits no hint, count it and return it unchanged."""
    kind = ""
    for part in parts:
        if not _fits(value, part):
            continue
        if _is_model(part):
            return part.from_dict(value)
        if get_origin(part) is list:
            return [_decoded(item, _parts(get_args(part)[0]), f"{path}[]") for item in value]
        if part is not datetime.datetime:
            return value
        try:
            return _instant(value, path)
        except ValueError:
            kind = "unreadable"
    _surprise(path, kind or ("null" if value is None else "other type"))
    return value


def _instant(text: str, path: str) -> datetime.datetime:
    try:
        instant = datetime.datetime.fromisoformat(text)
    except ValueError:
        # RFC 3339 also allows a lowercase t and z, and a 60th second, which Python's clock does not have.
        instant = datetime.datetime.fromisoformat(re.sub(r"(?<=:\d\d:)60", "59", text.upper()))
        _surprise(path, "unusual time")
    if instant.tzinfo is None:
        _surprise(path, "no time zone")
    return instant
