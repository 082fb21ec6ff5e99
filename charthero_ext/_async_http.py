"""The driver that performs steps with asyncio: the twin of ``Driver`` in ``_http``."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress
from inspect import isawaitable
from math import inf
from typing import Any, TypeVar

import httpx

from charthero_ext._http import NOT_SENT, Connections, begin, no_auth
from charthero_ext._quiet import quiet
from charthero_ext._secret import Secret, without_origin
from charthero_ext._steps import CallbackError, ReadKey, Run, Send, Step, Steps
from charthero_ext.config import Settings
from charthero_ext.errors import ConfigurationError

__all__ = ["AsyncDriver"]

T = TypeVar("T")


class AsyncDriver(Connections):
    """Performs steps on one event loop."""

    _client_class = httpx.AsyncClient
    _transport_class = httpx.AsyncHTTPTransport
    _base_transport_class = httpx.AsyncBaseTransport

    def __init__(self, settings: Settings, arguments: Any, given: Any) -> None:
        super().__init__(settings, arguments, given)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exchanges: set[asyncio.Future[BaseException | None]] = set()

    async def run(self, steps: Steps[T]) -> T:
        """Perform *steps* and return their result. Cancelling the task ends any step."""
        step: Step | None = None
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the steps decide what every failure means
                    step = steps.throw(without_origin(error))
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as error:  # noqa: BLE001 - an interruption holds the request as well
            failure = error.raised if isinstance(error, CallbackError) else without_origin(error)
        try:
            raise failure
        finally:
            # Break the reference cycle of the traceback and this frame, which would keep the body in memory.
            del failure, step

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing, and so does a call after the loop was closed."""
        for made in self._shut():
            with suppress(RuntimeError):  # The event loop is closed, and so are its connections.
                await made.aclose()

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            self._bind_to_loop()
            return await self._send(step)
        if isinstance(step, ReadKey):
            key = step.source.read()
            if isawaitable(key.reveal()):
                try:
                    key = Secret(await key.reveal())  # type: ignore[misc]
                except Exception as error:  # noqa: BLE001 - any exception of the caller's code
                    failure = step.source.failure(error)
                else:
                    return step.source.checked(key)
                raise failure
            return step.source.checked(key)
        if isinstance(step, Run):
            return await asyncio.to_thread(step.function)
        return await asyncio.sleep(step.seconds)

    async def _send(self, step: Send) -> None:
        # httpcore 1.0 loses the connection of a cancelled request. So each exchange has its own task, which is never
        # cancelled. An abandoned exchange ends at the next chunk, and returns its connection to the pool.
        abandoned = asyncio.Event()
        exchange = asyncio.ensure_future(self._exchange(step, abandoned))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        seconds_left = None if step.deadline == inf else step.deadline - time.monotonic()
        try:
            async with asyncio.timeout(seconds_left):
                failure = await asyncio.shield(exchange)
        except TimeoutError as error:
            failure = error
        finally:
            abandoned.set()
        if isinstance(failure, NOT_SENT):
            self._fail(failure, step)
        if failure is not None:
            raise failure

    async def _exchange(self, step: Send, abandoned: asyncio.Event) -> BaseException | None:
        """Send a request and give the response to the sink. Return an exception instead of raising it.

        A task that raises a KeyboardInterrupt would stop the event loop, with the request in the traceback.
        """
        with quiet(not self._settings.http_logging):
            try:
                sent = self._request(step)
                async with aclosing(await self._response(self._target(sent.url), sent)) as response:
                    if not abandoned.is_set() and begin(response, step.sink):
                        chunks = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
                        async for chunk in chunks:
                            if abandoned.is_set():
                                return None
                            step.sink.write(chunk)
                        step.sink.end()
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's task
                return error
        return None

    async def _response(self, target: Any, sent: httpx.Request) -> Any:
        if isinstance(target, httpx.AsyncClient):
            return await target.send(sent, stream=True, auth=no_auth, follow_redirects=False)
        return await target.handle_async_request(sent)

    def _bind_to_loop(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            raise ConfigurationError("AsyncChartHero needs a running asyncio event loop; trio has none")
        if self._loop not in (None, loop):
            raise ConfigurationError("this client was used on another event loop; make one client per loop")
        self._loop = loop
