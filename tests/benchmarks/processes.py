"""Programs of this package that run beside the one that measures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["running"]


@contextmanager
def running(module: str, *arguments: str) -> Iterator[str]:
    """Start a module as a program, yield the first line it prints, and end it."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline().strip()
            if not line:
                raise RuntimeError(f"{module} did not start")
            yield line
        finally:
            process.terminate()
