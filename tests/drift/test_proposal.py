"""The last step of the job that proposes a new client, with a stand-in for gh that records its arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from attrs import frozen

from scripts.artifact import ROOT, sha256

STEP = yaml.safe_load((ROOT / ".github/workflows/drift.yml").read_text())["jobs"]["propose"]["steps"][-1]["run"]
GH = """#!/bin/sh
echo "$@" >> "$HOME/asked"
case "$*" in
  "pr list"*) test -e "$HOME/opened" && echo 1 || echo 0 ;;
  "pr create"*) touch "$HOME/opened" ;;
esac
"""
ALLOWED = {
    "CHANGELOG.md",
    "openapi/openapi.json",
    "openapi/source.json",
    "openapi/facts.txt",
    "generated/charthero_client/models/new.py",
}
FORBIDDEN = {"scripts/evil.py", ".github/workflows/evil.yml", "openapi/surface.toml", "Makefile", "generated/evil.py"}


@frozen
class Forge:
    """A bare repository, fresh checkouts of it, and the proposal of the first job."""

    home: Path

    def run(self, *command: str, at: str = "checkout", check: bool = True) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_"))}
        variables = {
            **kept,
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(self.home / "bin"), os.environ["PATH"])),
            "GIT_CONFIG_SYSTEM": os.devnull,
            "PROPOSAL": str(self.home / "proposal"),
        }
        done = subprocess.run(command, cwd=self.home / at, env=variables, capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stderr
        return done

    def lay_out(self, artifact: str, names: set[str] = ALLOWED) -> None:
        """Make the first job's patch, in a checkout of its own."""
        self.check_out()
        for name in names:
            (self.home / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / "checkout" / name).write_text(artifact)
        self.run("git", "add", "--all")
        patch = self.run("git", "diff", "--cached", "--binary").stdout
        (self.home / "proposal" / "proposal.patch").write_text(patch)
        (self.home / "proposal" / "findings.md").write_text("## Drift: 1 breaking\n\nSynthetic.\n")

    def check_out(self) -> None:
        shutil.rmtree(self.home / "checkout", ignore_errors=True)
        self.run("git", "clone", "--quiet", "--branch=main", "origin", "checkout", at=".")

    def propose(self) -> subprocess.CompletedProcess[str]:
        self.check_out()
        return self.run("bash", "-e", "-o", "pipefail", "-c", STEP, check=False)

    def branches(self) -> set[str]:
        return set(self.run("git", "branch", "--format=%(refname:short)", at="origin").stdout.split())

    def asked(self, what: str) -> list[str]:
        lines = (self.home / "asked").read_text().splitlines() if (self.home / "asked").exists() else []
        return [line for line in lines if line.startswith(what)]


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    made = Forge(tmp_path)
    for name in ("bin", "proposal", "checkout"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / ".gitconfig").write_text("[user]\nname = Synthetic\nemail = synthetic@example.test\n")
    made.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "origin", at=".")
    made.run("git", "init", "--quiet", "--initial-branch=main")
    (tmp_path / "checkout" / "Makefile").write_text("all:\n")
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "Synthetic")
    made.run("git", "push", "--quiet", "../origin", "main")
    return made


def branch_of(artifact: str) -> str:
    return f"api-release-{sha256(artifact.encode())[:12]}"


def test_a_new_artifact_opens_a_pull_request_with_the_findings(forge: Forge) -> None:
    forge.lay_out("new")
    done = forge.propose()
    assert done.returncode == 0, done.stderr
    assert forge.branches() == {"main", branch_of("new")}
    (created,) = forge.asked("pr create")
    assert "--title ChartHero API:  Drift: 1 breaking --body-file" in created


def test_the_same_artifact_the_next_day_changes_nothing(forge: Forge) -> None:
    forge.lay_out("new")
    assert forge.propose().returncode == 0
    before = forge.run("git", "rev-parse", branch_of("new"), at="origin").stdout
    assert forge.propose().returncode == 0
    assert forge.run("git", "rev-parse", branch_of("new"), at="origin").stdout == before
    assert len(forge.asked("pr create")) == 1


def test_a_pull_request_that_could_not_be_opened_is_opened_the_next_day(forge: Forge) -> None:
    forge.lay_out("new")
    gh = forge.home / "bin" / "gh"
    gh.write_text(GH.replace('touch "$HOME/opened"', "exit 4"))
    assert forge.propose().returncode == 4
    gh.write_text(GH)
    assert forge.propose().returncode == 0
    assert (forge.home / "opened").exists()


def test_files_that_release_day_may_not_change_are_left_out(forge: Forge) -> None:
    forge.lay_out("new", ALLOWED | FORBIDDEN)
    assert forge.propose().returncode == 0
    changed = forge.run("git", "diff", "--name-only", "main", branch_of("new"), at="origin").stdout
    assert set(changed.split()) == ALLOWED
