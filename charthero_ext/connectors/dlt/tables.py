"""The tables: their columns, their keys, and how a record of the API becomes a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dlt.common.normalizers.naming import NamingConvention
from dlt.extract import DltResource

__all__ = [
    "DOCUMENTS",
    "ENCOUNTERS",
    "MERGE",
    "TABLES",
    "TRANSCRIPTS",
    "TURNS",
    "UNREADABLE",
    "Row",
    "Rows",
    "Table",
    "columns_of",
    "row_of",
]

Row = dict[str, Any]
Path = tuple[str, ...]


class Rows(list[Row]):
    """Rows for dlt. Tools that show the local variables of dlt's frames do not show the rows."""

    def __repr__(self) -> str:
        return "Rows(...)"

    def __rich_repr__(self) -> Iterator[str]:
        yield "..."

    __sentry_repr__ = __repr__


MERGE: Any = {"disposition": "merge", "strategy": "delete-insert"}


class Table:
    """One table: its name, its dlt hints, and the columns that make a row unique.

    Every column of the contract has a type, so it exists before its first value. No table has nested tables, because
    dlt removes repeated rows of a load only from tables without them.
    """

    def __init__(self, name: str, key: str, *, merge_key: str = "", json: str = "", **columns: str) -> None:
        self.name = name
        self.key = key.split()
        self.json = frozenset(json.split())
        kinds = {"text": f"_source {key}", "bool": "_deleted", "json": f"_additional {json}"}
        hints: dict[str, Any] = {}
        for kind, names in (*kinds.items(), *columns.items()):
            hints |= {name: {"data_type": kind} for name in names.split()}
        hints["_deleted"]["hard_delete"] = True
        # Not unique: a load that is killed after a commit can insert the same rows into dlt's staging tables again.
        hints["_dlt_id"] = {"data_type": "text", "nullable": False, "row_key": True, "unique": False}
        self.hints: dict[str, Any] = {
            "columns": hints,
            "primary_key": ["_source", *self.key],
            "merge_key": ["_source", *merge_key.split()] if merge_key else None,
        }

    def write_beside(self, resource: DltResource, disposition: Any, file_format: Any = None) -> None:
        """Let a resource write this table beside its own."""
        name = self.name
        resource.apply_hints(table_name=name, columns={}, merge_key="", create_table_variant=True)  # not its own hints
        resource.apply_hints(
            table_name=name,
            write_disposition=disposition,
            file_format=file_format,
            create_table_variant=True,
            **self.hints,
        )

    def deleted(self, source: str, encounter_id: str, *, document_id: str = "", part: str = "") -> Row:
        """Return the row that deletes the row with a key, or all rows of the encounter if there is a merge key."""
        key = {"encounter_id": encounter_id, "document_id": document_id, "part": part, "_position": -1}
        return self._identified({"_source": source, **{name: key[name] for name in self.key}, "_deleted": True})

    def row(self, record: Mapping[str, Any], ours: Row, naming: NamingConvention) -> Row:
        """Return the row of a record of the API, with the columns that we add."""
        return self._identified(row_of(record, ours, self.json, naming))

    def _identified(self, row: Row) -> Row:
        key = "\0".join(str(row[name]) for name in ("_source", *self.key))
        return row | {"_dlt_id": hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]}


ENCOUNTERS = Table(
    "encounters",
    "encounter_id",
    text="organization_id date_of_service encounter_type status"
    " patient__patient_id patient__first_name patient__last_name patient__date_of_birth",
    timestamp="created_at updated_at",
    json="documents",
)
DOCUMENTS = Table(
    "documents",
    "encounter_id document_id",
    merge_key="encounter_id",
    text="_encounter_updated_at schema_type title status workflow_variant content__format content__text",
    timestamp="_encounter_created_at created_at updated_at",
)
TRANSCRIPTS = Table(
    "transcripts",
    "encounter_id document_id",
    merge_key="encounter_id",
    text="_encounter_updated_at transcript__provider",
    double="transcript__audio_duration_seconds",
    timestamp="_encounter_created_at",
    bigint="_turns",
)
TURNS = Table(
    "transcripts__turns",
    "encounter_id document_id _position",
    merge_key="encounter_id",
    text="speaker text",
    double="start end",
    timestamp="_encounter_created_at",
    bigint="_position",
)
UNREADABLE = Table("_unreadable", "encounter_id document_id part", text="reason", timestamp="_encounter_created_at")
TABLES = (ENCOUNTERS, DOCUMENTS, TRANSCRIPTS, TURNS, UNREADABLE)
#: The tables that a table's resource writes beside it.
SIDE_TABLES: dict[Table, tuple[Table, ...]] = {
    ENCOUNTERS: (),
    DOCUMENTS: (UNREADABLE,),
    TRANSCRIPTS: (TURNS, UNREADABLE),
}


def row_of(record: Mapping[str, Any], ours: Row, json: frozenset[str], naming: NamingConvention) -> Row:
    """Return a record as a row: a column for each field, and ``_additional`` for the fields that no column can hold.

    These are lists, and fields whose column belongs to us, to dlt or to another field of the record. Of two fields of
    one column, the field whose name is the column's name gets it.

    Args:
        record: A decoded JSON object.
        ours: The columns that we add.
        json: The columns that hold any JSON value.
        naming: How dlt turns names of fields into names of columns.
    """
    leaves = list(columns_of(record, json, naming))
    leaves.sort(key=lambda leaf: ("__".join(leaf[0]) != leaf[1], -len(leaf[0])))
    row: Row = {}
    additional: Row = {}
    taken = dict(ours)
    for path, column, value in leaves:
        if path == (column,) and not column.startswith("_") and column in ours and ours[column] == value:
            continue
        is_variant = column.rpartition("__")[2].startswith("v_")  # dlt's name for a column of another type
        is_list = isinstance(value, list) and column not in json
        is_ours = path[0] in ours or column.startswith("_")
        free = column not in taken and not is_ours and not is_variant and not is_list
        taken[column] = value
        _put(row if free else additional, path, value)
    return row | ours | {"_additional": additional or None}


def columns_of(
    record: Mapping[str, Any], json: frozenset[str], naming: NamingConvention, above: Path = ()
) -> Iterator[tuple[Path, str, Any]]:
    """Yield each value of a record with its path and the name of its column."""
    for name, value in record.items():
        path = (*above, name)
        if isinstance(value, dict) and "__".join(path) not in json:
            yield from columns_of(value, json, naming, path)
        else:
            yield path, _column(path, naming), value


@lru_cache(maxsize=10_000)
def _column(path: Path, naming: NamingConvention) -> str:
    names = (name if name and not name.isspace() else "_empty" for name in path)  # dlt's column for an empty name
    return naming.shorten_fragments(*map(naming.normalize_identifier, names)).casefold()


def _put(target: Row, path: Path, value: Any) -> None:
    *above, name = path
    for each in above:
        target = target.setdefault(each, {})
    target[name] = value
