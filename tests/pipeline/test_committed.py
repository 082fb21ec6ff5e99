"""The committed client. All other tests use a client that is generated from their own artifact."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .shapes import BODIES, EVENT
from .trees import COMMITTED, environment, run

#: Every warning is an error, but the artifact may deprecate an operation.
STRICT = [sys.executable, "-W", "error", "-W", "ignore:ChartHero has deprecated:DeprecationWarning"]

#: Reads every encounter of a sandbox in each of the ways a user can.
WALKS = """
import asyncio, pathlib, sys
import charthero_client
from charthero_client.contract import MAX_LIMIT
from charthero_ext import AsyncChartHero, ChartHero
from charthero_ext.sandbox import Sandbox

assert pathlib.Path(charthero_client.__file__).is_relative_to(sys.argv[1])

async def walked(settings):
    async with AsyncChartHero(**settings) as ch:
        return [encounter.encounter_id async for encounter in ch.encounters.iter()]

with Sandbox(encounters=2 * MAX_LIMIT + 7) as sandbox:
    settings = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with ChartHero(**settings) as ch:
        by_page = [encounter.encounter_id for encounter in ch.encounters.iter()]
        windows = ch.encounters.windows(max_rows=MAX_LIMIT)
        by_window = [encounter.encounter_id for window in windows for encounter in ch.encounters.iter_window(window)]
    by_async = asyncio.run(walked(settings))
    everything = [*sandbox.encounter_ids()]
assert sorted(by_page) == sorted(by_window) == sorted(by_async) == sorted(everything)
"""


def test_the_committed_client_reads_what_the_developer_pages_show(tmp_path: Path) -> None:
    command = [*STRICT, str(Path(__file__).with_name("reader.py")), str(COMMITTED)]
    done = run(command, environment(tmp_path), stdin=json.dumps({"bodies": BODIES, "event": EVENT}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bodies"] == [*BODIES.values(), EVENT]


def test_the_committed_client_reads_every_encounter_of_a_sandbox_exactly_once(tmp_path: Path) -> None:
    done = run([*STRICT, "-c", WALKS, str(COMMITTED)], environment(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
