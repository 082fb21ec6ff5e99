"""A dlt source that keeps encounters, documents and transcripts in a warehouse up to date.

Needs the extra: ``pip install "charthero-ext[dlt]"``.
"""

from charthero_ext.connectors.dlt.source import charthero_source

__all__ = ["charthero_source"]
