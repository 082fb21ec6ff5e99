"""Receive ``recording.transcript_ready`` events: verify, queue, call your handler.

**Planned, not generally available.** ChartHero documents the event, its headers and its signature, and that it delivers
an event again after any status other than 2xx. It does not document the delivery schedule or how to register an
endpoint. Nothing here depends on those. The receiver is an ASGI application. Here it is part of a FastAPI application::

    import contextlib, os
    from typing import Annotated
    from fastapi import Depends, FastAPI
    from starlette.routing import Route
    from charthero_ext import AsyncChartHero
    from charthero_ext.webhooks import Receiver, SQLiteStore, TranscriptReadyEvent

    async def handle(event):
        if isinstance(event, TranscriptReadyEvent):
            found = await app.state.ch.follow_up(event)
            print(event.id, len(found.transcript.transcript.turns))

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with AsyncChartHero() as app.state.ch, receiver:
            yield

    receiver = Receiver(os.environ["CHARTHERO_WEBHOOK_SECRET"], SQLiteStore("webhooks.db"), handle)
    app = FastAPI(lifespan=lifespan, routes=[Route("/webhooks/charthero", receiver)])

    @app.get("/encounters/{encounter_id}/status")
    async def status(encounter_id: str, ch: Annotated[AsyncChartHero, Depends(lambda: app.state.ch)]):
        return (await ch.encounters.get(encounter_id)).status

An event is a thin pointer without patient data. ``follow_up`` fetches what it points at, with a key that has the scopes
of those routes. ``await receiver.submit(event)`` puts an event from a change feed into the same queue.

In Django, let ``asgi.py`` call ``await receiver(scope, receive, send)`` for the path. In Flask, use a2wsgi::

    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks/charthero": ASGIMiddleware(receiver)})
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
