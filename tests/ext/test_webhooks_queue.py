"""Which events the receiver hands to the handler, when, and how often."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import Event, Receiver, UnknownEvent, worker
from tests.payloads import EVENT

from .conftest import awaited
from .webhook_queue import SECRET, QueueStore, body, deliver, store_in_memory  # noqa: F401


class Clock:
    """Replaces the clock of the queue."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The queue's clock stands still unless a test moves it."""
    made = Clock()
    for module in ("worker", "receiver"):
        monkeypatch.setattr(f"charthero_ext.webhooks.{module}.time", made)
    return made


class Handler:
    """Fails as often as it is told to, and keeps the ids that it was called with."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.ids: list[str] = []

    def __call__(self, event: Event) -> None:
        self.ids.append(event.id)
        if self.failures:
            raise self.failures.pop(0)


def run(receiver: Receiver, *deliveries: bytes) -> None:
    """Deliver all at once, and wait until everything that is due was handed over."""

    async def live() -> None:
        async with receiver:
            statuses = await asyncio.gather(*(deliver(receiver, content) for content in deliveries))
            assert {response.status_code for response in statuses} <= {204}
            await receiver.run_pending()

    asyncio.run(live())


@awaited
async def test_an_event_is_handled_once_however_often_it_is_delivered_or_submitted(store: QueueStore) -> None:
    handler = Handler()
    receivers = [Receiver(SECRET, QueueStore(store.path), handler) for _ in range(3)]
    for last in (4, 6):
        async with receivers[0], receivers[1], receivers[2]:
            await asyncio.gather(*(deliver(each, body(number)) for number in range(last) for each in receivers * 3))
            await receivers[0].submit(TranscriptReadyEvent.from_dict({**EVENT, "id": "evt_1"}))
            await receivers[0].submit(TranscriptReadyEvent.from_dict({**EVENT, "id": "evt_submitted"}))
            for each in receivers:
                await each.run_pending()
        assert sorted(handler.ids) == [*(f"evt_{number}" for number in range(last)), "evt_submitted"]


@awaited
async def test_only_the_thin_pointer_is_stored_and_handed_over(store: QueueStore) -> None:
    events: list[Event] = []
    extra = {"note": "canary", "resources": {**EVENT["resources"], "text": "canary", "recording_id": "rec_1"}}
    receiver = Receiver(SECRET, store, events.append)
    await deliver(receiver, body(1, **extra))
    await deliver(receiver, body(2, **extra, type="other", occurred_at={"canary": 1}))
    stored = store.rows("pointer")
    await receiver.run_pending()
    first, second = sorted(events, key=lambda each: each.id)
    assert isinstance(first, TranscriptReadyEvent)
    assert isinstance(second, UnknownEvent)
    assert "canary" not in f"{stored} {first.to_dict()} {second.payload}"
    assert json.loads(stored[1])["resources"] == {**EVENT["resources"], "recording_id": "rec_1"}


@pytest.mark.parametrize("failure", [RuntimeError, asyncio.CancelledError, TimeoutError, BaseException])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_failed_event_is_logged_without_its_text_and_retried_later(
    failure: type[BaseException], is_async: bool, store: QueueStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(failure("canary"))

    async def handle(event: Event) -> None:
        handler(event)

    receiver = Receiver(SECRET, store, handle if is_async else handler)
    run(receiver, body(1))
    run(receiver)
    assert handler.ids == ["evt_1"]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"webhook event 'evt_1' was not handled ({failure.__name__} at ")
    assert line.endswith("; the next attempt is in 10 s")
    assert "canary" not in "".join(str(vars(record)) for record in caplog.records)
    clock.now += 10
    run(receiver)
    assert (handler.ids, store.completed) == (["evt_1", "evt_1"], ["evt_1"])


@awaited
async def test_the_running_process_retries_by_itself(store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL", 0.001)
    monkeypatch.setattr(worker, "BACKOFF", 0)
    handler, succeeded = Handler(RuntimeError(), RuntimeError()), asyncio.Event()

    async def handle(event: Event) -> None:
        handler(event)
        succeeded.set()

    async with Receiver(SECRET, store, handle) as receiver:
        await deliver(receiver)
        await succeeded.wait()
    assert (handler.ids, store.completed) == (["evt_1"] * 3, ["evt_1"])


@awaited
async def test_a_receiver_has_one_timer_until_its_end(store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def recorded(delay: float, *arguments: Any) -> asyncio.TimerHandle:
        timers.append(call_later(delay, *arguments))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", recorded)
    async with Receiver(SECRET, store, lambda event: None) as receiver:
        for number in range(3):
            await receiver.submit(TranscriptReadyEvent.from_dict({**EVENT, "id": f"evt_{number}"}))
        assert sum(not timer.cancelled() for timer in timers) == 1
    assert sum(not timer.cancelled() for timer in timers) == 0


def test_pauses_double_up_to_an_hour_until_the_attempts_are_used_up(store: QueueStore, clock: Clock) -> None:
    handler = Handler(*[ValueError("canary") for _ in range(20)])
    receiver = Receiver(SECRET, store, handler)
    run(receiver, body(1))
    for calls in range(1, 20):
        clock.now += min(10 * 2 ** (calls - 1), 3600) - 1
        run(receiver)
        assert (receiver.failed(), len(handler.ids)) == ([], calls)
        clock.now += 1
        run(receiver)
    clock.now += 10**6
    run(receiver)
    assert (receiver.failed(), len(handler.ids)) == ([("evt_1", "ValueError")], 20)


def test_a_redelivery_hands_over_an_event_that_no_one_holds(
    store: QueueStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ATTEMPTS", 3)
    handler = Handler(*[RuntimeError() for _ in range(4)])
    receiver = Receiver(SECRET, store, handler)
    run(receiver, body(1))
    run(receiver, body(1))
    assert len(handler.ids) == 2
    clock.now += 3600
    run(receiver)
    assert receiver.failed() == [("evt_1", "RuntimeError")]
    run(receiver, body(1))
    assert (receiver.failed(), len(handler.ids)) == ([], 4)
    run(receiver, body(1))
    run(receiver, body(1))
    assert len(handler.ids) == 5


def test_an_event_that_ends_its_process_each_time_uses_up_its_attempts(store: QueueStore, clock: Clock) -> None:
    store.add("evt_1", body(1).decode(), clock.now)
    for _ in range(20):
        assert len(store.claim(clock.now, clock.now + 600, 8)) == 1  # and the process ends
        clock.now += 600
    receiver = Receiver(SECRET, store, lambda event: pytest.fail("handed over"))
    run(receiver)
    assert receiver.failed() == [("evt_1", "LeaseExpired")]


def test_a_pointer_that_is_not_an_event_does_not_harm_the_others(
    store: QueueStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    for event_id, pointer in {"evt_7": "canary", "evt_8": "[]", "evt_9": body(9).decode()}.items():
        store.add(event_id, pointer, clock.now)
    run(Receiver(SECRET, store, handler))
    assert handler.ids == store.completed == ["evt_9"]
    assert caplog.text.count("was not handled") == 2
    assert "canary" not in caplog.text


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_receiver_that_was_used_before_a_fork_works_in_both_processes(store: QueueStore) -> None:
    receiver = Receiver(SECRET, store, lambda event: None)
    run(receiver, body(1))
    process = multiprocessing.get_context("fork").Process(target=run, args=(receiver, body(2)))
    process.start()
    process.join(30)
    process.kill()
    run(receiver, body(3))
    assert store.completed == ["evt_1", "evt_2", "evt_3"]


@awaited
async def test_the_lease_of_a_handler_lasts_longer_than_its_ten_minutes(store: QueueStore, clock: Clock) -> None:
    leases: list[float] = []
    receiver = Receiver(SECRET, store, lambda event: leases.extend(store.rows("leased_until")))
    await receiver.submit(TranscriptReadyEvent.from_dict(EVENT))
    await receiver.run_pending()
    # Else another claim could come before the failure is recorded, and the record would end the lease of that claim.
    assert [lease >= clock.now + 630 for lease in leases] == [True]


def test_a_handler_that_takes_too_long_has_failed(store: QueueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TIME_LIMIT", 0.01)
    monkeypatch.setattr(worker, "ATTEMPTS", 1)

    async def hang(event: Event) -> None:
        await asyncio.get_running_loop().create_future()

    receiver = Receiver(SECRET, store, hang)
    run(receiver, body(1))
    assert receiver.failed() == [("evt_1", "TimeoutError")]


def test_a_success_that_cannot_be_recorded_only_delays_an_event(
    store: QueueStore, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    receiver = Receiver(SECRET, store, handler)

    def fail(self: QueueStore, event_id: str) -> None:
        raise OSError("canary")

    with monkeypatch.context() as patched:
        patched.setattr(QueueStore, "complete", fail)
        run(receiver, body(1))
        store.add("evt_2", body(2).decode(), clock.now)
        with pytest.raises(OSError, match="canary"):
            asyncio.run(receiver.run_pending())
    assert "the webhook store failed (OSError at " in caplog.text
    assert "canary" not in caplog.text
    clock.now += 660
    run(receiver)
    assert sorted(handler.ids) == ["evt_1", "evt_1", "evt_2", "evt_2"]
    assert store.completed == ["evt_1", "evt_2"]


def cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """As asyncio.run() and Starlette's TestClient do."""
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))


