"""Turns a change into rows: the encounter, and what belongs to its documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from charthero_ext import errors
from charthero_ext.changes import Change
from charthero_ext.cli.set_files import measured
from charthero_ext.client import Documents
from charthero_ext.models import DocumentSummary

__all__ = ["PARTS", "Reader", "Row"]

PARTS = ("documents", "transcripts", "audio")

#: This many unreadable records of one kind in a row are an outage.
OUTAGE = 20

#: Failures of one record, after which others may be readable. A 503 or a refused connection concerns all of them.
REASONS = frozenset({"damaged", "media", "reset", "timeout", "too_large"})

#: The kind of a row and the row itself. The kind is ``encounters``, ``deleted``, ``missing``, ``unreadable`` or one of
#: ``PARTS``.
Row: TypeAlias = tuple[str, dict[str, Any]]


@frozen
class Reader:
    """Reads the wanted parts of documents. Recordings become files in *directory*."""

    documents: Documents = field(repr=False)
    parts: tuple[str, ...]
    directory: Path = Path()
    _in_a_row: Counter[str] = Factory(Counter)

    def read(self, change: Change) -> list[Row]:
        """Return the encounter, and each wanted part of its documents.

        A part that does not exist (404), or that cannot be read, becomes a row that says so.

        Raises:
            ChartHeroError: Other documents could not be read either.
            OSError: A recording cannot be written.
        """
        if change.encounter is None:
            return [("deleted", {"encounter_id": change.encounter_id})]
        rows: list[Row] = [("encounters", change.encounter.to_dict())]
        documents = change.encounter.documents
        for summary in documents if isinstance(documents, list) else []:
            is_known = isinstance(summary, DocumentSummary)
            document_id = summary.document_id if is_known and isinstance(summary.document_id, str) else None
            # A document of an unknown type may have a transcript.
            has_note_only = is_known and summary.schema_type == "document"
            wanted = [part for part in self.parts if part == "documents" or not has_note_only]
            rows += [self._part(part, change.encounter_id, document_id) for part in wanted]
        return rows

    def read_again(self, unreadable: dict[str, Any]) -> list[Row]:
        """Return the part of a document that was unreadable, as `read` does."""
        return [self._part(unreadable["part"], unreadable["encounter_id"], unreadable["document_id"])]

    def _part(self, part: str, encounter_id: str, document_id: Any) -> Row:
        keys = {"encounter_id": encounter_id, "document_id": document_id}
        try:
            row = keys | self._get(part, **keys)
        except (errors.ChartHeroError, ValueError) as error:
            # A gateway or a broken connection can take away the body of an error, and so its reason code.
            absence = "not_found" if isinstance(error, errors.NotFoundError) else type(error).__name__
            reason = getattr(error, "reason_code", None) or absence
            is_missing = isinstance(error, errors.NotFoundError) or reason == "unsupported_document_type"
            self._in_a_row[part] = 0 if is_missing else self._in_a_row[part] + 1
            if not is_missing and (not _concerns_one_record(error) or self._in_a_row[part] >= OUTAGE):
                raise
            return "missing" if is_missing else "unreadable", {"part": part, **keys, "reason": reason}
        self._in_a_row[part] = 0
        return part, row

    def _get(self, part: str, encounter_id: str, document_id: str) -> dict[str, Any]:
        if part == "documents":
            return self.documents.get(encounter_id, document_id).to_dict()
        if part == "transcripts":
            return self.documents.transcript(encounter_id, document_id).to_dict()
        self.directory.mkdir(mode=0o700, exist_ok=True)
        # An id can be a path, or differ from another one only in case. Then a digest is the name.
        name = f"{encounter_id}.{document_id}"
        if not re.fullmatch(r"[a-z0-9_-]{1,100}\.[a-z0-9_-]{1,100}", name):
            name = hashlib.sha256(json.dumps([encounter_id, document_id]).encode()).hexdigest()
        path = self.documents.download_audio(encounter_id, document_id, self.directory / f"{name}.audio")
        found = measured(path)
        return {"file": f"{self.directory.name}/{path.name}", "bytes": found["bytes"], "sha256": found["sha256"]}


def _concerns_one_record(error: Exception) -> bool:
    if isinstance(error, errors.ServiceUnavailableError):
        return error.status_code != 503
    if isinstance(error, errors.TransportError):
        return error.reason in REASONS
    return isinstance(error, (errors.InvalidRequestError, errors.UnexpectedResponseError, ValueError))
