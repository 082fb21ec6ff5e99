"""Contains all the data models used in inputs/outputs"""

from .api_error import ApiError
from .audio_url import AudioUrl
from .document import Document
from .document_content import DocumentContent
from .document_summary import DocumentSummary
from .encounter import Encounter
from .encounter_page import EncounterPage
from .event_resources import EventResources
from .patient import Patient
from .public_ambient_transcript_document_detail import PublicAmbientTranscriptDocumentDetail
from .public_document_detail import PublicDocumentDetail
from .public_document_detail_envelope import PublicDocumentDetailEnvelope
from .public_encounter_envelope import PublicEncounterEnvelope
from .transcript import Transcript
from .transcript_content import TranscriptContent
from .transcript_ready_event import TranscriptReadyEvent
from .transcript_turn import TranscriptTurn

__all__ = (
    "ApiError",
    "AudioUrl",
    "Document",
    "DocumentContent",
    "DocumentSummary",
    "Encounter",
    "EncounterPage",
    "EventResources",
    "Patient",
    "PublicAmbientTranscriptDocumentDetail",
    "PublicDocumentDetail",
    "PublicDocumentDetailEnvelope",
    "PublicEncounterEnvelope",
    "Transcript",
    "TranscriptContent",
    "TranscriptReadyEvent",
    "TranscriptTurn",
)
