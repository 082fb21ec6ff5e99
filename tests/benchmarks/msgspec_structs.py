"""A page as somebody would write it by hand for msgspec. What it does not know it drops."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["decode"]


class Patient(msgspec.Struct):
    patient_id: str
    first_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None


class DocumentSummary(msgspec.Struct):
    document_id: str
    schema_type: str
    status: str | None
    title: str | None
    workflow_variant: str | None
    audio_duration_seconds: float | None = None


class Encounter(msgspec.Struct):
    encounter_id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    date_of_service: str | None
    encounter_type: str
    status: str
    patient: Patient
    documents: list[DocumentSummary]


class EncounterPage(msgspec.Struct):
    items: list[Encounter]
    limit: int
    offset: int
    total: int


decode = msgspec.json.Decoder(EncounterPage).decode
