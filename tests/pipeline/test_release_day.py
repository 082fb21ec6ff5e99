"""The whole of release day, with the real programs: make update, make check, git status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.artifact import ROOT, SNAPSHOT
from scripts.update import LEFT_BEHIND

from .published_style import published
from .repository import Repository
from .shapes import LIST, Document, schemas

pytestmark = pytest.mark.slow

#: The tests that `make update` runs here: those that depend on the snapshot, the tree or the terminal.
TESTS = "tests/pipeline/test_committed.py tests/pipeline/test_snapshot.py tests/docs tests/cli/test_endings.py"

REPLACED = {"CHANGELOG.md", "openapi/openapi.json", "openapi/source.json"}
REBUILT = {"generated/charthero_client/contract.py", "generated/charthero_client/openapi.json"}


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=LEFT_BEHIND, symlinks=True)
    made = Repository(tmp_path / "checkout", {"TESTS": TESTS})
    made.commit()
    return made


def make(checkout: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a background job of a shell does, which ignores SIGINT."""
    environment = (f"VENV={sys.prefix}", "--assume-old", f"{sys.prefix}/.ready")
    return checkout.run("sh", "-c", 'trap "" INT; exec make "$@"', "sh", *environment, *arguments)


def release(checkout: Repository, content: bytes) -> set[str]:
    """Publish *content*, run release day, and return the files that git reports."""
    published = checkout.root.parent / "published.json"
    published.write_bytes(content)
    updated = make(checkout, "update", f"SPEC_URL={published}")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert updated.stdout.endswith("passed; look at `git status` and commit\n")
    checked = make(checkout, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (checkout.root / "openapi" / "openapi.json").read_bytes() == content
    return {line[3:] for line in checkout.git("status", "--porcelain", "--untracked-files=all").splitlines()}


def exported(document: Document) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode()


def test_release_day_with_the_published_style_a_new_field_and_a_deprecation(checkout: Repository) -> None:
    document = published()
    document["paths"][LIST]["get"]["deprecated"] = True
    schemas(document)["PublicPatient"]["properties"]["preferred_name"] = {"type": "string", "description": "New."}
    changed = release(checkout, exported(document))
    assert {name for name in changed if not name.startswith("generated/")} == {*REPLACED, "openapi/facts.txt"}
    assert changed >= REPLACED | REBUILT
    patient = checkout.root / "generated" / "charthero_client" / "models" / "patient.py"
    assert "preferred_name: str | Unset" in patient.read_text()


def test_release_day_with_the_snapshot_laid_out_differently(checkout: Repository) -> None:
    content = json.dumps(json.loads(SNAPSHOT.read_bytes()), indent=4).encode()
    assert release(checkout, content) == REPLACED | REBUILT
