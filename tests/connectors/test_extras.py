"""A missing extra is named in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "extra", "package"),
    [
        ("connectors.dlt", "dlt", "dlt"),
        ("connectors.spark", "spark", "pyspark"),
        ("sandbox", "sandbox", "starlette"),
        ("sandbox", "sandbox", "uvicorn"),
    ],
)
def test_a_missing_extra_is_named_with_the_install_command(module: str, extra: str, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import charthero_ext.{module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert f'needs the extra "{extra}": pip install "charthero-ext[{extra}]"' in last
    assert "During handling" not in done.stderr
