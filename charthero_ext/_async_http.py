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
from charthero_ext._steps import CallbackError, ReadKey, Request, Run, Send, Sink, Step, Steps
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
        self._late: set[asyncio.Future[None]] = set()

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
            with suppress(RuntimeError):  # The loop of the connections is closed, and with it the connections.
                await made.aclose()

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            self._bind_to_loop()
            return await self._send(step.request, step.sink)
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

    async def _send(self, request: Request, sink: Sink) -> None:
        with quiet(not self._settings.http_logging):
            try:
                sent = self._request(request)
                target = self._target(sent.url)
                seconds_left = None if request.deadline == inf else request.deadline - time.monotonic()
                async with asyncio.timeout(seconds_left), aclosing(await self._response(target, sent)) as response:
                    if begin(response, sink):
                        if response.is_stream_consumed:
                            sink.write(response.content)
                        else:
                            async for chunk in response.aiter_raw():
                                if not sink.write(chunk):
                                    break
            except NOT_SENT as error:
                failure = error
            else:
                sink.end()
                return
        self._fail(failure, request)

    async def _response(self, target: Any, sent: httpx.Request) -> httpx.Response:
        """Return the response. A cancelled request continues in the background until its response can be closed.

        Otherwise httpcore 1.0 never returns its connection to the pool.
        """
        if isinstance(target, httpx.AsyncClient):
            return await target.send(sent, stream=True, auth=no_auth, follow_redirects=False)
        handling = asyncio.ensure_future(_outcome(target, sent))
        try:
            outcome = await asyncio.shield(handling)
        except asyncio.CancelledError:
            handling.add_done_callback(self._close_late)
            raise
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _close_late(self, handling: asyncio.Future[httpx.Response | BaseException]) -> None:
        if not handling.cancelled() and isinstance(response := handling.result(), httpx.Response):
            closing = asyncio.ensure_future(response.aclose())
            self._late.add(closing)
            closing.add_done_callback(self._late.discard)

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


async def _outcome(target: Any, sent: httpx.Request) -> httpx.Response | BaseException:
    """Return the response or the exception. A KeyboardInterrupt raised by a task would stop the event loop."""
    try:
        response: httpx.Response = await target.handle_async_request(sent)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's task
        return error
    return response
