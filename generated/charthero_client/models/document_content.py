from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_known


@_attrs_define(eq=False, getstate_setstate=False)
class DocumentContent(Model):
    """The clinical text of a document."""

    format: None | str = _attrs_field(repr=show_known("markdown"))
    """Markup of the text. Open: further values may appear."""

    text: str = _attrs_field(repr=False)
    """The text."""
