from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model, Number


@_attrs_define(eq=False, getstate_setstate=False)
class TranscriptTurn(Model):
    """One utterance."""

    speaker: None | str = _attrs_field(repr=False)
    """Who speaks. Open: further values may appear."""

    start: Number = _attrs_field(repr=False)
    """Start, in seconds from the start of the audio."""

    end: Number = _attrs_field(repr=False)
    """End, in seconds from the start of the audio."""

    text: str = _attrs_field(repr=False)
    """What was said."""
