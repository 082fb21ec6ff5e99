"""The source that a pipeline runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dlt
from dlt.extract import DltResource

from charthero_ext import ChartHero
from charthero_ext._operations import Instant, as_instant
from charthero_ext.connectors.dlt.extraction import Deleted, Extraction, Item, Start
from charthero_ext.connectors.dlt.parts import Parts
from charthero_ext.connectors.dlt.tables import DOCUMENTS, ENCOUNTERS, MERGE, TRANSCRIPTS, Table

__all__ = ["charthero_source"]


@dlt.source(name="charthero")
def charthero_source(
    client: ChartHero,
    *,
    start_at: Instant | None = None,
    end_at: Instant | None = None,
    look_back: timedelta = timedelta(days=30),
    allow_mass_delete: bool = False,
) -> tuple[DltResource, ...]:
    """Encounters, documents and transcripts, merged into a destination that dlt can read with SQL.

    The first run loads every encounter created since ``start_at``. Each further run reads the encounters since
    ``look_back`` before the newest one again, because the API cannot report changes. Documents and transcripts are
    fetched only for encounters whose ``updated_at`` has changed, or that are not loaded completely.

    Unknown fields become columns. Columns with a leading ``_`` are ours: ``_additional`` holds the fields that cannot
    be columns (lists, and names that collide). ``with_resources("encounters", "documents")`` leaves transcripts out; a
    later run with them loads all of them. dlt's ``extract.workers`` limits the requests at once. No recording is
    requested.

    Args:
        client: Must stay open until the pipeline has run; you close it.
        start_at: Only encounters with ``created_at >= start_at``. A later run with an earlier ``start_at`` loads the
            encounters before those that are loaded.
        end_at: Only encounters with ``created_at < end_at``. The range must touch the range that is loaded.
        look_back: How long after its creation an encounter may still change or be deleted.
        allow_mass_delete: Delete also if the API lists no encounters although it counts some, if more than 20 and more
            than a fifth of the encounters in the range are gone, or if an emptied table holds rows of another source.

    Raises:
        ValueError: ``look_back`` is not positive, or an instant has no time zone.
        PipelineStepFailed: By the pipeline, from a ChartHeroError or ValueError. Nothing of this run is loaded.
    """
    if look_back <= timedelta(0):
        raise ValueError("look_back must be positive")
    extraction = Extraction(
        client, as_instant(start_at, "start_at"), as_instant(end_at, "end_at"), look_back, allow_mass_delete
    )
    parts = Parts(extraction, DOCUMENTS, client.documents.get)
    transcript_parts = Parts(extraction, TRANSCRIPTS, client.documents.transcript, "ambient_transcript")

    @dlt.resource(selected=False)
    def walk() -> Iterator[Item]:
        yield from extraction.walk()

    @dlt.transformer(data_from=walk, **_hints(ENCOUNTERS))
    def encounters(item: Item) -> Any:
        if isinstance(item, Start):
            return dlt.mark.materialize_table_schema() if ENCOUNTERS.name in item.missing else None
        if isinstance(item, Deleted):
            return ENCOUNTERS.deleted(*item.key) if item.key in extraction.versions[ENCOUNTERS.name] else None
        extraction.mark_written(ENCOUNTERS)
        ours = {"_source": extraction.key(item)[0]}
        return extraction.rows(ENCOUNTERS, [(item.to_dict() | {"created_at": item.created_at}, ours)])

    @dlt.transformer(data_from=walk, parallelized=True, **_hints(DOCUMENTS))
    def documents(item: Item) -> Iterator[Any]:
        yield from parts.rows(item)

    @dlt.transformer(data_from=walk, parallelized=True, **_hints(TRANSCRIPTS))
    def transcripts(item: Item) -> Iterator[Any]:
        yield from transcript_parts.rows(item)

    return walk, encounters, documents, transcripts


def _hints(table: Table) -> Any:
    return {"write_disposition": MERGE, **table.hints}
