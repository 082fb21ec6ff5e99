"""Clients over a server that is a function, so that a test says in one place what is asked and what is answered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina
from charthero_client.types import SURPRISES

from charthero_ext import AsyncChartHero, ChartHero, Settings
from tests.payloads import BODIES

KEY = "ch_sk_synthetic_test_1"
HOST = "http://localhost:1"

Answer = Callable[[httpx.Request], httpx.Response]


def example(operation: str) -> Any:
    """Return the body of a success."""
    return copy.deepcopy(BODIES[operation])


def settings(**others: Any) -> Settings:
    return Settings.load(**{"api_key": KEY, "base_url": HOST, **others})


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No configuration of the machine reaches a test; retries do not wait; nothing was counted before."""
    for name in ("API_KEY", "API_KEY_FILE", "BASE_URL", "PROFILE"):
        monkeypatch.delenv(f"CHARTHERO_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    SURPRISES.clear()
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
def client() -> Iterator[Callable[..., ChartHero]]:
    """Make a client whose server is the function it is given."""
    made: list[ChartHero] = []

    def make(answer: Answer, **others: Any) -> ChartHero:
        made.append(ChartHero(settings=settings(**others), httpx_args={"transport": httpx.MockTransport(answer)}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def async_client(answer: Answer, **others: Any) -> AsyncChartHero:
    return AsyncChartHero(settings=settings(**others), httpx_args={"transport": httpx.MockTransport(answer)})
