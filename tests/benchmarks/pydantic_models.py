"""A page as somebody would write it by hand for pydantic. Like githubkit's models, it keeps what it does not know."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

__all__ = ["EncounterPage"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")


class Patient(_Model):
    patient_id: str
    first_name: str | None = None
    last_name: str | None = None
    date_of_birth: str | None = None


class DocumentSummary(_Model):
    document_id: str
    schema_type: str
    status: str | None
    title: str | None
    workflow_variant: str | None
    audio_duration_seconds: float | None = None


class Encounter(_Model):
    encounter_id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    date_of_service: str | None
    encounter_type: str
    status: str
    patient: Patient
    documents: list[DocumentSummary]


class EncounterPage(_Model):
    items: list[Encounter]
    limit: int
    offset: int
    total: int
