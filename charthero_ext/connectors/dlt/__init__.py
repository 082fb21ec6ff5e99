"""A dlt source that keeps encounters, documents and transcripts in a warehouse up to date.

Install it with ``pip install "charthero-ext[dlt]"``. The key and host come from the environment, as everywhere::

    pipeline = dlt.pipeline("charthero", destination="duckdb", dataset_name="clinic")
    with ChartHero() as ch:
        pipeline.run(charthero_source(ch, start_at="2026-01-01T00:00:00Z"), loader_file_format="parquet")

Parquet needs a tenth of the memory of dlt's ``insert_values``; it is the default for DuckDB.

**Tables** are ``encounters``, ``documents``, ``transcripts``, ``transcripts__turns`` and ``_unreadable``, the documents
that the API fails to return. Every run tries these again; an outage fails the run. Rows that belong together have the
same ``_source`` (host and organization), ``encounter_id`` and ``document_id``.

**Further runs** read the 30 days (``look_back=``) before the newest encounter again. In that range the tables then
equal ChartHero; earlier rows stay as they were loaded. Only rows of the same ``_source`` are compared. If nothing is
listed, or more than 20 and more than a fifth of the encounters are gone, the run fails, unless
``allow_mass_delete=True``. ``write_disposition="replace"``, every ``refresh`` and a dropped table load everything
again.

**A long history** is loaded in committed chunks by ``backfill(pipeline, ch, start_at=...)``, also after a kill.

**After a kill or an error**, run the pipeline again. If that fails too, ``dlt pipeline charthero abort-packages`` drops
the pending load, and the next run fetches it again.

**Destinations** need tables that can be read and merged (DuckDB, PostgreSQL, Snowflake, BigQuery, ...). A filesystem is
refused before any request; ``charthero export`` writes files.

**Patient data.** dlt keeps what it loads, clinical text included, in the pipeline's working directory, below
``~/.dlt/pipelines``. The source makes this directory readable by its owner only; ``LOAD__DELETE_COMPLETED_JOBS=true``
deletes loaded files. A local DuckDB file has the permissions of your umask, so keep it in a directory of your own. dlt
reports anonymous usage to its makers, without rows; ``RUNTIME__DLTHUB_TELEMETRY=false`` turns this off.
"""

try:
    from charthero_ext.connectors.dlt.backfill import backfill
    from charthero_ext.connectors.dlt.source import charthero_source
except ModuleNotFoundError as error:
    if (error.name or "").startswith("charthero"):
        raise
    raise ModuleNotFoundError(
        'The dlt source needs the extra "dlt": pip install "charthero-ext[dlt]"', name=error.name
    ) from None

__all__ = ["backfill", "charthero_source"]
