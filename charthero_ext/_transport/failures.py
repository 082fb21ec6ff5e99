"""From whatever went wrong to the one exception that stands for it, with nothing in it of what was sent."""

from __future__ import annotations

import json
from inspect import isawaitable
from typing import TypeVar

import httpx

from charthero_ext._key_source import KeySource
from charthero_ext._transport.call import Call
from charthero_ext._transport.sink import CallbackError, Sink
from charthero_ext.errors import (
    ChartHeroError,
    ConfigurationError,
    RequestTimeoutError,
    TransportError,
    UnexpectedResponseError,
)

__all__ = ["NOT_MADE", "awaited_key", "not_made", "read_key", "stream_failure", "translated"]

#: What httpx raises where it cannot use what it was given or finds on the machine.
NOT_MADE = (ImportError, OSError, TypeError, ValueError, httpx.InvalidURL)

_E = TypeVar("_E", bound=BaseException)


def translated(error: BaseException, call: Call) -> BaseException:
    """Return what stands for *error*, and is not chained to it: ours, or itself where it only ends the call."""
    call.may_pass = isinstance(error, (httpx.TransportError, json.JSONDecodeError, UnicodeDecodeError))
    if isinstance(error, ChartHeroError) or not isinstance(error, Exception):
        return _without_origin(error)
    if isinstance(error, httpx.TimeoutException):
        return RequestTimeoutError(f"{call.operation}: timed out ({type(error).__name__})")
    if isinstance(error, (httpx.HTTPError, httpx.StreamError, OSError)):
        return TransportError(f"{call.operation}: no complete response ({type(error).__name__})")
    return UnexpectedResponseError(
        f"{call.operation}: the answer is not what the contract describes ({type(error).__name__})"
    )


def stream_failure(error: BaseException, sink: Sink) -> BaseException:
    if isinstance(error, CallbackError):
        return error.raised
    if isinstance(error, (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)):
        return sink.failure(f"it did not arrive ({type(error).__name__})")
    return _without_origin(error)


def not_made(error: Exception) -> ConfigurationError:
    """Return what stands for *error*, of those in `NOT_MADE`, when connections could not be made."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return ConfigurationError(f"httpx cannot use the httpx_args, or the proxy or certificates of the machine: {reason}")


def read_key(source: KeySource) -> object:
    try:
        return source.read()
    except ChartHeroError:
        raise
    except Exception as error:  # noqa: BLE001 - a secret manager's exception may hold the secret
        failure = type(error).__name__
    raise ConfigurationError(f"{source.origin} failed ({failure})")


async def awaited_key(key: object, origin: str) -> object:
    try:
        return await key if isawaitable(key) else key
    except Exception as error:  # noqa: BLE001 - a secret manager's exception may hold the secret
        failure = type(error).__name__
    raise ConfigurationError(f"{origin} failed ({failure})")


def _without_origin(error: _E) -> _E:
    """Take from an exception the frames and exceptions it came with: they hold the request."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
