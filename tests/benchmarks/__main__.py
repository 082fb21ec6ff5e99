"""Prepare the peers, measure, and report."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.environment import ROOT, prepared
from tests.benchmarks.report import as_markdown, as_svg

__all__ = ["main"]

#: Under a minute once the peers are installed. The numbers are too rough to quote.
QUICK = ("--rounds", "7", "--encounters", "5000", "--growth", "20000")


def main(arguments: list[str] | None = None) -> int:
    """Write bench.md, bench.json and bench.svg, and print the first. It fails if something cannot run."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="This client beside its peers.")
    parser.add_argument("--quick", action="store_true", help="under a minute, and rough")
    parser.add_argument("--output", type=Path, default=Path(".bench"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    python, variables = prepared(output)
    command = [str(python), "-m", "tests.benchmarks.measure", "--results", str(output / "bench.json")]
    subprocess.run([*command, *(QUICK if options.quick else ())], check=True, env=variables, cwd=ROOT)
    results = json.loads((output / "bench.json").read_text(encoding="utf-8"))
    table = as_markdown(results)
    (output / "bench.md").write_text(table, encoding="utf-8")
    (output / "bench.svg").write_text(as_svg(results), encoding="utf-8")
    print(table)
    print(f"The plot is {output / 'bench.svg'}; the README shows the one in .github/walks.svg.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
