"""Synthetic encounters of one organization, each computed from its index and a seed.

Nothing is stored. Ten million encounters take as little memory as ten, and every page costs the same.

The contract does not list all values of enumerations, so some values are our assumptions, such as the ``status``
``processing``. All names, dates of birth and texts are invented. A patient's last name begins with ``Synthetic-``.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

__all__ = [
    "EPOCH",
    "Record",
    "Timeline",
    "document_detail",
    "from_microseconds",
    "microseconds",
    "new_document",
    "seconds_of",
    "transcript",
]

Record = dict[str, Any]
"""A JSON body that still holds datetimes."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_GIVEN_NAMES = ("Avery", "Blake", "Casey", "Devon", "Ellis", "Finley", "Harper", "Jules", "Kai", "Morgan")
_TITLES = ("Progress note", "SOAP note", "After-visit summary", "Referral letter")
_QUESTIONS = (
    "How have you been since the last synthetic visit?",
    "Does the pretend ache come and go, or is it there all day?",
    "Are you still taking the placebo we agreed on?",
    "On a scale from one to ten, where would you put it today?",
    "Let me listen to your lungs. Breathe in, please.",
    "I would like to repeat the invented lab work next week.",
    "Okay.",
)
_ANSWERS = (
    "A little better, I think. The mornings are the worst.",
    "It comes and goes. Mostly after the stairs.",
    "Yes, every evening, I have not missed one.",
    "Maybe a four. It was a seven last week.",
    "No, nothing like that.",
    "Mm-hm.",
    "Right, and should I keep up the made-up exercises?",
)


