from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model


@_attrs_define(eq=False, getstate_setstate=False)
class PublicDocumentDetailEnvelope(Model):
    """Envelope of one document."""

    document: Document = _attrs_field(repr=False)
    """A document of one of two kinds. One kind has the clinical text. One kind is the metadata of a transcript; the
    transcript route has its text."""


from ..models.document import Document  # noqa: E402
