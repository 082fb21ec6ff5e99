from __future__ import annotations

import datetime
from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import UNSET, Model, Number, Unset
from ..showing import show_id, show_known, show_model, show_time


@_attrs_define(eq=False, getstate_setstate=False)
class Document(Model):
    """A document of one of two kinds. One kind has the clinical text. One kind is the metadata of a transcript; the
    transcript route has its text."""

    document_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the document."""

    encounter_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the encounter."""

    schema_type: None | str = _attrs_field(repr=show_known("ambient_transcript", "document"))
    """Discriminator of the two kinds of document."""

    title: None | str = _attrs_field(repr=False)
    """Title of the document."""

    status: None | str = _attrs_field(repr=show_known("completed"))
    """State of the document. Open: further values may appear."""

    workflow_variant: None | str = _attrs_field(repr=show_known())
    """Variant of the workflow that made the document. Open: further values may appear."""

    created_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the document was created."""

    updated_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the document was last changed."""

    content: DocumentContent | Unset = _attrs_field(default=UNSET, repr=show_model)
    """The clinical text."""

    audio_duration_seconds: Number | None | Unset = _attrs_field(default=UNSET, repr=False)
    """Length of the recording in seconds."""

    _essential: ClassVar[tuple[str, ...]] = ("document_id",)


from ..models.document_content import DocumentContent  # noqa: E402
