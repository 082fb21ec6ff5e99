"""Schema contracts that freeze a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import dlt
from attrs import frozen
from dlt.common.data_types import TDataType, coerce_value, py_type_to_sc_type
from dlt.common.normalizers.naming import NamingConvention
from dlt.extract.items import TableNameMeta

from charthero_ext.connectors.dlt.tables import SIDE_TABLES, Row, Table, columns_of

__all__ = ["Contract", "frozen_contracts"]


@frozen
class Contract:
    """A schema contract that freezes a table.

    It is checked here and not by dlt, which writes the row that violates it into the trace of the run.

    Attributes:
        columns: The types of the columns, by name.
        is_closed: Whether no column may be added.
        is_typed: Whether no column may get values of another type.
    """

    columns: dict[str, TDataType]
    is_closed: bool
    is_typed: bool

    def violation(self, row: Row, table: Table, naming: NamingConvention) -> str | None:
        """Return why the contract does not allow a row, without its values; None if it allows the row."""
        for _, column, value in columns_of(row, table.json | {"_additional"}, naming):
            if value is None:
                continue
            if column not in self.columns:
                if self.is_closed and not column.startswith("_dlt_"):
                    return f"the schema contract freezes columns: {table.name} has no column {column}"
            elif self.is_typed and not _fits(value, kind := self.columns[column]):
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
            modes = cast("Any", source.schema.resolve_contract_settings_for_table(table.name, merged))
            columns = {name: column["data_type"] for name, column in known["columns"].items() if "data_type" in column}
            contract = Contract(columns, modes["columns"] == "freeze", modes["data_type"] == "freeze")
            if columns and (contract.is_closed or contract.is_typed):
                contracts[table.name] = contract
    return contracts


def _fits(value: Any, kind: TDataType) -> bool:
    try:
        coerce_value(kind, cast("Any", py_type_to_sc_type(type(value))), value)
    except (TypeError, ValueError):
        return False
    return True
