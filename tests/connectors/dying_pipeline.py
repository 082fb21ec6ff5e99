"""A program that runs a pipeline and kills itself, as by ``kill -9``, at a step of the load."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import dlt
from dlt import Pipeline
from dlt.common.storages.load_package import PackageStorage
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.job_client_impl import SqlLoadJob
from dlt.load import Load

from charthero_ext import ChartHero
from charthero_ext.client import Documents
from charthero_ext.connectors.dlt import backfill
from tests.connectors.warehouse import CHUNK, LOOK_BACK, Warehouse, charthero_source


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, number: int = 1) -> Callable[[], None]:
    def arrange() -> None:
        calls, function = count(1), getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if next(calls) == number:
                die()
            return function(*arguments, **named)

        setattr(owner, name, call)

    return arrange


def before_turns_without_a_transaction() -> None:
    """As in a warehouse without transactions: the old turns are deleted, the new ones are not inserted."""

    def execute_many(self: DuckDbSqlClient, statements: Sequence[str]) -> None:
        for statement in statements:
            if statement.startswith('INSERT INTO "clinic"."transcripts__turns"'):
                die()
            self.execute_sql(statement)

    SqlLoadJob.maybe_transaction = lambda self, sql: nullcontext()
    DuckDbSqlClient.execute_many = execute_many


STEPS = {
    "while a transcript is fetched": at_call(Documents, "transcript", 3),
    "when everything is fetched": at_call(Pipeline, "normalize"),
    "when no table is merged": at_call(SqlLoadJob, "run"),
    "when one table is merged": at_call(SqlLoadJob, "run", 2),
    "when two tables are merged": at_call(SqlLoadJob, "run", 3),
    "when half a table is merged": before_turns_without_a_transaction,
    **{f"after commit {number}": at_call(PackageStorage, "save_pending_transition", number) for number in range(1, 13)},
    "when the third load is fetched": at_call(Pipeline, "normalize", 3),
    "after the last commit": at_call(Load, "complete_package"),
}

if __name__ == "__main__":
    directory, step, *url = sys.argv[1:]
    in_chunks = step.startswith("in chunks: ")
    destination = dlt.destinations.postgres(url[0]) if url else None
    STEPS[step.removeprefix("in chunks: ")]()
    os.environ["LOAD__WORKERS"] = "1"  # one table after the other
    with ChartHero() as client:
        pipeline = Warehouse(Path(directory), destination).pipeline
        if in_chunks:
            backfill(pipeline, client, max_rows=CHUNK)
        else:
            pipeline.run(charthero_source(client, look_back=LOOK_BACK))
