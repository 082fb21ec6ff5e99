"""What an event points at, fetched.

Source in the contract: "Webhooks".
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from charthero_ext.errors import NotFoundError
from charthero_ext.models import AudioUrl, Document, Encounter, Transcript, TranscriptReadyEvent

__all__ = ["FollowUp", "pointed_at", "until_there"]


@frozen
class FollowUp:
    """What an event points at. ``audio`` is None where it was not asked for."""

    encounter: Encounter
    document: Document
    transcript: Transcript
    audio: AudioUrl | None = None


def pointed_at(event: TranscriptReadyEvent) -> tuple[str, str]:
    """Return the ids of the encounter and the document.

    Raises:
        TypeError: It is no event of this type.
    """
    if not isinstance(event, TranscriptReadyEvent):
        raise TypeError(f"only a TranscriptReadyEvent can be followed up, not {type(event).__name__}")
    return event.resources.encounter_id, event.resources.document_id


def until_there(patience: float) -> Any:
    """Return the attempts to have a transcript that may not be there yet, for *patience* seconds."""
    from stamina import retry_context

    return retry_context(
        on=_is_missing, attempts=None if patience > 0 else 1, timeout=patience or None, wait_initial=0.5, wait_max=10.0
    )


def _is_missing(error: Exception) -> bool:
    return isinstance(error, NotFoundError) and error.operation == "documents.transcript"
