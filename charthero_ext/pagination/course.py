"""What both walks share: what to ask next, what to hand out, and where that leaves the caller. No I/O.

With ``concurrency`` above 1 the range is cut into windows, and as many are open at once; encounters are handed out
window by window, so that their order, and with it the checkpoint, is the same as without.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from attrs import Factory, define

from charthero_ext.pagination.planner import WindowPlanner
from charthero_ext.pagination.position import Position, begin, write_checkpoint
from charthero_ext.pagination.window import MAX_LIMIT, E, Receipt, SortOrder, Window
from charthero_ext.pagination.window_walk import WindowWalk

if TYPE_CHECKING:
    import asyncio

__all__ = ["Course"]

WINDOW_PAGES = 10  # full pages, which overlap by one row
LOOK_AHEAD = 11  # pages of one window that may wait for the caller: all it has, so that it is walked to its end

#: A call under way: in a thread, or in a task.
Job: TypeAlias = "Future[list[Any]] | asyncio.Task[list[Any]]"


@define(eq=False)
class Source:
    """A machine to get pages for, the call under way, and what has come of it."""

    machine: WindowWalk[Any] | WindowPlanner
    look_ahead: int
    ready: deque[list[Any]] = Factory(deque)
    job: Job | None = None
    failure: BaseException | None = None

    @property
    def idle(self) -> bool:
        """Whether the machine has something to ask, and may."""
        blocked = self.job is not None or self.failure is not None or len(self.ready) >= self.look_ahead
        return not blocked and self.machine.request is not None


class Course(Generic[E]):
    """What both walks share: what to ask next, what to hand out, and where that leaves the caller."""

    def __init__(
        self,
        *,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        sort_order: SortOrder | None = None,
        max_items: int | None = None,
        concurrency: int = 1,
        limit: int = MAX_LIMIT,
        resume_from: str | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        if concurrency < 1 or (max_items is not None and max_items < 0) or not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"concurrency is at least 1, max_items at least 0, and limit 1 to {MAX_LIMIT}")
        self._window, self._start = begin(
            start_at=start_at, end_at=end_at, sort_order=sort_order, resume_from=resume_from
        )
        self._position = self._start.copy()  # of the caller, before the batch
        self._max_items, self._limit, self._progress = max_items, limit, progress
        self._sources: deque[Source] = deque()  # the open windows, in order
        self._planner: Source | None = None
        rows = WINDOW_PAGES * (max(limit, 2) - 1)
        if concurrency == 1 or (max_items is not None and max_items <= rows):
            self._concurrency = 1
            self._open(self._window, look_ahead=1, max_rows=max_items)
        else:
            self._concurrency = concurrency
            planner = WindowPlanner(self._window, max_rows=rows, position=self._start)
            self._planner = Source(planner, look_ahead=concurrency)
        self._batch: list[E] = []
        self._index = 0  # of the next encounter of the batch
        self._rows = self._requests = 0  # rows: handed out before the batch
        self._done: Counter[str] = Counter()  # what the windows that are done have counted
        self._first_created_at: datetime | None = None
        self._total_at_start: int | None = None
        self._answered = self._over = self._complete = False
        self._lock = RLock()  # a progress callback may ask for a checkpoint

    @property
    def receipt(self) -> Receipt:
        """What has been asked, seen and handed out up to now; final once the walk is over."""
        rows = self._rows + self._index
        return Receipt(
            start_at=self._window.start_at,
            end_at=self._window.end_at,
            sort_order=self._window.sort_order,
            requests=self._requests,
            rows=rows,
            duplicates=self._count("duplicates"),
            anchors_moved=self._count("anchors_moved"),
            first_created_at=self._first_created_at if rows else None,
            last_created_at=self._here().instant(self._window.sort_order) if rows else None,
            total_at_start=self._total_at_start,
            total_at_end=self._expected(),
            complete=self._complete,
        )

    def checkpoint(self) -> str:
        """Where the caller is: ``iter(resume_from=...)`` goes on after the last encounter handed out, in any process.

        The look-ahead has no part in it, and ``max_items`` counts anew. It holds the range, the direction, an instant
        and hashed ids: about 65 characters, and 11 more for each further encounter handed out of that instant.
        """
        return write_checkpoint(self._window, self._here())

    def _here(self) -> Position:
        """The position of the caller."""
        with self._lock:
            position = self._position.copy()
            position.take_all(self._batch[: self._index], self._window.sort_order)
            return position

    def _open(self, window: Window, *, look_ahead: int, max_rows: int | None = None) -> None:
        self._latest: WindowWalk[E] = WindowWalk(window, position=self._start, limit=self._limit, max_rows=max_rows)
        self._sources.append(Source(self._latest, look_ahead))

    def _open_planned(self) -> None:
        planner = self._planner
        if planner is None:
            return
        while planner.ready and len(self._sources) < self._concurrency:
            for window in planner.ready.popleft():
                self._open(window, look_ahead=LOOK_AHEAD)
        if planner.machine.request is None and planner.job is None and not planner.ready:
            self._planner = None

    def _everything(self) -> list[Source]:
        return [self._planner, *self._sources] if self._planner else list(self._sources)

    def _count(self, name: str) -> int:
        return self._done[name] + sum(int(getattr(source.machine, name)) for source in self._sources)

    def _expected(self) -> int | None:
        if self._planner is not None or len(self._sources) > 1:
            return self._total_at_start
        remaining = self._latest.remaining
        return None if remaining is None else self._count("received") + remaining

    def _to_ask(self) -> Iterator[Source]:
        """The sources whose next request is to be sent now."""
        sources = self._everything()
        free = self._concurrency - sum(source.job is not None for source in sources)
        for source in sources:
            if free > 0 and source.idle:
                free -= 1
                self._requests += 1
                yield source

    def _collect(self) -> None:
        """Note the answers that came in."""
        for source in self._everything():
            job = source.job
            if job is None or not job.done():
                continue
            source.job = None
            if job.cancelled():
                continue  # asked again when the caller comes back
            source.failure = job.exception()
            if source.failure is None:
                if job.result():
                    source.ready.append(job.result())
                if not self._answered:
                    self._answered, remaining = True, source.machine.remaining
                    self._total_at_start = None if remaining is None else self._count("received") + remaining

    def _turn(self) -> bool:
        """Go on to the next batch, or find that the walk is over. False: for that, more answers have to come in.

        What stopped the window that the caller has come to is raised here, and asked again the next time.
        """
        if self._over or self._index < len(self._batch):
            return True
        self._position.take_all(self._batch, self._window.sort_order)
        self._rows, self._batch, self._index = self._rows + len(self._batch), [], 0
        while True:
            self._open_planned()
            left = None if self._max_items is None else self._max_items - self._rows
            source = self._sources[0] if self._sources else self._planner
            if source is None or left == 0:
                self._over, self._complete = True, source is None
                break
            if source.ready:
                self._batch = source.ready.popleft()[:left]
                self._first_created_at = self._first_created_at or cast("datetime", self._batch[0].created_at)
                break
            if source.failure is not None:
                failure, source.failure = source.failure, None
                raise failure
            if source.job is not None or source.machine.request is not None:
                return False
            for name in ("received", "duplicates", "anchors_moved"):
                self._done[name] += getattr(source.machine, name)
            self._sources.popleft()
        if self._progress is not None:
            expected = self._expected()
            if expected is not None and left is not None:
                expected = min(expected, self._rows + left)
            self._progress(self._rows, expected)
        return True
