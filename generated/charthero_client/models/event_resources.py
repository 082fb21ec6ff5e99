from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_id


@_attrs_define(eq=False, getstate_setstate=False)
class EventResources(Model):
    """What the event points at."""

    encounter_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the encounter."""

    document_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the document."""
