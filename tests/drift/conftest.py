"""A docs host for every test of drift."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs_host import Docs, docs_host


@pytest.fixture
def docs() -> Iterator[Docs]:
    with docs_host() as served:
        yield served


@pytest.fixture(autouse=True)
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.pull.WAITS", ())
