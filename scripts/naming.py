"""Turning an artifact's words into names that generated code can bear, and into text that a docstring can.

What comes in is untrusted; what goes out is an ASCII identifier of bounded length, or one line of printable text.
"""

from __future__ import annotations

import re

from attrs import Factory, define

__all__ = ["Names", "folded", "identifier", "is_property_name", "pascal", "shown", "text"]

#: Longer names would make file names that some file systems refuse.
MAX_LENGTH = 80

#: What generated modules import or define for themselves, as `folded` sees it; a schema called so gets another name.
OF_THE_CODE = frozenset(
    [
        "any",
        "authenticatedclient",
        "classvar",
        "client",
        "file",
        "filetypes",
        "httpstatus",
        "literal",
        "mapping",
        "mutablemapping",
        "model",
        "number",
        "requestfiles",
        "response",
        "typechecking",
        "union",
        "unset",
    ]
)

#: Names a generated model needs for itself, as `folded` sees them. A property called so still arrives, as an additional
#: property.
OF_THE_MODEL = frozenset(
    [
        *("additionalproperties", "fromdict", "frombody", "todict", "self", "cls", "none"),
        *("showcode", "showcount", "showid", "showknown", "showmodel", "showtime"),
    ]
)


@define
class Names:
    """Names given out, no two of which differ in case or punctuation only: they also name files."""

    taken: set[str] = Factory(set)

    def unused(self, name: str) -> str:
        """Return *name*, or one like it that was not given out before."""
        name, number = name[:MAX_LENGTH], 1
        candidate = name
        while folded(candidate) in self.taken:
            number += 1
            candidate = f"{name}_{number}"
        self.taken.add(folded(candidate))
        return candidate


def identifier(words: object, fallback: str) -> str:
    """Return *words* as an identifier, or *fallback* where nothing of them can be one."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", words).strip("_") if isinstance(words, str) else ""
    return name[:MAX_LENGTH] if name[:1].isalpha() else fallback


def pascal(words: str) -> str:
    """Return *words* as the name of a class."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", words))


def folded(name: str) -> str:
    """Return what names have in common that cannot be told apart on every file system, or once they are Python."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def is_property_name(name: str) -> bool:
    """Tell whether a model can have an attribute for the property *name*."""
    return (
        re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) is not None
        and len(name) <= MAX_LENGTH
        and folded(name) not in OF_THE_MODEL
    )


def text(value: object) -> str:
    """Return a description as one line of printable text: it ends in a docstring."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in " ".join(value[:5000].split()) if character.isprintable())[:500]


def shown(value: object) -> str:
    """Return a name of the artifact as a message for people may hold it."""
    return f"`{text(value)[:60]}`"
