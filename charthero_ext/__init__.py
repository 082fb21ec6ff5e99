"""The Python client for ChartHero's public API.

Import only from here and from this package's public modules: these names stay the same across API releases. Each name
is loaded when it is first used, so importing the package is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthero_ext._lazy import lazily

if TYPE_CHECKING:
    from charthero_ext._surprises import decoding_surprises
    from charthero_ext._version import __version__
    from charthero_ext.client import AsyncChartHero, ChartHero
    from charthero_ext.config import Settings, Timeouts
    from charthero_ext.errors import ChartHeroError

__all__ = [
    "AsyncChartHero",
    "ChartHero",
    "ChartHeroError",
    "Settings",
    "Timeouts",
    "__version__",
    "decoding_surprises",
]

if not TYPE_CHECKING:  # A type checker would believe that a module with a __getattr__ has every name.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "AsyncChartHero": "charthero_ext.async_client",
            "ChartHero": "charthero_ext.client",
            "ChartHeroError": "charthero_ext.errors",
            "Settings": "charthero_ext.config",
            "Timeouts": "charthero_ext.config",
            "__version__": "charthero_ext._version",
            "decoding_surprises": "charthero_ext._surprises",
        },
    )
