"""The rows of an encounter's documents, and of their transcripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import dlt
from attrs import define, field

from charthero_ext.connectors.dlt.destination import EncounterKey
from charthero_ext.connectors.dlt.extraction import Deleted, Extraction, Item, Start
from charthero_ext.connectors.dlt.tables import SIDE_TABLES, TRANSCRIPTS, TURNS, UNREADABLE, Row, Table
from charthero_ext.errors import (
    InvalidRequestError,
    NotFoundError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from charthero_ext.models import Document, DocumentSummary, Encounter, Transcript

__all__ = ["Parts"]

OUTAGE = 20  # so many documents in a row that cannot be read are an outage, not broken documents

Part = Document | Transcript


@define
class Parts:
    """Fetches the documents of an encounter, or the transcripts of these, and makes rows of them."""

    extraction: Extraction
    table: Table
    fetch: Callable[[str, str], Part]
    schema_type: str | None = None
    _failures: int = field(init=False, default=0)

    def rows(self, item: Item) -> Iterator[Any]:
        """Yield the rows of an encounter, table by table; none if the destination has them already.

        Raises:
            ChartHeroError: A request failed, and requests for other documents would fail too.
        """
        if isinstance(item, Start):
            for table in (self.table, *SIDE_TABLES[self.table]):
                if table.name in item.missing:
                    yield _of(table, dlt.mark.materialize_table_schema())
        elif isinstance(item, Deleted):
            yield from self._deleted(item.key, self._data_tables)
            yield from self._unreadable(item.key, {}, None)
        else:
            key, version = self.extraction.key(item), _version(item)
            held = self.extraction.versions.get(self.table.name, {})
            if version is None or version != held.get(key):
                found, unreadable, complete = self._fetched(item)
                yield from self._rows(item, found, version if complete else None)
                yield from self._unreadable(key, unreadable, item.created_at)

    @property
    def _data_tables(self) -> tuple[Table, ...]:
        return (TRANSCRIPTS, TURNS) if self.table is TRANSCRIPTS else (self.table,)

    def _fetched(self, encounter: Encounter) -> tuple[dict[str, Part], dict[str, str], bool]:
        """Return the documents by id, the reason for each that cannot be read, and whether none is missing."""
        found: dict[str, Part] = {}
        unreadable: dict[str, str] = {}
        complete = True
        for summary in encounter.documents if isinstance(encounter.documents, list) else ():
            if not isinstance(summary, DocumentSummary) or self.schema_type not in (None, summary.schema_type):
                continue
            try:
                found[summary.document_id] = self.fetch(encounter.encounter_id, summary.document_id)
                self._failures = 0
            except (NotFoundError, ValueError):  # not there yet, no longer, or no id: the next run asks again
                complete = False
            except (InvalidRequestError, UnexpectedResponseError, ServiceUnavailableError) as error:
                complete = False
                status = getattr(error, "status_code", None)
                if getattr(error, "reason_code", None) == "unsupported_document_type":
                    continue
                self._failures += 1
                if self._failures >= OUTAGE or (isinstance(error, ServiceUnavailableError) and status != 500):
                    raise
                unreadable[summary.document_id] = type(error).__name__ + (f" {status}" if status else "")
        return found, unreadable, complete

    def _rows(self, encounter: Encounter, found: dict[str, Part], version: str | None) -> Iterator[Any]:
        source, encounter_id = key = self.extraction.key(encounter)
        empty = set(self._data_tables)
        for document_id, part in found.items():
            empty.discard(self.table)
            ours: Row = {
                "_source": source,
                "encounter_id": encounter_id,
                "document_id": document_id,
                "_encounter_created_at": encounter.created_at,
            }
            whose = ours | {"_encounter_updated_at": version}
            if isinstance(part, Transcript):
                whose["_turns"] = len(_turns(part))
                yield self.extraction.rows(TRANSCRIPTS, [(_without_turns(part), whose)])
                if _turns(part):
                    self.extraction.mark_written(TRANSCRIPTS)
                    empty.discard(TURNS)
                    turns = ((turn, ours | {"_position": number}) for number, turn in enumerate(_turns(part)))
                    yield _of(TURNS, self.extraction.rows(TURNS, turns))
            else:
                self.extraction.mark_written(self.table)
                yield self.extraction.rows(self.table, [(part.to_dict(), whose)])
        yield from self._deleted(key, empty)

    def _deleted(self, key: EncounterKey, tables: Iterable[Table]) -> Iterator[Any]:
        """Yield what deletes the rows that the destination has of an encounter; a new row deletes them too."""
        if key in self.extraction.versions.get(self.table.name, {}):
            for table in tables:
                yield _of(table, [table.deleted(*key)])

    def _unreadable(self, key: EncounterKey, reasons: dict[str, str], created_at: datetime | None) -> Iterator[Any]:
        """Yield what makes the table of unreadable documents equal to the reasons of an encounter."""
        for document_id, part in self.extraction.unreadable.get(key, ()):
            if part == self.table.name and document_id not in reasons:
                yield _of(UNREADABLE, [UNREADABLE.deleted(*key, document_id=document_id, part=part)])
        ours = {"_source": key[0], "encounter_id": key[1], "_encounter_created_at": created_at}
        for document_id, reason in reasons.items():
            record = {"document_id": document_id, "part": self.table.name, "reason": reason}
            yield _of(UNREADABLE, self.extraction.rows(UNREADABLE, [(record, ours)]))


def _version(encounter: Encounter) -> str | None:
    """Return ``updated_at`` as text, or None if it is missing. No row matches None."""
    return str(encounter.updated_at) if encounter.updated_at else None


def _turns(transcript: Transcript) -> list[Row]:
    turns = transcript.to_dict()["transcript"].get("turns")
    return [turn if isinstance(turn, dict) else {"_value": turn} for turn in turns] if isinstance(turns, list) else []


def _without_turns(transcript: Transcript) -> Row:
    record = transcript.to_dict()
    if isinstance(record["transcript"].get("turns"), list):
        del record["transcript"]["turns"]
    return record


def _of(table: Table, rows: list[Row]) -> Any:
    return dlt.mark.with_table_name(rows, table.name)
