"""Generated packages for tests: made, type-checked and read in processes of their own, each distinct one only once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
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
    """What became of one artifact."""

    package: Path
    notes: list[str] = field(factory=list)
    error: str = ""
    types: str = ""
    read: dict[str, Any] = field(factory=dict)

    def source(self, name: str) -> str:
        """Return the text of one generated file."""
        return (self.package / name).read_text(encoding="utf-8")


@define
class Workshop:
    """Two at a time, as the machine has two processors."""

    place: Path
    _pool: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(2))
    _trees: dict[str, Future[Tree]] = field(factory=dict)
    # What was found out about a package: many shapes give the same one, as they should.
    _known: dict[tuple[object, ...], Future[Any]] = field(factory=dict)
    _lock: Lock = field(factory=Lock)
    # One type checker at a time, so that all share one cache.
    _checking: Lock = field(factory=Lock)

    def order(self, shape: Shape) -> Future[Tree]:
        """Begin to make the tree of a shape, unless that was done before."""
        if shape.name not in self._trees:
            self._trees[shape.name] = self._pool.submit(self._make, shape)
        return self._trees[shape.name]

    def tree(self, shape: Shape) -> Tree:
        """Return the tree of a shape, when it is made."""
        return self.order(shape).result()

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown(cancel_futures=True)

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
        code = _digest(package)
        done = self._once(("read", code, given), lambda: self._read(home, given))
        if done.returncode:
            return Tree(package, notes, error=done.stderr)
        types = self._once(("types", code), lambda: self._type_errors(home))
        return Tree(package, notes, types=types, read=json.loads(done.stdout))

    def _once(self, key: tuple[object, ...], find_out: Callable[[], Any]) -> Any:
        with self._lock:
            first = key not in self._known
            result = self._known.setdefault(key, Future())
        if first:
            try:
                result.set_result(find_out())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                result.set_exception(error)
        return result.result()

    def _read(self, home: Path, given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("reader.py")), str(home)]
        return run(command, environment(home, home), cwd=home, stdin=given)

    def _type_errors(self, home: Path) -> str:
        command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--python-version", "3.11"]
        command += ["--cache-dir", str(self.place / "types"), "-p", "charthero_client", "-p", "charthero_ext"]
        command += ["-p", "tests.typing"]  # the promised types
        env = environment(home) | {"MYPYPATH": os.pathsep.join((str(home), str(ROOT)))}
        with self._checking:
            done = run(command, env, cwd=self.place)
        return done.stdout + done.stderr if done.returncode else ""


def _digest(package: Path) -> str:
    """Identify a package by its code, the digest of the artifact left out."""
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.startswith("ARTIFACT_SHA256"))
        whole.update(f"{path.relative_to(package)}\0{code}\0".encode())
    return whole.hexdigest()
