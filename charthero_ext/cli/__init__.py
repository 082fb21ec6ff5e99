"""The ``charthero`` command: list and read encounters, export them, and find out why a connection fails.

::

    $ charthero encounters --since 2026-05-01
    $ charthero encounters --json --status completed | jq .encounter_id
    $ charthero audio ENCOUNTER DOCUMENT -o recording.wav
    $ charthero doctor

Standard output contains only what was requested. An error is one line on standard error. Exit codes:

==  ===================================================================================
0   done
1   failed
2   the command line is wrong
3   not authorized: the key was not accepted, or may not do this
4   incomplete: only a part was written; the message says how to continue
==  ===================================================================================

The command ends without a message when the reader of a pipe closes it, as other programs do. Ctrl-C ends it, too; if a
part was written, a message says how to continue.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    if sys.stderr is None:  # Closed by the shell: 2>&-
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
    if sys.stdout is None:
        sys.stderr.write("charthero: standard output is closed; redirect it to a file or to /dev/null\n")
        return 1
    try:
        from charthero_ext.cli.commands import run

        code = run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.stderr.write('charthero: this command needs its extra: pip install "charthero-ext[cli]"\n')
        return 1
    except BrokenPipeError:
        # Python would try to flush the rest of the buffer at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, which Windows does not have
    except KeyboardInterrupt as interruption:
        for note in getattr(interruption, "__notes__", ()):
            sys.stderr.write(f"\ncharthero: interrupted; {note}\n")
        # Dying of the signal tells a shell to stop a loop, too. Requests in flight are dropped.
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        return 128 + signal.SIGINT
    return code
