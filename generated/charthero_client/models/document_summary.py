from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import UNSET, Model, Number, Unset
from ..showing import show_id, show_known


@_attrs_define(eq=False, getstate_setstate=False)
class DocumentSummary(Model):
    """A document as listed inside its encounter."""

    document_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the document."""

    schema_type: None | str = _attrs_field(repr=show_known("ambient_transcript", "document"))
    """Kind of document: `document` or `ambient_transcript`. Open: further values may appear."""

    status: None | str = _attrs_field(repr=show_known("completed"))
    """State of the document. Open: further values may appear."""

    title: None | str = _attrs_field(repr=False)
    """Title of the document."""

    workflow_variant: None | str = _attrs_field(repr=show_known())
    """Variant of the workflow that made the document. Open: further values may appear."""

    audio_duration_seconds: Number | None | Unset = _attrs_field(default=UNSET, repr=False)
    """Length of the recording in seconds."""
