"""A reconstructed snapshot has a table that says how certain each of its parts is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from scripts.artifact import SNAPSHOT, SOURCE

RECORD = json.loads(SOURCE.read_bytes())
ROWS = RECORD.get("parts", [])


def leaves(node: Any, *keys: str) -> Iterator[tuple[str, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if not children:
        yield keys
    for key, child in children:
        yield from leaves(child, *keys, str(key))


def covers(part: str, leaf: tuple[str, ...]) -> bool:
    patterns = part.split("/")
    return len(leaf) >= len(patterns) and all(map(fnmatchcase, leaf, patterns))


def certainty(leaf: tuple[str, ...]) -> str:
    """Return what the last row that matches says."""
    return next((row["certainty"] for row in reversed(ROWS) if covers(row["part"], leaf)), "missing")


def test_a_pulled_snapshot_needs_no_table_and_a_reconstructed_one_has_it() -> None:
    assert (RECORD["provenance"], bool(ROWS)) in {("pulled", False), ("reconstructed", True)}


def test_the_table_covers_every_part_of_the_snapshot_and_nothing_else() -> None:
    found = list(leaves(json.loads(SNAPSHOT.read_bytes()))) if ROWS else []
    assert Counter(map(certainty, found)).keys() <= {"certain", "inferred", "guessed"}
    assert [row["part"] for row in ROWS if not any(covers(row["part"], leaf) for leaf in found)] == []
    assert all(row["because"] for row in ROWS)
