"""The main job, done with the installed wheel alone: list, read, transcribe and download, and see that types ship.

Copied out of the repository before it runs, so that nothing of the repository can be imported by accident.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PROGRAM = '''
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
print("the installed wheel lists, reads, transcribes and downloads")
'''


def main(arguments: list[str] | None = None) -> int:
    """Run the main job in this environment, which has to hold the wheel and its extra ``sandbox``."""
    argparse.ArgumentParser(description=main.__doc__).parse_args(arguments)
    return subprocess.run([sys.executable, "-I", "-c", PROGRAM], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
