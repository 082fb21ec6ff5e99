from __future__ import annotations

from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_id, show_model


@_attrs_define(eq=False, getstate_setstate=False)
class Transcript(Model):
    """The transcript of a document."""

    encounter_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the encounter."""

    document_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the document."""

    transcript: TranscriptContent = _attrs_field(repr=show_model)
    """The transcript itself."""

    _essential: ClassVar[tuple[str, ...]] = ("transcript",)


from ..models.transcript_content import TranscriptContent  # noqa: E402
