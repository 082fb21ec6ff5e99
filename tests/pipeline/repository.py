"""A copy of this repository, for a test to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import Factory, frozen

from scripts.artifact import ROOT, sha256
from scripts.facts import write as write_facts
from tests.client_under_test import ARTIFACT, generated

from .trees import environment

__all__ = ["PACKAGE", "Repository", "contents", "copied"]

#: What `ARTIFACT` gives.
PACKAGE = generated() / "charthero_client"
NO_CACHES = shutil.ignore_patterns("__pycache__")


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below *directory*, without those of the interpreter."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@frozen
class Repository:
    """A directory with a repository, and the environment of the programs that run in it."""

    root: Path
    variables: dict[str, str] = Factory(dict)

    @property
    def package(self) -> Path:
        return self.root / "generated" / "charthero_client"

    def start(self, *command: str, cwd: Path | None = None, umask: int = -1, **variables: str) -> subprocess.Popen[str]:
        first = variables.pop("PYTHONPATH", "")
        path = os.pathsep.join(filter(None, (first, str(self.root), str(self.package.parent))))
        env = environment(self.root.parent, **self.variables, **variables) | {"PYTHONPATH": path}
        return subprocess.Popen(
            command,
            env={name: value for name, value in env.items() if "PYTEST" not in name},
            cwd=cwd or self.root,
            umask=umask,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *command: str, cwd: Path | None = None, umask: int = -1, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, cwd=cwd, umask=umask, **variables)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def script(self, name: str, *arguments: Path | str) -> list[str]:
        """Return the command that runs one of the scripts."""
        return [sys.executable, "-P", "-m", f"scripts.{name}", *map(str, arguments)]

    def generate(self, *arguments: str, cwd: Path | None = None, umask: int = -1, **variables: str) -> tuple[int, str]:
        """Run the generator, and return its exit code and what it said."""
        done = self.run(*self.script("generate", *arguments), cwd=cwd, umask=umask, **variables)
        return done.returncode, done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Synthetic", "-c", "user.email=synthetic@example.test")
        done = self.run("git", *identity, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self) -> None:
        """Make a git repository of the directory, with everything committed."""
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Synthetic")


def copied(root: Path) -> Repository:
    """Return a copy of what release day reads and writes, with `ARTIFACT` as its snapshot."""
    for part in ("scripts", "openapi"):
        shutil.copytree(ROOT / part, root / part, ignore=NO_CACHES)
    for file in ("Makefile", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / file, root / file)
    shutil.copytree(PACKAGE, root / "generated" / "charthero_client", ignore=NO_CACHES)
    shutil.copy(ARTIFACT, root / "openapi" / "openapi.json")
    (root / "openapi" / "source.json").write_text(json.dumps({"sha256": sha256(ARTIFACT.read_bytes())}))
    write_facts(root / "openapi" / "facts.txt", ARTIFACT)
    return Repository(root)
