"""A user's program on charthero_ext, run in its own process with one generated package on its path.

Standard input has the body of each route and an event. The argument is the directory of the package. Standard output
gets the values that the models read.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import httpx

from charthero_ext import ChartHero, Settings, decoding_surprises
from charthero_ext.errors import NotFoundError
from charthero_ext.models import TranscriptReadyEvent

HOST = "https://api.example.test"
IDS = {"encounter_id": "enc_synthetic_0001", "document_id": "doc_synthetic_0001"}

given = json.load(sys.stdin)
bodies = {path.format(**IDS): body for path, body in given["bodies"].items()}
asked = []


def answer(request: httpx.Request) -> httpx.Response:
    asked.append(str(request.url))
    if request.url.path not in bodies:
        return httpx.Response(404, json={"error": "e", "reason_code": "not_found", "message": "m", "field": None})
    return httpx.Response(200, json=bodies[request.url.path])


settings = Settings.load(api_key="ch_sk_synthetic_test", base_url=HOST)
with ChartHero(settings=settings, httpx_args={"transport": httpx.MockTransport(answer)}) as client:
    page = client.encounters.list(limit=2, offset=0, sort_order="asc", start_at=datetime(2026, 1, 1, tzinfo=UTC))
    encounter = client.encounters.get(IDS["encounter_id"])
    document = client.documents.get(IDS["encounter_id"], IDS["document_id"])
    transcript = client.documents.transcript(IDS["encounter_id"], IDS["document_id"])
    audio = client.documents.audio(IDS["encounter_id"], IDS["document_id"])
    try:
        client.encounters.get("../elsewhere?x=1")
    except NotFoundError as error:
        missing = error.reason_code
event = TranscriptReadyEvent.from_dict(given["event"])

package = sys.modules["charthero_client"]
assert Path(package.__file__ or "").is_relative_to(sys.argv[1])
modules = [name for _, name, _ in pkgutil.walk_packages(package.__path__, "charthero_client.") if import_module(name)]
patient = page.items[0].patient
print(
    json.dumps(
        {
            "modules": len(modules),
            "asked": asked,
            "missing": missing,
            "bodies": [model.to_dict() for model in (page, encounter, document, transcript, audio, event)],
            "kinds": [type(model).__name__ for model in (page.items[0], patient, page.items[0].documents[0])],
            "read": [
                page.total,
                page.items[0].created_at.isoformat(),
                patient.first_name,
                page.items[0].documents[1].audio_duration_seconds,
                encounter.status,
                document.content.text,
                document.content.format,
                transcript.transcript.turns[0].speaker,
                audio.expires_at.year,
                event.type,
                event.resources.document_id,
            ],
            "repr": repr(page.items[0]),
            "surprises": decoding_surprises(),
        }
    )
)
