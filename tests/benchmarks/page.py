"""The page that every peer reads: as many encounters as asked for, each with a patient and two documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

__all__ = ["PATH", "page"]

PATH = "/external/v1/encounters"

_NEWEST = datetime(2026, 5, 1, 15, 0, 0, 123456, tzinfo=UTC)


def page(rows: int) -> bytes:
    """Return the body of one page, all of it just as the artifact describes; 100 rows are about 69 KB."""
    items = [_encounter(number) for number in range(rows)]
    return json.dumps({"items": items, "limit": rows, "offset": 0, "total": 50_000}, separators=(",", ":")).encode()


def _encounter(number: int) -> dict[str, object]:
    created_at = _NEWEST - timedelta(minutes=7 * number)
    return {
        "encounter_id": f"enc_synthetic_{number:04d}",
        "organization_id": "org_synthetic_0001",
        "created_at": _written(created_at),
        "updated_at": _written(created_at + timedelta(minutes=30)),
        "date_of_service": created_at.date().isoformat(),
        "encounter_type": "ambient",
        "status": "completed",
        "patient": {
            "patient_id": f"pat_synthetic_{number:04d}",
            "first_name": "Synthetic",
            "last_name": f"Person-{number:04d}",
            "date_of_birth": "1970-01-01",
        },
        "documents": [
            {
                "document_id": f"doc_synthetic_{number:04d}_0",
                "schema_type": "ambient_transcript",
                "status": "completed",
                "title": "Visit transcript",
                "workflow_variant": None,
                "audio_duration_seconds": 150.25 + number,
            },
            {
                "document_id": f"doc_synthetic_{number:04d}_1",
                "schema_type": "document",
                "status": "completed",
                "title": "Progress note",
                "workflow_variant": "standard",
            },
        ],
    }


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
