"""Export again and again, in processes that are killed at one step after the other.

``python -m tests.cli.killed PARENT OPTION…``: exports to PARENT/0, PARENT/1, … with the options. The process of the
first is killed before its first step that changes a file, that of the second before its second step, and so on until
one gets to its end. Then each export is run again, and has to end with 0.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from charthero_ext.cli import durable, export, main

SEES = [(os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (durable.Lines, "write")]


def kill_before(step: int) -> None:
    """Have this process killed when it gets to a step; a line is then half written."""
    steps = count()

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **others: Any) -> Any:
            if next(steps) == step:
                if name == "write":
                    lines = arguments[0]._file
                    lines.write(b'{"half": ')
                    lines.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **others)

        return called

    for owner, name in SEES:
        setattr(owner, name, counted(name, getattr(owner, name)))


def ended(arguments: list[str], step: int | None) -> int:
    """Run the command in a process of its own, and return its exit code; below 0, the signal that ended it."""
    child = os.fork()
    if child == 0:
        if step is not None:
            kill_before(step)
        os._exit(main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    export.BATCH = 1
    parent, options = Path(sys.argv[1]), sys.argv[2:]
    main(["export", str(parent / "first"), *options])  # so that the others have nothing left to import
    for step in count():
        arguments = ["export", str(parent / str(step)), *options]
        code = ended(arguments, step)
        if code == 0:
            break
        if code != -signal.SIGKILL or ended(arguments, None) != 0:
            sys.exit(f"step {step}: {code}")
