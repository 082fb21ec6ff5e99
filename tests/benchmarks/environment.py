"""The environment of the measurements: this package and the peers, in pinned versions.

It is built once under the output directory, and again when one of its inputs changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

__all__ = ["PACKAGES", "prepared"]

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "openapi" / "openapi.json"

#: requirements.lock constrains the whole environment, so these versions must agree with it.
PACKAGES = (
    "httpx==0.28.1",
    "httpx-aiohttp==0.2.0",
    "msgspec==0.22.0",
    "openapi-generator-cli==7.26.0",
    "openapi-python-client==0.29.1",
    "pydantic==2.14.3",
    "urllib3==2.8.0",
)


def prepared(output: Path) -> tuple[Path, dict[str, str]]:
    """Return the Python of the peers' environment and the variables to run it with.

    Raises:
        subprocess.CalledProcessError: The packages cannot be installed. A client that cannot be generated is only
            reported as absent.
    """
    environment, clients = output / "venv", output / "clients"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = output / "ready"
    if not ready.exists() or ready.read_text() != _fingerprint():
        ready.unlink(missing_ok=True)
        shutil.rmtree(clients, ignore_errors=True)
        print("bench: installing the peers ...", file=sys.stderr)
        venv.create(environment, with_pip=True, clear=True)
        constraints = output / "constraints.txt"
        constraints.write_text(_constraints())
        _run(
            python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--constraint", constraints, "--editable", f"{ROOT}[sandbox]", *PACKAGES,
        )  # fmt: skip
        clients.mkdir()
        _generate(python, clients)
        ready.write_text(_fingerprint())
    # Users import compiled modules. The bytecode stays outside of the tree.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return python, {**inherited, "PYTHONPATH": str(clients), "PYTHONPYCACHEPREFIX": str(output / "bytecode")}


def _constraints() -> str:
    """Return the versions of the lock, without the extras and hashes that pip refuses in constraints."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return "".join(f"{name}=={version}\n" for name, version in re.findall(r"^([\w.-]+)[^=\n]*==([\w.]+)", lock, re.M))


def _generate(python: Path, clients: Path) -> None:
    """Let each generator write its client from the artifact, with the generator's own templates."""
    stock = ("generate", "--path", ARTIFACT, "--meta", "none", "--output-path", clients / "raw_client")
    other = ("generate", "--input-spec", ARTIFACT, "--generator-name", "python", "--output", clients / "whole")
    name = "openapi_generator_client"
    for command in (
        (python.with_name("openapi-python-client"), *stock),
        (python.with_name("openapi-generator-cli"), *other, "--package-name", name),
    ):
        try:
            _run(*command)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"bench: {Path(command[0]).name} gave no client ({type(error).__name__})", file=sys.stderr)
    if (clients / "whole" / name).exists():
        (clients / "whole" / name).rename(clients / name)
    shutil.rmtree(clients / "whole", ignore_errors=True)


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def _fingerprint() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"], project["optional-dependencies"]["sandbox"], PACKAGES, sys.version, str(ROOT)
    content = (ROOT / "requirements.lock").read_bytes() + ARTIFACT.read_bytes()
    return hashlib.sha256(repr(needed).encode() + content).hexdigest()
