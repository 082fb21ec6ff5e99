from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import Model, shown

if TYPE_CHECKING:
    from ..models.transcript_turn import TranscriptTurn


@_attrs_define
class TranscriptContent(Model):
    """The transcript itself.

    Attributes:
        provider (str): Who transcribed it. Open: further values may appear.
        audio_duration_seconds (float | None): Length of the recording in seconds.
        turns (list[TranscriptTurn]): The utterances in order.
    """

    provider: str = _attrs_field(repr=shown)
    audio_duration_seconds: float | None = _attrs_field(repr=False)
    turns: list[TranscriptTurn] = _attrs_field(repr=shown)
