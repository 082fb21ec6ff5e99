from __future__ import annotations

from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_count, show_model


@_attrs_define(eq=False, getstate_setstate=False)
class EncounterPage(Model):
    """One page of encounters."""

    items: list[Encounter] = _attrs_field(repr=show_model)
    """The encounters of this page."""

    limit: int = _attrs_field(repr=show_count)
    """The page size that was applied."""

    offset: int = _attrs_field(repr=show_count)
    """The offset that was applied."""

    total: int = _attrs_field(repr=show_count)
    """How many encounters match the request."""

    _essential: ClassVar[tuple[str, ...]] = ("items",)


from ..models.encounter import Encounter  # noqa: E402