def microseconds(instant: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Return the datetime in UTC; the inverse of :func:`microseconds`."""
    return EPOCH + timedelta(microseconds=value)


def _digest(*parts: object, size: int = 16) -> bytes:
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=size).digest()


# A bijection of 48 bits. Consecutive encounters get ids that look unrelated, and an id can be decoded to its index.
_BITS = 48
_MASK = (1 << _BITS) - 1
_FACTOR = 0x9E3779B97F4B
_INVERSE = pow(_FACTOR, -1, 1 << _BITS)


def _scramble(value: int, salt: int) -> int:
    value = ((value ^ salt) * _FACTOR) & _MASK
    value ^= value >> (_BITS // 2)
    return (value * _FACTOR) & _MASK


def _unscramble(value: int, salt: int) -> int:
    value = (value * _INVERSE) & _MASK
    value ^= value >> (_BITS // 2)
    return ((value * _INVERSE) & _MASK) ^ salt


class Timeline:
    """``count`` encounters in ascending order of ``(created_at, encounter_id)``, over a ``span`` before ``newest_at``.

    Three of every sixteen encounters share one ``created_at``; the ``ties`` in the middle share another. Instants are
    microseconds since 1970.
    """

    def __init__(
        self, *, organization_id: str, count: int, seed: int, ties: int, newest_at: datetime, span: timedelta
    ) -> None:
        self.organization_id = organization_id
        self.count = count
        self._key = _digest("timeline", organization_id, seed, size=32)
        self._salt = int.from_bytes(_digest("ids", organization_id, seed, size=_BITS // 8))
        self._newest_at = newest_at
        self._origin = microseconds(newest_at - span)
        self._step = (span // timedelta(microseconds=1)) // max(count, 1)
        self._ties_start = (count - ties) // 2
        self._ties_stop = self._ties_start + ties
        if not 0 <= ties <= count:
            raise ValueError("ties must be between 0 and the number of encounters")
        if self._step < 1:
            raise ValueError("span is too short for this number of encounters")

    def created(self, index: int) -> int:
        """Return ``created_at`` of an index. It does not decrease when the index increases."""
        return self._instant(self._tie(index)[0])

    def encounter_id(self, index: int) -> str:
        """Return the id of an index. Ids of encounters with the same ``created_at`` increase with the index."""
        start, _ = self._tie(index)
        within = (index - start) << 8 | self._draws(index)[0]
        return f"enc_{_scramble(start, self._salt):012x}{within:08x}"

    def index_of(self, encounter_id: str) -> int | None:
        """Return the index of an id, or None."""
        try:
            start = _unscramble(int(encounter_id[4:16], 16), self._salt)
            index = start + (int(encounter_id[16:], 16) >> 8)
        except ValueError:
            return None
        # int() accepts other spellings of the same number; the comparison refuses them.
        return index if index < self.count and self.encounter_id(index) == encounter_id else None

    def first_at_or_after(self, created: int, encounter_id: str = "") -> int:
        """Return the first index whose ``(created, encounter_id)`` is not less than this one, or ``count``."""
        start = bisect_left(range(self.count), created, key=self.created)
        if not encounter_id or start == self.count or self.created(start) != created:
            return start
        _, stop = self._tie(start)
        return start + bisect_left(range(start, stop), encounter_id, key=self.encounter_id)

    def encounter(self, index: int) -> Record:
        """Return the encounter at an index, as the list and the detail route show it."""
        draws = self._draws(index)
        body = self._body(self.encounter_id(index), self.created(index), draws, ready=draws[1] >= 16)
        updated_at = body["created_at"] + timedelta(seconds=60 + int.from_bytes(draws[8:10]) % 7200)
        return body | {"updated_at": min(updated_at, self._newest_at)}

    def appended(self, number: int, created: int, *, ready: bool) -> Record:
        """Return the ``number``-th encounter that a test adds."""
        draws = self._draws(-1 - number)
        return self._body(f"enc_{draws[40:50].hex()}", created, draws, ready=ready, always_transcript=True)

    def _body(
        self, encounter_id: str, created: int, draws: bytes, *, ready: bool, always_transcript: bool = False
    ) -> Record:
        """Return an encounter made from random bytes. Before it is ready, it has only an unfinished transcript."""
        created_at = from_microseconds(created)
        status = "completed" if ready else "processing"
        documents: list[Record] = []
        if always_transcript or draws[2] >= 16:
            documents.append(
                {
                    "document_id": _document_id(encounter_id, 0),
                    "schema_type": "ambient_transcript",
                    "status": status,
                    "title": "Visit transcript",
                    "workflow_variant": None,
                    "audio_duration_seconds": 150.0 + int.from_bytes(draws[3:5]) % 1200 / 4,
                }
            )
        if ready:
            documents += [
                new_document(encounter_id, 1 + number)
                | {
                    "title": _TITLES[(draws[5] + number) % len(_TITLES)],
                    "workflow_variant": "standard" if draws[6] % 2 else None,
                }
                for number in range((1, 1, 1, 2)[draws[7] % 4])
            ]
        return {
            "encounter_id": encounter_id,
            "organization_id": self.organization_id,
            "created_at": created_at,
            "updated_at": created_at,
            "date_of_service": created_at.date().isoformat(),
            "encounter_type": "ambient",
            "status": status,
            "patient": self._patient(int.from_bytes(draws[10:16]) % max(1, self.count // 3)),
            "documents": documents,
        }

    def _patient(self, number: int) -> Record:
        digest = _digest("patient", self._key.hex(), number)
        patient: Record = {"patient_id": f"pat_{digest[:8].hex()}"}
        if digest[8] % 3:
            patient["first_name"] = _GIVEN_NAMES[digest[9] % len(_GIVEN_NAMES)]
            patient["last_name"] = f"Synthetic-{number:06d}"
            birth = datetime(1930, 1, 1, tzinfo=UTC) + timedelta(days=int.from_bytes(digest[10:12]) % 32_000)
            patient["date_of_birth"] = birth.date().isoformat()
        return patient

    def _draws(self, index: int) -> bytes:
        return blake2b(index.to_bytes(8, signed=True), key=self._key, digest_size=50).digest()

    def _instant(self, index: int) -> int:
        # The jitter is less than one step, so instants increase strictly.
        jitter = int.from_bytes(self._draws(index)[16:24]) % self._step
        return self._origin + index * self._step + jitter

    def _tie(self, index: int) -> tuple[int, int]:
        """Return the range of indexes with the same ``created_at`` as this one."""
        if self._ties_start <= index < self._ties_stop:
            return self._ties_start, self._ties_stop
        block, place = divmod(index, 16)
        if not 5 <= place < 8:
            return index, index + 1
        start, stop = block * 16 + 5, min(block * 16 + 8, self.count)
        if index < self._ties_start:
            return start, min(stop, self._ties_start)
        return max(start, self._ties_stop), stop


def _document_id(encounter_id: str, number: int) -> str:
    return f"doc_{_digest('document', encounter_id, number, size=10).hex()}"


def new_document(encounter_id: str, number: int) -> Record:
    """Return the summary of an encounter's ``number``-th document."""
    return {
        "document_id": _document_id(encounter_id, number),
        "schema_type": "document",
        "status": "completed",
        "title": _TITLES[0],
        "workflow_variant": None,
    }


def document_detail(encounter: Record, summary: Record) -> Record:
    """Return the document of a summary. Only the ``schema_type`` ``document`` has clinical text."""
    document = {
        **{name: summary.get(name) for name in ("document_id", "schema_type", "title", "status", "workflow_variant")},
        **{name: encounter[name] for name in ("encounter_id", "created_at", "updated_at")},
    }
    if document["schema_type"] == "document":
        document["content"] = {"format": "markdown", "text": _note(document)}
    else:
        document["audio_duration_seconds"] = summary.get("audio_duration_seconds")
    return document


def _note(document: Record) -> str:
    pick = random.Random(document["document_id"])  # noqa: S311 - synthetic text, not a secret
    return (
        f"# {document['title']}\n\n*Synthetic text, not about a real person.*\n\n"
        f"## Subjective\n\n{pick.choice(_ANSWERS)} {pick.choice(_ANSWERS)}\n\n"
        f"## Objective\n\n- Blood pressure {pick.randint(100, 140)}/{pick.randint(60, 90)}\n"
        f"- Pulse {pick.randint(55, 95)}\n\n"
        f"## Assessment and plan\n\n1. Invented condition, stable: naïve café test.\n2. {pick.choice(_QUESTIONS)}\n"
    )


def seconds_of(summary: Record) -> float:
    """Return the length of a transcript's recording; 60 seconds if a test removed it."""
    return float(summary.get("audio_duration_seconds") or 60)


def transcript(encounter: Record, summary: Record) -> Record:
    """Return the transcript of a summary. Its turns have no gaps and no overlaps."""
    duration = seconds_of(summary)
    return {
        "encounter_id": encounter["encounter_id"],
        "document_id": summary["document_id"],
        "transcript": {
            "provider": "deepgram",
            "audio_duration_seconds": duration,
            "turns": list(_turns(summary["document_id"], duration)),
        },
    }


def _turns(document_id: str, duration: float) -> Iterator[Record]:
    pick = random.Random(document_id)  # noqa: S311 - synthetic text, not a secret
    edges = sorted(round(pick.uniform(0, duration), 2) for _ in range(int(duration / 1.2)))
    for number, (start, end) in enumerate(zip([0.0, *edges], [*edges, duration], strict=True)):
        clinician = number % 2 == 0
        yield {
            "speaker": "clinician" if clinician else "patient",
            "start": start,
            "end": end,
            "text": pick.choice(_QUESTIONS if clinician else _ANSWERS),
        }
