"""No run loses rows and reports success: other sources, emptied tables, changed hints, colliding names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dlt
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import pipeline_drop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charthero_ext import ChartHero
from charthero_ext.connectors.dlt import charthero_source
from charthero_ext.connectors.dlt.tables import row_of
from charthero_ext.sandbox import Sandbox
from tests.connectors.warehouse import NEWEST, Warehouse, add, fill, truth

OTHER_ORGANIZATION = "ch_sk_sandbox_other_organization"


@pytest.fixture(scope="module")
def running_elsewhere() -> Iterator[Sandbox]:
    with Sandbox(encounters=0) as sandbox:
        yield sandbox


@pytest.fixture
def elsewhere(running_elsewhere: Sandbox) -> Sandbox:
    """Another host, whose encounters have the same ids."""
    fill(running_elsewhere)
    return running_elsewhere


def by_source(warehouse: Warehouse, table: str = "encounters") -> dict[str, int]:
    return dict(warehouse.query(f"SELECT _source, count(*) FROM {table} GROUP BY ALL"))


def test_two_hosts_in_one_dataset_leave_each_other_alone(
    sandbox: Sandbox, elsewhere: Sandbox, warehouse: Warehouse
) -> None:
    other = warehouse.pipeline_named("elsewhere")
    for _ in range(2):
        warehouse.load(sandbox)
        warehouse.load(elsewhere, pipeline=other)
        sandbox.delete(list(sandbox.encounter_ids())[-1])
    warehouse.load(sandbox)
    assert sorted(by_source(warehouse).values()) == [16, 18]
    for table in ("documents", "transcripts"):
        assert sorted(by_source(warehouse, table).values()) == [
            len(truth(each)[table]) for each in (sandbox, elsewhere)
        ]


def test_two_organizations_in_one_dataset_leave_each_other_alone(sandbox: Sandbox, warehouse: Warehouse) -> None:
    other = warehouse.pipeline_named("other_organization")
    for _ in range(2):
        warehouse.load(sandbox)
        warehouse.load(sandbox, pipeline=other, key=OTHER_ORGANIZATION)
    assert len(by_source(warehouse)) == 2
    assert warehouse.query("SELECT count(*) FROM encounters WHERE organization_id LIKE '%primary'") == [(18,)]


def test_a_pipeline_that_is_pointed_at_another_source_is_refused(
    sandbox: Sandbox, elsewhere: Sandbox, warehouse: Warehouse
) -> None:
    warehouse.load(sandbox)
    with pytest.raises(PipelineStepFailed, match=r"has loaded from 127.0.0.1:\d+, and the client uses 127.0.0.1:\d+"):
        warehouse.load(elsewhere)
    with pytest.raises(PipelineStepFailed, match=r"now lists .*other; use another pipeline_name"):
        warehouse.load(sandbox, key=OTHER_ORGANIZATION)
    assert warehouse.contents() == truth(sandbox)


def test_more_than_a_fifth_is_deleted_only_with_permission(empty_sandbox: Sandbox, warehouse: Warehouse) -> None:
    for number in range(60):
        empty_sandbox.append(created_at=NEWEST - timedelta(hours=number), documents=[])
    warehouse.load(empty_sandbox)
    for encounter_id in list(empty_sandbox.encounter_ids())[:21]:
        empty_sandbox.delete(encounter_id)
    with pytest.raises(PipelineStepFailed, match="21 of 60 encounters in the range are no longer listed"):
        warehouse.load(empty_sandbox)
    assert len(warehouse.contents()["encounters"]) == 60
    warehouse.load(empty_sandbox, allow_mass_delete=True)
    assert warehouse.contents() == truth(empty_sandbox)


def test_an_account_without_encounters_deletes_nothing(sandbox: Sandbox, warehouse: Warehouse) -> None:
    """As of another organization, however few encounters are loaded."""
    warehouse.load(sandbox)
    before = warehouse.contents()
    sandbox.reset()
    with pytest.raises(PipelineStepFailed, match="refusing to delete 9"):
        warehouse.load(sandbox)
    assert warehouse.contents() == before
    warehouse.load(sandbox, allow_mass_delete=True)
    assert len(warehouse.contents()["encounters"]) == 9


def drop(table: str) -> Callable[[Warehouse], dict[str, Any]]:
    def act(warehouse: Warehouse) -> dict[str, Any]:
        with warehouse.pipeline.sql_client() as sql:
            sql.execute_sql(f"DROP TABLE {table}")
        return {}

    return act


def truncate_all(warehouse: Warehouse) -> dict[str, Any]:
    with warehouse.pipeline.sql_client() as sql:
        for table in ("encounters", "documents", "transcripts", "transcripts__turns"):
            sql.execute_sql(f"DELETE FROM {table}")
    return {}


EMPTIED: dict[str, Callable[[Warehouse], dict[str, Any]]] = {
    "replace": lambda _: {"write_disposition": "replace"},
    "refresh drop_sources": lambda _: {"refresh": "drop_sources"},
    "refresh drop_resources": lambda _: {"refresh": "drop_resources"},
    "refresh drop_data": lambda _: {"refresh": "drop_data"},
    "a dropped table of documents": drop("documents"),
    "a dropped table of turns": drop("transcripts__turns"),
    "a dropped table of encounters": drop("encounters"),
    "emptied tables": truncate_all,
    "dlt pipeline drop": lambda warehouse: pipeline_drop(warehouse.pipeline, ["documents"])() or {},
    "dropped state": lambda warehouse: pipeline_drop(warehouse.pipeline, state_paths="*")() or {},
}


FAST = {"replace", "a dropped table of documents"}


@pytest.mark.parametrize(
    "how", [each if each in FAST else pytest.param(each, marks=pytest.mark.slow) for each in EMPTIED]
)
def test_a_table_that_is_emptied_is_loaded_again(how: str, sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    warehouse.load(sandbox, run=EMPTIED[how](warehouse))
    assert warehouse.contents() == truth(sandbox)
    sandbox.change(list(sandbox.encounter_ids())[-1], documents=[])
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


def test_a_table_that_became_empty_is_loaded_from_the_start_only_once(sandbox: Sandbox, warehouse: Warehouse) -> None:
    since = NEWEST - timedelta(days=20)
    warehouse.load(sandbox, start_at=since)
    for encounter_id in list(sandbox.encounter_ids()):
        sandbox.change(encounter_id, documents=[])
    warehouse.load(sandbox, start_at=since)
    loaded = [warehouse.load(sandbox, look_back=timedelta(days=1))["encounters"] for _ in range(3)]
    assert loaded == [len(sandbox.store), 1, 1]


@pytest.mark.parametrize(
    "run", [{"refresh": "drop_resources"}, pytest.param({"write_disposition": "replace"}, marks=pytest.mark.slow)]
)
def test_documents_alone_are_emptied_and_loaded_alone(
    run: dict[str, Any], sandbox: Sandbox, warehouse: Warehouse
) -> None:
    warehouse.load(sandbox)
    warehouse.load(sandbox, "documents", run=run)
    assert warehouse.contents() == truth(sandbox)


def test_every_run_in_dev_mode_loads_everything(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox)
    for _ in range(2):
        pipeline = warehouse.pipeline_named("synthetic", dev_mode=True)
        assert warehouse.load(sandbox, pipeline=pipeline)["documents"] == len(truth(sandbox)["documents"])


def test_a_table_with_rows_of_another_source_is_not_emptied(
    sandbox: Sandbox, elsewhere: Sandbox, warehouse: Warehouse
) -> None:
    warehouse.load(sandbox)
    warehouse.load(elsewhere, pipeline=warehouse.pipeline_named("elsewhere"))
    for run in ({"write_disposition": "replace"}, {"refresh": "drop_data"}):
        with pytest.raises(PipelineStepFailed, match=r"would empty the table .*, which also holds 127.0.0.1"):
            warehouse.load(sandbox, run=run)
    assert sorted(by_source(warehouse).values()) == [18, 18]


def test_an_earlier_start_loads_what_is_before(sandbox: Sandbox, warehouse: Warehouse) -> None:
    since = NEWEST - timedelta(days=10)
    for _ in range(2):  # the look-back does not go before the start
        warehouse.load(sandbox, start_at=since.isoformat())
        assert warehouse.contents() == truth(sandbox, since)
    warehouse.load(sandbox, start_at=since - timedelta(days=20))
    assert warehouse.contents() == truth(sandbox, since - timedelta(days=20))
    warehouse.load(sandbox)
    assert warehouse.contents() == truth(sandbox)


def test_a_range_that_leaves_a_gap_is_refused(sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(sandbox, start_at=NEWEST - timedelta(days=10), end_at=NEWEST - timedelta(days=5))
    for start, end in ((30, 20), (4, 1)):
        with pytest.raises(PipelineStepFailed, match="leaves a gap"):
            warehouse.load(sandbox, start_at=NEWEST - timedelta(days=start), end_at=NEWEST - timedelta(days=end))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"write_disposition": "append"}, "write_disposition of encounters"),
        ({"write_disposition": {"disposition": "merge", "strategy": "scd2"}}, "write_disposition of encounters"),
        ({"table_name": "everything"}, "table_name is not supported"),
        ({"primary_key": "status"}, "primary_key of encounters"),
    ],
)
def test_hints_that_would_damage_the_tables_are_refused(
    run: dict[str, Any], message: str, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    sandbox.fail("status", status=400, times=None)
    with pytest.raises(PipelineStepFailed, match=message):
        warehouse.load(sandbox, run=run)


def test_a_destination_without_tables_is_refused_before_any_request(sandbox: Sandbox, warehouse: Warehouse) -> None:
    sandbox.fail("status", status=400, times=None)
    pipeline = dlt.pipeline(
        "lake", destination=dlt.destinations.filesystem("lake"), pipelines_dir=str(warehouse.working_directory)
    )
    with pytest.raises(PipelineStepFailed, match="destination filesystem is not supported"):
        warehouse.load(sandbox, pipeline=pipeline)


def test_a_limit_on_the_walk_is_refused(sandbox: Sandbox, warehouse: Warehouse) -> None:
    with ChartHero(api_key=sandbox.api_key, base_url=sandbox.base_url) as client:
        source = charthero_source(client)
        source.walk.add_limit(3)
        with pytest.raises(PipelineStepFailed, match="add_limit is not supported"):
            warehouse.pipeline.run(source)


def test_tables_exist_after_an_empty_first_run(empty_sandbox: Sandbox, warehouse: Warehouse) -> None:
    warehouse.load(empty_sandbox)
    for table in ("encounters", "documents", "transcripts", "transcripts__turns", "_unreadable"):
        assert warehouse.query(f"SELECT count(*) FROM {table}") == [(0,)]
    add(empty_sandbox, NEWEST)
    warehouse.load(empty_sandbox)
    assert warehouse.contents() == truth(empty_sandbox)


def test_fields_that_collide_with_a_column_keep_their_values(empty_sandbox: Sandbox, warehouse: Warehouse) -> None:
    colliding = {"_deleted": True, "_source": "elsewhere", "Status": "second", "_dlt_id": "mine", "tags": ["a", "b"]}
    encounter_id = add(empty_sandbox, NEWEST)
    empty_sandbox.change(encounter_id, patient={"patient_id": "pat_1", "Patient_Id": "pat_2"}, **colliding)
    for _ in range(2):
        warehouse.load(empty_sandbox)
    ((status, patient, additional),) = warehouse.query(
        "SELECT status, patient__patient_id, _additional::VARCHAR FROM encounters"
    )
    assert (status, patient) == ("completed", "pat_1")
    assert json.loads(additional) == colliding | {"patient": {"Patient_Id": "pat_2"}}


NAMES = st.sampled_from(["status", "Status", "_deleted", "a", "A", "a__b", "b", " ", "v_text", "-x", "x"])
SCALARS = st.none() | st.integers(0, 9)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=3)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    else:
        yield path, value


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_a_row_keeps_every_value_and_has_no_column_twice(record: dict[str, Any]) -> None:
    naming = NamingConvention(max_length=63)
    row = row_of(record, {"_source": "host/org", "_deleted": False}, frozenset(), naming)
    additional = row.pop("_additional") or {}
    assert (row.pop("_source"), row.pop("_deleted")) == ("host/org", False)
    kept, aside = list(leaves(row)), list(leaves(additional))
    assert sorted(map(repr, (*kept, *aside))) == sorted(map(repr, leaves(record)))
    columns = [naming.shorten_fragments(*(naming.normalize_identifier(n.strip() or "_e") for n in p)) for p, _ in kept]
    assert len(set(columns)) == len(columns)
    assert not any(isinstance(value, list) for _, value in kept)
