from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import Model

if TYPE_CHECKING:
    from ..models.encounter import Encounter


@_attrs_define
class PublicEncounterDetail(Model):
    """Envelope of one encounter.

    Attributes:
        encounter (Encounter): An encounter with its patient and its documents.
    """

    encounter: Encounter = _attrs_field(repr=False)
