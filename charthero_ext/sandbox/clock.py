"""The sandbox's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["Clock", "aware"]


class Clock:
    """Real time, or an instant at which the clock stands still. Only :meth:`reset` moves it back."""

    def __init__(self, now: datetime | None = None) -> None:
        self._stopped_at: datetime | None
        self._latest: datetime
        self.reset(now)

    def now(self) -> datetime:
        """Return the current instant, in UTC."""
        if self._stopped_at is not None:
            return self._stopped_at
        # The machine's own clock may be set back.
        self._latest = max(self._latest, datetime.now(UTC) + self._ahead)
        return self._latest

    def set(self, instant: datetime | None) -> None:
        """Stop the clock at an aware instant. With None, let it run again, but never backwards.

        Raises:
            ValueError: The instant has no time zone or is before the clock's current time.
        """
        now = self.now()
        if instant is None:
            self._ahead = max(now - datetime.now(UTC), timedelta(0))
            self._latest, self._stopped_at = now, None
            return
        instant = aware(instant, "instant")
        if instant < now:
            raise ValueError(f"the clock shows {now.isoformat()} and cannot go back; reset the sandbox instead")
        self._stopped_at = instant

    def reset(self, now: datetime | None = None) -> None:
        """Show real time, or stop at an aware instant."""
        self._stopped_at = None if now is None else aware(now, "now")
        self._ahead = timedelta(0)
        self._latest = datetime.min.replace(tzinfo=UTC)


def aware(instant: datetime, name: str) -> datetime:
    """Return an instant in UTC. Raises ValueError if it has no time zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{name} needs a time zone")
    return instant.astimezone(UTC)
