"""Times of several functions, measured in turns, and their statistics."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

__all__ = ["Spread", "in_turns", "ratios", "spread", "timed"]


@frozen
class Spread:
    """A median, with the quartiles around it."""

    lower: float
    median: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lower:.2f}–{self.upper:.2f})"  # noqa: RUF001 - an en dash between numbers


def spread(values: list[float]) -> Spread:
    """Return the quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, method="inclusive"))


def in_turns(names: list[str], rounds: int) -> Iterator[str]:
    """Yield every name once a round. The order changes, so that no client always follows the same one."""
    order = random.Random(0)  # the same in every run
    for _ in range(rounds):
        yield from order.sample(names, len(names))


def timed(work: Callable[[], object], times: int) -> float:
    """Return the seconds of one call, averaged over a number of calls."""
    gc.collect()
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def ratios(times: Mapping[str, list[float]], floor: str) -> dict[str, Spread]:
    """Return the spread of each client's ratios to the floor of the same round."""
    return {
        name: spread([mine / least for mine, least in zip(taken, times[floor], strict=True)])
        for name, taken in times.items()
    }
