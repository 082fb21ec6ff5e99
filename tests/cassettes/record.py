"""Record the cassettes again, against the sandbox: ``python -m tests.cassettes.record``."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import vcr

from charthero_ext import ChartHero, Settings
from charthero_ext.errors import InvalidRequestError, NotFoundError
from charthero_ext.sandbox import Sandbox
from charthero_ext.testing import vcr_config

HERE = Path(__file__).parent


def main() -> None:
    """Record every operation, a download and two errors."""
    with (
        Sandbox(encounters=50, seed=7, newest_at=datetime(2026, 5, 1, tzinfo=UTC)) as sandbox,
        ChartHero(settings=Settings.load(api_key=sandbox.api_key, base_url=sandbox.base_url)) as ch,
    ):
        for path in HERE.glob("*.yaml"):
            path.unlink()
        recorder = vcr.VCR(cassette_library_dir=str(HERE), record_mode="all", **vcr_config())
        with recorder.use_cassette("listing.yaml"):
            page = ch.encounters.list(limit=3)
        encounter = page.items[0]
        documents = {document.schema_type: document.document_id for document in encounter.documents}
        with recorder.use_cassette("records.yaml"):
            ch.encounters.get(encounter.encounter_id)
            ch.documents.get(encounter.encounter_id, documents["document"])
            ch.documents.transcript(encounter.encounter_id, documents["ambient_transcript"])
            with TemporaryDirectory() as directory:
                file = Path(directory) / "visit.wav"
                ch.documents.download_audio(encounter.encounter_id, documents["ambient_transcript"], file)
        with recorder.use_cassette("refusals.yaml"):
            with suppress(InvalidRequestError):
                ch.encounters.list(limit=0)
            with suppress(NotFoundError):
                ch.encounters.get("enc_nobody")


if __name__ == "__main__":
    main()
