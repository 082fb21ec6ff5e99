"""The promises of the asynchronous client over aiohttp's transport (extra ``aiohttp``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from httpx_aiohttp import AiohttpTransport

from charthero_ext import AsyncChartHero
from charthero_ext.errors import RequestTimeoutError, ServiceUnavailableError, TransportError, UnexpectedResponseError
from charthero_ext.sandbox import Sandbox

from .conftest import KEY, Listener, settings

T = TypeVar("T")


def run(call: Callable[[AsyncChartHero], Awaitable[T]], **others: Any) -> T:
    async def main() -> T:
        async with AsyncChartHero(settings=settings(**others), httpx_args={"transport": AiohttpTransport()}) as ch:
            return await call(ch)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with Sandbox(encounters=120) as running:
        yield running


def in_sandbox(sandbox: Sandbox) -> dict[str, Any]:
    return {"base_url": sandbox.base_url, "api_key": sandbox.api_key}


def test_a_walk_yields_every_encounter_once(sandbox: Sandbox) -> None:
    async def ids(ch: AsyncChartHero) -> list[str]:
        return [encounter.encounter_id async for encounter in ch.encounters.iter(concurrency=4)]

    found = run(ids, **in_sandbox(sandbox))
    assert len(found) == len(set(found)) == 120


def test_concurrent_requests_can_share_a_client(sandbox: Sandbox) -> None:
    async def totals(ch: AsyncChartHero) -> list[int]:
        pages = await asyncio.gather(*(ch.encounters.list(limit=1) for _ in range(16)))
        return [page.total for page in pages]

    assert run(totals, **in_sandbox(sandbox)) == [120] * 16


def test_a_recording_is_downloaded(sandbox: Sandbox, tmp_path: Path) -> None:
    async def download(ch: AsyncChartHero) -> bytes:
        async for encounter in ch.encounters.iter():
            for document in encounter.documents:
                if document.schema_type == "ambient_transcript":
                    target = tmp_path / "a.wav"
                    path = await ch.documents.download_audio(encounter.encounter_id, document.document_id, target)
                    return path.read_bytes()
        raise AssertionError("the sandbox has no recording")

    assert run(download, **in_sandbox(sandbox)).startswith(b"RIFF")


@pytest.mark.parametrize(
    ("fault", "options", "chosen", "expected"),
    [
        ("latency", {"seconds": 30.0, "times": 1}, {"total_timeout": 0.3, "attempts": 1}, RequestTimeoutError),
        ("status", {"status": 503, "times": None}, {"attempts": 2}, ServiceUnavailableError),
    ],
    ids=["latency", "status"],
)
def test_a_timeout_and_an_error_status_raise_their_exceptions(
    sandbox: Sandbox, fault: str, options: dict[str, Any], chosen: dict[str, Any], expected: type[Exception]
) -> None:
    sandbox.fail(fault, **options)
    try:
        with pytest.raises(expected):
            run(lambda ch: ch.encounters.list(), **in_sandbox(sandbox), **chosen)
    finally:
        sandbox.reset()


def test_a_redirect_is_not_followed(listener: Callable[[], Listener]) -> None:
    elsewhere = listener()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        chosen = settings(base_url=base_url, attempts=1)
        async with server, AsyncChartHero(settings=chosen, httpx_args={"transport": AiohttpTransport()}) as ch:
            await ch.encounters.get("enc_1")

    with pytest.raises(UnexpectedResponseError, match="no redirects"):
        asyncio.run(main())
    assert elsewhere.asked == []


def test_a_refused_connection_is_a_transport_error_without_the_key() -> None:
    with pytest.raises(TransportError) as caught:
        run(lambda ch: ch.encounters.get("enc_1"), base_url="http://127.0.0.1:9", attempts=1)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert KEY not in str(caught.value)
