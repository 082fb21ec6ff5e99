"""Where something that a host without our key streams goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from charthero_ext.errors import ChartHeroError

__all__ = ["CallbackError", "Sink"]


class CallbackError(Exception):
    """Carries what a caller's own callback raised past everything that strips failures of where they came from."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised


class Sink(Protocol):
    """What a host is asked with, and takes what it sends."""

    @property
    def url(self) -> str: ...

    def request_headers(self) -> dict[str, str]: ...

    def begin(self, status_code: int, headers: Mapping[str, str]) -> None: ...

    def write(self, chunk: bytes) -> None: ...

    def end(self) -> None: ...

    def failure(self, reason: str) -> ChartHeroError: ...
