"""Release day in a scratch copy of the repository: an API that adds, one that breaks, and one that stays as it is.

The checks and tests that `make update` runs are stood in for by a `make` that only reads with the new client.
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

#: What stands in for the checks: somebody's code, run against the client that was made anew.
READER = """
import sys
from charthero_client.api.encounters import list_encounters
from charthero_client.contract import ARTIFACT_SHA256
from charthero_client.models import Encounter, Patient

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
    make.write_text(f'#!/bin/sh\ntest -z "$FAILING" && exec "{sys.executable}" "{home / "reader.py"}"\n')
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
def test_a_release_that_adds_leaves_a_client_that_reads_and_says_what_it_adds(repository: Repository) -> None:
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


def test_a_release_that_takes_a_promised_name_away_stops_and_changes_nothing(repository: Repository) -> None:
    repository.publish(without_status)
    before = repository.files()
    done = repository.run("update", repository.docs.url)
    assert done.returncode == 1
    assert "Encounter.status" in done.stderr
    assert repository.files() == before
    drift = repository.run("drift", repository.docs.url)
    assert drift.returncode == 1
    assert "surface-lost: Encounter.status" in drift.stdout


@pytest.mark.slow
def test_a_release_that_a_check_refuses_changes_nothing_not_even_the_changelog(repository: Repository) -> None:
    repository.publish(additive)
    before = repository.files()
    done = repository.run("update", repository.docs.url, FAILING="1")
    assert done.returncode == 1
    assert repository.files() == before


@pytest.mark.slow
def test_a_change_that_breaks_callers_asks_for_a_major_release(repository: Repository) -> None:
    repository.publish(lambda new: field(new, "Encounter", "updated_at").update(type=["string", "null"]))
    done = repository.run("update", repository.docs.url)
    assert done.returncode == 0
    changelog = (repository.root / "CHANGELOG.md").read_text()
    assert "* ⚠ `Encounter.updated_at`: the value may be null now" in changelog
    assert "Proposed version: 1.0.0" in changelog


def test_the_daily_job_lays_out_what_is_to_be_proposed(repository: Repository, tmp_path: Path) -> None:
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
def test_the_daily_job_proposes_nothing_where_nothing_changed(repository: Repository, tmp_path: Path) -> None:
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
def test_the_daily_job_fails_loudly_where_it_can_tell_or_do_nothing(
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
