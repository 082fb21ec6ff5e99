"""What every model shares: open decoding that loses nothing, and a count of what was not expected."""

import datetime
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from functools import cache
from http import HTTPStatus
from threading import Lock, RLock
from types import NoneType, UnionType
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    BinaryIO,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from attrs import define, fields
from msgspec import UNSET, DecodeError, Struct, ValidationError, convert, defstruct
from msgspec import UnsetType as Unset
from msgspec.json import Decoder

#: A JSON number. Whole numbers stay what they were sent as, which type checkers allow for a float.
if TYPE_CHECKING:
    Number: TypeAlias = float
else:
    Number = int | float

# The types that `httpx.Client(files=)` can accept, copied from that library.
FileContent = IO[bytes] | bytes | str
FileTypes = (
    # (filename, file (or bytes), content_type)
    tuple[str | None, FileContent, str | None]
    # (filename, file (or bytes), content_type, headers)
    | tuple[str | None, FileContent, str | None, Mapping[str, str]]
)
RequestFiles = list[tuple[str, FileTypes]]


@define
class File:
    """Contains information for file uploads"""

    payload: BinaryIO
    file_name: str | None = None
    mime_type: str | None = None

    def to_tuple(self) -> FileTypes:
        """Return a tuple representation that httpx will accept for multipart/form-data"""
        return self.file_name, self.payload, self.mime_type


T = TypeVar("T")


@define(repr=False)
class Response(Generic[T]):
    """A response from an endpoint; its body is in no repr"""

    status_code: HTTPStatus
    content: bytes
    headers: MutableMapping[str, str]
    parsed: T | None

    def __repr__(self) -> str:
        return f"<Response [{self.status_code.value}]>"


class Surprises:
    """Counts, by path and kind, what live data held that the artifact does not describe. Never a value."""

    # A hostile or broken server must not fill the memory with names it made up.
    LIMIT: ClassVar[int] = 1000

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def add(self, path: str, kind: str) -> None:
        """Count one surprise of a kind at a path of the artifact, such as `Encounter.status`."""
        key = f"{path}: {kind}"
        with self._lock:
            if key not in self._counts and len(self._counts) >= self.LIMIT:
                key = f"*: {kind}"
            self._counts[key] += 1

    def counts(self) -> dict[str, int]:
        """Return the counts so far, as a copy."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._counts.clear()


SURPRISES = Surprises()


def shown(value: object) -> str:
    """Render a value that may appear in a repr. Whatever is not plainly an id, instant, count or code is not shown."""
    if isinstance(value, (bool, int, NoneType, Unset, datetime.datetime, Model)):
        return repr(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:+-]{1,80}", value):
        return repr(value)
    if isinstance(value, list):
        return f"[{len(value)}]"
    return "..."


def encode(value: Any) -> Any:
    """Return *value* as JSON has it; an instant in UTC ends in `Z`."""
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [encode(item) for item in value]
    return value


class Model:
    """The base of every model.

    Decoding never raises on a value it did not expect: the value is kept as it came, and counted in `SURPRISES`.
    `to_dict` gives back what was received, key by key and value by value, for every field that was not changed since.
    """

    # Empty in all but surprising records, and not fields of attrs: msgspec would spend as long on them as on the others.
    __slots__ = ("_additional", "_received")

    _additional: dict[str, Any]
    # What was received where it cannot be told from the decoded value, such as how an instant was written.
    _received: dict[str, tuple[Any, Any]]

    # Set by each model: fields without which a body is not this model; the values of its closed enumerations; the names
    # sent where an attribute has another.
    _essential: ClassVar[tuple[str, ...]] = ()
    _known_values: ClassVar[Mapping[str, frozenset[str]]] = {}
    _names: ClassVar[Mapping[str, str]] = {}

    @property
    def additional_properties(self) -> dict[str, Any]:
        """What was received under names the artifact does not have."""
        try:
            return self._additional
        except AttributeError:
            self._additional = {}
            return self._additional

    @property
    def additional_keys(self) -> list[str]:
        """The names in `additional_properties`."""
        return list(getattr(self, "_additional", ()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model) or type(self) is not type(other):
            return NotImplemented
        mine, others = getattr(self, "_additional", {}), getattr(other, "_additional", {})
        names = [plan.attribute for plan in _plans(type(self))]
        return mine == others and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # its fields can change

    @classmethod
    def from_body(cls, content: bytes) -> Self:
        """Decode the body of a response, bare or as the one object in an envelope that has the essential fields.

        Raises:
            ValueError: The body is not JSON, or not this model at all.
        """
        if reading := _reading(cls):
            try:
                reading.check(content)
                model = cast(Self, reading.read(content))
                if all(getattr(model, name) not in (UNSET, None) for name in cls._essential):
                    return model
            except DecodeError:
                pass  # something is not as the artifact describes it
        body = _parsed_json(content)
        if isinstance(body, dict) and not cls._is_body(body):
            inner = [name for name, value in body.items() if isinstance(value, dict) and cls._is_body(value)]
            if len(inner) == 1:
                for name in body.keys() - inner:
                    SURPRISES.add(_path(cls, name), "unknown field of the envelope")
                body = body[inner[0]]
        if not isinstance(body, dict) or not cls._is_body(body):
            raise ValueError(f"the body is not {cls.__name__}")
        return cls.from_dict(body)

    @classmethod
    def _is_body(cls, body: dict[str, Any]) -> bool:
        return all(
            isinstance(body.get(plan.name), plan.json_types) for plan in _plans(cls) if plan.name in cls._essential
        )

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """Decode one JSON object."""
        if reading := _reading(cls):
            try:
                convert(src_dict, reading.description, dec_hook=_as_encoded)
                return convert(src_dict, cls)
            except ValidationError:
                pass  # something is not as the artifact describes it: look at each field by itself
        return cls._from_surprising_dict(src_dict)

    @classmethod
    def _from_surprising_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        rest = dict(src_dict)
        values: dict[str, Any] = {}
        received: dict[str, tuple[Any, Any]] = {}
        for plan in _plans(cls):
            value = rest.pop(plan.name, UNSET)
            if value is UNSET:
                if not plan.optional:
                    SURPRISES.add(plan.path, "missing")
                values[plan.attribute] = UNSET
                continue
            values[plan.attribute] = decoded = plan.decode(value)
            if plan.is_spelled_freely and encode(decoded) != value:
                received[plan.attribute] = (decoded, value)
        model = cls(**values)
        if rest:
            for name in rest:
                SURPRISES.add(_path(cls, name), "unknown field")
            model._additional = rest
        if received:
            model._received = received
        return model

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object this was decoded from, with the changes made since."""
        result = dict(getattr(self, "_additional", ()))
        received = getattr(self, "_received", {})
        for plan in _plans(type(self)):
            value = getattr(self, plan.attribute)
            if value is not UNSET:
                decoded, sent = received.get(plan.attribute, (UNSET, None))
                result[plan.name] = sent if decoded is value else encode(value)
        return result


