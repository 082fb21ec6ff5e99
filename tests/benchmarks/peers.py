"""The clients that are compared: how each decodes a page, and how it fetches one.

Each reads the page as its users would. A client raises ImportError if its packages or its generated code are missing;
the table then names it as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx

from tests.benchmarks.page import PATH
from tests.benchmarks.page_models import msgspec_decoder, pydantic_decoder

__all__ = ["FLOOR", "PEERS", "Peer"]

Fetch = Callable[[int], object]
AsyncFetch = Callable[[int], Awaitable[object]]

KEY = "ch_sk_synthetic"
HEADERS = {"Authorization": f"Bearer {KEY}"}


class Peer:
    """Reads pages: from bytes, and from a server with one client that keeps its connection open."""

    name: str
    is_async = True
    is_sync = True
    #: Whether its users have sniffio. Without it, httpcore searches for it at every lock of an asynchronous client.
    has_sniffio = False

    def decode(self, body: bytes) -> Any:
        """Decode the body of a page as the peer does for its users."""
        raise NotImplementedError

    @contextmanager
    def fetching(self, base_url: str) -> Iterator[Fetch]:
        """Yield a function that fetches and decodes a page with a number of rows."""

        def fetch(rows: int) -> object:
            response = client.get(PATH, params={"limit": rows})
            response.raise_for_status()
            return self.decode(response.content)

        with httpx.Client(base_url=base_url, headers=HEADERS) as client:
            yield fetch

    @asynccontextmanager
    async def fetching_async(self, base_url: str) -> AsyncIterator[AsyncFetch]:
        """Yield the same as `fetching`, for many requests at once."""

        async def fetch(rows: int) -> object:
            response = await client.get(PATH, params={"limit": rows})
            response.raise_for_status()
            return self.decode(response.content)

        async with httpx.AsyncClient(base_url=base_url, headers=HEADERS) as client:
            yield fetch


class Dicts(Peer):
    name = "httpx + json.loads, plain dicts"

    def decode(self, body: bytes) -> Any:
        return json.loads(body)


class Pydantic(Peer):
    name = "httpx + pydantic models"

    def __init__(self) -> None:
        self.decode = pydantic_decoder()


class Structs(Peer):
    name = "httpx + msgspec structs"

    def __init__(self) -> None:
        self.decode = msgspec_decoder()


class Urllib3Structs(Structs):
    name = "urllib3 + msgspec structs"
    is_async = False

    def __init__(self) -> None:
        super().__init__()
        self._urllib3 = import_module("urllib3")

    @contextmanager
    def fetching(self, base_url: str) -> Iterator[Fetch]:
        def fetch(rows: int) -> object:
            response = pool.request("GET", f"{base_url}{PATH}?limit={rows}")
            assert response.status == 200
            return self.decode(response.data)

        with self._urllib3.PoolManager(headers=HEADERS) as pool:
            yield fetch


class AsGenerated(Peer):
    name = "openapi-python-client, as generated"

    def __init__(self) -> None:
        self._client = import_module("raw_client").AuthenticatedClient
        # The artifact may have other names than ours, so find the operation by its route.
        for source in _sources("raw_client"):
            if f'"url": "{PATH}",' in source.read_text():
                self._operation = import_module(f"raw_client.api.{source.parent.name}.{source.stem}")
                break
        else:
            raise ImportError("the generated client does not have the list route")
        (answer,) = get_args(get_type_hints(self._operation.sync_detailed)["return"])
        self._page = next(
            kind for kind in get_args(answer) or (answer,) if "items" in getattr(kind, "__annotations__", ())
        )

    def decode(self, body: bytes) -> Any:
        return self._page.from_dict(json.loads(body))

    @contextmanager
    def fetching(self, base_url: str) -> Iterator[Fetch]:
        with self._client(base_url=base_url, token=KEY) as client:
            yield lambda rows: self._operation.sync_detailed(client=client, limit=rows).parsed

    @asynccontextmanager
    async def fetching_async(self, base_url: str) -> AsyncIterator[AsyncFetch]:
        async with self._client(base_url=base_url, token=KEY) as client:
            yield lambda rows: self._operation.asyncio_detailed(client=client, limit=rows)


class OpenapiGenerator(Peer):
    name = "openapi-generator, as generated"
    is_async = False

    def __init__(self) -> None:
        self._module = import_module("openapi_generator_client")
        for source in _sources("openapi_generator_client"):
            before, found, _ = source.read_text().partition(f"resource_path='{PATH}',")
            if found:
                self._method = re.findall(r"def _(\w+)_serialize\(", before)[-1]
                self._api = getattr(self._module, re.findall(r"^class (\w+)", before, re.MULTILINE)[-1])
                break
        else:
            raise ImportError("the generated client does not have the list route")
        self._page = get_type_hints(getattr(self._api, self._method))["return"]

    def decode(self, body: bytes) -> Any:
        return self._page.from_json(body.decode())

    @contextmanager
    def fetching(self, base_url: str) -> Iterator[Fetch]:
        configuration = self._module.Configuration(host=base_url, access_token=KEY)
        with self._module.ApiClient(configuration) as client:
            method = getattr(self._api(client), self._method)
            yield lambda rows: method(limit=rows)


class Ours(Peer):
    name = "**charthero_ext**"
    has_sniffio = True

    def __init__(self) -> None:
        from charthero_ext.models import EncounterPage

        self.decode = EncounterPage.from_body

    @contextmanager
    def fetching(self, base_url: str) -> Iterator[Fetch]:
        from charthero_ext import ChartHero

        with ChartHero(base_url=base_url, api_key=KEY) as client:
            yield lambda rows: client.encounters.list(limit=rows)

    @asynccontextmanager
    async def fetching_async(self, base_url: str) -> AsyncIterator[AsyncFetch]:
        from charthero_ext import AsyncChartHero

        async with AsyncChartHero(base_url=base_url, api_key=KEY) as client:
            yield lambda rows: client.encounters.list(limit=rows)


class OursOverAiohttp(Ours):
    name = "charthero_ext over aiohttp"
    is_sync = False

    def __init__(self) -> None:
        super().__init__()
        self._transport = import_module("httpx_aiohttp").AiohttpTransport

    @asynccontextmanager
    async def fetching_async(self, base_url: str) -> AsyncIterator[AsyncFetch]:
        from charthero_ext import AsyncChartHero

        httpx_args = {"transport": self._transport()}
        async with AsyncChartHero(base_url=base_url, api_key=KEY, httpx_args=httpx_args) as client:
            yield lambda rows: client.encounters.list(limit=rows)


FLOOR = Dicts.name
PEERS: tuple[type[Peer], ...] = (
    Dicts,
    Urllib3Structs,
    Structs,
    Pydantic,
    OpenapiGenerator,
    AsGenerated,
    Ours,
    OursOverAiohttp,
)


def _sources(package: str) -> list[Path]:
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return sorted(Path(found.origin).parent.glob("api/**/*.py"))
