"""Which call is in progress, for hooks and log filters that nobody can hand it to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import ref

from charthero_ext._transport.call import Call, LastResponse
from charthero_ext.config import Settings

__all__ = ["current_call", "keep_last_response", "last_response", "within"]

_current: ContextVar[Call | None] = ContextVar("charthero_call", default=None)
_last: ContextVar[Mapping[Any, LastResponse] | None] = ContextVar("charthero_last_responses", default=None)
_quiet: ContextVar[bool] = ContextVar("charthero_quiet", default=False)


def _outside_our_calls(record: logging.LogRecord) -> bool:
    return not _quiet.get()


# httpx logs full URLs at INFO, httpcore and hpack headers at DEBUG. The filters are silent only within our own calls,
# so that whatever else in the process uses httpx keeps its log.
for _name in (
    "httpx",
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    *(f"hpack.{part}" for part in ("hpack", "table")),
):
    logging.getLogger(_name).addFilter(_outside_our_calls)


@contextmanager
def within(settings: Settings, call: Call | None = None) -> Iterator[None]:
    """Within it, the hooks find the call, and httpx is quiet."""
    current, quiet = _current.set(call), _quiet.set(not settings.http_logging)
    try:
        yield
    finally:
        _quiet.reset(quiet)
        _current.reset(current)


def current_call() -> Call | None:
    """Return the call that this thread or task is in."""
    return _current.get()


def keep_last_response(owner: object, response: LastResponse) -> None:
    """Keep it for this thread or task, as long as there is its owner."""
    alive = {other: last for other, last in (_last.get() or {}).items() if other() is not None}
    _last.set({**alive, ref(owner): response})


def last_response(owner: object) -> LastResponse | None:
    """Return what was kept last."""
    return (_last.get() or {}).get(ref(owner))
