"""What there is of each document of an encounter: the document, its transcript, its recording."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from charthero_ext.cli.durable import measured, sync
from charthero_ext.client import Documents
from charthero_ext.errors import (
    ChartHeroError,
    InvalidRequestError,
    NotFoundError,
    ServiceUnavailableError,
    TransportError,
    UnexpectedResponseError,
)
from charthero_ext.models import DocumentSummary

__all__ = ["GAPS", "PARTS", "Parts", "Row"]

PARTS = ("documents", "transcripts", "audio")
#: Where a row goes that says what could not be had.
GAPS = "gaps.jsonl"

#: The file a row goes to, the row, and what went wrong if it is one of the gaps.
Row: TypeAlias = tuple[str, dict[str, Any], ChartHeroError | ValueError | None]

#: The record is at fault, and others can still be had.
_OF_ONE_RECORD = (InvalidRequestError, UnexpectedResponseError, ValueError)


@frozen
class Parts:
    """The parts to have, and where from; recordings go to the directory ``audio`` in *directory*."""

    parts: tuple[str, ...]
    documents: Documents
    directory: Path

    def __call__(self, work: tuple[str, Any]) -> list[Row]:
        """Get everything there is of one document of an encounter.

        What is not there (404), or cannot be had of this one record, becomes a row that says so.

        Raises:
            ChartHeroError: Others could not be had either.
            OSError: A recording cannot be written.
        """
        encounter_id, summary = work
        is_known = isinstance(summary, DocumentSummary)
        document_id = summary.document_id if is_known and isinstance(summary.document_id, str) else None
        keys: dict[str, Any] = {"encounter_id": encounter_id, "document_id": document_id}
        rows: list[Row] = []
        for part in self.parts:
            if part != "documents" and is_known and summary.schema_type == "document":
                continue  # of a kind that nobody knows yet, it is asked whether there is a transcript
            try:
                rows.append((f"{part}.jsonl", keys | self._get(part, **keys), None))
            except (ChartHeroError, ValueError) as error:
                reason = getattr(error, "reason_code", None) or type(error).__name__
                gone = isinstance(error, NotFoundError) or reason == "unsupported_document_type"
                failed_here = isinstance(error, ServiceUnavailableError) and error.status_code == 500
                media = isinstance(error, TransportError) and error.reason == "media"
                if not (gone or failed_here or media or isinstance(error, _OF_ONE_RECORD)):
                    raise
                rows.append((GAPS, {"part": part, **keys, "reason": reason, "gone": gone}, error))
        return rows

    def _get(self, part: str, encounter_id: str, document_id: str) -> dict[str, Any]:
        if part == "documents":
            return self.documents.get(encounter_id, document_id).to_dict()
        if part == "transcripts":
            return self.documents.transcript(encounter_id, document_id).to_dict()
        directory = self.directory / "audio"
        directory.mkdir(mode=0o700, exist_ok=True)
        # An id can be anything, a path or another one but for its case; then a digest stands for it.
        name = f"{encounter_id}.{document_id}"
        if not re.fullmatch(r"[a-z0-9_-]{1,100}\.[a-z0-9_-]{1,100}", name):
            name = hashlib.sha256(json.dumps([encounter_id, document_id]).encode()).hexdigest()
        path = self.documents.download_audio(encounter_id, document_id, directory / f"{name}.audio")
        sync(directory)
        found = measured(path)
        return {"file": f"audio/{path.name}", "bytes": found.bytes, "sha256": found.sha256}

    def drop_recordings_but(self, kept: Iterable[str]) -> None:
        """Remove what was downloaded for lines that were not kept: the encounter itself may be gone by now."""
        names = {Path(file).name for file in kept}
        for path in (self.directory / "audio").glob("*"):
            if path.name not in names and path.suffix in (".audio", ".part"):
                path.unlink()
