"""Run a command again and again, in processes that are killed at one step after the other.

``python -m tests.cli.killed DIRECTORY``: runs ``charthero export DIRECTORY/0``, ``DIRECTORY/1``, … The process of the
first is killed before its first step that changes a file, that of the second before its second step, and so on until
one ends by itself. Each export is then run again and has to succeed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from charthero_ext.changes import Ledger
from charthero_ext.cli import export, main

STEPS = [
    *[(Path, name) for name in ("mkdir", "rename", "unlink", "rmdir")],
    *[(os, "fsync"), (export, "append"), (Ledger, "record"), (Ledger, "save")],
]


def kill_before(step: int) -> None:
    """Kill this process when it gets to a step. A line is then half written."""
    steps = count()

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **others: Any) -> Any:
            if next(steps) == step:
                if name == "append":
                    arguments[0].write(b'{"half": ')
                    arguments[0].flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **others)

        return called

    for owner, name in STEPS:
        setattr(owner, name, counted(name, getattr(owner, name)))


def run(arguments: list[str], step: int | None) -> int:
    """Run the command in a process of its own, and return its exit code; below 0, the signal that ended it."""
    child = os.fork()
    if child == 0:
        if step is not None:
            kill_before(step)
        os._exit(main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    options = ["--with", "documents,transcripts,audio", *sys.argv[2:]]
    main(["export", f"{sys.argv[1]}/first", *options])  # Imports everything.
    for number in count():
        command = ["export", f"{sys.argv[1]}/{number}", *options]
        code = run(command, number)
        if code == 0:
            break
        if code != -signal.SIGKILL or run(command, None) != 0:
            sys.exit(f"step {number}: {code}")
