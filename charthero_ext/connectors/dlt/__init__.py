"""A dlt source that keeps encounters, documents and transcripts in a warehouse up to date.

Needs the extra: ``pip install "charthero-ext[dlt]"``. dlt writes what it loads, clinical text included, into its
working directory; see the README.
"""

from charthero_ext.connectors.dlt.backfill import backfill
from charthero_ext.connectors.dlt.source import charthero_source

__all__ = ["backfill", "charthero_source"]
