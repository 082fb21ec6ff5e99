"""Write generated/charthero_client from the snapshot: canonicalize, generate, lay out, replace whole.

The result depends on the snapshot, openapi/ and the pinned versions of the generator and ruff, and on nothing else: not
on the directory, the hash seed, or configuration around it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from scripts.artifact import ROOT, SNAPSHOT, ArtifactError, load_snapshot, sha256
from scripts.canonicalize import Canonical, Surface, canonicalize, load_surface

__all__ = ["GENERATED", "GenerateError", "differences", "generate_into", "main", "replace_whole"]

GENERATED = ROOT / "generated" / "charthero_client"
CONFIGURATION = ROOT / "openapi" / "generator.yaml"
TEMPLATES = ROOT / "openapi" / "templates"
OLDEST_GENERATOR = (0, 29, 1)

CONTRACT = '''"""The contract this package was generated from. Facts only, no behaviour."""

from typing import Final

#: SHA-256 of the artifact, which is beside this file as openapi.json, byte for byte.
ARTIFACT_SHA256: Final = "{sha256}"

#: The method and path of every promised operation.
ROUTES: Final[dict[str, tuple[str, str]]] = {routes}

#: The scopes a key needs for every promised operation.
SCOPES: Final[dict[str, frozenset[str]]] = {scopes}

#: The fields of every promised model that may be shown in a repr, a log or a recording.
SHOWABLE: Final[dict[str, frozenset[str]]] = {showable}
'''


class GenerateError(Exception):
    """The generator, or the layout of what it wrote, failed. The text is for people."""


def generate_into(target: Path, snapshot: Path = SNAPSHOT) -> list[str]:
    """Generate the package for *snapshot* at *target*, which must not exist, and return notes for people.

    Raises:
        ArtifactError: The snapshot cannot be used, or a promised name cannot be placed in it.
        GenerateError: The generator gave a warning or an error, or is older than is safe.
    """
    if tuple(map(int, version("openapi-python-client").split(".")[:3])) < OLDEST_GENERATOR:
        raise GenerateError("openapi-python-client is older than 0.29.1, which lets an artifact's text become code")
    content, document = load_snapshot(snapshot)
    surface = load_surface()
    canonical = canonicalize(document, surface)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "canonical.json"
        source.write_text(json.dumps(canonical.document, indent=2), encoding="utf-8")
        _run_generator(source, target)
    (target / "contract.py").write_text(_contract(content, canonical, surface), encoding="utf-8")
    (target / "openapi.json").write_bytes(content)
    (target / "py.typed").touch()
    _lay_out(target)
    return canonical.notes


def differences(expected: Path, actual: Path) -> list[str]:
    """Name every file that is new, missing or changed in *actual*, measured against *expected*."""
    wanted, found = _files(expected), _files(actual)
    return [
        *(f"missing: {name}" for name in sorted(wanted - found)),
        *(f"not generated: {name}" for name in sorted(found - wanted)),
        *(
            f"changed: {name}"
            for name in sorted(wanted & found)
            if (expected / name).read_bytes() != (actual / name).read_bytes()
        ),
    ]


def replace_whole(new: Path, old: Path) -> None:
    """Put the directory *new* in the place of *old*, leaving nothing of *old* behind.

    A process killed in between leaves the old tree, the new one, or none; never a mixture.
    """
    aside = old.with_name(f".{old.name}.old")
    if aside.exists():
        shutil.rmtree(aside)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def _run_generator(source: Path, target: Path) -> None:
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(source), "--meta", "none"]
    command += ["--output-path", str(target), "--config", str(CONFIGURATION)]
    command += ["--custom-template-path", str(TEMPLATES), "--fail-on-warning"]
    # Sets are iterated while rendering, so the order of imports would follow the hash seed.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    if done.returncode != 0:
        raise GenerateError(f"openapi-python-client failed:\n{done.stdout}{done.stderr}".rstrip())


def _lay_out(target: Path) -> None:
    options = ["--isolated", "--no-cache", "--quiet", "--line-length", "120", "--target-version", "py311", str(target)]
    for command in (["check", "--fix-only", "--select", "F401,I"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise GenerateError(f"ruff failed:\n{done.stdout}{done.stderr}".rstrip())


def _contract(content: bytes, canonical: Canonical, surface: Surface) -> str:
    routes = {name: tuple(spec["route"].split(" ")) for name, spec in surface.operations.items()}
    scopes = {name: canonical.scopes.get(name, spec["scopes"]) for name, spec in surface.operations.items()}
    showable = {
        model: canonical.document["components"]["schemas"][model]["x-charthero"]["showable"] for model in surface.models
    }
    return CONTRACT.format(
        sha256=sha256(content), routes=repr(routes), scopes=_frozensets(scopes), showable=_frozensets(showable)
    )


def _frozensets(names: dict[str, list[str]]) -> str:
    return "{" + ", ".join(f"{key!r}: frozenset({sorted(values)!r})" for key, values in names.items()) + "}"


def _files(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main(arguments: list[str] | None = None) -> int:
    """Generate, or with --check compare what is there with what would be generated."""
    parser = argparse.ArgumentParser(description="Write generated/charthero_client from openapi/openapi.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    options = parser.parse_args(arguments)
    GENERATED.parent.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=GENERATED.parent, prefix=".generating-") as scratch:
            new = Path(scratch) / GENERATED.name
            for note in generate_into(new):
                print(f"generate: {note}")
            if not options.check:
                replace_whole(new, GENERATED)
                return 0
            found = differences(new, GENERATED)
    except (ArtifactError, GenerateError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    for difference in found:
        print(f"generated/{GENERATED.name}: {difference}", file=sys.stderr)
    if found:
        print("generated/ is not what the snapshot gives; run `make generate`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
