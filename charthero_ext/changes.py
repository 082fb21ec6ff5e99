"""What changed since the last sync: encounters added, changed or deleted, and transcripts that became ready.

The API cannot report changes. So a *pass* walks a window of encounters and compares them with a *ledger*, which
remembers what you received. Run this program every few minutes, or every night::

    from datetime import timedelta

    from charthero_ext import ChartHero
    from charthero_ext.changes import Ledger

    with ChartHero() as ch, Ledger("clinic.ledger") as ledger:
        for change in ch.encounters.changes(ledger, start_at="2026-01-01T00:00:00Z", look_back=timedelta(days=30)):
            if change.kind == "deleted":
                downstream.delete(change.encounter_id)
            elif change.encounter.status == "completed":  # "added" or "changed"
                downstream.upsert(change.encounter)
            for event in change.transcripts_ready:
                handle(event)

**Window.** The first pass starts at ``start_at``. A later one starts ``look_back`` before the newest encounter, or
before the last pass began if that was earlier. A pass ignores encounters that were created before its window.

**Delivery.** A change is recorded when you ask for the next one, or when the loop ends. If your code raises, you get
the change again. If the process dies, you get up to one page of changes again, and perhaps the deletion of an encounter
that you never received. So your code must be idempotent. The next pass resumes the interrupted one.

**Deletions** come at the end of a pass, once the walk has proven that it saw everything. A revoked scope looks like
many deletions. So the pass raises `MassDeletionError` and deletes nothing if the last page is empty although its
``total`` is not 0, or if more than 20 encounters and more than a fifth of those in the window disappear at once. If the
counts in the error are right, run one pass with ``allow_mass_delete=True``.

**Webhooks.** ``transcripts_ready`` has the events that a webhook delivers, once for each document. So one handler
serves polling today and webhooks later::

    receiver = Receiver(secret, SQLiteStore("events.db"), handle)  # Later, ChartHero delivers to this receiver.
    async for change in ch.encounters.changes(ledger):
        for event in change.transcripts_ready:
            await receiver.submit(event)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from secrets import token_hex
from typing import Any, Final, Literal, TypeAlias

from attrs import asdict, define, evolve, field, frozen
from attrs.validators import ge
from charthero_client.showing import show_id

from charthero_ext._ledger import Entry, Ledger, LedgerStore
from charthero_ext._secret import Secret, hide
from charthero_ext._steps import Run, Steps
from charthero_ext.errors import ConfigurationError, MassDeletionError
from charthero_ext.models import DocumentSummary, Encounter, EncounterPage, EventResources, TranscriptReadyEvent
from charthero_ext.pagination.position import Position, read_checkpoint, write_checkpoint
from charthero_ext.pagination.window import MARGINS, PageRequest, Window, instant_of, microseconds
from charthero_ext.pagination.window_walk import WindowWalk

__all__ = ["Change", "Delete", "Entry", "Ledger", "LedgerStore", "Upsert"]

#: Deletions need permission if they exceed this number, and this share of the known encounters in the window.
MAX_DELETIONS, MAX_SHARE = 20, Fraction(1, 5)
#: How many deletions to find, and then save, at once.
BATCH = 100
#: An open start, in microseconds since 1970.
OPEN: Final = -(2**63)
#: The state of an encounter that was never delivered: no digest, and no documents.
NOTHING_DELIVERED: Final = "[null]"


@frozen(kw_only=True)
class Upsert:
    """An encounter that is new, or differs from what you received."""

    kind: Literal["added", "changed"]
    encounter_id: str = field(repr=show_id)
    encounter: Encounter
    transcripts_ready: list[TranscriptReadyEvent]


@frozen(kw_only=True)
class Delete:
    """An encounter that you received, and that no longer exists."""

    kind: Literal["deleted"] = "deleted"
    encounter_id: str = field(repr=show_id)
    encounter: None = None
    transcripts_ready: list[TranscriptReadyEvent] = field(factory=list)


#: After a comparison of ``kind``, type checkers know whether there is an encounter.
Change: TypeAlias = Upsert | Delete
#: A change, and the steps that record it.
Pending: TypeAlias = tuple[Change, Steps[None]]
Feed: TypeAlias = Iterator[Steps[Sequence[Pending] | None]]
#: A pass is refused if it found a mass deletion that is not allowed.
Status = Literal["interrupted", "refused", "complete"]


def iterate(run: Callable[[Steps[Any]], Any], feed: Feed) -> Iterator[Change]:
    """Yield the changes of a feed. Record each when the next one is requested."""
    for steps in feed:
        for change, record in run(steps) or ():
            yield change
            run(record)


async def iterate_async(run: Callable[[Steps[Any]], Awaitable[Any]], feed: Feed) -> AsyncIterator[Change]:
    """Yield the changes of a feed. Record each when the next one is requested."""
    for steps in feed:
        for change, record in await run(steps) or ():
            yield change
            await run(record)


@define(kw_only=True)
class PassState:
    """What a ledger stores about its last pass. Instants are microseconds since 1970."""

    base_url: str
    key: Secret[str] = field(converter=hide, factory=lambda: Secret(token_hex(32)))  # The key of the digests.
    number: int = 0  # The entries that the pass saw have its number.
    status: Status = "complete"
    start: int = OPEN  # Start of the window.
    began: int = OPEN  # When the walk began.
    known: int = 0  # How many entries were in the window then.
    newest: int = OPEN  # When the newest encounter of all passes was created.
    checkpoint: str = ""  # The position of the walk after the last page whose changes were recorded.


@define(repr=False)
class Pass:
    """One pass. The methods below `feed` use the ledger, so they block."""

    fetch: Callable[[PageRequest], Steps[EncounterPage]]
    ledger: LedgerStore
    base_url: str
    start_at: datetime | None
    look_back: timedelta = field(validator=ge(timedelta(0)))
    allow_mass_delete: bool
    state: PassState = field(init=False)
    since: int = field(init=False)
    is_empty: bool = field(init=False, default=False)  # The last page has no encounters.

    def feed(self) -> Feed:
        """Yield steps that return changes."""
        yield _run(self._begin)
        window, position = read_checkpoint(self.state.checkpoint)
        walk = WindowWalk[Encounter](window, position=position)
        while (request := walk.request) is not None:
            yield self._read(window, walk, request)
        # Now the walk has proven that it saw everything.
        yield _run(self._check_deletions, walk.remaining or 0 if self.is_empty else 0)
        while self.state.status != "complete":
            yield _run(self._find_missing)

    def _read(self, window: Window, walk: WindowWalk[Encounter], request: PageRequest) -> Steps[list[Pending]]:
        page = yield from self.fetch(request)
        self.is_empty = not page.items
        encounters = walk.receive(page)
        if not encounters:
            return []
        pending: list[Pending] = yield from _run(self._compare, encounters)
        # The next page is requested, and this position saved, after the changes of this page were recorded.
        self.state.checkpoint = write_checkpoint(window, walk.position)
        return pending

    def _begin(self) -> None:
        """Resume the interrupted pass of the ledger, or start the next one."""
        self.state = state = self._load()
        # A refused pass is repeated as it was, so that new encounters do not hide the loss.
        if state.status == "complete":
            first = OPEN if self.start_at is None else microseconds(self.start_at)
            # Encounters that changed during the last pass may have been created before the newest minus the look-back.
            newest = min(state.newest, state.began)
            state.start = max(first, newest - self.look_back // timedelta(microseconds=1))
            state.known = self.ledger.count_unseen(state.start, state.number + 1)
        if state.status != "interrupted":
            state.number, state.began = state.number + 1, microseconds(datetime.now(UTC))
            # A minute early: a server may filter by other instants than it shows.
            window = Window(start_at=instant_of(state.start - MARGINS[-1]))
            state.checkpoint = write_checkpoint(window, Position())
        self.since = state.start
        self._save("interrupted")

    def _load(self) -> PassState:
        text = Secret(self.ledger.load() or "{}")
        with suppress(TypeError, ValueError):
            stored = Secret({"base_url": self.base_url, **json.loads(text.reveal())})
            owner = stored.reveal()["base_url"]
            if owner != self.base_url:
                raise ConfigurationError(f"the ledger belongs to {owner}, not to {self.base_url}")
            return PassState(**stored.reveal())
        raise ConfigurationError("the ledger has the state of another version; use another ledger")

    def _save(self, status: Status) -> None:
        """Save the state of the pass, with everything recorded until now."""
        self.state.status = status
        self.ledger.save(json.dumps(asdict(self.state) | {"key": self.state.key.reveal()}))

    def _compare(self, encounters: Sequence[Encounter]) -> list[Pending]:
        """Return what differs from the ledger. Save that the other encounters were seen."""
        state, entries = self.state, self.ledger.find([each.encounter_id for each in encounters])
        updated: list[Entry] = []
        pending: list[Pending] = []
        for encounter in encounters:
            encounter_id, created_at = encounter.encounter_id, microseconds(encounter.created_at)
            entry = entries.get(encounter_id) or Entry(encounter_id, created_at, NOTHING_DELIVERED, state.number - 1)
            if max(created_at, entry.created_at) < state.start:
                continue
            before, *handled = json.loads(entry.delivered)
            digest = self._digest(encounter)
            if before == digest:
                updated.append(evolve(entry, seen=state.number))
                continue
            updated.append(_unconfirmed(entry))
            change = Upsert(
                kind="added" if before is None else "changed",
                encounter_id=encounter_id,
                encounter=encounter,
                transcripts_ready=list(_transcripts_ready(encounter, handled)),
            )
            delivered = Entry(encounter_id, created_at, json.dumps([digest, *handled]), state.number)
            pending.append((change, _run(self.ledger.record, [delivered])))
        self.ledger.record(updated)
        state.newest = max(state.newest, microseconds(encounters[-1].created_at))
        self._save("interrupted")
        return pending

    def _digest(self, encounter: Encounter) -> str:
        text, key = Secret(json.dumps(encounter.to_dict(), sort_keys=True).encode()), self.state.key
        return blake2b(text.reveal(), key=key.reveal().encode(), digest_size=16).hexdigest()

    def _check_deletions(self, total: int) -> None:
        """Refuse a mass deletion. *total* is the server's ``total`` if the last page was empty, else 0."""
        state, missing = self.state, self.ledger.count_unseen(self.state.start, self.state.number)
        if (total or is_mass_deletion(missing, state.known)) and not self.allow_mass_delete:
            self._save("refused")
            raise MassDeletionError(missing=missing, known=state.known, total=total)

    def _find_missing(self) -> list[Pending]:
        """Return the next deletions. Without any, the pass is complete."""
        missing = self.ledger.unseen(self.since, self.state.number, BATCH)
        self.ledger.record([_unconfirmed(entry) for entry in missing])
        self._save("interrupted" if missing else "complete")
        self.since = missing[-1].created_at if missing else self.since
        ids = [entry.encounter_id for entry in missing]
        return [(Delete(encounter_id=each), _run(self.ledger.remove, each)) for each in ids]


