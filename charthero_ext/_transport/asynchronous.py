"""The transport for an event loop: the twin of the one for threads, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx
from attrs import define, field
from charthero_client.client import Client
from charthero_client.types import Response

from charthero_ext._transport.call import Call
from charthero_ext._transport.connections import Connections, decoded, no_auth
from charthero_ext._transport.context import within
from charthero_ext._transport.failures import awaited_key, read_key, stream_failure, translated
from charthero_ext._transport.sink import Sink
from charthero_ext._transport.status import MAX_ERROR_BODY, status_error
from charthero_ext._transport.sync import DROPPED
from charthero_ext.config import Timeouts
from charthero_ext.errors import AuthenticationError, ChartHeroError, ConfigurationError

__all__ = ["AsyncTransport"]

_T = TypeVar("_T")


@define(repr=False, eq=False)
class AsyncTransport(Connections):
    """Makes calls on one event loop over one pool of connections."""

    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None)

    _kind = httpx.AsyncClient

    async def call(
        self,
        operation: str,
        function: Callable[..., Awaitable[Response[_T]]],
        *,
        timeout: float | Timeouts | None = None,
        **arguments: Any,
    ) -> _T:
        """As :meth:`Transport.call`; cancelling the task ends the call, a wait between attempts too."""
        call = self._begin(operation, timeout)
        outcome = await self._once(call, function, arguments)
        if not isinstance(outcome, BaseException):
            return outcome
        async for attempt in self._retries(call):
            with attempt:
                if attempt.num > 1:
                    outcome = await self._once(call, function, arguments)
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def probe(self, operation: str, path: str, query: Mapping[str, str]) -> ChartHeroError | None:
        """As :meth:`Transport.probe`."""

        async def dropped(*, client: Client) -> Response[bool]:
            async with client.get_async_httpx_client().stream("GET", path, params=query):
                return DROPPED

        try:
            await self.call(operation, dropped)
        except ConfigurationError:
            raise
        except ChartHeroError as failure:
            return failure
        return None

    async def receive(self, sink: Sink) -> None:
        """As :meth:`Transport.receive`."""
        failure = await self._stream(sink)
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Close the connections. A second close does nothing."""
        if self._shut():
            if self._given is not None:
                self._give_back()
            elif self._process:
                await self._client.get_async_httpx_client().aclose()

    def _open(self, client: Client) -> None:
        if self._given is not None:
            client.set_async_httpx_client(self._given)
        client.get_async_httpx_client()

    async def _once(
        self, call: Call, function: Callable[..., Awaitable[Response[_T]]], arguments: dict[str, Any]
    ) -> _T | BaseException:
        call.go_on_with(await self._key())
        outcome = await self._send(call, function, arguments)
        if isinstance(outcome, AuthenticationError) and call.go_on_with(await self._key()):
            outcome = await self._send(call, function, arguments)
        return outcome

    async def _send(
        self, call: Call, function: Callable[..., Awaitable[Response[_T]]], arguments: dict[str, Any]
    ) -> _T | BaseException:
        client = self._usable_client()
        call.begin_attempt()
        outcome: _T | BaseException
        with within(self.settings, call):
            try:
                outcome = decoded(await function(client=client, **arguments), call.operation)
            except BaseException as error:  # noqa: BLE001 - whatever happened must leave without its frames and its request
                outcome = translated(error, call)
        self._end_attempt(call, outcome)
        return outcome

    async def _stream(self, sink: Sink) -> BaseException | None:
        with within(self.settings):
            try:
                async with self._elsewhere(sink.url) as client:
                    request = self._request_elsewhere(client, sink)
                    response = await client.send(request, stream=True, auth=no_auth, follow_redirects=False)
                    async with aclosing(response):
                        sink.begin(response.status_code, response.headers)
                        async for chunk in response.aiter_bytes():
                            sink.write(chunk)
                        sink.end()
            except BaseException as error:  # noqa: BLE001 - whatever happened must leave without the frames that hold the URL
                return stream_failure(error, sink)
        return None

    @asynccontextmanager
    async def _elsewhere(self, url: str) -> AsyncIterator[httpx.AsyncClient]:
        if self._reaches(url):
            yield self._usable_client().get_async_httpx_client()
        else:
            async with httpx.AsyncClient(**self._arguments_elsewhere(url)) as client:
                yield client

    def _usable_client(self) -> Client:
        client = super()._usable_client()
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigurationError("this client was used on another event loop; make one client per loop")
        self._loop = loop
        return client

    async def _key(self) -> str:
        source = self.settings.key_source
        return source.checked(await awaited_key(read_key(source), source.origin))

    async def _on_request(self, request: httpx.Request) -> None:
        self._prepare(request)

    async def _on_response(self, response: httpx.Response) -> None:
        call = self._note(response)
        if call is not None:
            body = b""
            with suppress(httpx.HTTPError):  # what can be read of it is enough: the status says what happened
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ERROR_BODY:
                        break
            raise status_error(response.status_code, response.headers, body, call.operation)
