"""The ledger of an export. It saves what was delivered together with the sizes of the files that contain it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from attrs import Factory, define

from charthero_ext.changes import Ledger

__all__ = ["ExportLedger", "State"]


@define(kw_only=True)
class State:
    """What the ledger stores for an export, besides its entries.

    Attributes:
        start_at: Where the export starts, in ISO 8601; None for everything.
        parts: What is exported besides encounters.
        number: The number of the current set.
        sizes: The sizes of its files.
        retry: Rows of the last set that were unreadable.
        feed: The state of the change feed.
        is_walked: The current set has all changes, or all but a refused mass deletion.
        base_url: Takes the place of a host, so that no other change feed accepts this ledger.
    """

    start_at: str | None
    parts: list[str]
    number: int = 1
    sizes: dict[str, int] = Factory(dict)
    retry: list[dict[str, Any]] = Factory(list)
    feed: str | None = None
    is_walked: bool = False
    base_url: str = "charthero export"


class ExportLedger(Ledger):
    """A ledger for the change feed that writes the lines of delivered changes before it saves."""

    state: State

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.write_pending: Callable[[], dict[str, int]] = dict

    def load_state(self) -> State | None:
        """Return the state of an export that was begun."""
        stored = super().load()
        return None if stored is None else msgspec.json.decode(stored, type=State)

    def load(self) -> str | None:
        """Return the state of the change feed."""
        return self.state.feed

    def save(self, state: str) -> None:
        """Write the lines, and then save the ledger."""
        self.state.feed = state
        self.state.is_walked = msgspec.json.decode(state)["status"] != "interrupted"
        self.commit()

    def commit(self) -> None:
        """Write the lines. Then save what was recorded, and the state, in one transaction."""
        self.state.sizes = self.write_pending()
        super().save(msgspec.json.encode(self.state).decode())

    def close(self) -> None:
        """Close the file. Discard what was recorded since the last `commit`: its lines are not written."""
        self._database.rollback()
        super().close()
