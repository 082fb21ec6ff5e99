"""What a type checker refuses: an error that is expected and does not come is one itself. Never run."""

from charthero_ext import Charthero  # type: ignore[attr-defined]
from charthero_ext.client import Documnts  # type: ignore[attr-defined]
from charthero_ext.pagination import Wolk  # type: ignore[attr-defined]

__all__ = ["Charthero", "Documnts", "Wolk"]
