"""The client under test: generated from tests/reconstructed.json, so that no test depends on the snapshot."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from scripts.artifact import ROOT
from scripts.generate import generate_into

__all__ = ["ARTIFACT", "generated"]

ARTIFACT = Path(__file__).with_name("reconstructed.json")


def generated() -> Path:
    """Return a directory with the package generated from ARTIFACT; made only if an input of it has changed."""
    digest = hashlib.sha256()
    inputs = [*ROOT.glob("scripts/*.py"), *ROOT.glob("openapi/**/*.jinja"), *ROOT.glob("openapi/*.[!j]*")]
    for path in [ARTIFACT, *sorted(inputs)]:
        digest.update(path.read_bytes())
    home = ROOT / ".pytest_cache" / "client" / digest.hexdigest()[:16]
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            generate_into(Path(scratch) / "new" / "charthero_client", ARTIFACT)
            try:
                Path(scratch, "new").rename(home)
            except OSError:  # another process was faster
                if not home.exists():
                    raise
    return home
