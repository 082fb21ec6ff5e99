"""The steps that an operation consists of.

An operation is a generator. It yields a step, a driver performs the step and sends the answer back, and the
generator's return value is the result::

    key = yield ReadKey(source)
    yield Send(url=..., headers=..., timeouts=..., sink=response)

So every decision is written once, without I/O, for threads and for asyncio. If a step raises, the driver throws the
exception into the generator. The drivers in ``_http`` and ``_async_http`` differ only in ``await``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from math import inf
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from charthero_ext._key_source import KeySource
from charthero_ext._secret import Secret
from charthero_ext.config import Timeouts

__all__ = [
    "CallbackError",
    "ReadKey",
    "Run",
    "Send",
    "Sink",
    "Sleep",
    "Step",
    "Steps",
    "StoppedError",
    "of_callback",
]

T = TypeVar("T")


class Sink(Protocol):
    """Takes a response while it arrives. Each method may raise a ``TransportError`` to refuse it."""

    def begin(self, status_code: int, headers: Mapping[str, str], *, is_decoded: bool) -> bool:
        """Take the status and headers. Return whether to read the body."""
        ...

    def write(self, chunk: bytes) -> None:
        """Take a part of the body."""
        ...

    def end(self) -> None:
        """Check the body once its last part has arrived."""
        ...


@frozen
class ReadKey:
    """Read the API key. The answer is a ``Secret[str]``."""

    source: KeySource


@frozen(kw_only=True)
class Send:
    """Send a GET request and give the response to the sink.

    Attributes:
        url: The whole URL. It may be signed.
        headers: All headers but ``Host``. They may contain the key.
        timeouts: For the parts of the request.
        deadline: The ``time.monotonic()`` at which the response must be complete.
        is_signed: The path and query are a secret that tracing and logging must not see.

    Raises:
        TransportError: No complete response arrived.
    """

    url: Secret[str]
    headers: Secret[Mapping[str, str]]
    timeouts: Timeouts
    sink: Sink
    deadline: float = inf
    is_signed: bool = False


@frozen
class Sleep:
    """Wait for this many seconds."""

    seconds: float


@frozen
class Run:
    """Call a function that blocks, such as a database write. The answer is its result."""

    function: Callable[[], Any] = field(repr=False)


Step: TypeAlias = ReadKey | Send | Sleep | Run
Steps: TypeAlias = Generator[Step, Any, T]


class CallbackError(Exception):
    """Wraps an exception of the caller's code, or of writing a file, so that it is not handled as a failed request."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised


def of_callback(error: Exception) -> CallbackError:
    """Wrap *error*, which the caller's code raised. Keep only the frames of that code."""
    own_frames = error.__traceback__.tb_next if error.__traceback__ else None
    error.__context__ = None
    return CallbackError(error.with_traceback(own_frames))


class StoppedError(Exception):
    """The steps were stopped from another thread. Nothing was sent since."""
