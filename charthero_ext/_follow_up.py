"""Fetches what a transcript event points at, as steps."""

from __future__ import annotations

import time

from attrs import frozen

from charthero_ext import _operations
from charthero_ext._call import Session
from charthero_ext._steps import Sleep, Steps
from charthero_ext.errors import NotFoundError
from charthero_ext.models import AudioUrl, Document, Encounter, Transcript, TranscriptReadyEvent

__all__ = ["FollowUp", "follow_up"]

#: Seconds between two requests for a transcript that is not ready yet.
WAIT_INITIAL, WAIT_MAX = 0.5, 10.0


@frozen
class FollowUp:
    """What an event points at. ``audio`` is None unless it was requested."""

    encounter: Encounter
    document: Document
    transcript: Transcript
    audio: AudioUrl | None = None


def follow_up(session: Session, event: TranscriptReadyEvent, *, audio: bool, patience: float) -> Steps[FollowUp]:
    """Fetch the encounter, the document, its transcript, and its recording if requested."""
    if not isinstance(event, TranscriptReadyEvent):
        raise TypeError(f"only a TranscriptReadyEvent can be followed up, not {type(event).__name__}")
    ids = (event.resources.encounter_id, event.resources.document_id)
    encounter = yield from session.call(_operations.encounter(ids[0]))
    document = yield from session.call(_operations.document(*ids))
    deadline, wait = time.monotonic() + patience, WAIT_INITIAL
    while True:
        try:
            transcript = yield from session.call(_operations.transcript(*ids))
            break
        except NotFoundError:
            if time.monotonic() + wait > deadline:
                raise
        yield Sleep(wait)
        wait = min(wait * 2, WAIT_MAX)
    recording = (yield from session.call(_operations.audio(*ids))) if audio else None
    return FollowUp(encounter, document, transcript, recording)
