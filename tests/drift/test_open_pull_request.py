"""The one pull request: opened, brought up to date, and never in the way of people."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from scripts.artifact import ROOT

#: Keeps what it was asked, and answers with the number of the open pull request where there is one.
GH = """#!{python}
import json, os, pathlib, sys
home = pathlib.Path({home!r})
arguments = [f"body={{pathlib.Path(a[6:]).read_text()}}" if a.startswith("body=@") else a for a in sys.argv[1:]]
with (home / "asked").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
number = home / "number"
if sys.argv[1:3] == ["pr", "list"] and number.exists():
    print(json.dumps([{{"number": int(number.read_text())}}]))
if "POST" in sys.argv:
    number.write_text("7")
"""
FINDINGS = "## Drift: 1 breaking\n\n### Breaking\n\n* ⚠ `Encounter.status`: the value may be null now\n"


@frozen
class Forge:
    """A host of repositories, a checkout of it, and what release day laid out."""

    home: Path

    @property
    def checkout(self) -> Path:
        return self.home / "checkout"

    @property
    def bundle(self) -> Path:
        return self.home / "bundle"

    def git(self, *arguments: str, at: Path | None = None) -> str:
        identity = ("-c", "user.name=Synthetic Person", "-c", "user.email=person@example.test")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=at or self.checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def fresh(self) -> None:
        """Check the main branch out as a job does: its last commit, and nothing else."""
        shutil.rmtree(self.checkout, ignore_errors=True)
        origin = (self.home / "origin").as_uri()
        self.git("clone", "--quiet", "--depth=1", "--branch=main", origin, str(self.checkout), at=self.home)

    def lay_out(self, artifact: str, changelog: str = "# Changelog\n") -> None:
        shutil.rmtree(self.bundle, ignore_errors=True)
        for name, text in {
            "CHANGELOG.md": changelog,
            "openapi/openapi.json": artifact,
            "openapi/source.json": "{}",
            "openapi/facts.txt": "",
            "generated/charthero_client/contract.py": f"{artifact!r}\n",
            "findings.md": FINDINGS,
        }.items():
            (self.bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (self.bundle / name).write_text(text)

    def propose(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.fresh()
        path = os.pathsep.join((str(self.home / "bin"), os.environ["PATH"]))
        variables = {**os.environ, "PATH": path, **environment}
        command = [sys.executable, "-I", "-c", RUN, str(self.checkout), str(self.bundle)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "asked").read_text().splitlines()]

    def on_branch(self, name: str) -> str:
        return self.git("show", f"api-release:{name}", at=self.home / "origin")


#: The program as a job runs it: from the checkout, on the standard library.
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from scripts.open_pull_request import main
assert not {"attrs", "httpx"} & sys.modules.keys()
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    made = Forge(tmp_path)
    made.git("init", "--quiet", "--bare", "--initial-branch=main", "origin", at=tmp_path)
    made.git("init", "--quiet", "--initial-branch=main", "checkout", at=tmp_path)
    shutil.copytree(ROOT / "scripts", made.checkout / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    made.lay_out("old")
    for name in ("CHANGELOG.md", "openapi", "generated"):
        copy = shutil.copytree if (made.bundle / name).is_dir() else shutil.copy
        copy(made.bundle / name, made.checkout / name)
    (made.checkout / "generated" / "charthero_client" / "gone.py").write_text("")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Synthetic")
    made.git("push", "--quiet", str(tmp_path / "origin"), "main")
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH.format(python=sys.executable, home=str(tmp_path)))
    gh.chmod(0o755)
    return made


def test_the_first_drift_opens_a_pull_request_with_the_findings_as_its_text(forge: Forge) -> None:
    forge.lay_out("new")
    done = forge.propose(GITHUB_SERVER_URL="https://forge.test", GITHUB_REPOSITORY="o/r", GITHUB_RUN_ID="3")
    assert done.returncode == 0, done.stderr
    assert forge.on_branch("openapi/openapi.json") == "new"
    assert forge.git("diff", "--name-only", "main", "api-release", at=forge.home / "origin").splitlines() == [
        "generated/charthero_client/contract.py",
        "generated/charthero_client/gone.py",
        "openapi/openapi.json",
    ]
    posted = next(arguments for arguments in forge.asked() if "POST" in arguments)
    assert {"head=api-release", "base=main", "title=ChartHero API: Drift: 1 breaking"} <= {*posted}
    body = next(argument for argument in posted if argument.startswith("body="))
    assert body.startswith(f"body={FINDINGS}")
    assert "https://forge.test/o/r/actions/runs/3" in body


def test_the_next_drift_goes_into_the_same_pull_request(forge: Forge) -> None:
    forge.lay_out("new")
    assert forge.propose().returncode == 0
    forge.lay_out("newer")
    done = forge.propose()
    assert done.returncode == 0, done.stderr
    assert "pull request 7 brought up to date" in done.stdout
    assert forge.on_branch("openapi/openapi.json") == "newer"
    assert forge.git("rev-list", "--count", "main..api-release", at=forge.home / "origin") == "1"
    assert sum("POST" in arguments for arguments in forge.asked()) == 1
    assert not any({"close", "merge"} & {*arguments} for arguments in forge.asked())


def test_the_same_artifact_the_next_day_pushes_nothing(forge: Forge) -> None:
    forge.lay_out("new")
    assert forge.propose().returncode == 0
    before = forge.git("rev-parse", "api-release", at=forge.home / "origin")
    forge.lay_out("new", changelog="# Changelog\n\nDated a day later.\n")
    done = forge.propose()
    assert done.returncode == 0, done.stderr
    assert "its files were already" in done.stdout
    assert forge.git("rev-parse", "api-release", at=forge.home / "origin") == before


def somebody_writes(forge: Forge) -> str:
    forge.git("fetch", "--quiet", "origin", "api-release")
    forge.git("checkout", "--quiet", "FETCH_HEAD")
    (forge.checkout / "CHANGELOG.md").write_text("# Changelog\n\nIn somebody's words.\n")
    forge.git("commit", "--quiet", "--all", "--message", "Words")
    forge.git("push", "--quiet", "origin", "HEAD:api-release")
    return forge.git("rev-parse", "HEAD")


def test_words_that_people_added_on_the_branch_stay(forge: Forge) -> None:
    forge.lay_out("new")
    assert forge.propose().returncode == 0
    theirs = somebody_writes(forge)
    assert forge.propose().returncode == 0
    assert forge.git("rev-parse", "api-release", at=forge.home / "origin") == theirs


def test_a_branch_that_people_committed_to_is_not_overwritten_by_another_artifact(forge: Forge) -> None:
    forge.lay_out("new")
    assert forge.propose().returncode == 0
    theirs = somebody_writes(forge)
    forge.lay_out("newer")
    done = forge.propose()
    assert done.returncode == 1
    assert "people have committed to the branch" in done.stderr
    assert forge.git("rev-parse", "api-release", at=forge.home / "origin") == theirs


def test_what_is_merged_already_is_not_proposed_again(forge: Forge) -> None:
    forge.lay_out("old")
    forge.git("rm", "--quiet", "generated/charthero_client/gone.py")
    forge.git("commit", "--quiet", "--message", "Synthetic")
    forge.git("push", "--quiet", str(forge.home / "origin"), "main")
    done = forge.propose()
    assert done.returncode == 0, done.stderr
    assert "nothing to propose" in done.stdout
    assert not (forge.home / "asked").exists()


@pytest.mark.parametrize("name", ["scripts/evil.py", ".github/workflows/evil.yml", "openapi/surface.toml", "Makefile"])
def test_other_files_than_those_of_release_day_are_refused(name: str, forge: Forge) -> None:
    forge.lay_out("new")
    (forge.bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (forge.bundle / name).write_text("evil")
    done = forge.propose()
    assert done.returncode == 1
    assert "may not be proposed" in done.stderr
    assert not (forge.home / "asked").exists()


def test_links_are_refused(forge: Forge) -> None:
    forge.lay_out("new")
    (forge.bundle / "generated" / "charthero_client" / "link.py").symlink_to("/etc/hostname")
    assert forge.propose().returncode == 1


def test_a_text_longer_than_github_takes_is_cut_between_lines(forge: Forge) -> None:
    forge.lay_out("new")
    (forge.bundle / "findings.md").write_text(FINDINGS + "* more\n" * 20_000)
    assert forge.propose().returncode == 0
    posted = next(arguments for arguments in forge.asked() if "POST" in arguments)
    body = next(argument for argument in posted if argument.startswith("body="))
    assert len(body) < 65_536
    assert "* more\n\n*Cut short" in body


def test_a_refusal_of_the_forge_fails_the_job(forge: Forge) -> None:
    forge.lay_out("new")
    (forge.home / "bin" / "gh").write_text("#!/bin/sh\necho no >&2\nexit 4\n")
    done = forge.propose()
    assert done.returncode == 1
    assert "gh pr failed: no" in done.stderr
