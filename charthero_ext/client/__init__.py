"""The clients people use: ``ChartHero`` and ``AsyncChartHero``, with the same names, the second awaited.

Source in the contract: "Routes" and "List parameters".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthero_ext._lazy import lazily

if TYPE_CHECKING:
    from charthero_ext._follow_up import FollowUp
    from charthero_ext._spec import SpecReport
    from charthero_ext._transport import LastResponse
    from charthero_ext.client.asynchronous import AsyncChartHero, AsyncDocuments, AsyncEncounters
    from charthero_ext.client.sync import ChartHero, Documents, Encounters

__all__ = [
    "AsyncChartHero",
    "AsyncDocuments",
    "AsyncEncounters",
    "ChartHero",
    "Documents",
    "Encounters",
    "FollowUp",
    "LastResponse",
    "SpecReport",
]

if not TYPE_CHECKING:  # which would believe that a package with a __getattr__ has every name
    # Who does not await anything does not load asyncio.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "AsyncChartHero": "charthero_ext.client.asynchronous",
            "AsyncDocuments": "charthero_ext.client.asynchronous",
            "AsyncEncounters": "charthero_ext.client.asynchronous",
            "ChartHero": "charthero_ext.client.sync",
            "Documents": "charthero_ext.client.sync",
            "Encounters": "charthero_ext.client.sync",
            "FollowUp": "charthero_ext._follow_up",
            "LastResponse": "charthero_ext._transport",
            "SpecReport": "charthero_ext._spec",
        },
    )
