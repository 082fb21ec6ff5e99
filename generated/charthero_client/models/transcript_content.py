from __future__ import annotations

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model, Number
from ..showing import show_known, show_model


@_attrs_define(eq=False, getstate_setstate=False)
class TranscriptContent(Model):
    """What was said."""

    provider: None | str = _attrs_field(repr=show_known("deepgram"))
    """Who transcribed it. Open: further values may appear."""

    audio_duration_seconds: Number | None = _attrs_field(repr=False)
    """Length of the recording in seconds."""

    turns: list[TranscriptTurn] = _attrs_field(repr=show_model)
    """The utterances in order."""


from ..models.transcript_turn import TranscriptTurn  # noqa: E402
