"""Hands queued events to the handler, and schedules the next attempt if it fails."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeAlias

from charthero_client.showing import show_id

from charthero_ext._log import logger
from charthero_ext._secret import place_of
from charthero_ext.webhooks.event_store import Store
from charthero_ext.webhooks.verification import Event, parse

__all__ = ["Handler", "Worker"]


Handler: TypeAlias = Callable[[Event], Awaitable[object] | object]

#: How many events are handled at the same time.
CONCURRENCY = 8
#: How many seconds a handler has.
TIME_LIMIT = 600.0
#: After how many seconds an event is due again if its process or event loop stops. Longer than a handler has.
LEASE = TIME_LIMIT + 60
#: The pause before the second attempt in seconds. It doubles for each attempt up to an hour.
BACKOFF, MAX_BACKOFF = 10.0, 3600.0
#: Twenty attempts take about half a day.
ATTEMPTS = 20
#: How many seconds pass between two polls for due events.
POLL = 5.0


class Worker:
    """Runs handlers on one event loop."""

    def __init__(self, store: Store, storing: Executor, handler: Handler) -> None:
        self._store = store
        self._storing = storing
        self._handler = handler
        self._handling = ThreadPoolExecutor(CONCURRENCY, "charthero-webhooks-handler")
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_poll = self._loop.call_later(POLL, self.poll)
        self._is_stopping = False

    def poll(self) -> None:
        """Look for due events now, and again every few seconds."""
        self._next_poll.cancel()
        self._next_poll = self._loop.call_later(POLL, self.poll)
        self._start()

    async def run_pending(self) -> None:
        """Handle all events that are due. Raises what the store raises."""
        await self._handle_due()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Start no more handlers, and wait for the running ones."""
        self._is_stopping = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._is_stopping = False
        self._next_poll.cancel()

    def _start(self) -> None:
        # If all slots are taken, their tasks look for due events again as soon as their handlers end.
        if not self._slots.locked():
            task = self._loop.create_task(self._handle_due_or_log())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle_due_or_log(self) -> None:
        try:
            await self._handle_due()
        except Exception as error:  # noqa: BLE001 - a store may raise anything, and the next poll may succeed
            logger.error("the webhook store failed (%s)", place_of(error))

    async def _handle_due(self) -> None:
        """Handle due events one after another, until none is left."""
        async with self._slots:
            while not self._is_stopping:
                now = time.time()
                claimed = await self._loop.run_in_executor(self._storing, self._store.claim, now, now + LEASE, 1)
                if not claimed:
                    return
                self._start()  # More events may be due.
                await self._handle(*claimed[0])

    async def _handle(self, event_id: str, pointer: str, attempts: int) -> None:
        # Only strings get this far: the exception, its text and its locals may hold what the handler fetched.
        failure = await self._attempt(pointer) if attempts <= ATTEMPTS else ("LeaseExpired", "the process ended")
        # One step later, the frames of the event loop no longer hold the exception. Sentry logs them with each record.
        await asyncio.sleep(0)
        if failure is None:
            await self._loop.run_in_executor(self._storing, self._store.complete, event_id)
            return
        error, place = failure
        pause = min(BACKOFF * 2 ** (attempts - 1), MAX_BACKOFF)
        next_attempt_at = time.time() + pause if attempts < ATTEMPTS else None
        plan = f"the next attempt is in {pause:.0f} s" if next_attempt_at else "no attempt is left"
        logger.error("webhook event %s was not handled (%s); %s", show_id(event_id), place, plan)
        await self._loop.run_in_executor(self._storing, self._store.retry, event_id, next_attempt_at, error)
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # The event loop ends, not only the handler.
            raise asyncio.CancelledError

    async def _attempt(self, pointer: str) -> tuple[str, str] | None:
        """Call the handler. Return the class and the place of what it raises."""
        try:
            async with asyncio.timeout(TIME_LIMIT):
                event = parse(pointer.encode())
                if inspect.iscoroutinefunction(self._handler):
                    await self._handler(event)
                else:
                    result = await self._loop.run_in_executor(self._handling, self._handler, event)
                    if inspect.isawaitable(result):
                        await result
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything
            return type(error).__name__, place_of(error)
        return None
