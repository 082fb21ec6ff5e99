"""The daily job and the changelog of release day, in a scratch copy of the repository.

A `make` that only reads with the new client stands in for the checks and tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from scripts.artifact import ROOT, sha256
from scripts.changelog import WORDS

from .changes import added_field, everything_renamed, field
from .conftest import Docs
from .published import LIST, Document, artifact, body, raw

#: Stands in for the checks: a program that reads with the new client.
READER = """
from charthero_client.contract import ARTIFACT_SHA256
from charthero_client.models import Encounter

encounter = Encounter.from_dict({"encounter_id": "enc_synthetic", "status": "signed", "ward": "w"})
assert encounter.status == "signed" and encounter.to_dict()["ward"] == "w"
print("read with", ARTIFACT_SHA256)
"""


@frozen
class Repository:
    """A scratch copy, and what is in it."""

    root: Path
    docs: Docs

    def run(self, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")},
            "PYTHONPATH": os.pathsep.join((str(self.root), str(self.root / "generated"))),
            "PATH": os.pathsep.join((str(self.root.parent / "bin"), os.environ["PATH"])),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        command = [sys.executable, "-m", f"scripts.{module}", *arguments]
        return subprocess.run(command, cwd=self.root, env=variables, capture_output=True, text=True, check=False)

    def publish(self, change: Callable[[Document], object]) -> None:
        published = artifact()
        change(published)
        self.docs.body = raw(published)

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not {"__pycache__", ".git"} & {*path.parts}
        }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, built from the synthetic artifact."""
    home = tmp_path_factory.mktemp("release_day")
    (home / "repository").mkdir()
    for name in ("scripts", "openapi", "generated"):
        shutil.copytree(ROOT / name, home / "repository" / name)
    shutil.copy(ROOT / "pyproject.toml", home / "repository")
    (home / "bin").mkdir()
    (home / "reader.py").write_text(READER)
    make = home / "bin" / "make"
    make.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{home / "reader.py"}"\n')
    make.chmod(0o755)
    (home / "artifact.json").write_bytes(raw(artifact()))
    done = Repository(home / "repository", Docs("")).run("update", str(home / "artifact.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    (home / "repository" / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n* Ours.\n")
    git = ["git", "-c", "user.name=Synthetic", "-c", "user.email=synthetic@example.test"]
    for arguments in (["init"], ["add", "--all"], ["commit", "--message", "Synthetic"]):
        subprocess.run([*git, *arguments], cwd=home / "repository", check=True, capture_output=True)
    return home


@pytest.fixture
def repository(built: Path, tmp_path: Path, docs: Docs) -> Repository:
    for name in ("repository", "bin"):
        shutil.copytree(built / name, tmp_path / name)
    return Repository(tmp_path / "repository", docs)


def additive(document: Document) -> None:
    """Make a release that takes nothing away: everything renamed, fields, values, a parameter and a route added."""
    added_field(document, "Encounter", "ward", required=True)
    field(document, "Encounter", "status")["enum"].append("signed")
    document["paths"][LIST]["get"]["parameters"].append({"name": "ward", "in": "query", "schema": {"type": "string"}})
    document["paths"]["/external/v1/wards"] = {"get": {"responses": {"200": body(document)}}}
    everything_renamed(document)


def without_status(document: Document) -> None:
    document["components"]["schemas"]["WireEncounter"]["properties"].pop("status")


@pytest.mark.slow
def test_an_additive_release_is_readable_and_listed_in_the_changelog(repository: Repository) -> None:
    repository.publish(additive)
    done = repository.run("update", repository.docs.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"read with {sha256(repository.docs.body)}" in done.stdout
    assert "info      received-field-added: Encounter.ward" in done.stdout
    assert "proposed version: 0.2.0" in done.stdout
    changelog = (repository.root / "CHANGELOG.md").read_text()
    assert WORDS in changelog
    assert "⚠" not in changelog
    assert "* `Encounter.ward`: a field is new" in changelog
    assert changelog.endswith("\n* Ours.\n")
    assert (repository.root / "openapi" / "openapi.json").read_bytes() == repository.docs.body
    before = repository.files()
    again = repository.run("update", repository.docs.url)
    assert again.returncode == 0
    assert "proposed version" not in again.stdout
    assert repository.files() == before


def test_the_daily_job_writes_the_proposal_and_the_findings(repository: Repository, tmp_path: Path) -> None:
    repository.publish(additive)
    bundle, summary, output = tmp_path / "bundle", tmp_path / "summary.md", tmp_path / "output"
    environment = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    done = repository.run("release_day", repository.docs.url, "--bundle", str(bundle), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert output.read_text() == "proposed=true\n"
    assert summary.read_text() == (bundle / "findings.md").read_text()
    patch = (bundle / "proposal.patch").read_bytes()
    assert sha256(repository.docs.body).encode() in patch
    changed = set(re.findall(rb"^diff --git a/(\S+)", patch, re.MULTILINE))
    assert changed >= {b"CHANGELOG.md", b"openapi/openapi.json", b"generated/charthero_client/contract.py"}
    assert {name for name in changed if name.startswith((b"scripts/", b"tests/"))} == set()


@pytest.mark.slow
def test_the_daily_job_proposes_nothing_without_a_change(repository: Repository, tmp_path: Path) -> None:
    repository.docs.body = raw(artifact())
    before = repository.files()
    done = repository.run(
        "release_day", repository.docs.url, "--bundle", str(tmp_path / "b"), GITHUB_OUTPUT=str(tmp_path / "output")
    )
    assert done.returncode == 0
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "output").exists()
    assert repository.files() == before


@pytest.mark.parametrize(("status", "change", "code"), [(404, additive, 2), (200, without_status, 1)])
def test_the_daily_job_fails_visibly_without_an_answer_or_a_new_client(
    status: int, change: Callable[[Document], object], code: int, repository: Repository, tmp_path: Path
) -> None:
    repository.publish(change)
    repository.docs.status = status
    summary = tmp_path / "summary.md"
    done = repository.run(
        "release_day", repository.docs.url, "--bundle", str(tmp_path / "b"), GITHUB_STEP_SUMMARY=str(summary)
    )
    assert done.returncode == code
    assert "::error " in done.stdout
    assert summary.read_text()
    assert not (tmp_path / "b").exists()
