from __future__ import annotations

import datetime

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import Model, shown


@_attrs_define(eq=False, getstate_setstate=False)
class TranscriptReadyEvent(Model):
    """A thin pointer; the data is fetched over REST afterwards. Planned, not generally available.

    Attributes:
        id (str): Opaque identifier of the event.
        type (str): Name of the event.
        api_version (str): Version of the webhook contract.
        occurred_at (datetime.datetime): When the transcript became ready.
        organization_id (str): Opaque identifier of the partner's organization.
        resources (EventResources): What the event points at.
    """

    id: str = _attrs_field(repr=shown)
    type: str = _attrs_field(repr=shown)
    api_version: str = _attrs_field(repr=shown)
    occurred_at: datetime.datetime = _attrs_field(repr=shown)
    organization_id: str = _attrs_field(repr=shown)
    resources: EventResources = _attrs_field(repr=shown)


from ..models.event_resources import EventResources  # noqa: E402
