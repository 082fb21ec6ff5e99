"""One call in progress: how long it may take, the key it goes with, whether it is tried again, its line in the log.

It does no I/O and knows no httpx.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping

from attrs import define, field, frozen

from charthero_ext.config import Timeouts
from charthero_ext.errors import RateLimitedError, ServiceUnavailableError, TransportError, UnexpectedResponseError

__all__ = ["Call", "LastResponse"]

logger = logging.getLogger("charthero_ext")

#: A server that cannot do what was asked, or does not speak this HTTP, will not another time.
LASTING_STATUSES = frozenset({501, 505})
WAIT_INITIAL, WAIT_MAX, WAIT_JITTER = 0.1, 5.0, 1.0


@frozen
class LastResponse:
    """Status and headers of a response; the headers are in no repr, since they can hold a signed URL."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)


@define
class Call:
    """One call over all its attempts.

    Attributes:
        operation: Its name, such as ``encounters.list``.
        timeouts: Of each request.
        deadline: The ``time.monotonic()`` at which it is given up.
        key: What the attempt goes with.
        may_pass: The attempt failed in a way that tells nothing about the next.
        last: The response of the attempt.
    """

    operation: str
    timeouts: Timeouts
    deadline: float
    key: str = field(default="", repr=False)
    may_pass: bool = False
    last: LastResponse | None = None
    _attempt: int = field(default=0, init=False)
    _started: float = field(default=0.0, init=False)

    @property
    def seconds_left(self) -> float:
        """How long it may still take; negative where it took longer."""
        return self.deadline - time.monotonic()

    def go_on_with(self, key: str) -> bool:
        """Take *key* for what comes; tell whether it is another than before."""
        is_another, self.key = key != self.key, key
        return is_another

    def begin_attempt(self) -> None:
        """Forget the attempt before."""
        self._attempt += 1
        self._started = time.perf_counter()
        self.last = None

    def end_attempt(self, failure: BaseException | None) -> None:
        """Log how the attempt ended: operation, status, reason, milliseconds and number, and nothing else."""
        status = "-" if self.last is None else self.last.status_code
        reason = "-" if failure is None else getattr(failure, "reason_code", None) or type(failure).__name__
        milliseconds = (time.perf_counter() - self._started) * 1000
        logger.info("%s %s %s %.1f ms attempt %d", self.operation, status, reason, milliseconds, self._attempt)

    def wait(self, failure: Exception) -> bool | float:
        """Return the seconds to wait before the next attempt, or False where there must be none."""
        asked = 0.0
        if isinstance(failure, (RateLimitedError, ServiceUnavailableError)):
            if failure.status_code in LASTING_STATUSES:
                return False
            asked = failure.retry_after or 0.0
        elif not (self.may_pass and isinstance(failure, (TransportError, UnexpectedResponseError))):
            return False
        # A server that asks for no wait, or for the same wait from everyone, is not hammered by everyone at once.
        backoff = min(WAIT_MAX, WAIT_INITIAL * 2 ** (self._attempt - 1))
        wait = max(asked, backoff) + random.uniform(0, WAIT_JITTER)  # noqa: S311
        return wait if wait < self.seconds_left else False
