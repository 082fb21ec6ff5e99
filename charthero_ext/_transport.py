"""One call to the API: the key, the timeouts, the retries, and one clean exception when it fails.

This is the only module that knows httpx. It hands the generated call functions an httpx client whose event hooks add
the key (to the configured host alone) and raise on a status other than success, before the generated parser sees the
body.

What leaves this module as an exception was raised anew: without httpx's exceptions, whose requests carry the key,
without the parser's, whose text is the body, and without their frames.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from inspect import isawaitable
from threading import Lock
from typing import Any, Protocol, TypeVar

import httpx
import stamina
from attrs import asdict, define, field, frozen
from charthero_client.client import Client
from charthero_client.types import Response

from charthero_ext._audio import MediaError
from charthero_ext._status import MAX_ERROR_BODY, status_error
from charthero_ext.config import KeySource, Settings, Timeouts
from charthero_ext.errors import (
    AuthenticationError,
    ChartHeroError,
    ConfigurationError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceUnavailableError,
    TransportError,
    UnexpectedResponseError,
)

__all__ = ["AsyncTransport", "LastResponse", "Transport"]

logger = logging.getLogger("charthero_ext")

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
WAIT_INITIAL, WAIT_MAX, WAIT_JITTER = 0.1, 5.0, 1.0

#: What may be passed through to httpx. The rest would take the key, the statuses or the timeouts out of our hands.
HTTPX_ARGUMENTS = frozenset({"cert", "http1", "http2", "limits", "mounts", "proxy", "transport", "trust_env", "verify"})

#: What stands for a success whose body nobody reads.
_DROPPED = Response(HTTPStatus.OK, b"", {}, parsed=True)

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Exception)


class Sink(Protocol):
    """Where something that a host without our key streams goes, and what it is asked with."""

    @property
    def url(self) -> str: ...

    def request_headers(self) -> dict[str, str]: ...

    def begin(self, status_code: int, headers: Mapping[str, str]) -> None: ...

    def write(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...

    def failure(self, reason: str) -> ChartHeroError: ...


@frozen
class LastResponse:
    """Status and headers of a response; the headers are in no repr, since they can hold a signed URL."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)


@define
class _Attempt:
    """One call in progress, found by the hooks through the context."""

    operation: str
    timeouts: Timeouts
    deadline: float
    number: int = 0
    started: float = 0.0
    key: str = field(default="", repr=False)
    has_another_key: bool = False
    may_pass: bool = False
    status: int = 0
    last: LastResponse | None = None

    def may_take_another(self, key: str) -> bool:
        """Tell whether to try once more with *key*: it is another, and none was tried before."""
        if key == self.key or self.has_another_key:
            return False
        self.key, self.has_another_key = key, True
        return True


_current: ContextVar[_Attempt | None] = ContextVar("charthero_call", default=None)
_last: ContextVar[tuple[int, LastResponse] | None] = ContextVar("charthero_last_response", default=None)
_quiet: ContextVar[bool] = ContextVar("charthero_quiet", default=False)


def _outside_our_calls(record: logging.LogRecord) -> bool:
    return not _quiet.get()


# httpx logs full URLs at INFO, httpcore headers at DEBUG. The filters are silent only within our own calls, so that
# whatever else in the process uses httpx keeps its log.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_outside_our_calls)


