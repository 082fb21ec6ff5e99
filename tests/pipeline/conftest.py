"""Generated packages and copies of the repository for all tests of the pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from .repository import Repository, copied
from .trees import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copied(tmp_path / "repository")
