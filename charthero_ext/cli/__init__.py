"""The ``charthero`` command: encounters and their documents in a shell, exports, and a doctor.

Standard output carries what was asked for, and nothing else; an error is one line on standard error. Exit codes:

==  ==========================================================================================
0   done
1   failed
2   the command line is not one
3   not authorised: the key was refused, or may not do this
4   incomplete: what was written is not all there is; the message says how to go on
==  ==========================================================================================

A reader that closes the pipe, and Ctrl-C, end it quietly, as they end other programs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    try:
        from charthero_ext.cli.commands import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.stderr.write('charthero: this command needs its extra: pip install "charthero-ext[cli]"\n')
        return 1
    try:
        code = run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go, which Python would complain about on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        # Dying of the signal tells a shell to stop a loop, too; and nobody waits for requests under way.
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        return 130
    return code
