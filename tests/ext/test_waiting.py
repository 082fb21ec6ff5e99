"""How long a call may take, and how long it waits before it is tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext._transport.call import Call
from charthero_ext.config import Timeouts
from charthero_ext.errors import (
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceUnavailableError,
)

from .conftest import async_client, example

MakeClient = Callable[..., ChartHero]


class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that never ends, each piece well within any timeout of a read."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "


@pytest.mark.parametrize("status", [200, 404])
def test_a_body_that_drips_without_end_is_given_up_in_time(client: MakeClient, status: int) -> None:
    started = time.monotonic()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=Drip())

    expected = RequestTimeoutError if status == 200 else NotFoundError
    with pytest.raises(expected):
        client(answer, total_timeout=0.3).encounters.get("enc_1")

    async def main() -> None:
        async with async_client(answer, total_timeout=0.3) as ch:
            await ch.encounters.get("enc_1")

    with pytest.raises(expected):
        asyncio.run(main())
    assert time.monotonic() - started < 20


def test_no_request_is_given_longer_than_is_left_of_the_call(client: MakeClient) -> None:
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=example("encounters.get"))

    client(server, total_timeout=2.0).encounters.get("enc_1")
    assert all(0 < at <= 2 for at in asked[0].extensions["timeout"].values())


def failure(kind: type[Any], retry_after: float | None, status_code: int) -> Any:
    return kind(status_code=status_code, operation="encounters.list", retry_after=retry_after)


def test_waits_grow_differ_and_are_never_shorter_than_the_server_asks() -> None:
    call = Call("encounters.list", Timeouts(), time.monotonic() + 60)
    shortest = []
    for _ in range(4):
        call.begin_attempt()
        waits = {call.wait(failure(RateLimitedError, 0.0, 429)) for _ in range(40)}
        assert len(waits) > 20
        shortest.append(min(waits))
        assert 7 <= call.wait(failure(ServiceUnavailableError, 7.0, 503)) <= 8
    for at_least, wait in zip((0.1, 0.2, 0.4, 0.8), shortest, strict=True):
        assert wait >= at_least


def test_a_call_whose_time_is_up_is_not_tried_again() -> None:
    call = Call("encounters.list", Timeouts(), time.monotonic() + 5)
    call.begin_attempt()
    assert call.wait(failure(RateLimitedError, 6.0, 429)) is False
    assert call.wait(failure(ServiceUnavailableError, None, 501)) is False
    assert call.wait(failure(RateLimitedError, None, 429)) is not False
