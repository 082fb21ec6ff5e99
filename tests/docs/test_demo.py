"""``make demo``, the first thing the README asks for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from scripts.artifact import ROOT


@pytest.mark.slow
def test_the_demo_pulls_regenerates_and_lists_encounters() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"8 of 1000 synthetic encounters", done.stdout)
