"""What every test has in common: the client under test, hypothesis profiles, and signals as a terminal has them.

The client under test does not depend on what the snapshot holds, so every test passes for every artifact.
tests/pipeline/test_committed.py tests the committed client. ``make test`` uses the hypothesis profile ``fast``, which
has fewer random examples. ``make test-all`` uses ``full``, the default.
"""

from __future__ import annotations

import os
import signal
import sys

from hypothesis import settings

from scripts.artifact import ROOT
from tests.client_under_test import generated

# The conftest of a directory below imports the client, so this has to run when this module is imported.
assert "charthero_client" not in sys.modules
sys.path.insert(0, str(generated()))
# Programs that tests start import the same client, and this tree instead of the installed one.
os.environ["PYTHONPATH"] = os.pathsep.join((sys.path[0], str(ROOT)))

# A background job of a shell ignores SIGINT, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("fast", deadline=None, max_examples=20)
settings.register_profile("full", deadline=None)
settings.load_profile("full")
