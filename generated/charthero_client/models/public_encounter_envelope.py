from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model


@_attrs_define(eq=False, getstate_setstate=False)
class PublicEncounterEnvelope(Model):
    """Envelope of one encounter."""

    encounter: Encounter = _attrs_field(repr=False)
    """An encounter with its patient and its documents."""


from ..models.encounter import Encounter  # noqa: E402
