"""``python -m charthero_ext.cli`` is the ``charthero`` command."""

import sys

from charthero_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
