"""The logger of this package."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("charthero_ext")
# Without a handler, Python would print warnings to standard error.
logger.addHandler(logging.NullHandler())
