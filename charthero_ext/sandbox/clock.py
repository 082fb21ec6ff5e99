"""The time the sandbox lives in."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["Clock"]


class Clock:
    """The real time, or the instant it was set to, where it stands still."""

    def __init__(self) -> None:
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        """The present, in UTC."""
        return self._stopped_at or datetime.now(UTC)

    def set(self, instant: datetime | None) -> None:
        """Stop at an aware instant; None goes back to the real time. Raises ValueError for one without a time zone."""
        if instant is not None and instant.tzinfo is None:
            raise ValueError("the instant needs a time zone")
        self._stopped_at = None if instant is None else instant.astimezone(UTC)
