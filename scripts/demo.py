"""The first five minutes: pull the artifact from a local sandbox, regenerate, and list encounters.

Everything happens on this machine, with synthetic data. The repository is left as it was: the artifact is pulled into a
scratch directory, and what is generated from it there must be what is committed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.artifact import ROOT, ArtifactError
from scripts.generate import GENERATED, GenerateError, differences, generate_into
from scripts.pull import fetch, store

__all__ = ["main"]

# The listing runs as a program of its own: scripts never import charthero_ext, and this is what a partner would write.
LISTING = """
import sys
from charthero_ext import ChartHero

with ChartHero(base_url=sys.argv[1], api_key=sys.argv[2]) as ch:
    page = ch.encounters.list(limit=8)
    print(f"  {'encounter_id':<28}{'created_at':<22}{'type':<10}{'status':<14}documents")
    for encounter in page.items:
        created_at = f"{encounter.created_at:%Y-%m-%d %H:%M:%S}Z"
        print(f"  {encounter.encounter_id:<28}{created_at:<22}{encounter.encounter_type or '':<10}"
              f"{encounter.status or '':<14}{len(encounter.documents):>9}")
    print(f"  {len(page.items)} of {page.total} synthetic encounters, the newest first")
"""

NEXT = """
Where to go next
  make sandbox        keep a sandbox running, and point CHARTHERO_BASE_URL and CHARTHERO_API_KEY at it
  make update         on an API release: pull, generate, check, test
  README.md           the first ten lines of an integration
"""


@contextmanager
def step(number: int, text: str) -> Iterator[None]:
    """Print a step and how long it took."""
    print(f"{number}. {text}", flush=True)
    started = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - started:.1f} s\n", flush=True)


@contextmanager
def running_sandbox() -> Iterator[tuple[str, str]]:
    """Run a sandbox on a free port; yield its URL and a key for it."""
    command = [sys.executable, "-m", "charthero_ext.sandbox", "--port", "0", "--encounters", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"(http://\S+).*?(ch_sk_\S+)", line)
            if found is None:
                raise GenerateError("the sandbox did not start")
            yield found[1], found[2]
        finally:
            process.terminate()


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    print("ChartHero client: from the published artifact to a listing, on this machine\n")
    try:
        with ExitStack() as stack:
            with step(1, "Start a local sandbox with synthetic data"):
                url, key = stack.enter_context(running_sandbox())
                print(f"   {url}")
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            snapshot, source = scratch / "openapi.json", f"{url}/openapi/v1/openapi.json"
            with step(2, "Pull the OpenAPI artifact from it"):
                store(fetch(source), source, snapshot=snapshot, record=scratch / "source.json")
                print(f"   {snapshot.stat().st_size:,} bytes, checked")
            with step(3, "Regenerate the client from it"):
                generate_into(scratch / GENERATED.name, snapshot)
                found = differences(scratch / GENERATED.name, GENERATED)
                print("   the same, file for file, as generated/" if not found else "   " + "\n   ".join(found))
            with step(4, "List encounters through charthero_ext"):
                subprocess.run([sys.executable, "-c", LISTING, url, key], check=True)
    except (ArtifactError, GenerateError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(NEXT, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
