"""What dlt was told to do with the source, and what of it would lose rows and is therefore refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import dlt
from dlt.extract import DltResource
from dlt.extract.items_transform import LimitItem

from charthero_ext.connectors.dlt.tables import (
    DOCUMENTS,
    ENCOUNTERS,
    MERGE,
    SIDE_TABLES,
    TRANSCRIPTS,
    UNREADABLE,
    Table,
)
from charthero_ext.errors import ChartHeroError

__all__ = ["emptied_tables", "prepared_tables"]


def prepared_tables() -> list[Table]:
    """Return the tables that the run writes, after a check of the hints that the caller has changed.

    Raises:
        ChartHeroError: The destination or a hint is not supported; nothing was requested yet.
    """
    pipeline, source = dlt.current.pipeline(), dlt.current.source()
    if pipeline.destination is None:
        raise ChartHeroError("the pipeline needs a destination: the source reads there what is already loaded")
    name, abilities = pipeline.destination.destination_name, pipeline.destination.capabilities()
    if "delete-insert" not in (abilities.supported_merge_strategies or ()):
        raise ChartHeroError(
            f"the destination {name} is not supported: the source needs SQL tables that it can read and merge into; "
            "`charthero export` writes files"
        )
    if any(isinstance(step, LimitItem) for resource in source.resources.values() for step in resource._pipe.steps):
        raise ChartHeroError("add_limit is not supported: every run would load the same rows; use end_at or backfill")
    tables = [table for table in (ENCOUNTERS, DOCUMENTS, TRANSCRIPTS) if table.name in source.resources.selected]
    for table in tables:
        _check_hints(source.resources[table.name], table)
    parquet = abilities.preferred_loader_file_format == "insert_values" and (
        abilities.loader_file_format_selector is None and "parquet" in (abilities.supported_loader_file_formats or ())
    )
    for table in tables:
        resource = source.resources[table.name]
        chosen = resource.compute_table_schema().get("file_format")
        # insert_values needs ten times the memory and four times the time.
        file_format = chosen or ("parquet" if parquet else None)
        resource.apply_hints(file_format=file_format)
        for side in SIDE_TABLES[table]:
            side.write_beside(resource, MERGE if side is UNREADABLE else resource.write_disposition, file_format)
    Path(pipeline.working_dir).chmod(0o700)  # dlt keeps patients' data there
    return tables


def emptied_tables(tables: Iterable[Table], refresh: str | None) -> set[str]:
    """Return the tables that dlt empties or drops before it loads this run."""
    resources = dlt.current.source().resources
    return {table.name for table in tables if refresh or resources[table.name].write_disposition == "replace"}


def _check_hints(resource: DltResource, table: Table) -> None:
    hints = cast("Any", resource.compute_table_schema())
    if hints["name"] != table.name:
        raise ChartHeroError(f"table_name is not supported: the resource {table.name} has the table {table.name}")
    disposition = hints.get("write_disposition")
    if disposition != "replace" and (disposition, hints.get("x-merge-strategy")) != ("merge", "delete-insert"):
        raise ChartHeroError(f"write_disposition of {table.name} can be its default or 'replace', not {disposition!r}")
    columns = hints["columns"]
    if [name for name, column in columns.items() if column.get("primary_key")] != table.hints["primary_key"]:
        raise ChartHeroError(f"primary_key of {table.name} cannot be changed")
