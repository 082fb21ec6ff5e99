"""The bench runs end to end and reports its results. No test looks at a time."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.benchmarks.environment import ROOT
from tests.benchmarks.measuring import in_turns, ratios
from tests.benchmarks.report import as_markdown, as_svg


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    rough = ["--rounds", "1", "--encounters", "300", "--compared", "500", "--growth", "1000"]
    command = [sys.executable, "-m", "tests.benchmarks.measure", "--results", str(path), *rough]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=600)
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_table_has_a_line_for_this_client_and_one_for_the_floor(results):
    table = as_markdown(results)
    assert "| **charthero_ext** |" in table
    assert "| httpx + json.loads, plain dicts | 1.00 |" in table


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_named_as_absent_and_stops_nothing(results):
    assert "openapi-generator, as generated" in results["absent"]
    assert "Absent: openapi-generator, as generated (" in as_markdown(results)


@pytest.mark.slow
def test_a_loop_over_offsets_loses_what_a_walk_does_not_while_rows_move(results):
    *_, loop, walk = results["loops"]
    assert loop["lost"] > 0
    assert (walk["lost"], walk["repeated"]) == (0, 0)


@pytest.mark.slow
def test_every_walk_hands_out_every_encounter(results):
    assert {walked["concurrency"]: walked["rows"] for walked in results["walks"]} == {1: 300, 4: 300, 8: 300}


@pytest.mark.slow
def test_the_first_pass_of_a_change_feed_delivers_everything_and_the_second_nothing(results):
    assert [(synced["encounters"], synced["changes"]) for synced in results["changes"]] == [(1000, 1000), (1000, 0)]
    assert "| 1,000 | 0 | " in as_markdown(results)


@pytest.mark.slow
def test_the_plot_is_an_image_with_a_point_for_every_stage(results):
    svg = ElementTree.fromstring(as_svg(results))
    assert len(svg.findall(".//{*}circle")) == 2 * len(results["growth"])


def test_everybody_has_a_turn_in_every_round():
    turns = list(in_turns(["a", "b", "c"], 4))
    assert [sorted(turns[start : start + 3]) for start in range(0, 12, 3)] == [["a", "b", "c"]] * 4


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_changes_nothing():
    assert ratios({"floor": [1.0, 10.0, 1.0], "other": [2.0, 20.0, 2.0]}, "floor")["other"].median == 2.0
