from __future__ import annotations

import datetime

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model


@_attrs_define(eq=False, getstate_setstate=False)
class PublicDocumentDetail(Model):
    """One kind has the clinical text."""

    content: DocumentContent = _attrs_field(repr=False)
    """The clinical text of a document."""

    created_at: datetime.datetime = _attrs_field(repr=False)
    """When the document was created."""

    document_id: str = _attrs_field(repr=False)
    """Opaque identifier of the document."""

    encounter_id: str = _attrs_field(repr=False)
    """Opaque identifier of the encounter."""

    schema_type: str = _attrs_field(repr=False)
    """Discriminator of the two kinds of document."""

    status: None | str = _attrs_field(repr=False)
    """State of the document. Open: further values may appear."""

    title: None | str = _attrs_field(repr=False)
    """Title of the document."""

    updated_at: datetime.datetime = _attrs_field(repr=False)
    """When the document was last changed."""

    workflow_variant: None | str = _attrs_field(repr=False)
    """Variant of the workflow that made the document. Open: further values may appear."""


from ..models.document_content import DocumentContent  # noqa: E402
