"""The operations of the API: how each builds its request and decodes its body."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime
from typing import Any, TypeAlias, overload

from charthero_client.api.documents import get_audio, get_document, get_transcript
from charthero_client.api.encounters import get_encounter, list_encounters
from charthero_client.contract import DEPRECATED

from charthero_ext._call import Operation
from charthero_ext.models import UNSET, AudioUrl, Document, Encounter, EncounterPage, Transcript
from charthero_ext.pagination.window import SortOrder, in_utc

__all__ = ["Instant", "as_instant", "audio", "document", "encounter", "encounters", "transcript"]

#: An instant: an aware ``datetime``, or ISO 8601 text with a time zone. A date, also as text, means midnight in UTC.
Instant: TypeAlias = datetime | date | str


def encounters(
    *,
    limit: int | None,
    offset: int | None,
    sort_order: SortOrder | None,
    start_at: Instant | None,
    end_at: Instant | None,
) -> Operation[EncounterPage]:
    """List one page of encounters. None leaves the choice to the server."""
    arguments = {
        "limit": limit,
        "offset": offset,
        "sort_order": sort_order,
        "start_at": as_instant(start_at, "start_at"),
        "end_at": as_instant(end_at, "end_at"),
    }
    given = {name: UNSET if value is None else value for name, value in arguments.items()}
    return _operation("encounters.list", list_encounters, EncounterPage, given)


def encounter(encounter_id: str) -> Operation[Encounter]:
    """Get one encounter."""
    return _operation("encounters.get", get_encounter, Encounter, _ids(encounter_id=encounter_id))


def document(encounter_id: str, document_id: str) -> Operation[Document]:
    """Get one document."""
    return _operation("documents.get", get_document, Document, _ids(encounter_id=encounter_id, document_id=document_id))


def transcript(encounter_id: str, document_id: str) -> Operation[Transcript]:
    """Get the transcript of a document."""
    return _operation(
        "documents.transcript", get_transcript, Transcript, _ids(encounter_id=encounter_id, document_id=document_id)
    )


def audio(encounter_id: str, document_id: str) -> Operation[AudioUrl]:
    """Get a signed URL of the recording of a document."""
    return _operation("documents.audio", get_audio, AudioUrl, _ids(encounter_id=encounter_id, document_id=document_id))


def _operation(name: str, endpoint: Any, model: Any, arguments: dict[str, Any]) -> Operation[Any]:
    if name in DEPRECATED:
        warnings.warn(f"ChartHero has deprecated {name}", DeprecationWarning, stacklevel=4)
    request = endpoint._get_kwargs(**arguments)
    ids = arguments if name != "encounters.list" else {}
    return Operation(
        name=name,
        path=request["url"],
        query=request.get("params", {}),
        ids=ids,
        decode=lambda response: model.from_body(response.body),
    )


def _ids(**values: str) -> dict[str, str]:
    """Return opaque ids unchanged.

    Raises:
        ValueError: An id is empty, or is ``.`` or ``..``, which a URL treats as a relative path.
    """
    for name, value in values.items():
        is_text = isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
        if not is_text or not value.strip() or value in (".", ".."):
            raise ValueError(f"{name} is empty or not an id")
    return values


@overload
def as_instant(value: Instant, name: str) -> datetime: ...
@overload
def as_instant(value: None, name: str) -> None: ...
@overload
def as_instant(value: Instant | None, name: str) -> datetime | None: ...
def as_instant(value: Instant | None, name: str) -> datetime | None:
    """Return *value* as a ``datetime`` in UTC. None, an open end, stays None.

    Raises:
        ValueError: The value has no time zone or is not an instant. The text contains *name*.
    """
    if value is None:
        return None
    if isinstance(value, str):
        from dateutil.parser import isoparse

        try:
            parsed = isoparse(value)
        except ValueError:
            raise ValueError(f"{name} is not an ISO 8601 instant, such as 2026-05-01T15:00:00Z or 2026-05-01") from None
        value = parsed.date() if re.fullmatch(r"[0-9W-]{4,10}", value) else parsed
    if not isinstance(value, date) or value != value:
        raise ValueError(f"{name} must be a datetime, a date or ISO 8601 text, not {type(value).__name__}")
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.utcoffset() is None:
        raise ValueError(f"{name} has no time zone; add one, such as datetime(..., tzinfo=UTC) or a Z at its end")
    try:
        return in_utc(value)
    except OverflowError:
        raise ValueError(f"{name} is outside the years 1 to 9999") from None
