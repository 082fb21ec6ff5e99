from __future__ import annotations

import datetime
from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_id, show_known, show_model, show_time


@_attrs_define(eq=False, getstate_setstate=False)
class Encounter(Model):
    """An encounter with its patient and its documents."""

    encounter_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the encounter."""

    organization_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the partner's organization."""

    created_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the encounter was created."""

    updated_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the encounter was last changed."""

    date_of_service: None | str = _attrs_field(repr=False, metadata={"format": "date"})
    """Date of service."""

    encounter_type: None | str = _attrs_field(repr=show_known("ambient"))
    """Kind of encounter. Open: further values may appear."""

    status: None | str = _attrs_field(repr=show_known("completed"))
    """State of the encounter. Open: further values may appear."""

    patient: None | Patient = _attrs_field(repr=show_model)
    """The patient of the encounter."""

    documents: list[DocumentSummary] = _attrs_field(repr=show_model)
    """The encounter's documents."""

    _essential: ClassVar[tuple[str, ...]] = ("encounter_id",)


from ..models.document_summary import DocumentSummary  # noqa: E402
from ..models.patient import Patient  # noqa: E402
