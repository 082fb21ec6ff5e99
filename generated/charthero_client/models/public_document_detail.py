from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model


@_attrs_define(eq=False, getstate_setstate=False)
class PublicDocumentDetail(Model):
    """Envelope of one document.

    Attributes:
        document (Document): A document. One whose `schema_type` is `ambient_transcript` comes as metadata only,
            without `content`.
    """

    document: Document = _attrs_field(repr=False)


from ..models.document import Document  # noqa: E402
