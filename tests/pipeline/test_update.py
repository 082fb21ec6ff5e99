"""Release day replaces everything after every step has passed, and nothing if one failed; the daily job proposes it.

Each test works in a copy of the repository. A stand-in for `make` keeps the tests from running the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import update
from scripts.artifact import ROOT, sha256
from tests.client_under_test import ARTIFACT

from .repository import Repository, contents
from .shapes import Document, schemas, unchanged

#: Records its arguments, and whether the package was generated from the snapshot.
MAKE = """#!{python}
import hashlib, json, os, pathlib, sys, time
root, seen = pathlib.Path.cwd(), pathlib.Path({seen!r})
contract = (root / "generated/charthero_client/contract.py").read_text()
digest = hashlib.sha256((root / "openapi/openapi.json").read_bytes()).hexdigest()
seen.write_text(json.dumps({{
    "arguments": sys.argv[1:], "directory": str(root), "fits": digest in contract, "path": os.environ["PYTHONPATH"],
}}))
print("the tests say so", flush=True)
time.sleep(float(os.environ.get("MAKE_TAKES", 0)))
sys.exit(int(os.environ.get("MAKE_EXITS", 0)))
"""


@pytest.fixture
def repository(repository: Repository) -> Repository:
    """A copy in which `make` is a stand-in."""
    around = repository.root.parent
    (around / "scratch").mkdir()
    (around / "bin").mkdir()
    make = around / "bin" / "make"
    make.write_text(MAKE.format(python=sys.executable, seen=str(around / "seen.json")))
    make.chmod(0o755)
    path = os.pathsep.join((str(make.parent), os.environ["PATH"]))
    return Repository(repository.root, {"PATH": path, "TMPDIR": str(around / "scratch")})


def update_in(
    repository: Repository, source: Path | str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return repository.run(*repository.script("update", source), cwd=cwd, **variables)


def daily_job(repository: Repository, source: Path | str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the daily job in a git repository; return what it printed, and the directory of what it left."""
    job = repository.root.parent / "job"
    job.mkdir()
    repository.commit()
    outputs = {"GITHUB_STEP_SUMMARY": str(job / "summary.md"), "GITHUB_OUTPUT": str(job / "output")}
    return repository.run(*repository.script("release_day", source, "--bundle", job / "bundle"), **outputs), job


@pytest.fixture
def additive(tmp_path: Path) -> Path:
    document = unchanged()
    schemas(document)["PublicPatient"]["properties"]["preferred_name"] = {"type": "string", "description": "New."}
    return written(tmp_path / "additive.json", document)


def written(path: Path, document: Document) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_an_additive_release_replaces_snapshot_record_package_and_changelog(
    repository: Repository, additive: Path
) -> None:
    before = contents(repository.root)
    done = update_in(repository, additive)
    assert (done.returncode, done.stderr) == (0, "")
    assert "info      received-field-added: Patient.preferred_name" in done.stdout
    assert "update: proposed version: " in done.stdout
    last = "update: done, `make check` and `make test` passed; look at `git status` and commit\n"
    assert done.stdout.endswith(f"the tests say so\n{last}")
    after = contents(repository.root)
    new = additive.read_bytes()
    assert after["openapi/openapi.json"] == after["generated/charthero_client/openapi.json"] == new
    assert json.loads(after["openapi/source.json"])["sha256"] == sha256(new)
    assert b"* `Patient.preferred_name`: a field is new" in after["CHANGELOG.md"]
    assert b"preferred_name: str | Unset" in after["generated/charthero_client/models/patient.py"]
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    own = ("openapi/openapi.json", "openapi/source.json", "openapi/facts.txt", "CHANGELOG.md")
    assert {name for name in changed if not name.startswith("generated/") and name not in own} == set()
    assert [path.name for path in (repository.root / "generated").iterdir()] == ["charthero_client"]


@pytest.mark.slow
def test_check_and_test_run_in_a_copy_with_the_existing_environment(repository: Repository, additive: Path) -> None:
    update_in(repository, additive)
    made = json.loads((repository.root.parent / "seen.json").read_text())
    assert made["fits"] is True
    assert made["directory"] != str(repository.root)
    first, second, *_ = str(made["path"]).split(os.pathsep)
    assert (first, second) == (made["directory"], f"{made['directory']}/generated")
    assert list((repository.root.parent / "scratch").iterdir()) == []
    arguments = made["arguments"]
    assert arguments[-2:] == ["check", "test"]
    # The real make plans only the commands of check and test, even without a stamp beside the environment.
    elsewhere = [argument.replace(sys.prefix, str(repository.root / "no-environment")) for argument in arguments]
    planned = repository.run(str(shutil.which("make")), "--just-print", *elsewhere, cwd=ROOT)
    assert planned.returncode == 0
    assert "pytest" in planned.stdout
    assert "-m venv" not in planned.stdout
    assert "pip install" not in planned.stdout