class _OfText(type):
    # Not a function of ours, which would be called for every instant.
    __instancecheck__ = str.__instancecheck__


class _Instant(metaclass=_OfText):
    """The text of an instant that is written just as `encode` writes it."""


def _as_encoded(kind: type, sent: Any) -> Any:
    """Return the text of an instant as it is.

    Raises:
        ValueError: `encode` would write it in another way, so that the decoded instant does not tell what was sent.
    """
    marks = sent[4:20:3] if isinstance(sent, str) else ""
    if (marks == "--T::Z" and len(sent) == 20) or (
        marks == "--T::." and sent[26:] == "Z" and sent[20:26] != "000000"  # microseconds, and some
    ):
        return sent
    raise ValueError


@define
class _Reading:
    """How a body is read that is just as its model is described."""

    description: type[Struct]
    check: Callable[[bytes], object]
    read: Callable[[bytes], Any]


def _reading_of(model: type[Model]) -> _Reading | None:
    try:
        description = _described(model, {})
        return _Reading(description, Decoder(description, dec_hook=_as_encoded).decode, Decoder(model).decode)
    except TypeError:  # the model has something that msgspec cannot tell apart
        return None


_readings: dict[type[Model], _Reading | None] = {}

# While msgspec looks at a class, it already shows others what it has of it: two threads at once would crash the process,
# and so would a child that was forked meanwhile.
_looking = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_looking.acquire, after_in_parent=_looking.release, after_in_child=_looking.release)


def _reading(model: type[Model]) -> _Reading | None:
    if model not in _readings:
        with _looking:
            if model not in _readings:
                _readings[model] = _reading_of(model)
    return _readings[model]


def _described(model: type[Model], done: dict[type[Model], type[Struct] | None]) -> type[Struct]:
    """Return what refuses every object but those just as *model* is described, which `to_dict` is sure to give back.

    msgspec checks against it as fast as it parses. Made to build the models at once, it would drop what they lack.

    Raises:
        TypeError: A name is not that of its attribute, a model is within itself, or a value has several spellings.
    """
    if model in done:
        if (description := done[model]) is None:
            raise TypeError
        return description
    done[model] = None
    if model._names:
        raise TypeError
    members = []
    for plan in _plans(model):
        hint = _description(plan.hint, done) if plan.known is None else Literal[(*plan.known, None)] | Unset
        members.append((plan.name, hint, UNSET) if plan.optional else (plan.name, hint))
    done[model] = description = defstruct(model.__name__, members, forbid_unknown_fields=True)
    return description


def _description(hint: Any, done: dict[type[Model], type[Struct] | None]) -> Any:
    if hint is UUID:
        raise TypeError
    if hint is datetime.datetime:
        return _Instant
    if get_origin(hint) is list:
        return list[_description(get_args(hint)[0], done)]  # type: ignore[misc]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_description(part, done) for part in get_args(hint))]
    return _described(hint, done) if isinstance(hint, type) and issubclass(hint, Model) else hint


_read_json = Decoder().decode


def _parsed_json(content: bytes) -> Any:
    try:
        return _read_json(content)
    except DecodeError:
        # The standard library reads more than JSON allows (a NaN, say), and its error is the one callers know.
        return json.loads(content)


