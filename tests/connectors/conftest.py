"""Surroundings that nothing of the machine reaches, and the reason why Spark's tests are left out of a plain run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthero_ext.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.connectors.warehouse import Warehouse

LEFT_OUT = "needs Spark and Java 17: make test-spark"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("spark") and config.option.markexpr != "spark":
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


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