@define(repr=False, eq=False)
class _Base:
    """What both transports share: everything but the waiting."""

    settings: Settings
    _arguments: Mapping[str, Any]
    _given: Any
    _client: Client | None = None
    _process: int = 0
    _closed: bool = False
    _home: tuple[str, str, int | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._home = _origin(httpx.URL(self.settings.base_url))
        if unknown := self._arguments.keys() - HTTPX_ARGUMENTS:
            raise ConfigurationError(
                f"httpx_args may not have {', '.join(sorted(unknown))}; "
                f"it may have {', '.join(sorted(HTTPX_ARGUMENTS))}"
            )
        if self._given is not None and self._arguments:
            raise ConfigurationError("give either http_client or httpx_args; an httpx client brings its own settings")

    @property
    def last_response(self) -> LastResponse | None:
        owned = _last.get()
        return owned[1] if owned is not None and owned[0] == id(self) else None

    def _new_client(self, on_request: Any, on_response: Any) -> Client:
        """Return the generated client, through which every request passes our hooks."""
        url = self.settings.base_url
        self._process = os.getpid()
        if self._given is not None:
            if str(self._given.base_url).rstrip("/") not in ("", url):
                raise ConfigurationError("the http_client has another base_url than the settings")
            hooks = self._given.event_hooks
            self._given.base_url = url
            self._given.event_hooks = {
                "request": [*hooks["request"], on_request],
                "response": [on_response, *hooks["response"]],
            }
            return Client(base_url=url)
        arguments = dict(self._arguments)
        # For plain http, which only loopback may use, httpx need not spend 15 ms on loading certificates.
        verify = arguments.pop("verify", True) if url.startswith("https") else False
        hooks = {"request": [on_request], "response": [on_response]}
        timeout = httpx.Timeout(self.settings.timeouts.read)
        return Client(base_url=url, verify_ssl=verify, timeout=timeout, httpx_args={**arguments, "event_hooks": hooks})

    def media_retries(self) -> Any:
        """Return the attempts to have a recording, each with a fresh URL."""
        return stamina.retry_context(
            on=MediaError, attempts=self.settings.attempts, timeout=self.settings.total_timeout
        )

    def _arguments_elsewhere(self) -> dict[str, Any]:
        """Return what makes an httpx client for hosts that get no key."""
        arguments = {name: value for name, value in self._arguments.items() if name != "transport"}
        timeout = httpx.Timeout(**asdict(self.settings.timeouts))
        return {**arguments, "timeout": timeout, "follow_redirects": False, "auth": _no_auth}

    def _usable_client(self) -> Client | None:
        """Return the client, or None where one has to be made: at first, and in a forked child."""
        if self._closed:
            raise ConfigurationError("this client was closed; make another")
        if self._client is None or self._process == os.getpid():
            return self._client
        if self._given is not None:
            raise ConfigurationError("the http_client was made before a fork; make a client in each process")
        return None

    def _begin(self, operation: str, timeout: float | Timeouts | None) -> _Attempt:
        timeouts = self.settings.timeouts if timeout is None else Timeouts.of(timeout)
        return _Attempt(operation, timeouts, time.monotonic() + self.settings.total_timeout)

    def _retries(self, attempt: _Attempt) -> Any:
        return stamina.retry_context(
            on=lambda error: self._wait(error, attempt), attempts=self.settings.attempts, timeout=None
        )

    def _wait(self, error: Exception, attempt: _Attempt) -> bool | float:
        """Return the seconds to wait before the next attempt, or False where there must be none."""
        asked = None
        if isinstance(error, (RateLimitedError, ServiceUnavailableError)):
            if error.status_code not in RETRIED_STATUSES:
                return False
            asked = error.retry_after
        elif not attempt.may_pass:
            return False
        backoff = min(WAIT_MAX, WAIT_INITIAL * 2 ** (attempt.number - 1)) + random.uniform(0, WAIT_JITTER)  # noqa: S311
        wait = backoff if asked is None else asked
        return wait if time.monotonic() + wait < attempt.deadline else False

    def _before(self, attempt: _Attempt) -> None:
        attempt.number += 1
        attempt.started = time.perf_counter()
        attempt.status, attempt.last, attempt.may_pass = 0, None, False

    def _failure(self, attempt: _Attempt, error: Exception) -> ChartHeroError:
        attempt.may_pass = isinstance(error, (httpx.TransportError, json.JSONDecodeError, UnicodeDecodeError))
        return _translated(error, attempt.operation)

    def _after(self, attempt: _Attempt, error: ChartHeroError | None) -> None:
        if attempt.last is not None:
            _last.set((id(self), attempt.last))
        reason = "-" if error is None else getattr(error, "reason_code", None) or type(error).__name__
        milliseconds = (time.perf_counter() - attempt.started) * 1000
        status = attempt.status or "-"
        logger.info("%s %s %s %.1f ms attempt %d", attempt.operation, status, reason, milliseconds, attempt.number)

    def _on_request(self, request: httpx.Request) -> None:
        attempt = self._attempt_for(request)
        if attempt is not None:
            request.headers["Authorization"] = f"Bearer {attempt.key}"
            left = max(attempt.deadline - time.monotonic(), 0.001)
            parts = ("connect", "read", "write", "pool")
            request.extensions["timeout"] = {part: min(getattr(attempt.timeouts, part), left) for part in parts}

    def _attempt_for(self, request: httpx.Request) -> _Attempt | None:
        """Return the call a request belongs to, where it goes to the host the key was issued for."""
        attempt = _current.get()
        return attempt if _origin(request.url) == self._home else None

    def _noted(self, response: httpx.Response) -> _Attempt | None:
        """Note a response; return its call where it is no success and has to be raised."""
        attempt = self._attempt_for(response.request)
        if attempt is None:
            return None
        attempt.status = response.status_code
        attempt.last = LastResponse(response.status_code, response.headers)
        return None if response.is_success else attempt


@define(repr=False, eq=False)
class Transport(_Base):
    """Makes calls, from any number of threads over one pool of connections."""

    _lock: Lock = field(init=False, factory=Lock)

    def call(
        self,
        operation: str,
        function: Callable[..., Response[_T]],
        *,
        timeout: float | Timeouts | None = None,
        **arguments: Any,
    ) -> _T:
        """Make one call through a generated function, with retries, and return the decoded body.

        Raises:
            ChartHeroError: The class that stands for what happened.
        """
        attempt = self._begin(operation, timeout)
        for retry in self._retries(attempt):
            with retry:
                return self._once(attempt, function, arguments)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def probe(self, operation: str, path: str, query: Mapping[str, str]) -> ChartHeroError | None:
        """Ask for something whose status alone matters; return what stands for it, None for a success.

        The body of a success is dropped unread.

        Raises:
            ConfigurationError: The call cannot be made.
        """

        def dropped(*, client: Client) -> Response[bool]:
            with client.get_httpx_client().stream("GET", path, params=query):
                return _DROPPED

        try:
            self.call(operation, dropped)
        except ConfigurationError:
            raise
        except ChartHeroError as failure:
            return failure
        return None

    def close(self) -> None:
        """Close the connections. A second close does nothing."""
        if self._client is not None and not self._closed and self._given is None:
            self._client.get_httpx_client().close()
        self._closed = True

    def receive(self, sink: Sink) -> None:
        """Stream something from a host that gets no key.

        Raises:
            ChartHeroError: It did not arrive, or not whole; the sink says which.
        """
        failure = None
        with _quieted(self.settings):
            try:
                with (
                    httpx.Client(**self._arguments_elsewhere()) as client,
                    client.stream("GET", sink.url, headers=sink.request_headers()) as response,
                ):
                    sink.begin(response.status_code, response.headers)
                    for chunk in response.iter_bytes():
                        sink.write(chunk)
                    sink.end()
            except Exception as error:  # noqa: BLE001 - whatever happened must leave without the frames that hold the URL
                failure = _stream_failure(error, sink)
        if failure is not None:
            raise failure

    def _once(self, attempt: _Attempt, function: Callable[..., Response[_T]], arguments: dict[str, Any]) -> _T:
        attempt.key = self._key()
        result = self._send(attempt, function, arguments)
        if isinstance(result, AuthenticationError) and attempt.may_take_another(self._key()):
            result = self._send(attempt, function, arguments)
        if isinstance(result, ChartHeroError):
            raise result
        return result

    def _send(
        self, attempt: _Attempt, function: Callable[..., Response[_T]], arguments: dict[str, Any]
    ) -> _T | ChartHeroError:
        client = self._ready()
        self._before(attempt)
        result: _T | ChartHeroError
        with _in_call(attempt, self.settings):
            try:
                result = _body(function(client=client, **arguments), attempt.operation)
            except Exception as error:  # noqa: BLE001 - whatever happened must leave without its frames and its request
                result = self._failure(attempt, error)
        self._after(attempt, result if isinstance(result, ChartHeroError) else None)
        return result

    def _key(self) -> str:
        # No key is ever a local variable of a frame that can raise: tracebacks are shown with locals.
        return self.settings.key_source.checked(_read_key(self.settings.key_source))

    def _ready(self) -> Client:
        with self._lock:
            client = self._usable_client()
            if client is None:
                client = self._new_client(self._on_request, self._on_response)
                if self._given is not None:
                    client.set_httpx_client(self._given)
                client.get_httpx_client()
                self._client = client
        return client

    def _on_response(self, response: httpx.Response) -> None:
        attempt = self._noted(response)
        if attempt is not None:
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ERROR_BODY:
                    break
            raise status_error(response.status_code, response.headers, body, attempt.operation)


@define(repr=False, eq=False)
class AsyncTransport(_Base):
    """Makes calls on one event loop over one pool of connections."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def call(
        self,
        operation: str,
        function: Callable[..., Awaitable[Response[_T]]],
        *,
        timeout: float | Timeouts | None = None,
        **arguments: Any,
    ) -> _T:
        """As :meth:`Transport.call`; cancelling the task ends the call, a wait between attempts too."""
        attempt = self._begin(operation, timeout)
        async for retry in self._retries(attempt):
            with retry:
                return await self._once(attempt, function, arguments)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def probe(self, operation: str, path: str, query: Mapping[str, str]) -> ChartHeroError | None:
        """As :meth:`Transport.probe`."""

        async def dropped(*, client: Client) -> Response[bool]:
            async with client.get_async_httpx_client().stream("GET", path, params=query):
                return _DROPPED

        try:
            await self.call(operation, dropped)
        except ConfigurationError:
            raise
        except ChartHeroError as failure:
            return failure
        return None

    async def close(self) -> None:
        """Close the connections. A second close does nothing."""
        if self._client is not None and not self._closed and self._given is None:
            await self._client.get_async_httpx_client().aclose()
        self._closed = True

    async def receive(self, sink: Sink) -> None:
        """As :meth:`Transport.receive`."""
        failure = None
        with _quieted(self.settings):
            try:
                async with (
                    httpx.AsyncClient(**self._arguments_elsewhere()) as client,
                    client.stream("GET", sink.url, headers=sink.request_headers()) as response,
                ):
                    sink.begin(response.status_code, response.headers)
                    async for chunk in response.aiter_bytes():
                        sink.write(chunk)
                    sink.end()
            except Exception as error:  # noqa: BLE001 - whatever happened must leave without the frames that hold the URL
                failure = _stream_failure(error, sink)
        if failure is not None:
            raise failure

    async def _once(
        self, attempt: _Attempt, function: Callable[..., Awaitable[Response[_T]]], arguments: dict[str, Any]
    ) -> _T:
        attempt.key = await self._key()
        result = await self._send(attempt, function, arguments)
        if isinstance(result, AuthenticationError) and attempt.may_take_another(await self._key()):
            result = await self._send(attempt, function, arguments)
        if isinstance(result, ChartHeroError):
            raise result
        return result

    async def _send(
        self, attempt: _Attempt, function: Callable[..., Awaitable[Response[_T]]], arguments: dict[str, Any]
    ) -> _T | ChartHeroError:
        client = self._ready()
        self._before(attempt)
        result: _T | ChartHeroError
        with _in_call(attempt, self.settings):
            try:
                result = _body(await function(client=client, **arguments), attempt.operation)
            except Exception as error:  # noqa: BLE001 - whatever happened must leave without its frames and its request
                result = self._failure(attempt, error)
        self._after(attempt, result if isinstance(result, ChartHeroError) else None)
        return result

    async def _key(self) -> str:
        source = self.settings.key_source
        return source.checked(await _awaited_key(_read_key(source), source.origin))

    def _ready(self) -> Client:
        loop = asyncio.get_running_loop()
        client = self._usable_client()
        if client is None:
            client = self._new_client(self._on_request_async, self._on_response)
            if self._given is not None:
                client.set_async_httpx_client(self._given)
            client.get_async_httpx_client()
            self._client, self._loop = client, loop
        if self._loop is not loop:
            raise ConfigurationError("this client was used on another event loop; make one client per loop")
        return client

    async def _on_request_async(self, request: httpx.Request) -> None:
        self._on_request(request)

    async def _on_response(self, response: httpx.Response) -> None:
        attempt = self._noted(response)
        if attempt is not None:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ERROR_BODY:
                    break
            raise status_error(response.status_code, response.headers, body, attempt.operation)


@contextmanager
def _in_call(attempt: _Attempt, settings: Settings) -> Iterator[None]:
    token = _current.set(attempt)
    try:
        with _quieted(settings):
            yield
    finally:
        _current.reset(token)


@contextmanager
def _quieted(settings: Settings) -> Iterator[None]:
    token = _quiet.set(not settings.http_logging)
    try:
        yield
    finally:
        _quiet.reset(token)


def _no_auth(request: httpx.Request) -> httpx.Request:
    # Given as the authentication, it keeps httpx from looking for a password in the environment.
    return request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _read_key(source: KeySource) -> object:
    try:
        return source.read()
    except ChartHeroError:
        raise
    except Exception as error:  # noqa: BLE001 - a secret manager's exception may hold the secret
        failure = type(error).__name__
    raise ConfigurationError(f"{source.origin} failed ({failure})")


async def _awaited_key(key: object, origin: str) -> object:
    try:
        return await key if isawaitable(key) else key
    except Exception as error:  # noqa: BLE001 - a secret manager's exception may hold the secret
        failure = type(error).__name__
    raise ConfigurationError(f"{origin} failed ({failure})")


def _without_origin(error: _E) -> _E:
    """Take from an exception the frames and exceptions it came with: they hold the request."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _translated(error: Exception, operation: str) -> ChartHeroError:
    """Return the exception of ours that stands for *error*, which is not chained to it."""
    if isinstance(error, ChartHeroError):
        return _without_origin(error)
    if isinstance(error, httpx.TimeoutException):
        return RequestTimeoutError(f"{operation}: timed out ({type(error).__name__})")
    if isinstance(error, (httpx.HTTPError, httpx.StreamError, OSError)):
        return TransportError(f"{operation}: no complete response ({type(error).__name__})")
    return UnexpectedResponseError(
        f"{operation}: the answer is not what the contract describes ({type(error).__name__})"
    )


def _stream_failure(error: Exception, sink: Sink) -> Exception:
    if isinstance(error, (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)):
        return sink.failure(f"it did not arrive ({type(error).__name__})")
    return _without_origin(error)


def _body(response: Response[_T], operation: str) -> _T:
    if response.parsed is None:
        raise UnexpectedResponseError(f"{operation}: success without the body the contract describes")
    return response.parsed
