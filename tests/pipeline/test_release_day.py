"""The whole of release day, with the real programs: make update, make check, git status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from scripts.artifact import ROOT, SNAPSHOT
from scripts.update import LEFT_BEHIND

from .published_style import published
from .shapes import Document, schemas
from .trees import environment

pytestmark = pytest.mark.slow

#: The tests that `make update` runs here: those that depend on the snapshot, the tree or the terminal.
TESTS = "tests/pipeline/test_committed.py tests/pipeline/test_snapshot.py tests/docs tests/cli/test_endings.py"

REPLACED = {"CHANGELOG.md", "openapi/openapi.json", "openapi/source.json"}
REBUILT = {"generated/charthero_client/contract.py", "generated/charthero_client/openapi.json"}


@frozen
class Checkout:
    """A repository of its own, and the place of the published artifact."""

    root: Path
    published: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a background job of a shell does, which ignores SIGINT."""
        variables = {name: value for name, value in environment(self.root.parent).items() if "PYTEST" not in name}
        variables |= {"PYTHONPATH": os.pathsep.join((str(self.root), str(self.root / "generated"))), "TESTS": TESTS}
        return subprocess.run(
            command,
            cwd=self.root,
            env=variables,
            capture_output=True,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("make", f"VENV={sys.prefix}", "--assume-old", f"{sys.prefix}/.ready", *arguments)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Synthetic", "-c", "user.email=synthetic@example.test")
        done = self.run("git", *identity, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def release(self, content: bytes) -> set[str]:
        """Publish *content*, run release day, and return the files that git reports."""
        self.published.write_bytes(content)
        updated = self.make("update", f"SPEC_URL={self.published}")
        assert updated.returncode == 0, updated.stdout + updated.stderr
        assert updated.stdout.endswith("passed; look at `git status` and commit\n")
        checked = self.make("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert (self.root / "openapi" / "openapi.json").read_bytes() == content
        return {line[3:] for line in self.git("status", "--porcelain", "--untracked-files=all").splitlines()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=LEFT_BEHIND, symlinks=True)
    made = Checkout(tmp_path / "checkout", tmp_path / "published.json")
    made.git("init", "--quiet")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Before release day")
    return made


def exported(document: Document) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode()


def test_release_day_with_an_artifact_in_the_published_style_and_a_new_field(checkout: Checkout) -> None:
    document = published()
    schemas(document)["PublicPatient"]["properties"]["preferred_name"] = {"type": "string", "description": "New."}
    changed = checkout.release(exported(document))
    assert {name for name in changed if not name.startswith("generated/")} == {*REPLACED, "openapi/facts.txt"}
    assert changed >= REPLACED | REBUILT
    patient = checkout.root / "generated" / "charthero_client" / "models" / "patient.py"
    assert "preferred_name: str | Unset" in patient.read_text()


def test_release_day_with_the_snapshot_laid_out_differently(checkout: Checkout) -> None:
    content = json.dumps(json.loads(SNAPSHOT.read_bytes()), indent=4).encode()
    assert checkout.release(content) == REPLACED | REBUILT
