from __future__ import annotations

import datetime
from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import Model, shown


@_attrs_define(eq=False, getstate_setstate=False)
class Encounter(Model):
    """An encounter with its patient and its documents.

    Attributes:
        encounter_id (str): Opaque identifier of the encounter.
        organization_id (str): Opaque identifier of the partner's organization.
        created_at (datetime.datetime): When the encounter was created.
        updated_at (datetime.datetime): When the encounter was last changed.
        date_of_service (None | str): Date of service.
        encounter_type (None | str): Kind of encounter. Open: further values may appear.
        status (None | str): State of the encounter. Open: further values may appear.
        patient (None | Patient): The patient of an encounter.
        documents (list[DocumentSummary]): The encounter's documents.
    """

    encounter_id: str = _attrs_field(repr=shown)
    organization_id: str = _attrs_field(repr=shown)
    created_at: datetime.datetime = _attrs_field(repr=shown)
    updated_at: datetime.datetime = _attrs_field(repr=shown)
    date_of_service: None | str = _attrs_field(repr=False)
    encounter_type: None | str = _attrs_field(repr=shown)
    status: None | str = _attrs_field(repr=shown)
    patient: None | Patient = _attrs_field(repr=shown)
    documents: list[DocumentSummary] = _attrs_field(repr=shown)

    _essential: ClassVar[tuple[str, ...]] = ("encounter_id",)


from ..models.document_summary import DocumentSummary  # noqa: E402
from ..models.patient import Patient  # noqa: E402
