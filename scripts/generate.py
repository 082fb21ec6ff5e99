"""Write generated/charthero_client from the snapshot: canonicalize, generate, format, replace as a whole.

The result depends only on the snapshot, openapi/ and the pinned versions of the generator and ruff, and not on the
directory, the hash seed or other configuration.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openapi_python_client.config import ConfigFile
from ruamel.yaml import YAML

from scripts import facts
from scripts.artifact import ROOT, SNAPSHOT, SOURCE, ArtifactError, load_snapshot, sha256
from scripts.canonicalize import Canonical, canonicalize
from scripts.surface import Surface, load_surface

__all__ = ["GENERATED", "GenerateError", "alone", "differences", "generate_into", "main", "replace_whole"]

GENERATED = ROOT / "generated" / "charthero_client"
CONFIGURATION = ROOT / "openapi" / "generator.yaml"
TEMPLATES = ROOT / "openapi" / "templates"
#: Hand-written modules that the templates import. The package gets a copy.
RUNTIME = ("decoding.py", "showing.py")
SCRATCH = ".generating-"

CONTRACT = '''"""The contract this package was generated from. Facts only, no behaviour."""

from typing import Final

#: SHA-256 of the artifact, which is beside this file as openapi.json, byte for byte.
ARTIFACT_SHA256: Final = "{sha256}"

#: The method and path of every promised operation.
ROUTES: Final[dict[str, tuple[str, str]]] = {routes}

#: The scopes a key needs for every promised operation.
SCOPES: Final[dict[str, frozenset[str]]] = {{{scopes}}}

#: The promised operations that the artifact deprecates.
DEPRECATED: Final[frozenset[str]] = frozenset({deprecated})

#: The largest `limit` and `offset` that the list route accepts.
MAX_LIMIT: Final = {max_limit}
MAX_OFFSET: Final = {max_offset}
'''


class GenerateError(Exception):
    """The generator or the formatter failed. The text is for people."""


def generate_into(target: Path, snapshot: Path = SNAPSHOT) -> list[str]:
    """Generate the package for *snapshot* at *target*, which must not exist, and return notes for people.

    Raises:
        ArtifactError: The snapshot cannot be used, or a promised name cannot be placed in it.
        GenerateError: The generator gave a warning or an error, or does not know a key of its configuration.
    """
    if unknown := YAML(typ="safe").load(CONFIGURATION).keys() - ConfigFile.model_fields.keys():
        raise GenerateError(f"{CONFIGURATION.name}: openapi-python-client knows no {', '.join(sorted(unknown))}")
    content, document = load_snapshot(snapshot)
    surface = load_surface()
    canonical = canonicalize(document, surface)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "canonical.json"
        source.write_text(json.dumps(canonical.document, indent=2), encoding="utf-8")
        options = ["--path", str(source), "--output-path", str(target), "--meta", "none", "--fail-on-warning"]
        options += ["--config", str(CONFIGURATION), "--custom-template-path", str(TEMPLATES)]
        _run("openapi_python_client", "generate", *options)
    (target / "contract.py").write_text(_contract(content, canonical, surface), encoding="utf-8")
    (target / "openapi.json").write_bytes(content)
    (target / "py.typed").touch()
    _lay_out(target)
    for name in RUNTIME:
        shutil.copyfile(ROOT / "openapi" / name, target / name)
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
    """Replace the directory *old* by *new* as a whole.

    A process killed in between leaves the old tree, the new one or none, never a mixture. If it leaves none, `alone`
    restores the old one.
    """
    aside = _aside(old)
    if old.exists():
        old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        if aside.exists():
            aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def alone(directory: Path) -> Iterator[Path]:
    """Lock the package *directory* against other processes, and yield a place beside it for the new one.

    Restores or removes what a killed process has left.
    """
    directory.parent.mkdir(exist_ok=True)
    descriptor = os.open(directory.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _aside(directory).exists() and not directory.exists():
            _aside(directory).rename(directory)
        for left in (_aside(directory), *directory.parent.glob(f"{SCRATCH}*")):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=SCRATCH, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch) / directory.name
    finally:
        os.close(descriptor)


def _aside(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.old")


def _lay_out(target: Path) -> None:
    options = ["--isolated", "--no-cache", "--quiet", "--line-length", "120", "--target-version", "py311"]
    # Format every file, even if its name or a .gitignore would exclude it.
    options += ["--no-respect-gitignore", "--config", "exclude = []", str(target)]
    for command in (["check", "--fix-only", "--select", "F401,I"], ["format"]):
        _run("ruff", *command, *options)


def _run(module: str, *arguments: str) -> None:
    """Run a module of this environment, independent of the directory and the settings of the caller.

    Raises:
        GenerateError: It failed.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RUFF_"))}
    kept |= {key: os.environ[key] for key in ("PYTHONHOME", "PYTHONPATH") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        # The generator iterates over sets; what it writes must not follow the hash seed.
        env={**kept, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise GenerateError(f"{module} failed:\n{done.stdout}{done.stderr}".rstrip())


def _contract(content: bytes, canonical: Canonical, surface: Surface) -> str:
    routes = {name: tuple(spec["route"].split(" ")) for name, spec in surface.operations.items()}
    scopes = {name: sorted(canonical.scopes.get(name) or spec["scopes"]) for name, spec in surface.operations.items()}
    return CONTRACT.format(
        sha256=sha256(content),
        routes=repr(routes),
        scopes=", ".join(f"{name!r}: frozenset({needed!r})" for name, needed in scopes.items()),
        deprecated=sorted(canonical.deprecated),
        max_limit=canonical.max_limit,
        max_offset=canonical.max_offset,
    )


def _check_record() -> None:
    content, _ = load_snapshot()
    try:
        recorded = json.loads(SOURCE.read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ArtifactError(f"openapi/{SOURCE.name} cannot be read, so the origin of the snapshot is unknown") from None
    if recorded != sha256(content):
        raise ArtifactError(f"openapi/{SOURCE.name} is about another snapshot: its sha256 differs; run `make pull`")


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
    try:
        if options.check:
            _check_record()
        with alone(GENERATED) as new:
            for note in generate_into(new):
                print(f"generate: {note}")
            if not options.check:
                facts.write()
                replace_whole(new, GENERATED)
                return 0
            found = differences(new, GENERATED)
    except (ArtifactError, GenerateError, OSError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    for difference in found:
        print(f"generated/{GENERATED.name}: {difference}", file=sys.stderr)
    if found:
        print("generated/ is not what the snapshot gives; run `make generate`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
