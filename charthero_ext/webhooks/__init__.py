"""Deliveries of ``recording.transcript_ready``: verified, recorded once, handed to your code.

**Planned, not generally available.** ChartHero's developer pages describe webhooks before partners can have them.
Documented are the event, its five headers, the signature and its tolerance, that any 2xx is success, and that a
delivery which fails comes again under the same delivery id. Not documented are when it comes again, how an endpoint is
registered, and what signs while a secret is rotated: nothing here depends on them.

A receiver is an ASGI application of its own, which any ASGI server runs and any framework mounts::

    receiver = Receiver(os.environ["CHARTHERO_WEBHOOK_SECRET"], SQLiteStore("webhooks.db"), handle)

    app = FastAPI(routes=[Route("/webhooks/charthero", receiver)])  # starlette.routing.Route; Starlette alike

In Flask, with the package ``a2wsgi`` (whose thread does not outlive a fork, so without ``gunicorn --preload``)::

    from a2wsgi import ASGIMiddleware
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks/charthero": ASGIMiddleware(receiver)})

In Django, ``asgi.py`` calls ``receiver(scope, receive, send)`` for the path, and its own application for all others.

An event is a thin pointer, without anything about a patient: the handler fetches the rest over the API, with
``follow_up(event)`` of a client, whose key needs the scopes of the routes it calls.

Source in the contract: "Webhooks".
"""

from charthero_ext._follow_up import FollowUp
from charthero_ext.errors import WebhookVerificationError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks.event_store import SQLiteStore, Store
from charthero_ext.webhooks.receiver import Receiver
from charthero_ext.webhooks.verification import Event, UnknownEvent, sign, verify

__all__ = [
    "Event",
    "FollowUp",
    "Receiver",
    "SQLiteStore",
    "Store",
    "TranscriptReadyEvent",
    "UnknownEvent",
    "WebhookVerificationError",
    "sign",
    "verify",
]
