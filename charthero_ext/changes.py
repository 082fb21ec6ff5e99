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
that you never received. So your code must be idempotent. The next pass resumes an interrupted one, in the same window.
Memory use does not grow with the number of encounters.

**Deletions** come at the end of a pass, once the walk has proven that it saw everything. A revoked scope looks like
many deletions. So the pass raises `MassDeletionError` and deletes nothing if the list is empty although its ``total``
is not 0, or if more than 20 encounters and more than a fifth of those in the window disappear at once. If the counts in
the error are right, run one pass with ``allow_mass_delete=True``.

**Webhooks.** ``transcripts_ready`` has the events that a webhook delivers, once for each document. So one handler
serves polling today and webhooks later::

    receiver = Receiver(secret, SQLiteStore("events.db"), handle)  # Later, ChartHero delivers to this receiver.
    async for change in ch.encounters.changes(ledger):
        for event in change.transcripts_ready:
            await receiver.submit(event)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import asdict, define, evolve, field, frozen
from attrs.validators import ge
from charthero_client.showing import show_id

from charthero_ext._ledger import Entry, Ledger, LedgerStore
from charthero_ext._secret import Secret
from charthero_ext._steps import Run, Steps
from charthero_ext.errors import ConfigurationError, MassDeletionError
from charthero_ext.models import DocumentSummary, Encounter, EncounterPage, EventResources, TranscriptReadyEvent
from charthero_ext.pagination.position import Position, read_checkpoint, write_checkpoint
from charthero_ext.pagination.window import MARGINS, PageRequest, Window, instant_of, microseconds
from charthero_ext.pagination.window_walk import WindowWalk

if TYPE_CHECKING:
    from charthero_ext._async_http import AsyncDriver
    from charthero_ext._http import Driver

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
Feed: TypeAlias = Generator[Steps[Any] | Change, Any, None]


def iterate(driver: Driver, feed: Feed) -> Iterator[Change]:
    """Perform the steps of a feed, and yield its changes."""
    answer = None
    with suppress(StopIteration):
        while True:
            item = feed.send(answer)
            if isinstance(item, Upsert | Delete):
                answer = yield item
            else:
                answer = driver.run(item)


async def iterate_async(driver: AsyncDriver, feed: Feed) -> AsyncIterator[Change]:
    """Perform the steps of a feed, and yield its changes."""
    answer = None
    with suppress(StopIteration):
        while True:
            item = feed.send(answer)
            if isinstance(item, Upsert | Delete):
                answer = yield item
            else:
                answer = await driver.run(item)


def _run(function: Callable[..., Any], *arguments: Any) -> Steps[Any]:
    return (yield Run(partial(function, *arguments)))


def change_feed(
    fetch: Callable[[PageRequest], Steps[EncounterPage]], current: Pass, *, allow_mass_delete: bool
) -> Feed:
    """Make one pass. Yield steps and changes. Resuming after a change acknowledges it."""
    ledger = current.ledger
    yield _run(current.begin)
    walk = WindowWalk[Encounter](current.window, position=current.position)
    is_empty = current.position.last is None
    while (request := walk.request) is not None:
        if encounters := walk.receive((yield fetch(request))):
            is_empty = False
            for change, entry in (yield _run(current.compare, encounters)):
                yield change
                yield _run(ledger.record, [entry])
    # Now the walk has proven that it saw everything.
    if not allow_mass_delete:
        yield _run(current.check_deletions, walk.remaining or 0 if is_empty else 0)
    since = current.state.start
    while missing := (yield _run(ledger.unseen, since, current.state.number, BATCH)):
        yield _run(current.announce, missing)
        for entry in missing:
            yield Delete(encounter_id=entry.encounter_id)
            yield _run(ledger.remove, entry.encounter_id)
        since = missing[-1].created_at
    yield _run(partial(current.save, is_complete=True))


@frozen(kw_only=True)
class PassState:
    """What a ledger stores about its current or last pass. Instants are microseconds since 1970.

    Attributes:
        number: The number of the walk. The entries that it saw have this number.
        start: Start of the window.
        began: When the walk began.
        known: How many entries were in the window then.
        newest: When the newest encounter of all passes was created.
        checkpoint: The walk's checkpoint after the last page whose changes were recorded.
        is_complete: Whether every change was recorded.
    """

    number: int = 0
    start: int = OPEN
    began: int = OPEN
    known: int = 0
    newest: int = OPEN
    checkpoint: str | None = None
    is_complete: bool = True


