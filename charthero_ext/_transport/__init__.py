"""Calls to the API: the key, the timeouts, the retries, and one clean exception when one fails.

This package alone knows httpx. It hands the generated call functions an httpx client whose event hooks add the key (to
the configured host alone) and raise on a status other than success, before the generated parser sees the body.

What leaves it as an exception was raised anew: without httpx's exceptions, whose requests carry the key, without the
parser's, whose text is the body, and without their frames.
"""

from charthero_ext._transport.call import LastResponse
from charthero_ext._transport.sink import CallbackError, Sink
from charthero_ext._transport.sync import Transport

__all__ = ["CallbackError", "LastResponse", "Sink", "Transport"]
