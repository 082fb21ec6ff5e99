"""The dlt source loads into DuckDB what the sandbox has."""

from __future__ import annotations

import gc
import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from charthero_ext.client import Documents
from charthero_ext.connectors.dlt import charthero_source
from charthero_ext.sandbox import Sandbox
from tests.connectors.warehouse import (
    NEWEST,
    Warehouse,
    add,
    change_everything,
    client_of,
    has_finished_transcript,
    has_transcript,
    inside,
    truth,
)


def test_a_first_load_brings_everything_and_requests_no_recording(sandbox: Sandbox, warehouse: Warehouse) -> None:
    sandbox.enable_route("documents.audio", False)
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)
    assert len(warehouse.contents()["transcripts"]) > 10
    assert warehouse.query("SELECT 1 FROM information_schema.columns WHERE column_name ILIKE '%url%'") == []


def test_a_second_load_makes_the_look_back_equal_to_the_api(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    change_everything(sandbox)
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


def test_rows_before_the_look_back_stay_as_they_were_loaded(sandbox: Sandbox, warehouse: Warehouse) -> None:
    before = truth(sandbox)
    warehouse.load(sandbox)
    oldest, next_oldest, *_ = sandbox.encounter_ids()
    sandbox.delete(oldest)
    sandbox.change(next_oldest, status="amended")
    warehouse.load(sandbox)
    assert warehouse.contents() == before


def test_a_look_back_without_encounters_is_deleted(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    for encounter_id in inside(sandbox):
        sandbox.delete(encounter_id)
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)
    assert warehouse.query("SELECT count(*) FROM encounters") == [(len(sandbox.store),)]


def test_an_empty_list_with_a_total_deletes_nothing(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    sandbox.fail("clamp", limit=0, times=None)
    with pytest.raises(PipelineStepFailed, match="refusing to delete 9"):
        warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


@pytest.mark.parametrize(
    "failure",
    [
        {"kind": "status", "status": 401, "times": None},
        pytest.param({"kind": "status", "status": 503, "times": None}, marks=pytest.mark.slow),
        pytest.param({"kind": "status", "status": 429, "retry_after": "3600", "times": None}, marks=pytest.mark.slow),
        pytest.param({"kind": "truncate", "times": None}, marks=pytest.mark.slow),
    ],
)
def test_a_failure_in_the_middle_leaves_the_tables_as_they_were(
    failure: dict[str, Any], sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext._call.WAIT_JITTER", 0.0)
    warehouse.load(sandbox)
    before = warehouse.contents()
    change_everything(sandbox)
    for operation in ("encounters.list", "documents.transcript"):
        sandbox.fail(**failure, operation=operation, after=1)
        with pytest.raises(PipelineStepFailed):
            warehouse.load(sandbox)
        assert warehouse.contents() == before
        sandbox.faults.clear()
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


def test_documents_of_unchanged_encounters_are_not_fetched_again(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    again = warehouse.load(sandbox)
    assert again["encounters"] == len(inside(sandbox))
    assert not again.keys() & {"documents", "transcripts"}
    newest = inside(sandbox, has_finished_transcript)[0]
    sandbox.change(newest, status="amended")
    again = warehouse.load(sandbox)
    assert (again["documents"], again["transcripts"]) == (len(sandbox.store.find(newest)["documents"]), 1)
    assert warehouse.contents() == truth(sandbox)


def test_a_transcript_that_was_not_ready_is_requested_again(empty_sandbox: Sandbox, warehouse: Warehouse) -> None:
    """Also if another one of the encounter was ready, and if ``updated_at`` stays the same."""

    def documents(*statuses: str) -> list[dict[str, Any]]:
        same = {"schema_type": "ambient_transcript", "title": None, "audio_duration_seconds": 6.5}
        return [same | {"document_id": f"doc_{number}", "status": each} for number, each in enumerate(statuses)]

    for statuses in (("processing",), ("completed", "processing")):
        empty_sandbox.append(created_at=NEWEST, documents=documents(*statuses))
    warehouse.load(empty_sandbox, "encounters", "transcripts")
    assert warehouse.query("SELECT count(*) FROM transcripts") == [(1,)]
    for encounter in list(empty_sandbox.store):
        ready = documents(*["completed"] * len(encounter["documents"]))
        empty_sandbox.change(encounter["encounter_id"], documents=ready, updated_at=encounter["updated_at"])
    warehouse.load(empty_sandbox, "encounters", "transcripts")
    assert warehouse.query("SELECT count(*), count(DISTINCT document_id) FROM transcripts") == [(3, 2)]


def test_columns_have_their_type_without_a_value(
    empty_sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole number and a later number with a fraction belong in the same column."""

    def short_transcript(encounter: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
        length = summary["audio_duration_seconds"]
        turns = [{"speaker": None, "start": 0, "end": length, "text": None}]
        return {"transcript": {"provider": None, "audio_duration_seconds": length, "turns": turns}}

    monkeypatch.setattr("charthero_ext.sandbox.app.transcript", short_transcript)
    transcript = {"document_id": "doc_1", "schema_type": "ambient_transcript", "status": "completed", "title": None}
    for seconds in (60, 60.5):
        documents = [transcript | {"audio_duration_seconds": seconds}]
        nothing = {"date_of_service": None, "updated_at": None, "patient": None}
        empty_sandbox.append(created_at=NEWEST, documents=documents, **nothing)
    warehouse.load(empty_sandbox, "encounters", "transcripts")
    assert warehouse.query("SELECT DISTINCT created_at FROM encounters") == [(NEWEST,)]
    encounters, transcripts = warehouse.types("encounters"), warehouse.types("transcripts")
    assert {encounters[name] for name in ("created_at", "updated_at")} == {"TIMESTAMP WITH TIME ZONE"}
    assert {encounters[name] for name in ("date_of_service", "patient__last_name", "status")} == {"VARCHAR"}
    assert transcripts["transcript__audio_duration_seconds"] == "DOUBLE"
    turns = warehouse.types("transcripts__turns")
    assert {name: kind for name, kind in turns.items() if name[0] != "_" and name[-3:] != "_id"} == {
        "speaker": "VARCHAR",
        "text": "VARCHAR",
        "start": "DOUBLE",
        "end": "DOUBLE",
    }


def test_unknown_fields_become_columns(empty_sandbox: Sandbox, warehouse: Warehouse) -> None:
    encounter_id = add(empty_sandbox, NEWEST)
    documents = empty_sandbox.store.find(encounter_id)["documents"]
    warehouse.load(empty_sandbox)
    for operation in ("documents.get", "documents.transcript"):
        empty_sandbox.fail("unknown", times=None, operation=operation)
    empty_sandbox.change(encounter_id)
    warehouse.load(empty_sandbox)
    empty_sandbox.fail("unknown", times=None, operation="encounters.list")
    warehouse.load(empty_sandbox)
    unseen = {"sandbox_unseen": {"since": "tomorrow"}}
    renamed = [
        {name: "sandbox_unseen" for name in ("schema_type", "status", "workflow_variant") if document[name]}
        for document in documents
    ]
    ((status, top, patient, listed),) = warehouse.query(
        "SELECT status, sandbox_unseen__since, patient__sandbox_unseen__since, documents FROM encounters"
    )
    assert (status, top, patient) == ("sandbox_unseen", "tomorrow", "tomorrow")
    assert json.loads(listed) == [old | new | unseen for old, new in zip(documents, renamed, strict=True)]
    assert warehouse.query("SELECT DISTINCT status, sandbox_unseen__since FROM documents") == [
        ("sandbox_unseen", "tomorrow")
    ]
    assert warehouse.query("""
        SELECT DISTINCT t.sandbox_unseen__since, t.transcript__sandbox_unseen__since, u.sandbox_unseen__since, u.speaker
        FROM transcripts t JOIN transcripts__turns u USING (encounter_id, document_id)""") == [
        ("tomorrow", "tomorrow", "tomorrow", "sandbox_unseen")
    ]


def test_an_encounter_of_another_shape_is_loaded_with_the_others(sandbox: Sandbox, warehouse: Warehouse) -> None:
    odd: list[dict[str, Any]] = [
        {"documents": None, "patient": None},
        {"documents": "text", "patient": "text"},
        {"documents": [None, 5, {}, {"document_id": None}, {"document_id": " "}]},
        {"updated_at": "yesterday", "status": 5, "date_of_service": ["2025-01-01"]},
    ]
    for fields in odd:
        sandbox.append(created_at=NEWEST, **fields)
    for _ in range(2):
        warehouse.load(sandbox)
        assert warehouse.query("SELECT count(*) FROM encounters") == [(len(sandbox.store),)]
        assert warehouse.query("SELECT updated_at__v_text FROM encounters WHERE updated_at__v_text IS NOT NULL") == [
            ("yesterday",)
        ]


def test_documents_and_transcripts_can_be_left_out_and_added_later(sandbox: Sandbox, warehouse: Warehouse) -> None:
    """A deletion also reaches the tables that a run left out."""
    for _ in range(2):
        warehouse.load(sandbox, "encounters")
        sandbox.delete(inside(sandbox, has_transcript)[0])
        warehouse.load(sandbox)
        assert warehouse.contents() == truth(sandbox)
        sandbox.delete(inside(sandbox, has_transcript)[0])


def test_a_load_with_an_end_makes_its_range_equal_to_the_api(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    later = inside(sandbox)[0]
    before = sandbox.store.find(later)["status"]
    sandbox.change(later, status="not in the range")
    sandbox.change(next(sandbox.encounter_ids()), status="amended")
    sandbox.delete(list(sandbox.encounter_ids())[3])
    warehouse.load(sandbox, end_at=NEWEST - timedelta(days=30))
    sandbox.change(later, status=before)
    assert warehouse.contents()["encounters"].keys() == truth(sandbox)["encounters"].keys()
    assert warehouse.query("SELECT count(*) FROM encounters WHERE status = 'not in the range'") == [(0,)]
    assert warehouse.query("SELECT count(*) FROM encounters WHERE status = 'amended'") == [(1,)]


def test_dlt_keeps_neither_the_key_nor_a_patient_and_its_directory_is_private(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "true")
    warehouse.load(sandbox)
    sandbox.change(inside(sandbox)[0], patient={"patient_id": "pat_1", "last_name": ["Synthetic-odd"]})
    warehouse.load(sandbox)
    assert stat.S_IMODE((warehouse.working_directory / "synthetic").stat().st_mode) == 0o700
    remembered = [path.read_bytes() for path in warehouse.working_directory.rglob("*") if path.is_file()]
    (state,) = warehouse.query("SELECT string_agg(state, '') FROM _dlt_pipeline_state")
    written = "".join(capfd.readouterr())
    for secret in (sandbox.api_key, "Synthetic-", "*Synthetic text, not about a real person.*", "placebo"):
        assert not any(secret.encode() in content for content in remembered)
        assert secret not in state[0]
        assert secret not in written
    with warehouse.path.open("rb") as file:
        assert sandbox.api_key.encode() not in file.read()


def test_documents_are_fetched_by_as_many_workers_as_dlt_allows(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three, as set here; dlt's default is five."""
    monkeypatch.setenv("EXTRACT__WORKERS", "3")
    together, lock, now, peak = threading.Barrier(3, timeout=60), threading.Lock(), 0, 0
    get, first = Documents.get, iter([True] * 3)

    def counted(self: Documents, *ids: str) -> Any:
        nonlocal now, peak
        with lock:
            now, waits = now + 1, next(first, False)
            peak = max(peak, now)
        if waits:
            together.wait()
        document = get(self, *ids)
        with lock:
            now -= 1
        return document

    monkeypatch.setattr(Documents, "get", counted)
    warehouse.load(sandbox, "documents")
    assert peak == 3


def test_an_encounter_of_the_future_does_not_stop_the_sync(sandbox: Sandbox, warehouse: Warehouse) -> None:
    sandbox.append(created_at=datetime.now(UTC) + timedelta(days=365))
    warehouse.load(sandbox)
    sandbox.append(created_at=datetime.now(UTC))
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


def test_a_source_can_be_iterated_without_a_pipeline(sandbox: Sandbox) -> None:
    with client_of(sandbox) as client:
        assert [row["encounter_id"] for row in charthero_source(client).encounters] == list(sandbox.encounter_ids())
    gc.collect()


@pytest.mark.parametrize(
    "options", [{"look_back": timedelta(0)}, {"look_back": timedelta(days=-1)}, {"start_at": datetime(2025, 1, 1)}]
)
def test_invalid_arguments_are_refused_by_name(options: dict[str, Any], sandbox: Sandbox) -> None:
    with client_of(sandbox) as client, pytest.raises(ValueError, match=r"look_back|time zone"):
        charthero_source(client, **options)