@define(repr=False)
class Pass:
    """One pass. Its methods use the ledger, so they block."""

    ledger: LedgerStore
    base_url: str
    start_at: datetime | None
    look_back: timedelta = field(validator=ge(timedelta(0)))
    key: Secret[str] = field(init=False)
    state: PassState = field(init=False)
    position: Position = field(init=False, factory=Position)

    def begin(self) -> None:
        """Resume the interrupted pass of the ledger, or start the next one."""
        stored = Secret(json.loads(self.ledger.load() or "{}"))
        owner = stored.reveal().get("base_url", self.base_url)
        if owner != self.base_url:
            raise ConfigurationError(f"the ledger belongs to {owner}, not to {self.base_url}")
        self.key = Secret(stored.reveal().get("key") or token_hex(32))
        last = PassState(**stored.reveal()["pass"]) if stored.reveal() else PassState()
        if last.is_complete:
            self._start(last, self._window_start(last), known=None)
            return
        self.state = last
        if last.checkpoint is not None:
            self.position = read_checkpoint(last.checkpoint)[1]

    def _window_start(self, last: PassState) -> int:
        start = OPEN if self.start_at is None else microseconds(self.start_at)
        if last.newest == OPEN:
            return start
        # Encounters that changed during the last pass may have been created before the newest minus the look-back.
        return max(start, min(last.newest, last.began) - self.look_back // timedelta(microseconds=1))

    def _start(self, last: PassState, start: int, *, known: int | None) -> None:
        number = last.number + 1
        self.state = PassState(
            number=number,
            start=start,
            began=microseconds(datetime.now(UTC)),
            known=self.ledger.count_unseen(start, number) if known is None else known,
            newest=last.newest,
            is_complete=False,
        )
        self.position = Position()
        self.save()

    @property
    def window(self) -> Window:
        """The range to walk. It starts a minute early: a server may filter by other instants than it shows."""
        return Window(start_at=instant_of(self.state.start - MARGINS[-1]))

    def save(self, *, is_complete: bool = False) -> None:
        """Save the position of the pass, with everything recorded until now."""
        checkpoint = None if self.position.last is None else write_checkpoint(self.window, self.position)
        self.state = evolve(self.state, checkpoint=checkpoint, is_complete=is_complete)
        stored = {"base_url": self.base_url, "key": self.key.reveal(), "pass": asdict(self.state)}
        self.ledger.save(json.dumps(stored))

    def compare(self, encounters: Sequence[Encounter]) -> list[tuple[Upsert, Entry]]:
        """Return what differs from the ledger, each with its new entry. Mark the others as seen."""
        number = self.state.number
        listed = {each.encounter_id: each for each in encounters if microseconds(each.created_at) >= self.state.start}
        entries = self.ledger.find(list(listed)) if listed else {}
        same, different, changes = [], [], []
        for encounter_id, encounter in listed.items():
            created_at, digest = microseconds(encounter.created_at), self._digest(encounter)
            entry = entries.get(encounter_id) or Entry(encounter_id, created_at, NOTHING_DELIVERED, number - 1)
            before, *handled = json.loads(entry.delivered)
            if before == digest:
                same.append(evolve(entry, seen=number))
                continue
            events = [_event(encounter, each) for each in _completed_transcripts(encounter) if each not in handled]
            handled += [event.resources.document_id for event in events]
            change = Upsert(
                kind="added" if before is None else "changed",
                encounter_id=encounter_id,
                encounter=encounter,
                transcripts_ready=events,
            )
            different.append(entry)
            changes.append((change, Entry(encounter_id, created_at, json.dumps([digest, *handled]), number)))
        self.ledger.record(same)
        newest = max((entry.created_at for entry in different), default=OPEN)
        self.state = evolve(self.state, newest=max(newest, self.state.newest))
        self.announce(different)
        self.position.take_all(encounters, "asc")
        return changes

    def announce(self, entries: Sequence[Entry]) -> None:
        """Save that these encounters may be delivered from now on.

        After a crash, only this shows that you may have received them. The next pass delivers each one again, or its
        deletion if it no longer exists.
        """
        self.ledger.record([evolve(entry, delivered=_unconfirmed(entry.delivered)) for entry in entries])
        self.save()

    def check_deletions(self, total: int) -> None:
        """Refuse a mass deletion. *total* is the server's ``total`` if the list was empty, else 0."""
        state, missing = self.state, self.ledger.count_unseen(self.state.start, self.state.number)
        if total or is_mass_deletion(missing, state.known):
            # The next pass walks the same window. New encounters must not hide the loss.
            self._start(state, state.start, known=state.known)
            raise MassDeletionError(missing=missing, known=state.known, total=total)

    def _digest(self, encounter: Encounter) -> str:
        key = Secret(bytes.fromhex(self.key.reveal()))
        text = Secret(json.dumps(encounter.to_dict(), sort_keys=True))
        return blake2b(text.reveal().encode(), key=key.reveal(), digest_size=16).hexdigest()


def is_mass_deletion(missing: int, known: int) -> bool:
    """Return whether so many of the known encounters are missing that deleting them needs permission."""
    return missing > MAX_DELETIONS and missing > known * MAX_SHARE


def _unconfirmed(delivered: str) -> str:
    digest, *handled = json.loads(delivered)
    return json.dumps([None if digest is None else "", *handled])


def _completed_transcripts(encounter: Encounter) -> list[str]:
    documents = [each for each in encounter.documents or () if isinstance(each, DocumentSummary)]
    wanted = ("ambient_transcript", "completed")
    ids = [each.document_id for each in documents if (each.schema_type, each.status) == wanted]
    return [each for each in dict.fromkeys(ids) if isinstance(each, str)]


def _event(encounter: Encounter, document_id: str) -> TranscriptReadyEvent:
    """Return the event of a transcript. It has the same id in every ledger."""
    identity = json.dumps([encounter.encounter_id, document_id]).encode()
    return TranscriptReadyEvent(
        id=f"evt_{blake2b(identity, digest_size=16).hexdigest()}",
        type="recording.transcript_ready",
        api_version="2026-05-01",
        occurred_at=encounter.updated_at or encounter.created_at,
        organization_id=encounter.organization_id,
        resources=EventResources(encounter_id=encounter.encounter_id, document_id=document_id),
    )
