"""Synthetic bodies, as ChartHero's developer pages show them for each operation.

They do not come from the snapshot, because a new artifact may hold other examples or none.
"""

from copy import deepcopy
from typing import Any

_ENCOUNTER: dict[str, Any] = {
    "encounter_id": "enc_synthetic_0001",
    "organization_id": "org_synthetic_0001",
    "created_at": "2026-05-01T15:00:00Z",
    "updated_at": "2026-05-01T15:30:00Z",
    "date_of_service": "2026-05-01",
    "encounter_type": "ambient",
    "status": "completed",
    "patient": {
        "patient_id": "pat_synthetic_0001",
        "first_name": "Synthetic",
        "last_name": "Person",
        "date_of_birth": "1970-01-01",
    },
    "documents": [
        {
            "document_id": "doc_synthetic_0001",
            "schema_type": "document",
            "status": "completed",
            "title": "Synthetic note",
            "workflow_variant": "default",
        },
        {
            "document_id": "doc_synthetic_0002",
            "schema_type": "ambient_transcript",
            "status": "completed",
            "title": "Synthetic transcript",
            "workflow_variant": None,
            "audio_duration_seconds": 61.5,
        },
    ],
}

BODIES: dict[str, Any] = {
    "encounters.list": {
        "items": [deepcopy(_ENCOUNTER)],
        "limit": 50,
        "offset": 0,
        "total": 1,
    },
    "encounters.get": {"encounter": deepcopy(_ENCOUNTER)},
    "documents.get": {
        "document": {
            "document_id": "doc_synthetic_0001",
            "encounter_id": "enc_synthetic_0001",
            "schema_type": "document",
            "title": "Synthetic note",
            "status": "completed",
            "workflow_variant": None,
            "created_at": "2026-05-01T15:20:00Z",
            "updated_at": "2026-05-01T15:21:00Z",
            "content": {"format": "markdown", "text": "# Synthetic note\n\nNo real patient."},
        }
    },
    "documents.transcript": {
        "encounter_id": "enc_synthetic_0001",
        "document_id": "doc_synthetic_0002",
        "transcript": {
            "provider": "deepgram",
            "audio_duration_seconds": 61.5,
            "turns": [{"speaker": "clinician", "start": 0.0, "end": 1.5, "text": "This is a synthetic turn."}],
        },
    },
    "documents.audio": {
        "audio_url": "https://media.example.test/synthetic.wav?signature=synthetic",
        "expires_at": "2026-05-01T15:45:00Z",
    },
}

EVENT: dict[str, Any] = {
    "id": "evt_synthetic_0001",
    "type": "recording.transcript_ready",
    "api_version": "2026-05-01",
    "occurred_at": "2026-05-01T15:29:55Z",
    "organization_id": "org_synthetic_0001",
    "resources": {"encounter_id": "enc_synthetic_0001", "document_id": "doc_synthetic_0002"},
}
