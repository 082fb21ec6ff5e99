"""A dataset that dlt loads from a sandbox, what it holds, and what it should hold."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
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
CHUNK = 5  # encounters in a chunk of a backfill
ENCOUNTER_COLUMNS = (
    "encounter_id, created_at, updated_at, status, encounter_type, organization_id, date_of_service, "
    "patient__patient_id, patient__first_name, patient__last_name, patient__date_of_birth, documents"
)
DOCUMENT_COLUMNS = (
    "encounter_id, document_id, schema_type, title, status, workflow_variant, created_at, updated_at, "
    "content__format, content__text"
)
TRANSCRIPT_COLUMNS = "encounter_id, document_id, transcript__provider, transcript__audio_duration_seconds"
TURN_COLUMNS = 'encounter_id, document_id, _position, speaker, "start", "end", text'


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
    """A dataset, in one DuckDB file unless there is another destination, and the pipelines that fill it."""

    def __init__(self, directory: Path, destination: Any = None) -> None:
        self.path = directory / "warehouse.duckdb"
        self.working_directory = directory / "pipelines"
        self.destination = destination or dlt.destinations.duckdb(str(self.path))

    @property
    def pipeline(self) -> dlt.Pipeline:
        return self.pipeline_named("synthetic")

    def pipeline_named(self, name: str, **options: Any) -> dlt.Pipeline:
        given = {"dataset_name": "clinic", "pipelines_dir": str(self.working_directory)} | options
        return dlt.pipeline(name, destination=self.destination, **given)

    def load(
        self,
        sandbox: Sandbox,
        *resources: str,
        pipeline: dlt.Pipeline | None = None,
        key: str | None = None,
        run: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, int]:
        """Run the pipeline, and return how many rows it loaded, by table."""
        with ChartHero(api_key=key or sandbox.api_key, base_url=sandbox.base_url) as client:
            source = charthero_source(client, **{"look_back": LOOK_BACK, **options})
            if resources:
                source = source.with_resources(*resources)
            pipeline = pipeline or self.pipeline
            pipeline.run(source, **(run or {})).raise_on_failed_jobs()
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
        """What the tables of any destination hold, by the ids of the API. Fails if two rows have the same ids."""
        turns: dict[Any, list[Any]] = {}
        for *ids, _, speaker, start, end, text in sorted(self._rows("transcripts__turns", TURN_COLUMNS)):
            turns.setdefault(tuple(ids), []).append((speaker, start, end, text))
        encounters = self._rows("encounters", ENCOUNTER_COLUMNS)
        documents = self._rows("documents", DOCUMENT_COLUMNS)
        transcripts = self._rows("transcripts", TRANSCRIPT_COLUMNS)
        assert turns.keys() <= {row[:2] for row in transcripts}
        return {
            "encounters": unique((row[0], (*row[1:-1], decoded(row[-1]))) for row in encounters),
            "documents": unique((row[:2], row[2:]) for row in documents),
            "transcripts": unique((row[:2], (*row[2:], turns.get(row[:2], []))) for row in transcripts),
        }

    def _rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        with self.pipeline.sql_client() as sql:
            return [tuple(row) for row in sql.execute_sql(f"SELECT {columns} FROM {table}")]


def decoded(value: Any) -> Any:
    """A JSON value: some destinations return it as text."""
    return json.loads(value) if isinstance(value, str) else value


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


def inside(sandbox: Sandbox, which: Callable[[dict[str, Any]], bool] = lambda encounter: True) -> list[str]:
    """Encounters inside the look-back of the first load, the newest first."""
    since = max(encounter["created_at"] for encounter in sandbox.store) - LOOK_BACK
    found = [each for each in sandbox.store if each["created_at"] >= since and which(each)]
    return [each["encounter_id"] for each in reversed(found)]


def has_transcript(encounter: dict[str, Any]) -> bool:
    return any(each["schema_type"] == "ambient_transcript" for each in encounter["documents"])


def has_finished_transcript(encounter: dict[str, Any]) -> bool:
    return encounter["status"] == "completed" and has_transcript(encounter)


def change_everything(sandbox: Sandbox) -> None:
    """Add, change and delete inside the look-back, in every way that an encounter can change."""
    amended, emptied, shrunk, deleted, also_deleted, *_ = inside(sandbox, has_finished_transcript)
    sandbox.change(amended, status="amended", patient={"patient_id": "pat_other"})
    sandbox.change(emptied, documents=[])
    sandbox.change(shrunk, documents=sandbox.store.find(shrunk)["documents"][:1])
    sandbox.delete(deleted)
    sandbox.delete(also_deleted)
    sandbox.finish_transcript(inside(sandbox, lambda encounter: encounter["status"] == "processing")[0])
    add(sandbox, NEWEST - timedelta(days=5))
    add(sandbox, NEWEST + timedelta(hours=1))
