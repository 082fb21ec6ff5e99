"""The published OpenAPI artifact: the place of its snapshot, and the checks of its bytes.

The artifact is untrusted text that becomes code. Nothing here executes, follows or fetches anything in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "SNAPSHOT", "SOURCE", "ArtifactError", "load_snapshot", "parse", "sha256", "write_atomically"]

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "openapi" / "openapi.json"
SOURCE = ROOT / "openapi" / "source.json"

#: A document nested deeper than this is no API description and would exhaust the interpreter's stack.
MAX_DEPTH = 100
MAX_DIGITS = 300


class ArtifactError(Exception):
    """The bytes are not an artifact that this client can be built from. The text is one line."""


def sha256(content: bytes) -> str:
    """Return the lowercase hexadecimal SHA-256 of *content*."""
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes) -> dict[str, Any]:
    """Return *content* as an OpenAPI 3.x document.

    Raises:
        ArtifactError: It is HTML, broken or truncated JSON, Swagger 2, or not OpenAPI at all.
    """
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ArtifactError("the answer is HTML or XML, not JSON; is the address the artifact's own?")
    try:
        text = content.decode("utf-8")
        document = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_int=_integer
        )
    except RecursionError:
        raise ArtifactError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ArtifactError(f"not JSON, or cut short: {error}") from None
    if not isinstance(document, dict):
        raise ArtifactError("the JSON is not an object")
    if "swagger" in document:
        raise ArtifactError("this is a Swagger 2 document; OpenAPI 3.x is needed")
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
        raise ArtifactError("not an OpenAPI 3.0 or 3.1 document: the key `openapi` does not say so")
    if not isinstance(document.get("paths"), dict):
        raise ArtifactError("the document has no `paths`")
    if _depth(document) > MAX_DEPTH:
        raise ArtifactError("the JSON is nested too deeply")
    return document


def load_snapshot(path: Path = SNAPSHOT) -> tuple[bytes, dict[str, Any]]:
    """Return the snapshot's bytes and the parsed document.

    Raises:
        ArtifactError: There is no snapshot, or it cannot be used.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"no snapshot at {path.name}: {error.strerror}; run `make pull`") from None
    return content, parse(content)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace *path* by *content* in one step: a reader or a killed process sees the old file or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys counts, so such a document is ambiguous.
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # Longer numbers can be neither printed nor compared with floating-point numbers.
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _depth(document: object) -> int:
    depth, level = 0, [document]
    while level:
        depth += 1
        children: list[object] = []
        for node in level:
            if isinstance(node, dict):
                children.extend(node.values())
            elif isinstance(node, list):
                children.extend(node)
        level = [child for child in children if isinstance(child, (dict, list))]
    return depth