def is_mass_deletion(missing: int, known: int) -> bool:
    """Return whether so many of the known encounters are missing that deleting them needs permission."""
    return missing > MAX_DELETIONS and missing > known * MAX_SHARE


def _run(function: Callable[..., Any], *arguments: Any) -> Steps[Any]:
    return (yield Run(partial(function, *arguments)))


def _unconfirmed(entry: Entry) -> Entry:
    """Return the entry of an encounter that may be delivered from now on, or deleted.

    After a crash, only this shows that you may have received the change. The next pass delivers the encounter again, or
    its deletion if it no longer exists.
    """
    digest, *handled = json.loads(entry.delivered)
    return evolve(entry, delivered=json.dumps([digest and "", *handled]))


def _transcripts_ready(encounter: Encounter, handled: list[str]) -> Iterator[TranscriptReadyEvent]:
    """Yield an event for each completed transcript that is not in *handled*, and add it there."""
    documents = encounter.documents if isinstance(encounter.documents, list) else []
    for document in documents:
        if not isinstance(document, DocumentSummary) or not isinstance(document.document_id, str):
            continue
        is_ready = (document.schema_type, document.status) == ("ambient_transcript", "completed")
        if not is_ready or document.document_id in handled:
            continue
        handled.append(document.document_id)
        identity = json.dumps([encounter.encounter_id, document.document_id]).encode()
        yield TranscriptReadyEvent(
            id=f"evt_{blake2b(identity, digest_size=16).hexdigest()}",  # The same id in every ledger.
            type="recording.transcript_ready",
            api_version="2026-05-01",
            occurred_at=encounter.updated_at or encounter.created_at,
            organization_id=encounter.organization_id,
            resources=EventResources(encounter_id=encounter.encounter_id, document_id=document.document_id),
        )
