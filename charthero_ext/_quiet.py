"""Drops log lines of httpx and its dependencies during our own requests, because they contain URLs and headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["quiet"]

_is_quiet: ContextVar[bool] = ContextVar("charthero_quiet", default=False)

LOGGERS = (
    "httpx",
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    *(f"hpack.{part}" for part in ("hpack", "table")),
)


def _outside_our_requests(record: logging.LogRecord) -> bool:
    return not _is_quiet.get()


# Filters instead of levels, so that other users of httpx in the process keep their log lines.
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_outside_our_requests)


@contextmanager
def quiet(enabled: bool) -> Iterator[None]:
    """Drop the log lines of httpx inside the block, if *enabled*."""
    token = _is_quiet.set(enabled)
    try:
        yield
    finally:
        _is_quiet.reset(token)
