"""What the destination holds, read with SQL, and which range of ``created_at`` a table covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import dlt
from attrs import frozen
from dlt.destinations.exceptions import DatabaseUndefinedRelation

from charthero_ext.connectors.dlt.tables import ENCOUNTERS, TRANSCRIPTS, TURNS, UNREADABLE, Table

__all__ = ["Covered", "Destination", "EncounterKey"]

#: The source of an encounter, and its id.
EncounterKey = tuple[str, str]

_MARGIN = timedelta(seconds=1)  # destinations may round instants


@frozen(kw_only=True)
class Covered:
    """A range of ``created_at`` that a table holds completely. dlt keeps it in the state of the table's resource.

    Attributes:
        host: The API host of the rows.
        sources: The host with each organization that was listed, as in ``_source``.
        start: The start of the range; None for the beginning.
        until: The end of the range. The next run starts before it, by the look-back.
    """

    host: str
    sources: list[str]
    start: datetime | None
    until: datetime | None

    def extended(self, other: Covered) -> Covered:
        """Return the union with a range that touches this one."""
        ends = [end for end in (self.until, other.until) if end is not None]
        return Covered(
            host=self.host,
            sources=sorted({*self.sources, *other.sources}),
            start=None if self.start is None or other.start is None else min(self.start, other.start),
            until=max(ends, default=None),
        )


class Destination:
    """Reads the tables of the running pipeline in a ``with`` block, mostly the rows of one API host."""

    def __init__(self, host: str) -> None:
        self.host = host
        pipeline, schema = dlt.current.pipeline(), dlt.current.source_schema()
        name = schema.name if schema.name in pipeline.schemas else ""
        self.schema = pipeline.schemas[name] if name else schema
        self._sql = pipeline.sql_client(name)
        self._loads = self._sql.make_qualified_table_name(schema.loads_table_name)

    def __enter__(self) -> Self:
        self._sql.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._sql.__exit__(*exception)

    def sources(self, table: Table) -> set[str] | None:
        """Return the sources that a table holds rows of, those of other hosts included; None without the table."""
        rows = self._query(f"SELECT DISTINCT _source FROM {self._name(table)}")  # noqa: S608 - names of ours
        return None if rows is None else {row[0] for row in rows}

    def versions(self, table: Table, start: datetime | None, end: datetime | None) -> dict[EncounterKey, str | None]:
        """Return the encounters created in a range that a table has rows of, with the ``updated_at`` that was loaded.

        It is None for ``encounters``, because every run writes these rows again. It is also None for an encounter that
        was loaded incompletely: its load did not end, a row is repeated, or turns of a transcript are missing.
        """
        if table is ENCOUNTERS:
            found = self._select(table, "encounter_id", "created_at", start, end)
            return dict.fromkeys((source, encounter_id) for source, encounter_id in found)
        turns: dict[tuple[str, str, str], tuple[int, int]] = {}
        if table is TRANSCRIPTS:
            keys = "encounter_id, document_id"
            columns = f"{keys}, COUNT(*), COUNT(DISTINCT _position)"
            found = self._select(TURNS, columns, "_encounter_created_at", start, end, f" GROUP BY _source, {keys}")
            turns = {(source, encounter, document): tuple(counts) for source, encounter, document, *counts in found}
        ended = f"_dlt_load_id IN (SELECT load_id FROM {self._loads} WHERE status = 0)"  # noqa: S608
        columns = f"encounter_id, document_id, CASE WHEN {ended} THEN _encounter_updated_at END"
        columns += ", _turns" if table is TRANSCRIPTS else ", 0"
        versions: dict[EncounterKey, str | None] = {}
        seen: set[tuple[str, str, str]] = set()
        for source, encounter_id, document_id, version, count in self._select(
            table, columns, "_encounter_created_at", start, end
        ):
            key, row = (source, encounter_id), (source, encounter_id, document_id)
            complete = row not in seen and turns.get(row, (0, 0)) == (count, count)
            versions[key] = version if complete and versions.get(key, version) == version else None
            seen.add(row)
        return {row[:2]: None for row in turns} | versions

    def unreadable(self) -> dict[EncounterKey, set[tuple[str, str]]]:
        """Return the documents that could not be read, with the part that was asked for, by encounter."""
        found: dict[EncounterKey, set[tuple[str, str]]] = {}
        for source, encounter_id, document_id, part in self._select(UNREADABLE, "encounter_id, document_id, part"):
            found.setdefault((source, encounter_id), set()).add((document_id, part))
        return found

    def _select(
        self,
        table: Table,
        columns: str,
        created_at: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        grouped: str = "",
    ) -> Iterator[Sequence[Any]]:
        conditions = ["_source LIKE %s"]
        values: list[Any] = [f"{self.host}/%"]
        bounds = ((">=", start and start + _MARGIN), ("<", end and end - _MARGIN))
        for operator, bound in bounds:
            if bound is not None:
                conditions.append(f"{created_at} {operator} %s")
                values.append(bound)
        query = f"SELECT _source, {columns} FROM {self._name(table)} WHERE {' AND '.join(conditions)}{grouped}"  # noqa: S608
        for row in self._query(query, *values) or ():
            if row[0].startswith(f"{self.host}/"):  # some characters of a host are wildcards of LIKE
                yield row

    def _query(self, query: str, *values: Any) -> Sequence[Sequence[Any]] | None:
        """Return the rows of a query; None if a table does not exist."""
        try:
            return self._sql.execute_sql(query, *values)
        except DatabaseUndefinedRelation:
            return None

    def _name(self, table: Table) -> str:
        return self._sql.make_qualified_table_name(table.name)
