from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import UNSET, Model, Unset
from ..showing import show_id


@_attrs_define(eq=False, getstate_setstate=False)
class Patient(Model):
    """The patient of an encounter."""

    patient_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the patient."""

    first_name: None | str | Unset = _attrs_field(default=UNSET, repr=False)
    """Given name."""

    last_name: None | str | Unset = _attrs_field(default=UNSET, repr=False)
    """Family name."""

    date_of_birth: None | str | Unset = _attrs_field(default=UNSET, repr=False, metadata={"format": "date"})
    """Calendar date of birth."""
