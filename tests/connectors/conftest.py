"""An environment without the settings of this machine, and which tests of dlt and Spark run when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthero_ext.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.connectors.warehouse import Warehouse

LEFT_OUT = "needs Spark and Java 17: make test-spark"


#: A load takes seconds, so ``make test`` runs these tests of dlt, and ``make test-all`` runs all of them.
FAST = {
    "test_a_second_load_makes_the_look_back_equal_to_the_api",
    "test_an_empty_list_with_a_total_deletes_nothing",
    "test_a_transcript_that_was_not_ready_is_requested_again",
    "test_a_source_can_be_iterated_without_a_pipeline",
    "test_invalid_arguments_are_refused_by_name",
    "test_a_broken_document_is_listed_and_tried_again_by_every_run",
    "test_a_failing_run_shows_no_patient",
    "test_an_outage_of_the_documents_fails_the_run",
    "test_a_load_that_was_killed_leaves_nothing_wrong",
    "test_a_pipeline_that_is_pointed_at_another_source_is_refused",
    "test_more_than_a_fifth_is_deleted_only_with_permission",
    "test_a_table_that_is_emptied_is_loaded_again",
    "test_a_range_that_leaves_a_gap_is_refused",
    "test_hints_that_would_damage_the_tables_are_refused",
    "test_a_destination_without_tables_is_refused_before_any_request",
    "test_a_limit_on_the_walk_is_refused",
    "test_fields_that_collide_with_a_column_keep_their_values",
    "test_a_row_keeps_every_value_and_has_no_column_twice",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("spark") and config.option.markexpr != "spark":
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))
        if item.path.name.startswith("test_dlt") and getattr(item, "originalname", "") not in FAST:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "API_KEY_FILE", "BASE_URL", "PROFILE"):
        monkeypatch.delenv(f"CHARTHERO_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path))  # or a pipeline run by root works in /var
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(encounters=0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    from tests.connectors.warehouse import fill

    fill(running)
    return running


@pytest.fixture
def empty_sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    import dlt

    from tests.connectors.warehouse import Warehouse

    yield Warehouse(tmp_path)
    dlt.current.pipeline().deactivate()
