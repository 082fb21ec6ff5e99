"""Turn untrusted words of an artifact into safe identifiers of limited length, and into lines of plain text."""

from __future__ import annotations

import re

from attrs import Factory, define

__all__ = ["Names", "folded", "identifier", "is_property_name", "pascal", "shown", "text"]

#: Some file systems refuse the file names of longer names.
MAX_LENGTH = 80

#: Folded names that generated modules import or define. A schema with such a name gets another one.
OF_THE_CODE = frozenset(
    [
        *("any", "authenticatedclient", "classvar", "client", "file", "filetypes", "httpstatus", "literal", "mapping"),
        *("model", "mutablemapping", "number", "requestfiles", "response", "typechecking", "union", "unset"),
    ]
)

#: Folded names that a generated model needs for itself. A property with such a name is read as an additional property.
OF_THE_MODEL = frozenset(
    [
        *("additionalproperties", "fromdict", "frombody", "todict", "self", "cls", "none"),
        *("showcode", "showcount", "showid", "showknown", "showmodel", "showtime"),
    ]
)


@define
class Names:
    """Hands out names that differ in more than case and punctuation, because they also name files."""

    taken: set[str] = Factory(set)

    def unused(self, name: str) -> str:
        """Return *name*, or a similar one that is still unused."""
        name, number = name[:MAX_LENGTH], 1
        candidate = name
        while folded(candidate) in self.taken:
            number += 1
            candidate = f"{name}_{number}"
        self.taken.add(folded(candidate))
        return candidate


def identifier(words: object, fallback: str) -> str:
    """Return *words* as an identifier, or *fallback* if they do not give one."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", words).strip("_") if isinstance(words, str) else ""
    return name[:MAX_LENGTH] if name[:1].isalpha() else fallback


def pascal(words: str) -> str:
    """Return *words* as the name of a class."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", words))


def folded(name: str) -> str:
    """Return the key under which names collide, on some file systems or in Python."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def is_property_name(name: str) -> bool:
    """Tell whether a model can have an attribute for the property *name*."""
    return (
        re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) is not None
        and len(name) <= MAX_LENGTH
        and folded(name) not in OF_THE_MODEL
    )


def text(value: object) -> str:
    """Return a description as one line of printable text, for a docstring."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in " ".join(value[:5000].split()) if character.isprintable())[:500]


def shown(value: object) -> str:
    """Return a name of the artifact, safe to print in a message."""
    return f"`{text(value)[:60]}`"
