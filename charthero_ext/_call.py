"""An API call as steps: read the key, send the request, decide what the answer means, retry or return.

Where a retry is decided: ``Session._wait_after``. Where the key is added: ``Session._request``. How a body becomes a
model: ``Operation.decode``, called in ``Session._outcome``.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from attrs import asdict, define, field, frozen

from charthero_ext._lazy import loaded
from charthero_ext._log import logger
from charthero_ext._response import Response, status_error
from charthero_ext._secret import Secret
from charthero_ext._steps import ReadKey, Send, Sleep, Steps, StoppedError, of_callback
from charthero_ext.config import Attempt, Settings, Timeouts
from charthero_ext.errors import (
    ApiStatusError,
    AuthenticationError,
    ChartHeroError,
    ConfigurationError,
    RateLimitedError,
    ServiceUnavailableError,
    TransportError,
    UnexpectedResponseError,
)

__all__ = ["Operation", "RawResponse", "Session"]

T = TypeVar("T")

#: Not Implemented, and HTTP Version Not Supported. A retry cannot change them.
LASTING_STATUSES: Final = frozenset({501, 505})
#: Reasons of a TransportError that a retry cannot change.
LASTING_REASONS: Final = frozenset({"certificate", "too_large"})
#: Seconds. The wait doubles from the first to the longest, plus a random part so that clients do not retry all at once.
WAIT_INITIAL, WAIT_MAX, WAIT_JITTER = 0.1, 5.0, 1.0


@frozen(kw_only=True)
class Operation(Generic[T]):
    """The request of a call, and how its body becomes a result.

    Attributes:
        name: The name, such as ``encounters.list``.
        path: The path below the host, percent-encoded.
        query: The query parameters, sent unchanged.
        ids: The opaque ids in the path, for messages.
        decode: Turns a successful response into the result. Raises ValueError if the body is something else.
        wants_body: Whether to read the body of a success.
    """

    name: str
    path: str
    query: Mapping[str, Any] = field(factory=dict)
    ids: Mapping[str, str] = field(factory=dict)
    decode: Callable[[Response], T]
    wants_body: bool = True


@frozen
class RawResponse:
    """The response to ``get``. Neither the headers nor the body is in the repr.

    Attributes:
        status_code: The status, always 2xx.
        headers: Names in lower case.
        body: The bytes, decompressed.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@define
class _CallState:
    """The state of a call."""

    operation: Operation[Any]
    timeouts: Timeouts
    deadline: float
    attempts: int = 0
    is_temporary: bool = False  # Whether the last failure may go away.
    started: float = 0.0
    response: Response = field(factory=Response)

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


