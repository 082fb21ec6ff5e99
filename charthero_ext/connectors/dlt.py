"""A dlt source: encounters, documents and transcripts in a warehouse that is kept up to date.

Needs the extra: ``pip install "charthero-ext[dlt]"``. Patients' data and clinical text go where the pipeline takes
them: also into dlt's working directory, and stay there unless its ``load.delete_completed_jobs`` is on.

Source in the contract: "List parameters" and "Bodies".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltResource, Incremental, make_nested_hints

from charthero_ext import ChartHero
from charthero_ext._operations import Instant, as_instant
from charthero_ext.errors import ChartHeroError, NotFoundError

__all__ = ["charthero_source"]

_Row = dict[str, Any]


def _columns(**names: str) -> Any:
    """Columns by type, so that each is there, and has it, also without a single value."""
    return {name: {"data_type": kind} for kind, listed in names.items() for name in listed.split()}


_DELETED = {"_deleted": {"data_type": "bool", "hard_delete": True}}  # true in rows that only delete
_ENCOUNTERS = _DELETED | _columns(
    text="encounter_id organization_id date_of_service encounter_type status"
    " patient__patient_id patient__first_name patient__last_name patient__date_of_birth",
    timestamp="created_at updated_at",
    json="documents",
)
_PART = _DELETED | _columns(text="encounter_id document_id _encounter_updated_at", timestamp="_encounter_created_at")
_DOCUMENTS = _PART | _columns(
    text="schema_type title status workflow_variant content__format content__text", timestamp="created_at updated_at"
)
_TRANSCRIPTS = _PART | _columns(text="transcript__provider", double="transcript__audio_duration_seconds")
_TURNS: Any = {"turns": make_nested_hints(columns=_columns(text="speaker text", double="start end"))}
_MERGED: Any = {"write_disposition": {"disposition": "merge", "strategy": "delete-insert"}}
_PARTS: Any = _MERGED | {"primary_key": ("encounter_id", "document_id"), "merge_key": "encounter_id"}


@dlt.source(name="charthero")
def charthero_source(
    client: ChartHero, *, start_at: Instant | None = None, look_back: timedelta = timedelta(days=30)
) -> tuple[DltResource, ...]:
    """Encounters, documents and transcripts, merged into a destination that dlt can read back with SQL.

    The first run loads everything since ``start_at``. As the API cannot be asked for changes, every further run walks
    again over what was created since ``look_back`` before the newest encounter loaded. In that range the destination
    then holds what the walk saw: what is new or changed is there, what was deleted is gone. Before it, rows stay as
    they are. Documents and transcripts are fetched again only where their encounter's ``updated_at`` is another. A list
    that is empty although its ``total`` is not deletes nothing and is an error; this assumes that ``total`` counts the
    range asked for.

    Tables: ``encounters``, their documents listed as JSON; ``documents``, with the clinical text; ``transcripts`` and
    ``transcripts__turns``, in seconds from the start of the audio. Unknown fields become columns; ``_…`` are ours.

    ``with_resources("encounters", "documents")`` leaves transcripts out; added later, they begin with the look-back.
    dlt's ``extract.workers`` bounds the requests at once. No signed URL is ever asked for.

    Args:
        client: Has to stay open until the pipeline has run; you close it.
        start_at: Where the first run starts; None for the beginning.
        look_back: How long after its creation an encounter may still change or be deleted.

    Raises:
        ValueError: ``look_back`` is not positive, or ``start_at`` has no time zone.
        PipelineStepFailed: By the pipeline, from a ChartHeroError: nothing of this run is loaded.
    """
    if look_back <= timedelta(0):
        raise ValueError("look_back has to be positive")
    first = as_instant(start_at, "start_at")
    cursor: Incremental[datetime] = Incremental[datetime](
        "created_at", first, lag=look_back.total_seconds(), row_order="asc", on_cursor_value_missing="include"
    )
    held: dict[str, dict[str, str | None]] = {}  # by table: the encounters it has rows of, and their updated_at

    @dlt.resource(primary_key="encounter_id", columns=_ENCOUNTERS, **_MERGED)
    def encounters(created_at: Incremental[datetime] = cursor) -> Iterator[_Row]:
        start = created_at.last_value
        if start is not None and start > datetime.now(UTC):
            raise ChartHeroError("the newest encounter is of the future; give a longer look_back, or others are missed")
        held["encounters"] = _held("encounters", "created_at", "encounter_id", start)
        for table in ("documents", "transcripts"):
            held[table] = _held(table, "_encounter_created_at", "_encounter_updated_at", start)
        gone = set().union(*held.values())
        walk = client.encounters.iter(start_at=start)
        for encounter in walk:
            gone.discard(encounter.encounter_id)
            yield encounter.to_dict() | {"created_at": encounter.created_at}
        if gone and not walk.receipt.rows and walk.receipt.total_at_end:
            raise ChartHeroError("the API counts encounters and lists none; that is no reason to delete all of them")
        yield from ({"encounter_id": encounter_id, "_deleted": True} for encounter_id in gone)

    def parts(table: str, encounter: _Row, fetch: Callable[..., _Row], schema_type: str | None = None) -> list[_Row]:
        """The rows of an encounter in a table of its documents; none where the table has them already."""
        encounter_id, version = encounter["encounter_id"], encounter.get("updated_at")
        if version is not None and version == held[table].get(encounter_id):
            return []
        rows, listed = [], encounter.get("documents")
        for document in listed if isinstance(listed, list) else ():
            if isinstance(document, dict) and schema_type in (None, document.get("schema_type")):
                ids = {"encounter_id": encounter_id, "document_id": document.get("document_id")}
                try:
                    rows.append(fetch(**ids) | ids)
                except (NotFoundError, ValueError):  # not there yet, no longer, or no id: the next run asks again
                    version = None
        if not rows and encounter_id in held[table]:
            rows = [{"encounter_id": encounter_id, "document_id": "", "_deleted": True}]
        ours = {"_encounter_created_at": encounter.get("created_at"), "_encounter_updated_at": version}
        return [row | ours for row in rows]

    @dlt.transformer(data_from=encounters, columns=_DOCUMENTS, parallelized=True, **_PARTS)
    def documents(encounter: _Row) -> list[_Row]:
        return parts("documents", encounter, lambda **ids: client.documents.get(**ids).to_dict())

    def with_turns(encounter_id: str, document_id: str) -> _Row:
        row = client.documents.transcript(encounter_id, document_id).to_dict()
        return row | {"turns": row["transcript"].pop("turns", None)}  # dlt types a table only if it is not in an object

    @dlt.transformer(data_from=encounters, columns=_TRANSCRIPTS, nested_hints=_TURNS, parallelized=True, **_PARTS)
    def transcripts(encounter: _Row) -> list[_Row]:
        return parts("transcripts", encounter, with_turns, "ambient_transcript")

    return encounters, documents, transcripts


def _held(table: str, created_at: str, version: str, start: datetime | None) -> dict[str, str | None]:
    """The encounters created since *start* that a table has rows of, and a column of those that were loaded wholly."""
    try:
        if dlt.current.load_package_state().get("state", {}).get("refresh"):
            return {}  # the table will be emptied first
    except CurrentLoadPackageStateNotAvailable:  # no pipeline runs
        return {}
    pipeline, schema = dlt.current.pipeline(), dlt.current.source_schema()
    with pipeline.sql_client(schema.name if schema.name in pipeline.schemas else "") as sql:
        rows, loads = (sql.make_qualified_table_name(name) for name in (table, schema.loads_table_name))
        whole = f"_dlt_load_id IN (SELECT load_id FROM {loads} WHERE status = 0)"  # noqa: S608 - names of ours
        query = f"SELECT encounter_id, CASE WHEN {whole} THEN {version} END FROM {rows}"  # noqa: S608
        bound = () if start is None else (start + timedelta(seconds=1),)  # destinations may round instants up
        try:
            found = sql.execute_sql(query + f" WHERE {created_at} >= %s" * len(bound), *bound)
            return {row[0]: row[1] for row in found or ()}
        except DatabaseUndefinedRelation:  # there is no such table yet
            return {}
