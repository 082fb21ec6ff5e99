"""How long a call may take, and how long it waits before it is tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import (
    NotFoundError,
    RequestTimeoutError,
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
