"""What live data held that the artifact does not describe."""

from charthero_client.types import SURPRISES

__all__ = ["drift_counts"]


def drift_counts() -> dict[str, int]:
    """Return how often each surprise was met in this process, by path and kind.

    A path and kind read ``Encounter.status: unknown value``.
    Kinds are ``unknown field``, ``unknown field of the envelope``, ``unknown value``, ``missing``, ``null``, ``other
    type``, ``unreadable``, ``unusual time`` and ``no time zone``. There is never a value in it, so it can be logged and
    sent to a monitoring system.
    """
    return SURPRISES.counts()
