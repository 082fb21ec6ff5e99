"""Which events the receiver hands to the handler, when, and how often."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import Event, Receiver, SQLiteStore, UnknownEvent, worker
from tests.payloads import EVENT

from .webhook_queue import SECRET, MemoryStore, body, deliver


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


@pytest.fixture(params=["SQLite", "memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Open the store as another process does."""
    memory = MemoryStore()
    return lambda: SQLiteStore(tmp_path / "events.db") if request.param == "SQLite" else memory


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Handler:
    """Fails as often as it is told to, and keeps what it was called with."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.events: list[Event] = []

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def __call__(self, event: Event) -> None:
        self.events.append(event)
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


def test_an_event_is_handled_once_however_often_it_is_delivered(make_store: Callable[[], Any]) -> None:
    handler = Handler()
    receivers = [Receiver(SECRET, make_store(), handler) for _ in range(3)]

    async def live() -> None:
        async with receivers[0], receivers[1], receivers[2]:
            await asyncio.gather(*(deliver(each, body(number)) for number in range(10) for each in receivers * 3))
            for each in receivers:
                await each.run_pending()

    asyncio.run(live())
    run(receivers[0], body(1), body(2))
    assert sorted(handler.ids) == sorted(f"evt_{number}" for number in range(10))


def test_submitted_and_delivered_events_share_one_queue(store: MemoryStore) -> None:
    handler = Handler()
    receiver = Receiver(SECRET, store, handler)

    async def live() -> None:
        for number in (1, 1, 2):
            await receiver.submit(TranscriptReadyEvent.from_dict({**EVENT, "id": f"evt_{number}"}))
        for number in (2, 3):
            await deliver(receiver, body(number))
        await receiver.run_pending()

    asyncio.run(live())
    assert sorted(handler.ids) == ["evt_1", "evt_2", "evt_3"]


def test_only_the_thin_pointer_is_stored_and_handed_over(store: MemoryStore) -> None:
    handler = Handler()
    extra = {"note": "canary", "resources": {**EVENT["resources"], "text": "canary", "recording_id": "rec_1"}}
    receiver = Receiver(SECRET, store, handler)

    async def live() -> list[str]:
        await deliver(receiver, body(1, **extra))
        await deliver(receiver, body(2, **extra, type="other", occurred_at={"canary": 1}))
        stored = [row.pointer or "" for row in store.rows.values()]
        await receiver.run_pending()
        return stored

    stored = asyncio.run(live())
    first, second = sorted(handler.events, key=lambda each: each.id)
    assert isinstance(first, TranscriptReadyEvent)
    assert isinstance(second, UnknownEvent)
    assert "canary" not in f"{stored} {first.to_dict()} {second.payload}"
    assert json.loads(stored[1])["resources"] == {**EVENT["resources"], "recording_id": "rec_1"}


@pytest.mark.parametrize("failure", [RuntimeError, asyncio.CancelledError, TimeoutError, BaseException])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_failed_event_is_logged_without_its_text_and_retried_later(
    failure: type[BaseException], is_async: bool, store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture
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


def test_the_running_process_retries_by_itself(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL", 0.001)
    monkeypatch.setattr(worker, "BACKOFF", 0)
    handler = Handler(RuntimeError(), RuntimeError())

    async def live() -> None:
        succeeded = asyncio.Event()

        async def handle(event: Event) -> None:
            handler(event)
            succeeded.set()

        async with Receiver(SECRET, store, handle) as receiver:
            await deliver(receiver)
            await succeeded.wait()

    asyncio.run(live())
    assert (handler.ids, store.completed) == (["evt_1"] * 3, ["evt_1"])


def test_the_pauses_double_up_to_an_hour_until_the_attempts_are_used_up(store: MemoryStore, clock: Clock) -> None:
    handler = Handler(*[ValueError("canary") for _ in range(20)])
    receiver = Receiver(SECRET, store, handler)
    run(receiver, body(1))
    for calls in range(1, 20):
        clock.now += min(10 * 2 ** (calls - 1), 3600) - 1
        run(receiver)
        assert (receiver.failed(), len(handler.events)) == ([], calls)
        clock.now += 1
        run(receiver)
    clock.now += 10**6
    run(receiver)
    assert (receiver.failed(), len(handler.events)) == ([("evt_1", "ValueError")], 20)


def test_a_redelivery_hands_over_an_event_that_no_one_holds(make_store: Callable[[], Any], clock: Clock) -> None:
    handler = Handler(*[RuntimeError() for _ in range(21)])
    receiver = Receiver(SECRET, make_store(), handler)
    run(receiver, body(1))
    run(receiver, body(1))
    assert len(handler.events) == 2
    while not receiver.failed():
        clock.now += 3600
        run(receiver)
    run(receiver, body(1))
    assert (receiver.failed(), len(handler.events)) == ([], 21)
    run(receiver, body(1))
    run(receiver, body(1))
    assert len(handler.events) == 22


def test_an_event_that_ends_its_process_each_time_uses_up_its_attempts(store: MemoryStore, clock: Clock) -> None:
    store.add("evt_1", body(1).decode(), clock.now)
    for _ in range(20):
        assert len(store.claim(clock.now, clock.now + 600, 8)) == 1  # and the process ends
        clock.now += 600
    receiver = Receiver(SECRET, store, lambda event: pytest.fail("handed over"))
    run(receiver)
    assert receiver.failed() == [("evt_1", "LeaseExpired")]


def test_a_pointer_that_is_not_an_event_does_not_harm_the_others(
    store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    for event_id, pointer in {"evt_7": "canary", "evt_8": "[]", "evt_9": body(9).decode()}.items():
        store.add(event_id, pointer, clock.now)
    run(Receiver(SECRET, store, handler))
    assert handler.ids == store.completed == ["evt_9"]
    assert caplog.text.count("was not handled") == 2
    assert "canary" not in caplog.text


def test_a_handler_that_takes_too_long_has_failed(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LEASE", 0.01)
    monkeypatch.setattr(worker, "ATTEMPTS", 1)

    async def hang(event: Event) -> None:
        await asyncio.get_running_loop().create_future()

    receiver = Receiver(SECRET, store, hang)
    run(receiver, body(1))
    assert receiver.failed() == [("evt_1", "TimeoutError")]


def test_a_success_that_cannot_be_recorded_only_delays_an_event(
    store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    receiver = Receiver(SECRET, store, handler)

    def fail(self: MemoryStore, event_id: str) -> None:
        raise OSError("canary")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "complete", fail)
        run(receiver, body(1))
        store.add("evt_2", body(2).decode(), clock.now)
        with pytest.raises(OSError, match="canary"):
            asyncio.run(receiver.run_pending())
    assert "the webhook store failed (OSError at " in caplog.text
    assert "canary" not in caplog.text
    clock.now += 600
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
def test_an_event_survives_a_server_that_stops_after_the_response(
    end: Callable[[asyncio.AbstractEventLoop], None], clock: Clock
) -> None:
    finished: list[str] = []

    async def handle(event: Event) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.append(event.id)

    async def served(receiver: Receiver, number: int) -> None:
        assert (await deliver(receiver)).status_code == 204
        # The server stops before, while or after the event is claimed and handled.
        for _ in range(number):
            await asyncio.sleep(0)

    for number in range(20):
        store = MemoryStore()
        receiver = Receiver(SECRET, store, handle)
        with closing(asyncio.new_event_loop()) as loop:
            loop.run_until_complete(served(receiver, number))
            end(loop)
            clock.now += 600
            asyncio.run(receiver.run_pending())
        # Twice, if the server stopped between the end of the handler and the record of it.
        assert finished in (["evt_1"], ["evt_1", "evt_1"])
        assert store.completed == ["evt_1"]
        finished.clear()
    gc.collect()


def test_cancelling_run_pending_cancels_its_handler_and_the_event_is_due_later(
    store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def live() -> None:
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

    asyncio.run(live())
    assert store.completed == ["evt_1"]
    assert "'evt_1' was not handled (CancelledError at " in caplog.text


def test_the_end_does_not_wait_for_events_that_no_handler_has_started(store: MemoryStore, clock: Clock) -> None:
    for number in range(100):
        store.add(f"evt_{number}", body(number).decode(), clock.now)

    async def live() -> None:
        async with Receiver(SECRET, store, lambda event: None):
            pass

    asyncio.run(live())
    assert len(store.completed) < 100
    assert all(row.leased_until == 0.0 for row in store.rows.values() if row.pointer)


def test_blocking_handlers_do_not_delay_the_recording_of_events(store: MemoryStore) -> None:
    released = threading.Event()
    receiver = Receiver(SECRET, store, lambda event: released.wait(30))

    async def live() -> None:
        async with receiver:
            assert {(await deliver(receiver, body(number))).status_code for number in range(30)} == {204}
            assert store.completed == []
            released.set()
            await receiver.run_pending()

    asyncio.run(live())
    assert len(store.completed) == 30


def test_at_most_eight_events_are_handled_at_the_same_time(store: MemoryStore) -> None:
    running, most = 0, 0

    async def handle(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await asyncio.sleep(0)
        running -= 1

    run(Receiver(SECRET, store, handle), *(body(number) for number in range(40)))
    assert len(store.completed) == 40
    assert 1 < most <= 8


def test_a_handler_may_be_any_callable(store: MemoryStore) -> None:
    class AsyncCallable:
        async def __call__(self, event: Event) -> None:
            handled.append(event)

    handled: list[Event] = []
    called = AsyncCallable()
    for number, handle in enumerate([handled.append, called.__call__, called, lambda event: called(event)]):
        run(Receiver(SECRET, store, handle), body(number))
    assert [event.id for event in handled] == store.completed == [f"evt_{number}" for number in range(4)]
