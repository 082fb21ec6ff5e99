"""A dlt pipeline into DuckDB: what its sandbox has, what its warehouse holds, and what it should hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# Before dlt can send anything.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import duckdb

from charthero_ext import ChartHero
from charthero_ext.connectors.dlt import charthero_source
from charthero_ext.sandbox import Sandbox
from charthero_ext.sandbox.data import document_detail, transcript

NEWEST = datetime(2025, 3, 1, tzinfo=UTC)
LOOK_BACK = timedelta(days=30)


def add(sandbox: Sandbox, created_at: datetime, *, ready: bool = True) -> str:
    """Append an encounter with a transcript of a few turns, and return its id."""
    encounter = sandbox.append(created_at=created_at, ready=ready)
    documents = [
        document | ({"audio_duration_seconds": 6.5} if "audio_duration_seconds" in document else {})
        for document in encounter["documents"]
    ]
    sandbox.change(encounter["encounter_id"], documents=documents, updated_at=encounter["updated_at"])
    return str(encounter["encounter_id"])


def fill(sandbox: Sandbox) -> None:
    """Eighteen encounters over sixty days, half of them inside the look-back; the oldest has no document."""
    sandbox.reset()
    for number in range(18):
        encounter_id = add(sandbox, NEWEST - timedelta(days=60 - 60 * number / 17), ready=number % 6 != 5)
        if not number:
            sandbox.change(encounter_id, documents=[])


@contextmanager
def client_of(sandbox: Sandbox) -> Iterator[ChartHero]:
    with ChartHero(api_key=sandbox.api_key, base_url=sandbox.base_url) as client:
        yield client


class Warehouse:
    """One DuckDB file, and the working directory of the pipeline that fills it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "warehouse.duckdb"
        self.working_directory = directory / "pipelines"

    @property
    def pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            "synthetic",
            destination=dlt.destinations.duckdb(str(self.path)),
            dataset_name="clinic",
            pipelines_dir=str(self.working_directory),
        )

    def load(self, sandbox: Sandbox, *resources: str, refresh: Any = None, **options: Any) -> dict[str, int]:
        """Run the pipeline, and say how many rows it took from the API, by table."""
        with client_of(sandbox) as client:
            source = charthero_source(client, **{"look_back": LOOK_BACK, **options})
            if resources:
                source = source.with_resources(*resources)
            pipeline = self.pipeline
            pipeline.run(source, refresh=refresh).raise_on_failed_jobs()
        taken = pipeline.last_trace.last_normalize_info
        return {} if taken is None else dict(taken.row_counts)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET search_path = 'clinic'")
            return connection.execute(sql).fetchall()

    def tables(self) -> list[str]:
        with duckdb.connect(str(self.path)) as connection:
            return [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]

    def types(self, table: str) -> dict[str, str]:
        return {name: kind for name, kind, *_ in self.query(f"DESCRIBE {table}")}

    def contents(self) -> dict[str, dict[Any, Any]]:
        """What the tables hold, by the ids of the contract; two rows with the same ids fail."""
        encounters = self.query("""
            SELECT encounter_id, created_at, updated_at, status, encounter_type, organization_id, date_of_service,
                patient__patient_id, patient__first_name, patient__last_name, patient__date_of_birth, documents
            FROM encounters""")
        documents = self.query("""
            SELECT encounter_id, document_id, schema_type, title, status, workflow_variant, created_at, updated_at,
                content__format, content__text FROM documents""")
        transcripts = self.query("""
            SELECT t.encounter_id, t.document_id, t.transcript__provider, t.transcript__audio_duration_seconds,
                list((u.speaker, u.start, u."end", u.text) ORDER BY u._dlt_list_idx)
            FROM transcripts t LEFT JOIN transcripts__turns u ON u._dlt_parent_id = t._dlt_id
            GROUP BY ALL""")
        (orphans,) = self.query("""
            SELECT count(*) FROM transcripts__turns
            WHERE _dlt_parent_id NOT IN (SELECT _dlt_id FROM transcripts)""")
        assert orphans == (0,)
        return {
            "encounters": unique((row[0], (*row[1:-1], json.loads(row[-1]))) for row in encounters),
            "documents": unique((row[:2], row[2:]) for row in documents),
            "transcripts": unique((row[:2], row[2:]) for row in transcripts),
        }


def unique(pairs: Iterator[tuple[Any, Any]]) -> dict[Any, Any]:
    listed = list(pairs)
    found = dict(listed)
    assert len(found) == len(listed)
    return found


def truth(sandbox: Sandbox, since: datetime | None = None) -> dict[str, dict[Any, Any]]:
    """What the sandbox has now, in the form of `Warehouse.contents`."""
    truth: dict[str, dict[Any, Any]] = {"encounters": {}, "documents": {}, "transcripts": {}}
    for encounter in sandbox.store:
        if since is not None and encounter["created_at"] < since:
            continue
        encounter_id, patient = encounter["encounter_id"], encounter["patient"]
        truth["encounters"][encounter_id] = (
            *(encounter[name] for name in ("created_at", "updated_at", "status", "encounter_type")),
            *(encounter[name] for name in ("organization_id", "date_of_service")),
            *(patient.get(name) for name in ("patient_id", "first_name", "last_name", "date_of_birth")),
            encounter["documents"],
        )
        for summary in encounter["documents"]:
            ids = encounter_id, summary["document_id"]
            detail = document_detail(encounter, summary)
            content = detail.get("content", {})
            truth["documents"][ids] = (
                *(detail[name] for name in ("schema_type", "title", "status", "workflow_variant")),
                *(detail[name] for name in ("created_at", "updated_at")),
                *(content.get(name) for name in ("format", "text")),
            )
            if summary["schema_type"] == "ambient_transcript" and summary["status"] == "completed":
                body = transcript(encounter, summary)["transcript"]
                turns = [tuple(turn[name] for name in ("speaker", "start", "end", "text")) for turn in body["turns"]]
                truth["transcripts"][ids] = (body["provider"], body["audio_duration_seconds"], turns)
    return truth
