"""A first load of any size, in chunks."""

from __future__ import annotations

from typing import Any

from dlt import Pipeline
from dlt.extract.state import resource_state

from charthero_ext import ChartHero
from charthero_ext._operations import Instant, as_instant
from charthero_ext.connectors.dlt.source import charthero_source
from charthero_ext.connectors.dlt.tables import DOCUMENTS, ENCOUNTERS, TRANSCRIPTS

__all__ = ["backfill"]


def backfill(pipeline: Pipeline, client: ChartHero, *, start_at: Instant | None = None, max_rows: int = 10_000) -> int:
    """Load the encounters created since ``start_at`` that are not loaded yet, and return the number of loads.

    Each load is a chunk of about ``max_rows`` encounters, committed before the next one begins. The newest chunk is
    the first, so the tables always hold one range without gaps. After a failure or a kill, the next call continues
    with the chunk that was not committed. Run :func:`charthero_source` afterwards to keep the tables up to date.

    Args:
        pipeline: Where to load to.
        client: The client to read with; you close it.
        start_at: Only encounters with ``created_at >= start_at``; None for the beginning.
        max_rows: About how many encounters a chunk has. dlt keeps a chunk in its working directory while it loads.

    Raises:
        ValueError: ``start_at`` has no time zone, or ``max_rows`` is below 1.
        ChartHeroError: A request for the bounds of the chunks failed.
        PipelineStepFailed: By the pipeline. The chunks before this one are loaded.
    """
    first = as_instant(start_at, "start_at")
    if pipeline.has_pending_data:
        pipeline.run()
    pipeline.sync_destination()
    state = pipeline.state.get("sources", {}).get(charthero_source.name, {})
    tables = (ENCOUNTERS, DOCUMENTS, TRANSCRIPTS)
    covered: list[Any] = [resource_state(table.name, state).get("covered") for table in tables]
    end = None
    if all(covered):
        starts = [each["start"] for each in covered]
        if None in starts:
            return 0
        end = max(starts)
        if first is not None and end <= first:
            return 0
    windows = client.encounters.windows(start_at=first, end_at=end, max_rows=max_rows)
    for window in reversed(windows):
        pipeline.run(charthero_source(client, start_at=window.start_at, end_at=window.end_at))
    return len(windows)
