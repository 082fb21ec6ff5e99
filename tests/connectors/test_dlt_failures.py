"""Documents that cannot be read, outages, and what a failing run leaves behind about patients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from charthero_ext.client import Documents
from charthero_ext.errors import PermissionDeniedError, ServiceUnavailableError
from charthero_ext.sandbox import Sandbox
from tests.connectors.warehouse import Warehouse, has_finished_transcript, inside, truth
from tests.ext.tracebacks import RENDERERS

CANARIES = ("Synthetic-", "Synthetic text", "placebo", "1970-01-01")


def breaking(monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[[str, str], bool]) -> None:
    """Let the API answer 500 for some documents, without waiting between retries."""
    fetch = getattr(Documents, name)

    def fetched(self: Documents, *ids: str) -> Any:
        if broken(*ids):
            raise ServiceUnavailableError(status_code=500, operation=f"documents.{name}")
        return fetch(self, *ids)

    monkeypatch.setattr(Documents, name, fetched)


def unreadable(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.query("SELECT encounter_id, document_id, part, reason FROM _unreadable ORDER BY ALL")


def test_a_broken_document_is_listed_and_tried_again_by_every_run(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the look-back."""
    old = next(each["encounter_id"] for each in sandbox.store if len(each["documents"]) > 1)
    document_id = sandbox.store.find(old)["documents"][0]["document_id"]
    expected = truth(sandbox)
    del expected["documents"][old, document_id]
    with monkeypatch.context() as patch:
        breaking(patch, "get", lambda _, document: document == document_id)
        for _ in range(2):
            warehouse.load(sandbox)
            assert warehouse.contents() == expected
            assert unreadable(warehouse) == [(old, document_id, "documents", "ServiceUnavailableError 500")]
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)
    assert unreadable(warehouse) == []


def test_a_broken_encounter_that_is_deleted_is_no_longer_listed(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter_id = inside(sandbox, has_finished_transcript)[0]
    breaking(monkeypatch, "transcript", lambda encounter, _: encounter == encounter_id)
    warehouse.load(sandbox)
    assert [row[2] for row in unreadable(warehouse)] == ["transcripts"]
    sandbox.delete(encounter_id)
    warehouse.load(sandbox)
    assert unreadable(warehouse) == []


def test_an_outage_of_the_documents_fails_the_run(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    breaking(monkeypatch, "get", lambda *_: next(calls) > 0)
    with pytest.raises(PipelineStepFailed, match=r"documents\.get: HTTP 500"):
        warehouse.load(sandbox)
    assert warehouse.tables() == []


FREEZING: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a new column": ({"columns": "freeze"}, {"priority": "Synthetic-urgent"}, "encounters has no column priority"),
    "another type": (
        {"data_type": "freeze"},
        {"updated_at": "Synthetic-day"},
        "updated_at of encounters is a timestamp",
    ),
}


@pytest.mark.parametrize("how", ["a new column", pytest.param("another type", marks=pytest.mark.slow)])
def test_a_frozen_contract_fails_without_the_row(
    how: str, sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, _, message = FREEZING[how]
    _ = None  # the frame of this test is shown too
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "true")
    frozen = {"schema_contract": contract}
    warehouse.load(sandbox, run=frozen)
    sandbox.change(inside(sandbox)[0], status="amended")
    warehouse.load(sandbox, run=frozen)
    sandbox.change(inside(sandbox)[0], **FREEZING[how][1])
    with pytest.raises(PipelineStepFailed, match=message) as caught:
        warehouse.load(sandbox, run=frozen)
    assert_nothing_is_shown(caught.value)
    assert found_in(warehouse) == []
    with pytest.raises(PipelineStepFailed, match=message):
        warehouse.load(sandbox)  # dlt keeps the contract
    warehouse.load(sandbox, run={"schema_contract": "evolve"})
    assert len(warehouse.query("SELECT 1 FROM encounters")) == len(sandbox.store)


@pytest.mark.parametrize(
    "operation",
    [
        "documents.get",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("encounters.list", "documents.transcript")),
    ],
)
def test_a_failing_run_shows_no_patient(operation: str, sandbox: Sandbox, warehouse: Warehouse) -> None:
    sandbox.fail("status", status=403, times=None, operation=operation, after=4 if "documents" in operation else 0)
    with pytest.raises(PipelineStepFailed) as caught:
        warehouse.load(sandbox, look_back=timedelta(days=90))
    assert_nothing_is_shown(caught.value)
    assert found_in(warehouse) == []
    causes = [caught.value.exception, caught.value.exception.__cause__]
    assert any(isinstance(cause, PermissionDeniedError) for cause in causes)
    assert warehouse.tables() == []


def assert_nothing_is_shown(error: BaseException) -> None:
    for render in RENDERERS:
        shown = render(error)
        lines = [line for line in shown.splitlines() if any(canary in line for canary in CANARIES)]
        assert lines == [], render.__name__


def found_in(warehouse: Warehouse) -> list[str]:
    """The files of the working directory that hold something about a patient."""
    files = (path for path in warehouse.working_directory.rglob("*") if path.is_file())
    return [path.name for path in files if any(canary.encode() in path.read_bytes() for canary in CANARIES)]