class Session:
    """What all calls of one client share: the settings, and a wait that the server requested."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._host = urlsplit(settings.base_url).netloc
        self._paused_until = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request for JSON, without the key."""
        # Not in __init__: reading the versions loads importlib.metadata, which takes 15 ms.
        return {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": _user_agent(self.settings.application),
        }

    def call(self, operation: Operation[T], timeout: float | Timeouts | None = None) -> Steps[T]:
        """Make one call with all its attempts, and return the decoded body.

        Raises:
            ChartHeroError: The call failed.
        """
        timeouts = self.settings.timeouts if timeout is None else Timeouts.of(timeout)
        total = self.settings.total_timeout if timeouts.total is None else timeouts.total
        call = _CallState(operation, timeouts, time.monotonic() + total)
        while True:
            pause = self._paused_until - time.monotonic()
            if 0 < pause < call.seconds_left:
                yield Sleep(min(pause + _jitter(), call.seconds_left))
            key = yield ReadKey(self.settings.key_source)
            outcome = yield from self._attempt(call, key)
            if isinstance(outcome, AuthenticationError):
                # The key may have been rotated since it was read.
                new_key = yield ReadKey(self.settings.key_source)
                if new_key.reveal() != key.reveal():
                    self._report(call, outcome, will_retry=True)
                    outcome = yield from self._attempt(call, new_key)
            if not isinstance(outcome, BaseException):
                self._report(call, None)
                result: T = outcome
                return result
            wait = self._wait_after(call, outcome)
            self._report(call, outcome, will_retry=wait is not None)
            if wait is None:
                raise outcome
            yield Sleep(wait)

    def get(self, path: str, query: Mapping[str, Any], timeout: float | Timeouts | None = None) -> Steps[RawResponse]:
        """Request any path of the configured host."""
        if not path.startswith("/") or path.startswith("//") or "?" in path or "#" in path:
            raise ValueError("path must begin with one / and have no query, such as /external/v1/encounters")
        encoded = quote(path, safe="/%:@!$&'()*+,;=~")
        operation = Operation(name="get", path=encoded, query=query, ids={"path": path}, decode=_raw)
        return self.call(operation, timeout)

    def probe(self, operation: Operation[None]) -> Steps[ChartHeroError | None]:
        """Make a call without reading its body. Return its failure, or None for a success.

        Raises:
            ConfigurationError: The call cannot be made.
        """
        try:
            yield from self.call(operation)
        except (ApiStatusError, TransportError, UnexpectedResponseError) as failure:
            return failure
        return None

    def _attempt(self, call: _CallState, key: Secret[str]) -> Steps[Any]:
        """Send the request once. Return the result, or the exception to raise."""
        call.attempts += 1
        call.started = time.perf_counter()
        call.is_temporary = False
        call.response = response = Response(wants_body=call.operation.wants_body)
        try:
            yield self._request(call, key)
        except TransportError as error:
            # The status of an error counts, even if its body is incomplete.
            if response.status_code is None or response.is_success:
                call.is_temporary = error.reason not in LASTING_REASONS
                return type(error)(f"{call.operation.name}: {error}{_after(call)}", reason=error.reason)
        except (ConfigurationError, StoppedError):
            raise  # Nothing was sent.
        except BaseException as interruption:
            self._report(call, interruption)
            raise
        return self._outcome(call, response)

    def _outcome(self, call: _CallState, response: Response) -> Any:
        operation, status = call.operation, response.status_code or 0
        if status >= 400:
            return status_error(
                response,
                operation.name,
                ids=operation.ids,
                host=self._host,
                attempts=call.attempts,
                key_origin=self.settings.key_source.origin,
            )
        if not response.is_success:
            problem = f"HTTP {status}, but the API has no redirects"
        else:
            try:
                return operation.decode(response)
            except (ValueError, RecursionError) as error:
                # Truncated JSON or a gateway's HTML may be temporary. JSON of another shape is not.
                call.is_temporary = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
                problem = f"the body is not what the API describes ({type(error).__name__})"
        return UnexpectedResponseError(f"{operation.name}: {problem}", request_id=response.request_id)

    def _request(self, call: _CallState, key: Secret[str]) -> Send:
        operation = call.operation
        query = f"?{urlencode(operation.query)}" if operation.query else ""
        return Send(
            url=Secret(f"{self.settings.base_url}{operation.path}{query}"),
            headers=Secret({**self.headers, "Authorization": f"Bearer {key.reveal()}"}),
            timeouts=call.timeouts,
            sink=call.response,
            deadline=call.deadline,
        )

    def _wait_after(self, call: _CallState, failure: BaseException) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up."""
        requested = 0.0
        if isinstance(failure, (RateLimitedError, ServiceUnavailableError)):
            if failure.status_code in LASTING_STATUSES:
                return None
            requested = failure.retry_after or 0.0
        elif not call.is_temporary:
            return None
        if 0 < requested < call.seconds_left:
            # The server asked this client to wait, so every call of the client waits, even if this one gives up.
            self._paused_until = max(self._paused_until, time.monotonic() + requested)
        if call.attempts >= self.settings.attempts:
            return None
        wait = max(requested, min(WAIT_MAX, WAIT_INITIAL * 2 ** (call.attempts - 1))) + _jitter()
        return wait if wait < call.seconds_left else None

    def _report(self, call: _CallState, failure: BaseException | None, *, will_retry: bool = False) -> None:
        """Log one attempt, and call ``on_attempt``."""
        on_attempt = self.settings.on_attempt
        # The access check expects refusals, and an interruption is the caller's decision.
        is_expected = not isinstance(failure, Exception) or not call.operation.wants_body
        level = logging.INFO if will_retry else logging.DEBUG if is_expected else logging.WARNING
        if on_attempt is None and not logger.isEnabledFor(level):
            return
        attempt = Attempt(
            operation=call.operation.name,
            number=call.attempts,
            status_code=call.response.status_code,
            reason_code=None if failure is None else getattr(failure, "reason_code", None) or type(failure).__name__,
            duration_ms=(time.perf_counter() - call.started) * 1000,
            request_id=call.response.request_id,
            will_retry=will_retry,
        )
        logger.log(
            level,
            "%s %s %s %.1f ms attempt %d",
            attempt.operation,
            attempt.status_code or "-",
            attempt.reason_code or "-",
            attempt.duration_ms,
            attempt.number,
            extra={**asdict(attempt), "attempt": attempt.number},
        )
        if on_attempt is not None:
            try:
                on_attempt(attempt)
            except Exception as error:  # noqa: BLE001 - the caller's exception goes back to the caller
                raise of_callback(error) from None


@cache
def _user_agent(application: str | None) -> str:
    """Return the User-Agent: this package, Python, httpx, and the application that uses them."""
    version = loaded("importlib.metadata").version
    versions = f"charthero-ext/{version('charthero-ext')} python/{sys.version.split()[0]} httpx/{version('httpx')}"
    return f"{versions} {application}" if application else versions


def _jitter() -> float:
    return random.uniform(0, WAIT_JITTER)  # noqa: S311 - not for security


def _after(call: _CallState) -> str:
    return f"; {call.attempts} attempts" if call.attempts > 1 else ""


def _raw(response: Response) -> RawResponse:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return RawResponse(response.status_code or 0, headers, response.body)
