"""One run of the source: the range to walk, what the destination holds of it, and what to delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import dlt
from attrs import asdict, define, field, frozen
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.normalizers.naming.snake_case import NamingConvention as SnakeCase
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.storages.load_package import TLoadPackageState

from charthero_ext import ChartHero
from charthero_ext._secret import Secret
from charthero_ext.changes import is_mass_deletion
from charthero_ext.connectors.dlt.checks import Contract, frozen_contracts, prepared_tables
from charthero_ext.connectors.dlt.destination import Covered, Destination, EncounterKey
from charthero_ext.connectors.dlt.tables import TABLES, TRANSCRIPTS, TURNS, Row, Rows, Table
from charthero_ext.errors import ChartHeroError, NotFoundError
from charthero_ext.models import Encounter
from charthero_ext.pagination import Receipt

__all__ = ["Deleted", "Extraction", "Item", "Start"]


@frozen
class Start:
    """Comes before the first encounter, so that missing tables exist even without encounters."""

    missing: frozenset[str]


@frozen
class Deleted:
    """An encounter that the destination has and the API no longer lists."""

    key: EncounterKey


Item = Start | Deleted | Encounter


@define
class Extraction:
    """The arguments of one run, and what the destination holds.

    Attributes:
        versions: By table, the encounters that it has rows of, with the ``updated_at`` that was loaded completely.
        unreadable: By encounter, the documents that an earlier run could not read.
        covered: By table, the range that it covers; None if its rows are gone, or will be.
        emptied: By table that dlt will empty, the sources that it holds rows of.
    """

    client: ChartHero
    start_at: datetime | None
    end_at: datetime | None
    look_back: timedelta
    allow_mass_delete: bool
    versions: dict[str, dict[EncounterKey, str | None]] = field(init=False, factory=dict)
    unreadable: dict[EncounterKey, set[tuple[str, str]]] = field(init=False, factory=dict)
    covered: dict[str, Covered | None] = field(init=False, factory=dict)
    emptied: dict[str, set[str]] = field(init=False, factory=dict)
    contracts: dict[str, Contract] = field(init=False, factory=dict)
    naming: NamingConvention = field(init=False, factory=cast("Any", SnakeCase))
    _states: dict[str, dict[str, Any]] = field(init=False, factory=dict)

    @property
    def host(self) -> str:
        """The host of the API, with its port."""
        return urlsplit(self.client.settings.base_url).netloc

    def key(self, encounter: Encounter) -> EncounterKey:
        """Return the source of an encounter, which is the host and the organization, and its id."""
        organization = encounter.organization_id if isinstance(encounter.organization_id, str) else ""
        return f"{self.host}/{organization}", encounter.encounter_id

    def rows(self, table: Table, records: Iterable[tuple[Mapping[str, Any], Row]]) -> Rows:
        """Return the rows of records of the API, each with the columns that we add."""
        secret = Secret(records)
        del records
        rows = Rows(table.row(record, ours, self.naming) for record, ours in secret.reveal())
        if contract := self.contracts.get(table.name):
            for violation in filter(None, (contract.violation(row, table, self.naming) for row in rows)):
                raise ChartHeroError(violation)
        return rows

    def mark_written(self, table: Table) -> None:
        """Note that the table gets a row, in the state that dlt saves with the run."""
        self._states.get(table.name, {})["has_rows"] = True

    def walk(self) -> Iterator[Item]:
        """Yield every encounter of the range, then those that are gone.

        Raises:
            ChartHeroError: A request failed, or the run would lose or delete rows; the text says which and why.
        """
        try:
            package = cast("Any", dlt.current.load_package_state())["state"]
        except CurrentLoadPackageStateNotAvailable:  # no pipeline runs
            yield from self.client.encounters.iter(start_at=self.start_at, end_at=self.end_at)
            return
        missing = self._plan(package)
        start = self._start()
        yield Start(missing)
        walk = self.client.encounters.iter(start_at=start, end_at=self.end_at)
        seen: set[EncounterKey] = set()
        newest: datetime | None = None
        for encounter in walk:
            seen.add(self.key(encounter))
            newest = encounter.created_at
            yield encounter
        listed = {source for source, _ in seen}
        gone = self._gone(seen, listed, walk.receipt)
        yield from (Deleted(key) for key in gone)
        if self.end_at is None:
            yield from self._not_readable_before(key for key in self.unreadable if key not in seen and key not in gone)
        until = newest if self.end_at is None else self.end_at
        until = until and min(until, datetime.now(UTC))
        for name, state in self._states.items():
            now = Covered(host=self.host, sources=sorted(listed), start=start, until=until)
            before = self.covered[name]
            state["covered"] = asdict(now if before is None else before.extended(now))

    def _plan(self, package: TLoadPackageState) -> frozenset[str]:
        """Read what the destination holds, and return the tables that dlt has to create."""
        self.naming = dlt.current.source_schema().naming
        self._states, self.versions, self.emptied = {}, {}, {}  # a source may run again
        tables = prepared_tables()
        self.contracts = frozen_contracts(tables)
        resources = dlt.current.source().resources
        with Destination(self.host) as destination:
            found = {table.name: destination.sources(table) for table in TABLES}
            sources = {table.name: found[table.name] or set() for table in tables}
            if TRANSCRIPTS in tables:
                sources[TRANSCRIPTS.name] &= found[TURNS.name] or set()
            self.covered = {table.name: self._covered(table, sources[table.name]) for table in tables}
            for table in tables:
                if package.get("refresh") or resources[table.name].write_disposition == "replace":
                    self.emptied[table.name] = sources[table.name]
                    self.versions[table.name] = {}
                else:
                    self.versions[table.name] = destination.versions(table, self._start(), self.end_at)
            self.unreadable = destination.unreadable()
        missing = frozenset(name for name, held in found.items() if name in self.emptied or held is None)
        dropped = [hints for name, hints in destination.schema.tables.items() if name in missing - self.emptied.keys()]
        package.setdefault("dropped_tables", []).extend(dropped)  # or dlt does not know that it has to create them
        return missing

    def _gone(self, seen: set[EncounterKey], listed: set[str], receipt: Receipt) -> set[EncounterKey]:
        """Return the encounters to delete: those of the same sources that are no longer listed.

        Raises:
            ChartHeroError: The key is of another organization, or the deletions look like a mistake.
        """
        loaded = {source for each in self.covered.values() if each is not None for source in each.sources}
        known = {key for held in self.versions.values() for key in held if key[0] in listed | loaded}
        gone = known - seen
        account = listed
        if gone and not listed:
            account = {self.key(encounter)[0] for encounter in self.client.encounters.list(limit=1).items}
        if gone and loaded and account and loaded.isdisjoint(account):
            raise ChartHeroError(
                f"this pipeline has loaded {_names(loaded)}, and the API key now lists {_names(account)}; "
                "use another pipeline_name for another organization"
            )
        if self.allow_mass_delete:
            return gone
        if gone and (not account or (not listed and receipt.total_at_end)):
            raise ChartHeroError(
                f"the API returned no encounters (total {receipt.total_at_end}); refusing to delete {len(gone)}; "
                "allow_mass_delete=True deletes them"
            )
        if is_mass_deletion(len(gone), len(known)):
            raise ChartHeroError(
                f"{len(gone)} of {len(known)} encounters in the range are no longer listed; refusing to delete them, "
                "as more than a fifth is rarely meant; allow_mass_delete=True deletes them"
            )
        for name, sources in self.emptied.items():
            if lost := sources - listed:
                raise ChartHeroError(
                    f"this run would empty the table {name}, which also holds {_names(lost)}; "
                    "allow_mass_delete=True deletes those rows"
                )
        return gone

    def _not_readable_before(self, keys: Iterable[EncounterKey]) -> Iterator[Encounter]:
        """Yield the encounters before the look-back with a document that an earlier run could not read."""
        for source, encounter_id in keys:
            try:
                encounter = self.client.encounters.get(encounter_id)
            except NotFoundError:
                continue
            if self.key(encounter)[0] == source:
                yield encounter

    def _covered(self, table: Table, sources: set[str]) -> Covered | None:
        """Return the range that the table covers; None if its rows are gone, or will be.

        dlt itself resets the state that this is kept in, if it is told to empty or drop the table.
        """
        self._states[table.name] = state = dlt.current.resource_state(table.name)
        if "covered" not in state:
            return None
        covered = Covered(**state["covered"])
        if covered.host != self.host:
            raise ChartHeroError(
                f"this pipeline has loaded from {covered.host}, and the client uses {self.host}; "
                "use another pipeline_name for another host"
            )
        if state.get("has_rows") and sources.isdisjoint(covered.sources):
            state["has_rows"] = False  # until this run writes a row: the table may stay empty
            return None
        return covered

    def _start(self) -> datetime | None:
        """Return where the walk starts: None for the beginning."""
        starts = [self.start_at if each is None else self._start_of(each) for each in self.covered.values()]
        return None if None in starts else min(start for start in starts if start is not None)

    def _start_of(self, covered: Covered) -> datetime | None:
        if self.end_at is not None:
            after = self.start_at is not None and covered.until is not None and self.start_at > covered.until
            if after or (covered.start is not None and self.end_at < covered.start):
                raise ValueError(
                    f"the range from start_at to end_at leaves a gap to the range that is loaded, "
                    f"{covered.start or 'the beginning'} to {covered.until}"
                )
            return self.start_at
        first = None if self.start_at is None or covered.start is None else min(self.start_at, covered.start)
        if covered.until is None or first != covered.start:
            return first
        back = covered.until - self.look_back
        return back if first is None else max(first, back)


def _names(sources: Iterable[str]) -> str:
    return ", ".join(sorted(sources))
