"""How long a call may take, and how long it waits before it is tried again."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero, Timeouts
from charthero_ext.config import Attempt
from charthero_ext.errors import (
    ChartHeroError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceUnavailableError,
)
from charthero_ext.models import Encounter
from charthero_ext.pagination import Walk

from .conftest import EITHER_CLIENT, Listener, Server, awaited, connected, example, ok, perform, settings

MakeClient = Callable[..., ChartHero]


class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that never ends, each piece well within any timeout of a read."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "


@EITHER_CLIENT
@pytest.mark.parametrize(("status", "expected"), [(200, RequestTimeoutError), (404, NotFoundError)])
def test_total_timeout_ends_a_body_that_never_ends(kind: Any, status: int, expected: type[ChartHeroError]) -> None:
    client = connected(kind, lambda request: httpx.Response(status, stream=Drip()), total_timeout=0.3)
    with pytest.raises(expected):
        perform(client, lambda ch: ch.encounters.get("enc_1"))


def test_a_request_timeout_is_never_longer_than_the_total_timeout(client: MakeClient) -> None:
    server = Server(ok())
    client(server, total_timeout=2.0).encounters.get("enc_1")
    assert all(0 < at <= 2 for at in server.requests[0].extensions["timeout"].values())


def waits_of(client: MakeClient, monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response) -> list[float]:
    """Return how long a call waited between its attempts."""
    waits: list[float] = []
    monkeypatch.setattr("charthero_ext._http.time.sleep", waits.append)
    client(Server(*answers, ok())).encounters.get("enc_1")
    return waits


def test_retry_waits_grow_and_are_random(client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charthero_ext._call.WAIT_INITIAL", 0.1)
    monkeypatch.setattr("charthero_ext._call.WAIT_JITTER", 1.0)
    runs = [waits_of(client, monkeypatch, *[httpx.Response(503)] * 3) for _ in range(20)]
    for number, shortest in enumerate((0.1, 0.2, 0.4)):
        waits = {run[number] for run in runs}
        assert len(waits) > 10
        assert min(waits) >= shortest
        assert max(waits) <= shortest + 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_retry_waits_at_least_as_long_as_retry_after(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    waits = waits_of(client, monkeypatch, httpx.Response(status, headers={"Retry-After": "7"}))
    assert 7 <= waits[0] <= 8


@pytest.mark.parametrize("value", ["soon", "9" * 40, "1777647600", "7200"])
def test_a_long_or_invalid_retry_after_ends_the_call(client: MakeClient, value: str) -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": value}))
    with pytest.raises(RateLimitedError) as caught:
        client(server).encounters.get("enc_1")
    assert len(server.requests) == 1
    assert (caught.value.retry_after or 0) >= 7200


@pytest.mark.parametrize("status", [429, 503])
def test_all_calls_of_a_client_respect_a_retry_after(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            ch.encounters.get("enc_2")

    monkeypatch.setattr("charthero_ext._http.time.sleep", sleep)
    ch = client(Server(httpx.Response(status, headers={"Retry-After": "9"}), ok()))
    ch.encounters.get("enc_1")
    assert len(waits) >= 2
    assert all(8 < wait <= 9 for wait in waits[:2])


def test_a_call_with_less_time_than_the_wait_is_sent_at_once(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("charthero_ext._http.time.sleep", waits.append)
    ch = client(Server(httpx.Response(503, headers={"Retry-After": "30"}), ok()))
    ch.encounters.get("enc_1")
    waits.clear()
    ch.encounters.get("enc_1", timeout=Timeouts(total=5))
    assert waits == []


def test_total_timeout_covers_all_attempts_and_waits(client: MakeClient) -> None:
    server = Server(httpx.Response(503, headers={"Retry-After": "2"}))
    with pytest.raises(ServiceUnavailableError):
        client(server).encounters.get("enc_1", timeout=Timeouts(total=1))
    assert len(server.requests) == 1


class Interrupted:
    """A server whose first page arrives, whose second asks to wait or hangs, and which counts its requests."""

    def __init__(self, *, hangs: bool) -> None:
        self.requests = 0
        self.hangs = hangs
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.requests == 1:
            rows = [{**example("encounters.get")["encounter"], "encounter_id": f"enc_{number}"} for number in range(3)]
            return httpx.Response(200, json={"items": rows, "limit": 3, "offset": 0, "total": 9})
        self.reached.set()
        if self.hangs:
            self.released.wait(timeout=30)
        return httpx.Response(503, headers={"Retry-After": "25"})


@pytest.mark.parametrize("hangs", [False, True])
def test_ctrl_c_ends_a_walk_at_once(client: MakeClient, hangs: bool) -> None:
    server = Interrupted(hangs=hangs)

    def interrupted(walk: Walk[Encounter]) -> None:
        with walk:
            next(walk)
            assert server.reached.wait(timeout=30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(client(server).encounters.iter(limit=3))
    server.released.set()
    for thread in [thread for thread in threading.enumerate() if thread.name == "charthero-walk"]:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert server.requests == 2


def test_closing_a_walk_from_another_thread_ends_its_wait(client: MakeClient) -> None:
    waiting = threading.Event()
    raised: list[BaseException] = []

    def told(attempt: Attempt) -> None:
        waiting.set()

    walk = client(lambda request: httpx.Response(503, headers={"Retry-After": "50"}), on_attempt=told).encounters.iter()

    def iterate() -> None:
        try:
            next(walk)
        except ChartHeroError as error:
            raised.append(error)

    thread = threading.Thread(target=iterate, daemon=True)
    thread.start()
    assert waiting.wait(20)
    walk.close()
    thread.join(20)
    (error,) = raised
    assert str(error).startswith("the walk was closed while it waited for a page")
    assert walk.receipt.requests == 1


def test_a_closed_walk_stops_its_retries_and_can_continue(client: MakeClient) -> None:
    server = Interrupted(hangs=False)
    walk = client(server).encounters.iter(limit=3)
    next(walk)
    assert server.reached.wait(timeout=30)
    walk.close()
    assert server.requests == 2
    assert next(walk).encounter_id == "enc_1"


def test_a_call_that_gives_up_still_makes_the_others_wait(client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("charthero_ext._http.time.sleep", waits.append)
    ch = client(Server(httpx.Response(429, headers={"Retry-After": "9"}), ok()), attempts=1)
    with pytest.raises(RateLimitedError):
        ch.encounters.get("enc_1")
    ch.encounters.get("enc_2")
    assert [8 < wait <= 10 for wait in waits] == [True]


def trickling(connection: socket.socket) -> None:
    """Send headers without end, each well within any timeout of a read."""
    with connection, suppress(OSError):
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Header: 1\r\n")
            time.sleep(0.01)


def test_headers_that_trickle_in_do_not_outlast_an_asynchronous_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: trickling(server.accept()[0]), daemon=True).start()
        base_url = f"http://127.0.0.1:{server.getsockname()[1]}"

        async def main() -> None:
            async with AsyncChartHero(settings=settings(base_url=base_url, total_timeout=0.3, attempts=1)) as ch:
                await ch.encounters.get("enc_1")

        with pytest.raises(RequestTimeoutError):
            asyncio.run(main())


@awaited
async def test_cancelled_requests_give_their_connections_back(listener: Callable[[], Listener]) -> None:
    api = listener()
    limits = httpx.Limits(max_connections=1)

    chosen = settings(base_url=api.url)
    async with AsyncChartHero(settings=chosen, httpx_args={"limits": limits}) as ch:
        for number in range(60):
            with suppress(TimeoutError):
                await asyncio.wait_for(ch.encounters.get("enc_1"), timeout=number / 10_000)
        await ch.encounters.get("enc_2", timeout=10)
