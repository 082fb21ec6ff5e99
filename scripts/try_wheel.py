"""Install the wheel in dist/ and do the main job with it: list, walk, read, transcribe, download.

The environment is new and has nothing of the repository on its path, so what works there works for users. Needs only
the standard library.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from scripts.artifact import ROOT

__all__ = ["main"]

DIST = ROOT / "dist"

PROGRAM = """
import hashlib, importlib.resources as resources, pathlib, sys, tempfile
import charthero_client, charthero_ext
from charthero_client.contract import ARTIFACT_SHA256
from charthero_ext import ChartHero
from charthero_ext.sandbox import Sandbox

for package in (charthero_client, charthero_ext):
    home = pathlib.Path(package.__file__)
    assert "site-packages" in home.parts, home
    assert (home.parent / "py.typed").exists(), f"{package.__name__} ships no py.typed"
artifact = (resources.files("charthero_client") / "openapi.json").read_bytes()
assert hashlib.sha256(artifact).hexdigest() == ARTIFACT_SHA256

with Sandbox(encounters=200) as sandbox, ChartHero(base_url=sandbox.base_url, api_key=sandbox.api_key) as ch:
    page = ch.encounters.list(limit=100)
    assert len(page.items) == 100 and page.total == 200, page
    walk = ch.encounters.iter()
    assert len({encounter.encounter_id for encounter in walk}) == 200 and walk.receipt.complete
    encounter, document = next(
        (encounter, document)
        for encounter in page.items
        for document in encounter.documents
        if document.schema_type == "ambient_transcript"
    )
    ids = encounter.encounter_id, document.document_id
    assert ch.encounters.get(encounter.encounter_id) == encounter
    assert ch.documents.get(*ids).document_id == document.document_id
    assert len(ch.documents.transcript(*ids).transcript.turns) > 1
    with tempfile.TemporaryDirectory() as scratch:
        assert ch.documents.download_audio(*ids, pathlib.Path(scratch) / "a.wav").read_bytes()[:4] == b"RIFF"
print("the installed wheel lists, walks, reads, transcribes and downloads")
"""


def main(arguments: list[str] | None = None) -> int:
    """Install the wheel and run the program."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    wheels = [*DIST.glob("*.whl")]
    if len(wheels) != 1:
        print(f"try_wheel: dist/ holds {len(wheels)} wheels instead of one; run `make dist`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        # The locked versions without their hashes: with hashes, pip refuses a wheel that has no hash in the lock.
        versions = Path(scratch) / "constraints.txt"
        locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
        versions.write_text("\n".join(re.findall(r"^[\w.-]+==[^ ]+", locked, re.MULTILINE)), encoding="utf-8")
        try:
            venv.create(Path(scratch) / "venv", with_pip=True)
            python = str(Path(scratch) / "venv" / "bin" / "python")
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--constraint", str(versions), f"{wheels[0]}[sandbox]"])
            # The artifact may deprecate an operation; every other warning is an error.
            warnings = ["-W", "error", "-W", "ignore:ChartHero has deprecated:DeprecationWarning"]
            print(_run([python, "-I", *warnings, "-c", PROGRAM], cwd=scratch), end="")
        except subprocess.CalledProcessError as error:
            print(error.output, file=sys.stderr)
            return 1
    return 0


def _run(command: list[str], cwd: str | None = None) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
