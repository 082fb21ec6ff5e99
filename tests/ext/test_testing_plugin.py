"""The pytest plugin: fixtures for a sandbox. A test cannot reach a real host or use a real key."""

from __future__ import annotations

import asyncio

import pytest

from charthero_ext import AsyncChartHero, ChartHero
from charthero_ext.sandbox import Sandbox

pytest_plugins = ["pytester"]


def test_the_fixtures_are_a_sandbox_and_its_clients(
    charthero_sandbox: Sandbox, charthero_client: ChartHero, charthero_async_client: AsyncChartHero
) -> None:
    async def total() -> int:
        async with charthero_async_client as ch:
            return (await ch.encounters.list(limit=1)).total

    added = charthero_sandbox.append()
    assert charthero_client.encounters.list(limit=1).items[0].encounter_id == added["encounter_id"]
    assert asyncio.run(total()) == 1001


def test_a_real_key_in_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_production")
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    client: ChartHero = request.getfixturevalue("charthero_client")
    assert client.settings.base_url.startswith("http://127.0.0.1:")
    assert client.settings.key_source.read() != "ch_sk_production"


def test_a_client_of_another_host_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def charthero_sandbox():
            class Elsewhere:
                base_url = "https://api.example.test"
                api_key = "ch_sk_x"
            return Elsewhere()

        def test_it(charthero_client):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConfigurationError: the test client connects only to this machine*"])


def test_a_fixture_overrides_the_sandbox_options(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def charthero_sandbox_options():
            return {"encounters": 3}

        def test_it(charthero_client):
            assert charthero_client.encounters.list().total == 3
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_until_a_fixture_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"httpx", "starlette", "uvicorn", "vcr", "charthero_client"}
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:recording")
    result.assert_outcomes(passed=1)