@pytest.mark.slow
def test_an_update_to_the_same_bytes_changes_only_the_record(repository: Repository) -> None:
    before = contents(repository.root)
    assert update_in(repository, ARTIFACT).returncode == 0
    after = contents(repository.root)
    assert json.loads(after.pop("openapi/source.json"))["provenance"] == "pulled"
    before.pop("openapi/source.json")
    assert after == before


@pytest.mark.slow
def test_a_relative_path_starts_at_the_working_directory(repository: Repository, additive: Path) -> None:
    assert update_in(repository, additive.name, cwd=additive.parent).returncode == 0
    assert (repository.root / "openapi" / "openapi.json").read_bytes() == additive.read_bytes()


@pytest.fixture
def breaking(tmp_path: Path) -> Path:
    document = unchanged()
    del schemas(document)["PublicEncounter"]["properties"]["status"]
    return written(tmp_path / "breaking.json", document)


@pytest.mark.parametrize("step", ["pull", "pull of a breaking release", "generate", "check or test"])
def test_a_failed_step_leaves_every_file_unchanged(
    repository: Repository, additive: Path, breaking: Path, tmp_path: Path, step: str
) -> None:
    source, env = additive, {}
    if step == "pull":
        source = tmp_path / "page.html"
        source.write_text("<html>")
    elif step == "pull of a breaking release":
        source = breaking
    elif step == "generate":
        (repository.root / "openapi" / "templates" / "model.py.jinja").write_text("{{ nothing.at.all }}")
    else:
        env = {"MAKE_EXITS": "2"}
    before = contents(repository.root)

    done = update_in(repository, source, **env)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("update: stopped, and changed nothing: ")
    assert contents(repository.root) == before
    assert (tmp_path / "seen.json").exists() == (step == "check or test")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_every_file_unchanged(repository: Repository, additive: Path) -> None:
    before = contents(repository.root)
    process = repository.start(*repository.script("update", additive), MAKE_TAKES="60")
    assert process.stdout is not None
    assert "the tests say so\n" in iter(process.stdout.readline, "")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert contents(repository.root) == before


@pytest.mark.parametrize("failing", ["write_atomically", "replace_whole"])
def test_a_failed_replacement_undoes_those_before_it(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository.root, copy)
    for name in ("openapi/openapi.json", "openapi/source.json", "generated/charthero_client/client.py"):
        (copy / name).write_text("new")
    for name in ("ROOT", "SNAPSHOT", "SOURCE", "FACTS", "GENERATED"):
        monkeypatch.setattr(update, name, repository.root / getattr(update, name).relative_to(ROOT))
    real = getattr(update, failing)

    def fail(first: Path, second: object) -> None:
        if failing == "replace_whole" or (first.name == "openapi.json" and second == b"new"):
            raise OSError(28, "No space left on device")
        real(first, second)

    monkeypatch.setattr(update, failing, fail)
    before = contents(repository.root)
    with pytest.raises(OSError, match="No space left"):
        update._put_in_place(copy)
    assert contents(repository.root) == before


# The daily job


def test_the_daily_job_writes_the_proposal_and_the_findings(repository: Repository, additive: Path) -> None:
    done, job = daily_job(repository, additive)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (job / "output").read_text() == "proposed=true\n"
    assert (job / "summary.md").read_text() == (job / "bundle" / "findings.md").read_text()
    patch = (job / "bundle" / "proposal.patch").read_bytes()
    assert sha256(additive.read_bytes()).encode() in patch
    changed = set(re.findall(rb"^diff --git a/(\S+)", patch, re.MULTILINE))
    assert changed >= {b"CHANGELOG.md", b"openapi/openapi.json", b"generated/charthero_client/contract.py"}
    assert {name for name in changed if name.startswith((b"scripts/", b"tests/"))} == set()


def test_the_daily_job_proposes_nothing_without_a_change(repository: Repository) -> None:
    done, job = daily_job(repository, ARTIFACT)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in job.iterdir()] == ["summary.md"]
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize(("source", "code"), [("missing.json", 2), ("breaking.json", 1)])
def test_the_daily_job_fails_visibly_without_an_answer_or_a_new_client(
    repository: Repository, breaking: Path, source: str, code: int
) -> None:
    done, job = daily_job(repository, breaking.with_name(source))
    assert done.returncode == code
    assert "::error " in done.stdout
    assert (job / "summary.md").read_text()
    assert [path.name for path in job.iterdir()] == ["summary.md"]
