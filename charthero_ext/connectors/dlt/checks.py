"""What dlt was told to do with the source. What would lose rows is refused."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import dlt
from attrs import frozen
from dlt.common.data_types import TDataType, coerce_value, py_type_to_sc_type
from dlt.common.normalizers.naming import NamingConvention
from dlt.extract import DltResource
from dlt.extract.items import TableNameMeta
from dlt.extract.items_transform import LimitItem

from charthero_ext.connectors.dlt.tables import (
    DOCUMENTS,
    ENCOUNTERS,
    MERGE,
    SIDE_TABLES,
    TRANSCRIPTS,
    UNREADABLE,
    Row,
    Table,
    columns_of,
)
from charthero_ext.errors import ChartHeroError

__all__ = ["Contract", "frozen_contracts", "prepared_tables"]


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
    # insert_values needs ten times the memory and four times the time.
    prefers_parquet = abilities.preferred_loader_file_format == "insert_values" and (
        abilities.loader_file_format_selector is None and "parquet" in (abilities.supported_loader_file_formats or ())
    )
    tables = [table for table in (ENCOUNTERS, DOCUMENTS, TRANSCRIPTS) if table.name in source.resources.selected]
    for table in tables:
        resource = source.resources[table.name]
        hints = _checked_hints(resource, table)
        file_format: Any = hints.get("file_format") or ("parquet" if prefers_parquet else None)
        resource.apply_hints(file_format=file_format)
        for side in SIDE_TABLES[table]:
            side.write_beside(resource, MERGE if side is UNREADABLE else resource.write_disposition, file_format)
    Path(pipeline.working_dir).chmod(0o700)  # dlt keeps patients' data there
    return tables


def _checked_hints(resource: DltResource, table: Table) -> Any:
    hints = cast("Any", resource.compute_table_schema())
    if hints["name"] != table.name:
        raise ChartHeroError(f"table_name is not supported: the resource {table.name} has the table {table.name}")
    disposition = hints.get("write_disposition")
    if disposition != "replace" and (disposition, hints.get("x-merge-strategy")) != ("merge", "delete-insert"):
        raise ChartHeroError(f"write_disposition of {table.name} can be its default or 'replace', not {disposition!r}")
    columns = hints["columns"]
    if [name for name, column in columns.items() if column.get("primary_key")] != table.hints["primary_key"]:
        raise ChartHeroError(f"primary_key of {table.name} cannot be changed")
    return hints


@frozen
class Contract:
    """A schema contract that freezes a table. dlt would write a row that violates it into the trace of the run."""

    columns: dict[str, TDataType]
    freezes_columns: bool
    freezes_types: bool

    def violation(self, row: Row, table: Table, naming: NamingConvention) -> str | None:
        """Return why the contract does not allow a row, without its values; None if it allows the row."""
        for _, column, value in columns_of(row, table.json | {"_additional"}, naming):
            kind = self.columns.get(column)
            if value is None or column.startswith("_dlt_"):
                continue
            if kind is None and self.freezes_columns:
                return f"the schema contract freezes columns: {table.name} has no column {column}"
            if kind is not None and self.freezes_types and not _fits(value, kind):
                return f"the schema contract freezes data_type: {column} of {table.name} is a {kind}"
        return None


def frozen_contracts(tables: Iterable[Table]) -> dict[str, Contract]:
    """Return the contracts that freeze tables which exist, by table."""
    pipeline, source = dlt.current.pipeline(), dlt.current.source()
    stored = pipeline.schemas[source.schema.name].tables if source.schema.name in pipeline.schemas else {}
    contracts = {}
    for owner in tables:
        for table in (owner, *SIDE_TABLES[owner]):
            known = cast("Any", stored.get(table.name, {"columns": {}}))  # it keeps the contract of earlier runs
            hints: Any = source.resources[owner.name].compute_table_schema(meta=TableNameMeta(table.name))
            merged: Any = {**known, **hints}
            modes: Any = source.schema.resolve_contract_settings_for_table(table.name, merged)
            columns = {name: column["data_type"] for name, column in known["columns"].items() if "data_type" in column}
            if columns and "freeze" in (modes["columns"], modes["data_type"]):
                contracts[table.name] = Contract(columns, modes["columns"] == "freeze", modes["data_type"] == "freeze")
    return contracts


def _fits(value: Any, kind: TDataType) -> bool:
    with suppress(TypeError, ValueError):
        coerce_value(kind, cast("Any", py_type_to_sc_type(type(value))), value)
        return True
    return False
