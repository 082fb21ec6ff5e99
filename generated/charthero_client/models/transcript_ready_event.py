from __future__ import annotations

import datetime

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..decoding import Model
from ..showing import show_id, show_known, show_model, show_time


@_attrs_define(eq=False, getstate_setstate=False)
class TranscriptReadyEvent(Model):
    """A thin pointer; the data is fetched over REST afterwards. Planned, not generally available."""

    id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the event."""

    type: str = _attrs_field(repr=show_known("recording.transcript_ready"))
    """Name of the event."""

    api_version: str = _attrs_field(repr=show_known("2026-05-01"))
    """Version of the webhook contract."""

    occurred_at: datetime.datetime = _attrs_field(repr=show_time)
    """When the transcript became ready."""

    organization_id: str = _attrs_field(repr=show_id)
    """Opaque identifier of the partner's organization."""

    resources: EventResources = _attrs_field(repr=show_model)
    """What the event points at."""


from ..models.event_resources import EventResources  # noqa: E402
