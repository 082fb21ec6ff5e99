"""The models of the API, under names that stay when ChartHero renames its schemas.

They are generated from the published artifact. An unknown field or value, a missing field or an unexpected null never
fails a read: ``to_dict()`` returns it as it was received, and :func:`charthero_ext.decoding_surprises` counts it.
Instants are aware ``datetime`` objects, and dates are text. A field that was not received is :data:`UNSET`::

    if patient.first_name is UNSET:
        ...  # the response has no such field
    elif patient.first_name is None:
        ...  # the response contains null
    name = patient.first_name or ""  # UNSET and None are false

Enumerations are open: the API can send values that are not listed here. Seen so far:

========================================  ================================================
``Encounter.status``                      ``completed``
``Encounter.encounter_type``              ``ambient``
``Document.status``                       ``completed``
``Document.schema_type``                  ``ambient_transcript`` ``document``
``DocumentContent.format``                ``markdown``
``TranscriptContent.provider``            ``deepgram``
``TranscriptTurn.speaker``                ``clinician`` ``patient``
========================================  ================================================

A document summary has the values of its document. A repr shows opaque ids, instants, integers and the values above
except ``speaker``. It shows no other text, so models can be logged. ``to_dict()`` returns everything,
including patient data. This makes a table with one row per encounter::

    pd.DataFrame([encounter.to_dict() for encounter in ch.encounters.iter()])

FastAPI returns a model as JSON like this::

    @app.get("/encounters/{encounter_id}")
    def encounter(encounter_id: str) -> dict[str, Any]:
        return ch.encounters.get(encounter_id).to_dict()
"""

from charthero_client.decoding import UNSET, Unset
from charthero_client.models.api_error import ApiError
from charthero_client.models.audio_url import AudioUrl
from charthero_client.models.document import Document
from charthero_client.models.document_content import DocumentContent
from charthero_client.models.document_summary import DocumentSummary
from charthero_client.models.encounter import Encounter
from charthero_client.models.encounter_page import EncounterPage
from charthero_client.models.event_resources import EventResources
from charthero_client.models.patient import Patient
from charthero_client.models.transcript import Transcript
from charthero_client.models.transcript_content import TranscriptContent
from charthero_client.models.transcript_ready_event import TranscriptReadyEvent
from charthero_client.models.transcript_turn import TranscriptTurn

__all__ = [
    "UNSET",
    "ApiError",
    "AudioUrl",
    "Document",
    "DocumentContent",
    "DocumentSummary",
    "Encounter",
    "EncounterPage",
    "EventResources",
    "Patient",
    "Transcript",
    "TranscriptContent",
    "TranscriptReadyEvent",
    "TranscriptTurn",
    "Unset",
]
