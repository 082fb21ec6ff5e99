from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_code


@_attrs_define(eq=False, getstate_setstate=False)
class ApiError(Model):
    """The body of every error. Branch on `reason_code`; `message` may change."""

    error: str = _attrs_field(repr=show_code)
    """Class of the error."""

    reason_code: str = _attrs_field(repr=show_code)
    """Stable reason. Open: further values may appear."""

    message: str = _attrs_field(repr=False)
    """A sentence for people."""

    field: None | str = _attrs_field(repr=False)
    """The request parameter at fault, or null."""