def leave_it_open(loop: asyncio.AbstractEventLoop) -> None:
    """As Mangum does, whose loop stands still until the next request."""


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("end", [cancel_tasks, leave_it_open, lambda loop: loop.close()])
@pytest.mark.parametrize("moment", ["claiming", "handling", "handled"])
def test_an_event_survives_a_server_that_stops_after_the_response(
    moment: str, end: Callable[[asyncio.AbstractEventLoop], None], store: QueueStore, clock: Clock
) -> None:
    moments = {"handling": asyncio.Event(), "handled": asyncio.Event()}
    handled: list[str] = []

    async def handle(event: Event) -> None:
        moments["handling"].set()
        await asyncio.sleep(0)
        handled.append(event.id)
        moments["handled"].set()

    async def served() -> None:
        assert (await deliver(receiver)).status_code == 204
        if moment in moments:
            await moments[moment].wait()

    receiver = Receiver(SECRET, store, handle)
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(served())
        end(loop)
        clock.now += 660
        asyncio.run(receiver.run_pending())
    # Twice, if the server stopped between the end of the handler and the record of it.
    assert handled in (["evt_1"], ["evt_1", "evt_1"])
    assert store.completed == ["evt_1"]
    gc.collect()


@awaited
async def test_cancelling_run_pending_cancels_its_handler_and_the_event_is_due_later(
    store: QueueStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    started = asyncio.Event()

    async def hang_once(event: Event) -> None:
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()

    receiver = Receiver(SECRET, store, hang_once)
    store.add("evt_1", body(1).decode(), clock.now)
    pending = asyncio.create_task(receiver.run_pending())
    await started.wait()
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    clock.now += 10
    await receiver.run_pending()
    assert store.completed == ["evt_1"]
    assert "'evt_1' was not handled (CancelledError at " in caplog.text


@awaited
async def test_the_end_does_not_wait_for_events_that_no_handler_has_started(store: QueueStore, clock: Clock) -> None:
    for number in range(30):
        store.add(f"evt_{number}", body(number).decode(), clock.now)
    async with Receiver(SECRET, store, lambda event: None):
        pass
    assert len(store.completed) < 30
    assert store.rows("id", "pointer IS NOT NULL AND leased_until > 0") == []


@awaited
async def test_at_most_eight_events_are_handled_at_the_same_time(store: QueueStore) -> None:
    running: set[str] = set()
    counts: list[int] = []

    async def handle(event: Event) -> None:
        running.add(event.id)
        for _ in range(10):
            await asyncio.to_thread(store.failed)  # Lets others start.
        counts.append(len(running))
        running.remove(event.id)

    receiver = Receiver(SECRET, store, handle)
    for number in range(20):
        store.add(f"evt_{number}", body(number).decode(), 0)
    await receiver.run_pending()
    assert 1 < max(counts) <= 8


@awaited
async def test_blocking_handlers_do_not_delay_the_recording_of_events(store: QueueStore) -> None:
    released = threading.Event()
    async with Receiver(SECRET, store, lambda event: released.wait(30)) as receiver:
        assert {(await deliver(receiver, body(number))).status_code for number in range(20)} == {204}
        assert store.completed == []
        released.set()
        await receiver.run_pending()
    assert len(store.completed) == 20


def test_a_handler_may_be_any_callable(store: QueueStore) -> None:
    class AsyncCallable:
        async def __call__(self, event: Event) -> None:
            handled.append(event.id)

    handled: list[str] = []
    called = AsyncCallable()
    handlers = [lambda event: handled.append(event.id), called.__call__, called, lambda event: called(event)]
    for number, handle in enumerate(handlers):
        run(Receiver(SECRET, store, handle), body(number))
    assert handled == store.completed == [f"evt_{number}" for number in range(4)]
