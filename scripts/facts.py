"""Print an OpenAPI document as sorted facts, one a line, that a person can read and compare.

A fact has a direction (sent or received), the public name of what it is about, and a statement, for example
``sent encounters.list(limit=): maximum 100``. Public names come from ``openapi/surface.toml``. Routes and models
without a promise appear under their own names. Operation ids, ``$ref``s, the spelling of null, order, prose and layout
are not facts.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.alternatives import EVERY_TYPE
from scripts.artifact import ROOT, SNAPSHOT, ArtifactError, load_snapshot, write_atomically
from scripts.findings import shown
from scripts.subjects import Subject, subjects
from scripts.surface import Surface, load_surface

__all__ = ["FACTS", "facts_of", "main", "statements", "write"]

FACTS = ROOT / "openapi" / "facts.txt"

MAX_LINE = 300

#: The spelling of facts without a text, and of facts with one, if it differs from the name of their kind.
FLAGS = {"null": "nullable", "body": "JSON body", "needs": "needs no key"}
STATEMENTS = {
    "success": "status {}",
    "additionalProperties": "other fields: {}",
    "combination": "either {}",
    "keyword": "{}",
}


def facts_of(document: dict[str, Any], surface: Surface) -> list[str]:
    """Return the facts of *document*, sorted. A fact that does not hold in every place names the places in brackets.

    Raises:
        ArtifactError: The document cannot be read.
    """
    everywhere: dict[tuple[bool, str], set[tuple[str, str]]] = defaultdict(set)
    places: dict[tuple[bool, str, str], set[tuple[str, str]]] = defaultdict(set)
    for subject in subjects(document, surface).values():
        here = subject.route, subject.alternative
        everywhere[subject.sent, subject.owner].add(here)
        for statement in _statements(subject):
            places[subject.sent, subject.owner, f"{subject.name}: {statement}"].add(here)
    return sorted(
        shown(f"{'sent' if sent else 'received'} {statement}{_only(here, everywhere[sent, owner])}", MAX_LINE)
        for (sent, owner, statement), here in places.items()
    )


def write(path: Path = FACTS, snapshot: Path = SNAPSHOT) -> None:
    """Write the facts of *snapshot* to *path*."""
    _, document = load_snapshot(snapshot)
    write_atomically(path, _text(facts_of(document, load_surface())))


def statements(kind: str, texts: frozenset[str]) -> list[str]:
    """Return the facts of one kind as statements, without the facts that have no text."""
    if kind == "type":
        names = texts - ({"integer"} if "number" in texts else set())
        return [f"type {'anything' if texts >= EVERY_TYPE else ' or '.join(sorted(names))}"] if names else []
    return [STATEMENTS.get(kind, f"{kind} {{}}").replace("{}", text) for text in sorted(texts) if text]


def _statements(subject: Subject) -> Iterator[str]:
    if subject.exists == "route":
        yield subject.route
    elif subject.exists.endswith("field") and ("required", "") not in subject.facts:
        yield "optional"
    for (kind, _), texts in subject.facts.items():
        if "" in texts:
            yield FLAGS.get(kind, kind)
        yield from statements(kind, texts)


def _only(here: set[tuple[str, str]], everywhere: set[tuple[str, str]]) -> str:
    """Return the alternatives or routes of a fact in brackets; empty if it holds everywhere."""
    if here == everywhere:
        return ""
    routes, alternatives = ({place[index] for place in here} for index in (0, 1))
    if here == {place for place in everywhere if place[1] in alternatives}:
        words = alternatives
    elif here == {place for place in everywhere if place[0] in routes}:
        words = routes
    else:
        words = {", ".join(filter(None, place)) for place in here}
    return f" [{'; '.join(sorted(words))}]"


def _text(facts: list[str]) -> bytes:
    return "".join(f"{fact}\n" for fact in facts).encode()


def main(arguments: list[str] | None = None) -> int:
    """Print the facts of a document, or compare those of the snapshot with openapi/facts.txt."""
    parser = argparse.ArgumentParser(description="Print an OpenAPI document as sorted facts, one a line.")
    parser.add_argument(
        "spec", nargs="?", type=Path, default=SNAPSHOT, help="an OpenAPI document (default: the snapshot)"
    )
    parser.add_argument("--check", action="store_true", help="print nothing; exit 1 if openapi/facts.txt is stale")
    options = parser.parse_args(arguments)
    try:
        _, document = load_snapshot(options.spec)
        content = _text(facts_of(document, load_surface()))
        if not options.check:
            sys.stdout.write(content.decode())
        elif FACTS.read_bytes() != content:
            raise ArtifactError("openapi/facts.txt is not what the snapshot says; run `make generate`")
    except (ArtifactError, OSError) as error:
        print(f"facts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
