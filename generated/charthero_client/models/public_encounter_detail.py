from __future__ import annotations

from typing import Any

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import Model


@_attrs_define(eq=False, getstate_setstate=False)
class PublicEncounterDetail(Model):
    """Envelope of one encounter.

    Attributes:
        encounter (Encounter): An encounter with its patient and its documents.
    """

    encounter: Encounter = _attrs_field(repr=False)

    @staticmethod
    def _is_as_described(sent: Any) -> bool:
        return len(sent) == 1 and Encounter._is_as_described(sent["encounter"])


from ..models.encounter import Encounter  # noqa: E402
