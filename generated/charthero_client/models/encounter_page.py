from __future__ import annotations

from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_count, show_model


@_attrs_define(eq=False, getstate_setstate=False)
class EncounterPage(Model):
    """One page of encounters.

    Attributes:
        items (list[Encounter]): The encounters of this page.
        limit (int): The page size that was applied.
        offset (int): The offset that was applied.
        total (int): How many encounters match the request.
    """

    items: list[Encounter] = _attrs_field(repr=show_model)
    limit: int = _attrs_field(repr=show_count)
    offset: int = _attrs_field(repr=show_count)
    total: int = _attrs_field(repr=show_count)

    _essential: ClassVar[tuple[str, ...]] = ("items",)


from ..models.encounter import Encounter  # noqa: E402
