from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model, Number


@_attrs_define(eq=False, getstate_setstate=False)
class TranscriptTurn(Model):
    """One utterance.

    Attributes:
        speaker (None | str): Who speaks. Open: further values may appear.
        start (float): Start, in seconds from the start of the audio.
        end (float): End, in seconds from the start of the audio.
        text (str): What was said.
    """

    speaker: None | str = _attrs_field(repr=False)
    start: Number = _attrs_field(repr=False)
    end: Number = _attrs_field(repr=False)
    text: str = _attrs_field(repr=False)
