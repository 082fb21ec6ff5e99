"""What the sandbox knows, and every way to change it while it runs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Unpack

from attrs import define, field, validators

from charthero_ext.sandbox.audio import Recordings
from charthero_ext.sandbox.checks import OPERATIONS, OTHER, PRIMARY, SCOPES, Key, sandbox_keys
from charthero_ext.sandbox.clock import Clock
from charthero_ext.sandbox.data import Record, Timeline, microseconds
from charthero_ext.sandbox.faults import Fault, Faults
from charthero_ext.sandbox.store import Store
from charthero_ext.sandbox.webhooks import Event, SignedEvent, Signing, Webhooks

__all__ = ["State"]

API_KEY = "ch_sk_sandbox_full"
WEBHOOK_SECRET = "whsec_sandbox_synthetic"  # noqa: S105 - opens nothing but the sandbox


@define(kw_only=True, eq=False, slots=False)
class State:
    """Everything but the network.

    Args:
        encounters: How many encounters there are at first. Their number costs no memory.
        seed: Decides every value of the data, and the order of random faults.
        ties: How many of the encounters share one instant in the middle of the timeline, besides the threes that
            are always there.
        newest_at: No computed encounter was created at or after this instant.
        span: How long before ``newest_at`` the oldest was created.
        precision: How exactly datetimes are written. They are kept, ordered and filtered by microsecond and cut
            off when written, so an encounter may be a little younger than it says.
        encounter_envelope: Whether the detail route answers ``{"encounter": …}`` or the bare encounter.
        production: Whether keys that begin with ``ch_sk_test_`` are refused.
        artifact: The OpenAPI artifact to serve; by default the one that the generated client carries.
        fault_rate: The share of requests that a random fault strikes, 0 to 1.
        webhook_url: Where to deliver events; an http URL of this machine.
        webhook_secret: What signs them.

    Nobody knows yet which ``precision`` the API has, and whether it has the envelope: a client has to bear with each.
    """

    encounters: int = field(default=250, validator=validators.ge(0))
    seed: int = 0
    ties: int = 0
    newest_at: datetime = datetime(2026, 5, 1, tzinfo=UTC)
    span: timedelta = timedelta(days=365)
    precision: Literal["microseconds", "milliseconds", "seconds"] = field(
        default="microseconds", validator=validators.in_(("microseconds", "milliseconds", "seconds"))
    )
    encounter_envelope: bool = True
    production: bool = False
    artifact: Path | bytes | None = field(default=None, repr=False)
    fault_rate: float = 0.0
    webhook_url: str | None = None
    webhook_secret: str = field(default=WEBHOOK_SECRET, repr=False)

    def __attrs_post_init__(self) -> None:
        self.api_key = API_KEY
        self.clock = Clock()
        self.lock = threading.RLock()
        self.faults = Faults(seed=self.seed, rate=self.fault_rate)
        self.webhooks = Webhooks(self.clock, url=self.webhook_url, secret=self.webhook_secret)
        self.recordings = Recordings(hashlib.sha256(f"recordings {self.seed}".encode()).digest(), self.clock)
        # Without a socket nothing listens here; the ports only tell the two hosts apart.
        self.base_url = "http://127.0.0.1:1"
        self.audio_url = "http://127.0.0.1:2"
        artifact = self.artifact or files("charthero_client").joinpath("openapi.json")
        self.artifact_bytes = artifact if isinstance(artifact, bytes) else artifact.read_bytes()
        self._begin()

    def _begin(self) -> None:
        self.keys = sandbox_keys()
        self.not_enabled: set[str] = set()
        self.stores = {
            organization_id: Store(
                Timeline(
                    organization_id=organization_id,
                    count=count,
                    seed=self.seed,
                    ties=ties,
                    newest_at=self.newest_at,
                    span=self.span,
                )
            )
            for organization_id, count, ties in ((PRIMARY, self.encounters, self.ties), (OTHER, 10, 0))
        }

    def reset(self) -> None:
        """Go back to how it was at first: data, keys, routes, faults, clock, webhooks."""
        self.webhooks.reset(url=self.webhook_url, secret=self.webhook_secret)
        with self.lock:
            self._begin()
            self.clock.set(None)
            self.faults.clear()
            self.faults.strike_at_random(self.fault_rate)

    @property
    def store(self) -> Store:
        """The encounters of the organization that the keys belong to, as they are now."""
        return self.stores[PRIMARY]

    @property
    def other_organization_encounter_id(self) -> str:
        """An encounter that exists, but outside the organization of the usual keys."""
        return str(next(iter(self.stores[OTHER]))["encounter_id"])

    def encounter_ids(self) -> Iterator[str]:
        """The id of every encounter there is, in ascending order. Not to be mixed with changes."""
        return (encounter["encounter_id"] for encounter in self.store)

    def append(self, *, created_at: datetime | None = None, ready: bool = True, **fields: Any) -> Record:
        """Add an encounter, created now or at another aware instant.

        One that is not ``ready`` waits for :meth:`finish_transcript`; one that is sends its webhook. ``fields`` are
        set as they are given, also where the contract would not allow it.
        """
        created_at = created_at or self.clock.now()
        if created_at.tzinfo is None:
            raise ValueError("created_at needs a time zone")
        with self.lock:
            encounter = self.store.append(microseconds(created_at), ready=ready, fields=fields)
            if ready:
                self._announce(encounter)
        return encounter

    def change(self, encounter_id: str, **fields: Any) -> Record:
        """Set fields of an encounter, and ``updated_at`` to now unless given. Raises KeyError where there is none."""
        with self.lock:
            return self.store.change(encounter_id, {"updated_at": self.clock.now()} | fields)

    def delete(self, encounter_id: str) -> None:
        """Make an encounter disappear. Raises KeyError where there is none."""
        with self.lock:
            self.store.delete(encounter_id)

    def finish_transcript(self, encounter_id: str) -> Record:
        """Complete an encounter and its documents, and send its webhook. Raises KeyError for an unknown encounter."""
        with self.lock:
            encounter = self._find(encounter_id)
            documents = [document | {"status": "completed"} for document in encounter["documents"] or ()]
            encounter = self.change(encounter_id, status="completed", documents=documents)
            self._announce(encounter)
        return encounter

    def shift(self, store: Store) -> None:
        """The oldest encounter disappears, and a new one is appended."""
        oldest = next(iter(store), None)
        if oldest is not None:
            store.delete(oldest["encounter_id"])
        store.append(microseconds(self.clock.now()), ready=True, fields={})

    def fail(self, kind: str, **options: Any) -> None:
        """Let a fault strike requests to come; see :class:`~charthero_ext.sandbox.faults.Fault`."""
        self.faults.add(Fault(kind=kind, **options))

    def set_key(self, token: str, *, scopes: Collection[str] = SCOPES, refused_with: str | None = None) -> None:
        """Issue a key, or change one: what it may do, or the documented 401 code it is refused with from now on."""
        with self.lock:
            self.keys[token] = Key(scopes=frozenset(scopes), refused_with=refused_with)

    def enable_route(self, operation: str, enabled: bool) -> None:
        """Enable an operation such as ``documents.audio`` for the partner organization, or no longer."""
        if operation not in OPERATIONS:
            raise KeyError(operation)
        with self.lock:
            (self.not_enabled.discard if enabled else self.not_enabled.add)(operation)

    def deliver(self, encounter_id: str, *, copies: int = 1, **signing: Unpack[Signing]) -> str:
        """Send a webhook for an encounter's transcript, ``copies`` times over, and return the id of the event.

        ``signing`` makes a bad one: ``timestamp_offset`` in seconds, ``secret``, ``bad_signature``.
        """
        event = self._event(self._find(encounter_id))
        self.webhooks.deliver(event, copies=copies, **signing)
        return event.id

    def signed_event(self, encounter_id: str, **signing: Unpack[Signing]) -> SignedEvent:
        """A webhook as :meth:`deliver` would send it, for a receiver that is called without a network."""
        return self.webhooks.sign(self._event(self._find(encounter_id)), **signing)

    def timestamp(self, instant: datetime) -> str:
        """A datetime as the API writes it: in UTC, with a Z."""
        return instant.astimezone(UTC).isoformat(timespec=self.precision).removesuffix("+00:00") + "Z"

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
