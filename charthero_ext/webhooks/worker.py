"""Hands the events in the queue to the handler, and retries what fails."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

from charthero_client.showing import show_id

from charthero_ext._secret import Secret
from charthero_ext.webhooks.event_store import Store
from charthero_ext.webhooks.verification import Event, event_from

__all__ = ["ATTEMPTS", "CONCURRENCY", "Handler", "Worker", "in_thread", "place_of"]

logger = logging.getLogger("charthero_ext")

P = ParamSpec("P")
T = TypeVar("T")
Handler: TypeAlias = Callable[[Event], Awaitable[object] | object]

#: How many events are handled at the same time.
CONCURRENCY = 8
#: How many seconds a handler has. Then its event is given to another one.
LEASE = 600.0
#: The pause before the second attempt in seconds. It doubles for each attempt up to an hour.
BACKOFF, MAX_BACKOFF = 10.0, 3600.0
#: Twenty attempts take about half a day.
ATTEMPTS = 20
#: How many seconds pass between two looks for due events if nothing is delivered.
POLL = 5.0


class Worker:
    """Runs handlers on one event loop. All workers of a receiver share the thread for the store and those for handlers.

    An event that is leased is either being handled or given back, so that no event waits for the end of a lease unless
    its process died.
    """

    def __init__(self, store: Store, storing: Executor, handler: Handler, handling: Executor) -> None:
        self._store, self._storing = store, storing
        self._handler, self._handling = handler, handling
        self._claiming = asyncio.Lock()
        self._woken = asyncio.Event()
        self._leased: set[str] = set()
        self._handlers: dict[asyncio.Task[None], str] = {}
        self._poller: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look for due events now, and again every few seconds."""
        self._woken.set()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def run_pending(self) -> None:
        """Start the handlers of all due events, and wait until they have ended."""
        while await self.start_due() or self._handlers:
            await asyncio.wait(self._handlers, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Start no more handlers, and wait for the running ones."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller, *self._handlers])

    def abandon(self) -> None:
        """Give back the events of an event loop that has stopped."""
        self._storing.submit(lambda: self._give_back(tuple(self._leased)))

    async def start_due(self) -> bool:
        """Lease due events, as many as there are free places, and start a handler for each."""
        async with self._claiming:
            free = CONCURRENCY - len(self._handlers)
            try:
                claimed = await in_thread(self._storing, self._claim, free)
            except asyncio.CancelledError:
                handled = set(self._handlers.values())
                self._storing.submit(lambda: self._give_back(self._leased - handled))
                raise
            for event_id, pointer, attempts in claimed:
                task = asyncio.create_task(self._handle(event_id, pointer, attempts))
                self._handlers[task] = event_id
                task.add_done_callback(self._ended)
        return bool(claimed)

    def _claim(self, limit: int) -> Sequence[tuple[str, str, int]]:
        now = time.time()
        claimed = self._store.claim(now, now + LEASE, limit) if limit > 0 else ()
        self._leased.update(event_id for event_id, *_ in claimed)
        return claimed

    def _give_back(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._leased.discard(event_id)
            self._store.retry(event_id, time.time(), "CancelledError")

    async def _poll(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.start_due()
            except Exception as error:  # noqa: BLE001 - a store may raise anything, and the next look may succeed
                logger.error("the webhook store failed (%s)", place_of(error))
            with suppress(TimeoutError):  # not wait_for(), which can lose a cancellation before Python 3.12
                async with asyncio.timeout(POLL):
                    await self._woken.wait()

    async def _handle(self, event_id: str, pointer: str, attempts: int) -> None:
        # Only strings get this far: the exception, its text and its locals may hold what the handler fetched.
        failure = await self._attempt(pointer) if attempts <= ATTEMPTS else ("LeaseExpired", "the process ended")
        # One step later, the frames of the event loop no longer hold the exception. Sentry logs them with each record.
        await asyncio.sleep(0)
        try:
            if failure is None:
                await in_thread(self._storing, self._store.complete, event_id)
                self._leased.discard(event_id)
                return
            pause = min(BACKOFF * 2 ** (attempts - 1), MAX_BACKOFF) if attempts < ATTEMPTS else None
            plan = "no attempt is left" if pause is None else f"the next attempt is in {pause:.0f} s"
            logger.error("webhook event %s was not handled (%s); %s", show_id(event_id), failure[1], plan)
            next_attempt_at = None if pause is None else time.time() + pause
            await in_thread(self._storing, self._store.retry, event_id, next_attempt_at, failure[0])
            self._leased.discard(event_id)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            logger.error("the webhook store failed at event %s (%s)", show_id(event_id), place_of(error))

    async def _attempt(self, pointer: str) -> tuple[str, str] | None:
        """Call the handler. Return the class and the place of what it raises."""
        try:
            async with asyncio.timeout(LEASE):
                event = event_from(Secret(json.loads(pointer)))
                if inspect.iscoroutinefunction(self._handler):
                    await self._handler(event)
                else:
                    loop = asyncio.get_running_loop()
                    result = await loop.run_in_executor(self._handling, self._handler, event)
                    if inspect.isawaitable(result):
                        await result
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return type(error).__name__, place_of(error)
        return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        event_id = self._handlers.pop(task)
        self._woken.set()
        if task.cancelled() and event_id in self._leased:
            logger.error("webhook event %s was not handled (CancelledError); it is due at once", show_id(event_id))
            self._storing.submit(self._give_back, [event_id])
        self._leased.discard(event_id)


async def in_thread(threads: Executor, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in another thread. The call runs to its end even if its caller is cancelled."""
    return await asyncio.shield(asyncio.wrap_future(threads.submit(function, *arguments, **named)))


def place_of(error: BaseException) -> str:
    """Tell the class of an exception and where it was raised, but not its text."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
