"""A load that is killed at any step leaves nothing wrong, in DuckDB and in PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from charthero_ext.connectors.dlt import backfill
from charthero_ext.sandbox import Sandbox
from tests.connectors.postgres import postgres, scratch, why_not
from tests.connectors.warehouse import (
    CHUNK,
    NEWEST,
    Warehouse,
    change_everything,
    client_of,
    has_transcript,
    inside,
    truth,
)

ROOT = Path(__file__).parent.parent.parent
DIED = -signal.SIGKILL

#: dlt's own deprecated calls, and its connections to PostgreSQL, which it leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")


def killed(step: str, sandbox: Sandbox, warehouse: Warehouse, *url: str) -> int:
    environment = {**os.environ, "CHARTHERO_BASE_URL": sandbox.base_url, "CHARTHERO_API_KEY": sandbox.api_key}
    arguments = [sys.executable, "-m", "tests.connectors.dying_pipeline", str(warehouse.path.parent), step, *url]
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode in (DIED, 0), done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("step", "load", "directory"),
    [
        ("after commit 6", "later", "kept"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("while a transcript is fetched", "later", "kept"),
                ("when everything is fetched", "later", "kept"),
                ("when no table is merged", "first", "kept"),
                ("when one table is merged", "later", "kept"),
                ("when two tables are merged", "first", "lost"),
                ("when two tables are merged", "later", "lost"),
                ("when half a table is merged", "later", "lost"),
                ("when half a table is merged", "later", "aborted"),
                ("after commit 1", "first", "kept"),
                ("after commit 2", "later", "aborted"),
                ("after the last commit", "first", "kept"),
            ]
        ),
    ],
)
def test_a_load_that_was_killed_leaves_nothing_wrong(
    step: str, load: str, directory: str, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    """The next run has dlt's working directory, or lost it, or a user has aborted the pending load."""
    if load == "later":
        warehouse.load(sandbox)
        change_everything(sandbox)
    assert killed(step, sandbox, warehouse) == DIED
    sandbox.delete(inside(sandbox, has_transcript)[-1])
    if directory == "lost":
        shutil.rmtree(warehouse.working_directory)
    elif directory == "aborted":
        warehouse.pipeline.abort_packages()
    else:
        warehouse.load(sandbox)  # only finishes the load if the killed run had fetched everything
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    if reason := why_not():
        pytest.skip(reason)
    with scratch() as directory, postgres(directory) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("load", ["first", "later"])
def test_a_kill_after_any_commit_to_postgresql_leaves_nothing_wrong(
    load: str, sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    warehouse = Warehouse(tmp_path, dlt.destinations.postgres(postgres_url))
    for commit in range(1, 13):
        shutil.rmtree(warehouse.working_directory, ignore_errors=True)
        with warehouse.pipeline.sql_client() as sql:
            for dataset in ("clinic", "clinic_staging"):
                sql.execute_sql(f"DROP SCHEMA IF EXISTS {dataset} CASCADE")
        if load == "later":
            warehouse.load(sandbox)
            sandbox.change(inside(sandbox, has_transcript)[commit % 3], status=f"amended {commit}")
        died = killed(f"after commit {commit}", sandbox, warehouse, postgres_url) == DIED
        try:
            warehouse.load(sandbox)
        except PipelineStepFailed as error:
            # dlt inserts the rows of its own state table again. For this, the guide names a command.
            if "_dlt_pipeline_state" not in str(error):
                raise
            warehouse.pipeline.abort_packages()
        warehouse.load(sandbox)
        assert warehouse.contents() == truth(sandbox)
        if not died:
            break
    assert commit > (8 if load == "first" else 5)


def test_an_encounter_with_repeated_rows_is_loaded_again(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    repeated = inside(sandbox, has_transcript)[:2]
    with warehouse.pipeline.sql_client() as sql:
        for table in ("encounters", "documents", "transcripts", "transcripts__turns"):
            sql.execute_sql(f"INSERT INTO {table} SELECT * FROM {table} WHERE encounter_id = '{repeated[0]}'")
        sql.execute_sql(f"DELETE FROM transcripts__turns WHERE encounter_id = '{repeated[1]}' AND _position = 0")
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


@pytest.mark.parametrize("directory", ["kept", pytest.param("lost", marks=pytest.mark.slow)])
def test_a_backfill_that_was_killed_goes_on_with_the_chunk_it_was_at(
    directory: str, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    assert killed("in chunks: when the third load is fetched", sandbox, warehouse) == DIED
    loaded = warehouse.query("SELECT DISTINCT _dlt_load_id FROM encounters")
    assert len(loaded) == 2
    if directory == "lost":
        shutil.rmtree(warehouse.working_directory)
    with client_of(sandbox) as client:
        left = 1 if directory == "kept" else 2  # dlt finishes the third by itself
        assert backfill(warehouse.pipeline, client, max_rows=CHUNK) == left
        assert warehouse.contents() == truth(sandbox)
        assert backfill(warehouse.pipeline, client, max_rows=CHUNK) == 0
    assert warehouse.load(sandbox).keys() == {"encounters"}


def test_a_backfill_goes_back_from_what_is_loaded(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox, start_at=NEWEST - timedelta(days=20))
    with client_of(sandbox) as client:
        since = NEWEST - timedelta(days=40)
        assert backfill(warehouse.pipeline, client, start_at=since, max_rows=CHUNK) == 2
        assert warehouse.contents() == truth(sandbox, since)
        assert backfill(warehouse.pipeline, client, start_at=since + timedelta(days=1)) == 0
        assert backfill(warehouse.pipeline, client) == 1
    assert warehouse.contents() == truth(sandbox)
