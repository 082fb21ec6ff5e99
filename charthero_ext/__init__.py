"""The Python client for ChartHero's public API.

Import from here and from this package's public modules only: these names stay when the API is released anew. Everything
is loaded when it is first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charthero_ext._observed import drift_counts
    from charthero_ext.client import AsyncChartHero, ChartHero
    from charthero_ext.config import Settings, Timeouts
    from charthero_ext.errors import ChartHeroError

__all__ = ["AsyncChartHero", "ChartHero", "ChartHeroError", "Settings", "Timeouts", "drift_counts"]

_HOMES = {
    "AsyncChartHero": "client",
    "ChartHero": "client",
    "ChartHeroError": "errors",
    "Settings": "config",
    "Timeouts": "config",
    "drift_counts": "_observed",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"charthero_ext.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
