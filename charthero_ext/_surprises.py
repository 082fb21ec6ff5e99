"""Counts what live data contained but the artifact does not describe."""

from charthero_client.decoding import SURPRISES

__all__ = ["decoding_surprises"]


def decoding_surprises() -> dict[str, int]:
    """Return how often each surprise occurred in this process, by model, field and kind.

    A key reads ``Encounter.status: unknown value``. The kinds are ``unknown value``, ``missing``, ``null``, ``other
    type``, ``unreadable``, ``unusual time`` and ``no time zone``. ``Encounter: unknown field`` and ``Encounter: unknown
    field of the envelope`` count fields that the artifact does not have, without their names. Keys contain only names
    from the artifact, so they can be logged and sent to a monitoring system.
    """
    return dict(SURPRISES)