_Decode = Callable[[Any], Any]


class _Unexpected(Exception):
    """A value does not fit its description; the text is the kind of surprise, never the value."""


@define
class _Plan:
    """How one field is decoded."""

    attribute: str
    name: str
    path: str
    optional: bool
    json_types: tuple[type, ...]
    hint: Any
    is_spelled_freely: bool
    known: frozenset[str] | None
    convert: _Decode

    def decode(self, value: Any) -> Any:
        """Return *value* decoded, or as it is where it does not fit."""
        if self.known is not None and isinstance(value, str) and value not in self.known:
            SURPRISES.add(self.path, "unknown value")
        try:
            return self.convert(value)
        except _Unexpected as surprise:
            SURPRISES.add(self.path, str(surprise))
            return value


def _plans_of(model: type[Model]) -> tuple[_Plan, ...]:
    from . import models  # the models import this module

    hints = get_type_hints(model, localns=vars(models))
    plans = []
    for attribute in fields(cast(Any, model)):
        if attribute.init:
            hint = hints[attribute.name]
            name = model._names.get(attribute.name, attribute.name)
            plans.append(
                _Plan(
                    attribute=attribute.name,
                    name=name,
                    path=_path(model, name),
                    optional=Unset in _alternatives(hint),
                    json_types=tuple({_json_type(part) for part in _alternatives(hint)} - {NoneType, Unset}),
                    hint=hint,
                    is_spelled_freely=bool(_leaves(hint) & {datetime.datetime, datetime.date, UUID}),
                    known=model._known_values.get(name),
                    convert=_converter(hint, _path(model, name)),
                )
            )
    return tuple(plans)


_plans: Callable[[Any], tuple[_Plan, ...]] = cache(_plans_of)


def _path(model: type[Model], name: str) -> str:
    # A name can be data (a map keyed by patients), so only what looks like a name is repeated.
    return f"{model.__name__}.{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) else f"{model.__name__}.*"


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _leaves(hint: Any) -> set[Any]:
    arguments = get_args(hint)
    return {leaf for argument in arguments for leaf in _leaves(argument)} if arguments else {hint}


def _json_type(hint: Any) -> type:
    if hint is Any:
        return object
    if get_origin(hint) is list:
        return list
    if isinstance(hint, type) and issubclass(hint, Model):
        return dict
    return str if hint in (datetime.datetime, datetime.date, UUID) else cast(type, hint)


def _converter(hint: Any, path: str) -> _Decode:
    """Return what turns JSON into a value of *hint*, or raises `_Unexpected`."""
    parts = [part for part in _alternatives(hint) if part is not Unset]
    if len(parts) > 1:
        return _first_fitting([_converter(part, path) for part in parts])
    (hint,) = parts
    if hint is Any:
        return lambda value: value
    if get_origin(hint) is list:
        return _each(_converter(get_args(hint)[0], path), path)
    if hint is datetime.datetime:
        return lambda value: _instant(_of_type(value, str), path)
    if hint in (datetime.date, UUID):
        parse = datetime.date.fromisoformat if hint is datetime.date else UUID
        return lambda value: _parsed(parse, _of_type(value, str))
    if issubclass(hint, Model):
        return lambda value: hint.from_dict(_of_type(value, dict))
    return lambda value: _of_type(value, (int, float) if hint is float else hint)


def _first_fitting(converters: list[_Decode]) -> _Decode:
    def convert(value: Any) -> Any:
        for converter in converters:
            try:
                return converter(value)
            except _Unexpected:
                continue
        raise _Unexpected("null" if value is None else "other type")

    return convert


def _each(converter: _Decode, path: str) -> _Decode:
    def convert(value: Any) -> Any:
        items = []
        for item in _of_type(value, list):
            try:
                items.append(converter(item))
            except _Unexpected as surprise:
                SURPRISES.add(f"{path}[]", str(surprise))
                items.append(item)
        return items

    return convert


def _of_type(value: Any, accepted: Any) -> Any:
    if isinstance(value, accepted) and (accepted is bool or not isinstance(value, bool)):
        return value
    raise _Unexpected("null" if value is None else "other type")


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise _Unexpected("unreadable") from None


def _instant(text: str, path: str) -> datetime.datetime:
    try:
        instant = datetime.datetime.fromisoformat(text)
    except ValueError:
        # RFC 3339 also allows a lowercase t and z, and the 60th second that Python's clock does not have.
        plain = re.sub(r"(?<=:\d\d:)60", "59", text.upper())
        instant = cast(datetime.datetime, _parsed(datetime.datetime.fromisoformat, plain))
        SURPRISES.add(path, "unusual time")
    if instant.tzinfo is None:
        SURPRISES.add(path, "no time zone")
    return instant


__all__ = [
    "SURPRISES",
    "UNSET",
    "File",
    "FileTypes",
    "Model",
    "Number",
    "RequestFiles",
    "Response",
    "Surprises",
    "Unset",
    "encode",
    "shown",
]
