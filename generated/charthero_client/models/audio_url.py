from __future__ import annotations

import datetime
from typing import ClassVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_time


@_attrs_define(eq=False, getstate_setstate=False)
class AudioUrl(Model):
    """A short-lived signed URL of the recording, on another host. The URL is a secret while it lives."""

    audio_url: str = _attrs_field(repr=False)
    """The signed URL; fetched without the API key."""

    expires_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the URL stops working."""

    _essential: ClassVar[tuple[str, ...]] = (
        "audio_url",
        "expires_at",
    )
