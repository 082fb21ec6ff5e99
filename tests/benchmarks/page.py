"""The page that every peer reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from charthero_ext.sandbox import Sandbox

__all__ = ["PATH", "page"]

PATH = "/external/v1/encounters"


def page(rows: int) -> bytes:
    """Return the body of one page of synthetic encounters. It is the same in every run."""
    sandbox = Sandbox(encounters=rows, newest_at=datetime(2026, 5, 1, tzinfo=UTC))
    items, total = sandbox.store.page(start=None, end=None, offset=0, limit=rows, descending=True)
    body = {"items": items, "limit": rows, "offset": 0, "total": total}
    return json.dumps(body, default=sandbox.timestamp, separators=(",", ":")).encode()
