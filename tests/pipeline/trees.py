"""Generated packages for tests. Each distinct package is read and type-checked once, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from scripts.artifact import ROOT, ArtifactError
from scripts.generate import GenerateError, generate_into

from .shapes import EVENT, Shape

__all__ = ["COMMITTED", "Tree", "Workshop", "environment", "run"]

COMMITTED = ROOT / "generated" / "charthero_client"


def environment(home: Path, *first: Path, **others: str) -> dict[str, str]:
    """Return an environment with *first* and this repository on the path, and no configuration of the machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CHARTHERO_", "PYTHON", "MAKE"))}
    path = os.pathsep.join(map(str, (*first, ROOT, ROOT / "generated")))
    return {**kept, "HOME": str(home), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **others}


def run(
    command: list[str], env: dict[str, str], *, cwd: Path = ROOT, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it said."""
    return subprocess.run(command, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=600)


@frozen
class Tree:
    """The package generated from one artifact, and what a program read with it."""

    package: Path
    notes: list[str] = field(factory=list)
    error: str = ""
    read: dict[str, Any] = field(factory=dict)

    def source(self, name: str) -> str:
        """Return the text of one generated file."""
        return (self.package / name).read_text(encoding="utf-8")


@define
class Workshop:
    """Makes the tree of each shape once. Many shapes give the same code, so it examines each distinct code once."""

    place: Path
    _trees: dict[str, Tree] = field(factory=dict)
    _known: dict[tuple[str, ...], Any] = field(factory=dict)

    def tree(self, shape: Shape) -> Tree:
        """Return the tree of a shape."""
        if shape.name not in self._trees:
            self._trees[shape.name] = self._make(shape)
        return self._trees[shape.name]

    def type_errors(self, shape: Shape) -> str:
        """Return what mypy says about the package of a shape together with charthero_ext."""
        home = self.tree(shape).package.parent
        return str(self._once(("types", _digest(home)), lambda: self._type_errors(home)))

    def _make(self, shape: Shape) -> Tree:
        home = self.place / shape.name
        package = home / "charthero_client"
        home.mkdir()
        artifact = home / "openapi.json"
        artifact.write_text(json.dumps(shape.document), encoding="utf-8")
        try:
            notes = generate_into(package, artifact)
        except (ArtifactError, GenerateError) as error:
            return Tree(package, error=f"{type(error).__name__}: {error}")
        given = json.dumps({"bodies": shape.bodies(), "event": EVENT})
        done = self._once(("read", _digest(home), given), lambda: self._read(home, given))
        if done.returncode:
            return Tree(package, notes, error=done.stderr)
        return Tree(package, notes, read=json.loads(done.stdout))

    def _once(self, key: tuple[str, ...], find_out: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = find_out()
        return self._known[key]

    def _read(self, home: Path, given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("reader.py")), str(home)]
        return run(command, environment(home, home), cwd=home, stdin=given)

    def _type_errors(self, home: Path) -> str:
        command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--python-version", "3.11"]
        command += ["--cache-dir", str(self.place / "types"), "-p", "charthero_client", "-p", "charthero_ext"]
        command += ["-p", "tests.typing"]  # the promised types
        env = environment(home) | {"MYPYPATH": os.pathsep.join((str(home), str(ROOT)))}
        done = run(command, env, cwd=self.place)
        return done.stdout + done.stderr if done.returncode else ""


def _digest(home: Path) -> str:
    """Identify a generated package by its code, without the digest of the artifact."""
    whole = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.startswith("ARTIFACT_SHA256"))
        whole.update(f"{path.relative_to(home)}\0{code}\0".encode())
    return whole.hexdigest()
