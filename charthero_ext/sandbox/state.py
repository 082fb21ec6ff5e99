"""The sandbox's state, and the methods that change it while it runs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Unpack

from attrs import define, field, validators
from charthero_client.contract import ROUTES

from charthero_ext.sandbox.audio import Recordings
from charthero_ext.sandbox.checks import OTHER, PRIMARY, SCOPES, Key, sandbox_keys
from charthero_ext.sandbox.clock import Clock, aware
from charthero_ext.sandbox.data import Record, Timeline, microseconds
from charthero_ext.sandbox.faults import Faults, build_fault, one_of
from charthero_ext.sandbox.store import Store
from charthero_ext.sandbox.webhooks import Event, SignedEvent, Signing, Webhooks

__all__ = ["State"]

API_KEY = "ch_sk_sandbox_full"
WEBHOOK_SECRET = "whsec_sandbox_synthetic"  # noqa: S105 - a synthetic secret


@define(kw_only=True, eq=False, slots=False)
class State:
    """The data, keys, clock and faults of a sandbox: everything except the network.

    Args:
        encounters: The number of encounters at the start. A large number costs no memory.
        seed: The seed of the data and of random faults.
        ties: How many encounters in the middle of the timeline share one ``created_at``. Besides these, the data
            always has some groups of three.
        now: Stop the clock at this instant. By default the clock shows real time.
        newest_at: Every computed encounter was created before this instant. By default it is five minutes before
            the clock's time. A fixed date makes bodies repeatable.
        span: The time between the oldest encounter and ``newest_at``.
        precision: The precision of datetimes in bodies. Ordering and windows always use microseconds, so a body
            may show an instant a little too early.
        encounter_envelope: Whether the detail route returns ``{"encounter": ...}`` or the bare encounter.
        production: Whether to refuse keys that begin with ``ch_sk_test_``.
        artifact: The OpenAPI artifact to serve. By default it is the generated client's.
        fault_rate: The share of requests that a random fault breaks, 0 to 1.
        webhook_url: The receiver of webhooks, an http URL on this machine.
        webhook_secret: The secret that signs webhooks.

    The contract leaves ``precision`` and ``encounter_envelope`` open, so a client must accept all of their values.
    ``updated_at`` is never after the clock's time, and never goes back.
    """

    encounters: int = field(default=250, validator=validators.ge(0))
    seed: int = 0
    ties: int = 0
    now: datetime | None = None
    newest_at: datetime | None = None
    span: timedelta = timedelta(days=30)
    precision: Literal["microseconds", "milliseconds", "seconds"] = field(
        default="microseconds", validator=one_of("microseconds", "milliseconds", "seconds")
    )
    encounter_envelope: bool = True
    production: bool = False
    artifact: Path | bytes | None = field(default=None, repr=False)
    fault_rate: float = 0.0
    webhook_url: str | None = None
    webhook_secret: str = field(default=WEBHOOK_SECRET, repr=False)

    def __attrs_post_init__(self) -> None:
        self.api_key = API_KEY
        self.clock = Clock(self.now)
        self.lock = threading.RLock()
        self.faults = Faults(seed=self.seed, rate=self.fault_rate)
        self.webhooks = Webhooks(self.clock, url=self.webhook_url, secret=self.webhook_secret)
        self.recordings = Recordings(hashlib.sha256(f"recordings {self.seed}".encode()).digest(), self.clock)
        # Without sockets, nothing listens here: the ports only tell the two hosts apart.
        self.base_url = "http://127.0.0.1:1"
        self.audio_url = "http://127.0.0.1:2"
        artifact = self.artifact or files("charthero_client").joinpath("openapi.json")
        self.artifact_bytes = artifact if isinstance(artifact, bytes) else artifact.read_bytes()
        self._begin()

    def _begin(self) -> None:
        now = self.clock.now()
        newest_at = aware(self.newest_at or now - timedelta(minutes=5), "newest_at")
        if newest_at > now:
            raise ValueError("newest_at must not be after the clock's time")
        self.keys = sandbox_keys()
        self.not_enabled: set[str] = set()
        self.stores = {
            organization_id: Store(
                Timeline(
                    organization_id=organization_id,
                    count=count,
                    seed=self.seed,
                    ties=ties,
                    newest_at=newest_at,
                    span=self.span,
                )
            )
            for organization_id, count, ties in ((PRIMARY, self.encounters, self.ties), (OTHER, 10, 0))
        }

    def reset(self, *, now: datetime | None = None) -> None:
        """Go back to the start: data, keys, routes, faults, clock, webhooks. ``now`` starts at another instant."""
        self.webhooks.reset(url=self.webhook_url, secret=self.webhook_secret)
        with self.lock:
            self.clock.reset(now or self.now)
            self._begin()
            self.faults.clear()
            self.faults.strike_at_random(self.fault_rate)

    @property
    def store(self) -> Store:
        """The current encounters of the organization that the keys belong to."""
        return self.stores[PRIMARY]

    @property
    def other_organization_encounter_id(self) -> str:
        """The id of an encounter outside the organization of the usual keys."""
        return str(next(iter(self.stores[OTHER]))["encounter_id"])

    def encounter_ids(self) -> Iterator[str]:
        """Iterate over the ids of all encounters, oldest first. Do not change the data during the iteration."""
        return (encounter["encounter_id"] for encounter in self.store)

    def append(self, *, created_at: datetime | None = None, ready: bool = True, **fields: Any) -> Record:
        """Add an encounter, created now or at another aware instant. An earlier instant makes it a late arrival.

        If it is ready, its webhook is sent; otherwise it waits for :meth:`finish_transcript`. ``fields`` replace
        fields of the body, also with values that the contract does not allow.
        """
        with self.lock:
            created_at = aware(created_at or self.clock.now(), "created_at")
            fields = self._stamped(fields)
            encounter = self.store.append(microseconds(created_at), ready=ready, fields=fields)
            if ready:
                self._announce(encounter)
        return encounter

    def change(self, encounter_id: str, **fields: Any) -> Record:
        """Replace fields of an encounter, and set ``updated_at`` to now. Raises KeyError for an unknown encounter."""
        with self.lock:
            encounter = self._find(encounter_id)
            return self.store.change(encounter, self._stamped(fields, encounter))

    def delete(self, encounter_id: str) -> None:
        """Delete an encounter. Raises KeyError for an unknown encounter."""
        with self.lock:
            self.store.delete(self._find(encounter_id))

    def add_document(self, encounter_id: str, **fields: Any) -> Record:
        """Add a document to an encounter, and return the encounter. Raises KeyError for an unknown encounter."""
        with self.lock:
            documents = self._find(encounter_id)["documents"] or []
            return self.change(encounter_id, documents=[*documents, self.store.new_document(encounter_id) | fields])

    def finish_transcript(self, encounter_id: str) -> Record:
        """Complete an encounter and its documents, and send its webhook. Raises KeyError for an unknown encounter."""
        with self.lock:
            encounter = self._find(encounter_id)
            documents = [document | {"status": "completed"} for document in encounter["documents"] or ()]
            encounter = self.change(encounter_id, status="completed", documents=documents)
            self._announce(encounter)
        return encounter

    def shift(self, store: Store) -> None:
        """Delete the oldest encounter and append a new one."""
        oldest = next(iter(store), None)
        if oldest is not None:
            store.delete(oldest)
        store.append(microseconds(self.clock.now()), ready=True, fields=self._stamped({}))

    def fail(self, kind: str, **options: Any) -> None:
        """Break later requests; see :class:`~charthero_ext.sandbox.faults.Fault` for the options."""
        self.faults.add(build_fault(kind, options))

    def set_key(self, token: str, *, scopes: Collection[str] = SCOPES, refused_with: str | None = None) -> None:
        """Issue or change a key: its scopes, or the 401 reason code that it is refused with."""
        with self.lock:
            self.keys[token] = Key(scopes=frozenset(scopes), refused_with=refused_with)

    def enable_route(self, operation: str, enabled: bool) -> None:
        """Enable or disable an operation such as ``documents.audio`` for the partner organization."""
        if operation not in ROUTES:
            raise KeyError(operation)
        with self.lock:
            (self.not_enabled.discard if enabled else self.not_enabled.add)(operation)

    def set_receiver(self, url: str | None, *, secret: str | None = None) -> None:
        """Deliver webhooks to a URL on this machine, or to none. A new ``secret`` rotates the signing secret."""
        self.webhooks.url = url
        self.webhooks.secret = secret or self.webhooks.secret

    def deliver(self, encounter_id: str, *, copies: int = 1, **signing: Unpack[Signing]) -> str:
        """Send the webhook of an encounter's transcript, ``copies`` times, and return the event's id.

        ``timestamp_offset`` (in seconds), ``secret`` and ``bad_signature`` make a webhook that a receiver must refuse.
        """
        event = self._event(self._find(encounter_id))
        self.webhooks.deliver(event, copies=copies, **signing)
        return event.id

    def signed_event(self, encounter_id: str, **signing: Unpack[Signing]) -> SignedEvent:
        """Return the webhook that :meth:`deliver` would send, to call a receiver without a network."""
        return self.webhooks.sign(self._event(self._find(encounter_id)), **signing)

    def timestamp(self, instant: datetime) -> str:
        """Return a datetime as the API writes it: in UTC, with a Z."""
        return instant.astimezone(UTC).isoformat(timespec=self.precision).removesuffix("+00:00") + "Z"

    def _stamped(self, fields: dict[str, Any], encounter: Record | None = None) -> dict[str, Any]:
        """Return the fields with ``updated_at``. Raises ValueError if it is in the future or goes back."""
        now = self.clock.now()
        updated_at = fields.get("updated_at", now)
        if isinstance(updated_at, str):
            try:
                updated_at = datetime.fromisoformat(updated_at)
            except ValueError:
                return fields  # a malformed value, to test a client with
        if isinstance(updated_at, datetime):
            updated_at = aware(updated_at, "updated_at")
            before = encounter["updated_at"] if encounter else None
            if updated_at > now or (isinstance(before, datetime) and updated_at < before):
                raise ValueError("updated_at must not be in the future or go back")
        return fields | {"updated_at": updated_at}

    def _find(self, encounter_id: str) -> Record:
        encounter = self.store.find(encounter_id)
        if encounter is None:
            raise KeyError(encounter_id)
        return encounter

    def _announce(self, encounter: Record) -> None:
        if self.webhooks.url is not None and _transcript_id(encounter) is not None:
            self.webhooks.deliver(self._event(encounter))

    def _event(self, encounter: Record) -> Event:
        document_id = _transcript_id(encounter)
        if document_id is None:
            raise ValueError("the encounter has no transcript")
        return self.webhooks.event(
            organization_id=PRIMARY, encounter_id=encounter["encounter_id"], document_id=document_id
        )


def _transcript_id(encounter: Record) -> str | None:
    documents = encounter["documents"] or ()
    return next((each["document_id"] for each in documents if each["schema_type"] == "ambient_transcript"), None)
