"""What an export writes down about itself: how far it has come, and in the end what it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import Factory, define, evolve, frozen

from charthero_ext.cli.durable import Measured
from charthero_ext.pagination import Receipt

__all__ = ["Manifest", "Options", "State", "added", "counts_of"]


@frozen(kw_only=True)
class Options:
    """What makes it this export and no other: times in ISO 8601, in UTC."""

    base_url: str
    start_at: str | None
    end_at: str | None
    parts: list[str]


@frozen(kw_only=True)
class Manifest:
    """What a finished export holds.

    Attributes:
        options: What was asked for.
        finished_at: When it was finished.
        counts: How many lines there are of each kind.
        receipt: What the walk over the encounters saw; of all the walks, where it was interrupted.
        files: Lines, bytes and SHA-256 of each file.
        missing: What is not there, though an encounter names it: a transcript that is not ready, for example.
        unreadable: What may be there, but could not be had.
    """

    options: Options
    finished_at: datetime
    counts: dict[str, int]
    receipt: Receipt
    files: dict[str, Measured]
    missing: list[dict[str, Any]]
    unreadable: list[dict[str, Any]]


@define
class State:
    """How far an export has come: the walk's checkpoint and receipt, and the sizes the files have at it.

    Raises:
        ValueError: It cannot have been written like this.
    """

    options: Options
    checkpoint: str | None = None
    sizes: dict[str, int] = Factory(dict)
    receipt: Receipt | None = None

    def __attrs_post_init__(self) -> None:
        if (self.receipt is None) != (self.checkpoint is None) or (self.sizes and self.receipt is None):
            raise ValueError("these were not written together")
        if any(size < 0 for size in self.sizes.values()):
            raise ValueError("no file is smaller than empty")

    @property
    def rows(self) -> int:
        """How many encounters were exported."""
        return self.receipt.rows if self.receipt else 0

    @property
    def complete(self) -> bool:
        """Whether every encounter was."""
        return self.receipt is not None and self.receipt.complete


def counts_of(files: dict[str, Measured]) -> dict[str, int]:
    """Return how many lines there are of each kind."""
    return {name.removesuffix(".jsonl"): file.lines for name, file in files.items()}


def added(earlier: Receipt | None, later: Receipt) -> Receipt:
    """Return one receipt of a walk that was interrupted, and of the one that went on."""
    if earlier is None:
        return later
    return evolve(
        later,
        requests=earlier.requests + later.requests,
        rows=earlier.rows + later.rows,
        duplicates=earlier.duplicates + later.duplicates,
        anchors_moved=earlier.anchors_moved + later.anchors_moved,
        first_created_at=earlier.first_created_at or later.first_created_at,
        last_created_at=later.last_created_at or earlier.last_created_at,
        total_at_start=earlier.total_at_start,
        total_at_end=None if later.total_at_end is None else earlier.rows + later.total_at_end,
    )
