"""The promised names and types, as ``openapi/surface.toml`` declares them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from attrs import frozen

from scripts.artifact import ROOT, ArtifactError

__all__ = ["KINDS", "PREFIX", "Field", "Surface", "SurfaceError", "load_surface"]

SURFACE = ROOT / "openapi" / "surface.toml"
PREFIX = "/external/v1"

#: The JSON type and format of each kind of field.
KINDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "enum": {"type": "string"},
    "code": {"type": "string"},
    "date": {"type": "string"},
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "number": {"type": "number"},
}


class SurfaceError(ArtifactError):
    """The artifact lacks or contradicts something promised.

    The text is one line that names the route and the field. ``public`` is the promised name.
    """

    def __init__(self, text: str, public: str) -> None:
        super().__init__(text)
        self.public = public


@frozen
class Field:
    """The promised type of one field."""

    #: One of `KINDS`, or another model.
    kind: str
    is_list: bool
    is_nullable: bool
    #: A body may lack the field.
    may_be_absent: bool
    #: The artifact must describe the field.
    is_described: bool

    @classmethod
    def parse(cls, declaration: str) -> Field:
        """Read a declaration such as ``text | null | absent``.

        Raises:
            ValueError: It holds an unknown word.
        """
        kind, *words = [word.strip() for word in declaration.split("|")]
        if unknown := set(words) - {"null", "absent", "optional"}:
            raise ValueError(f"surface.toml: {', '.join(sorted(unknown))} in {declaration!r} is unknown")
        return cls(
            kind=kind.strip("[]"),
            is_list=kind.startswith("["),
            is_nullable="null" in words,
            may_be_absent=not {"absent", "optional"}.isdisjoint(words),
            is_described="optional" not in words,
        )


@frozen
class Surface:
    """The promised operations and models; a model's ``fields`` are `Field` objects."""

    operations: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    #: The public name of a field -> the values of its open enumeration that were seen so far.
    seen: dict[str, list[str]]


def load_surface(path: Path = SURFACE) -> Surface:
    """Read the promised names and types from *path*.

    Raises:
        ValueError: A declaration cannot be read.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    models = content["models"]
    for name, spec in models.items():
        spec["fields"] = {field: Field.parse(declaration) for field, declaration in spec["fields"].items()}
        for field, declared in spec["fields"].items():
            if declared.kind not in KINDS.keys() | models.keys():
                raise ValueError(f"surface.toml: {name}.{field}: there is no kind or model {declared.kind!r}")
    return Surface(operations=content["operations"], models=models, seen=content["seen"])
