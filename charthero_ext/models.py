"""The models of the API, under the names this package promises.

They are generated from the published artifact and decode openly: an unknown field, an unknown enumeration value, a
missing field or an unexpected null never fails a read, is given back by ``to_dict()``, and is counted in
:func:`charthero_ext.decoding_surprises`. A field that was not sent is :data:`UNSET`. Instants are aware ``datetime``
objects. A repr shows opaque ids, instants, known enumeration values and counts, and nothing about a patient.

Source in the contract: "Bodies".
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
