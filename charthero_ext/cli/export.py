"""Export encounters to a directory that each run brings up to date.

::

    DIR/export.ledger           what was exported; see charthero_ext.changes
    DIR/0001/encounters.jsonl   the set of the first run: everything
    DIR/0001/documents.jsonl    and so on, with manifest.json
    DIR/0002/encounters.jsonl   the set of the second run: what is new or has changed
    DIR/0002/deleted.jsonl      and the ids of deleted encounters

A set is written to a hidden directory, which gets its name when the set is complete. After each page of encounters the
files are synced, and then one transaction of the ledger saves what was delivered together with the sizes of the files.
A run that continues cuts the files back to these sizes. So each line is written exactly once, whenever a run is killed.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from attrs import frozen

from charthero_ext.changes import Change
from charthero_ext.cli.export_ledger import ExportLedger, State
from charthero_ext.cli.records import Reader, Row
from charthero_ext.cli.set_files import append, complete, open_files, read_lines, sync, unusable
from charthero_ext.client import ChartHero
from charthero_ext.errors import MassDeletionError
from charthero_ext.pagination.window import total_of

__all__ = ["LEDGER", "Export"]

LEDGER = "export.ledger"
DEFAULT_PARTS = ("documents", "transcripts")


@frozen(kw_only=True)
class Export:
    """A run that adds a set to a directory.

    Attributes:
        start_at: Where the export starts; None for everything, or for what the first run was given.
        parts: What to export besides encounters; None for the default, or for what the first run was given.
        feed: Returns the changes for a ledger.
        concurrency: Requests in flight.
    """

    client: ChartHero
    directory: Path
    start_at: datetime | None
    parts: tuple[str, ...] | None
    feed: Callable[..., Iterator[Change]]
    concurrency: int
    progress: Callable[[int, int | None], object]

    def run(self) -> tuple[Path, dict[str, Any]]:
        """Add a set, or complete the one that was begun. Return its directory and its manifest.

        Raises:
            ConfigurationError: The directory contains something else, was changed, is in use, or is another host's.
            MassDeletionError: Unusually many encounters disappeared. The set is complete except for their deletion.
            ChartHeroError: A call failed. The next run continues.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / LEDGER
        if not path.is_file() and any(self.directory.iterdir()):
            raise unusable(self.directory, "is not empty and contains no export")
        self.directory.chmod(0o700)
        with ExportLedger(path) as ledger:
            try:
                state = ledger.state = self._state(ledger.load_state())
            except ValueError:
                raise unusable(path, "was changed or removed") from None
            path = self.directory / f".{state.number:04}"
            if path.is_symlink() or (state.sizes and not path.is_dir()):
                raise unusable(path, "was changed or removed")
            path.mkdir(mode=0o700, exist_ok=True)
            kinds = ("encounters", *state.parts, "deleted", "missing", "unreadable")
            with open_files(path, {kind: state.sizes.get(kind, 0) for kind in kinds}) as files:
                refusal = self._write(ledger, files, Reader(self.client.documents, tuple(state.parts), path / "audio"))
            manifest = complete(path, state, self.client.settings.base_url)
            final = path.rename(self.directory / path.name.removeprefix("."))
            sync(self.directory)
            # A reader may move the complete set away before the next run.
            ledger.state, ledger.write_pending = self._state(state), dict
            ledger.commit()
        if refusal is not None:
            raise refusal
        return final, manifest

    def _state(self, stored: State | None) -> State:
        """Return the state of this run. Refuse options that differ from those of the first run."""
        start_at = None if self.start_at is None else self.start_at.astimezone(UTC).isoformat()
        parts = None if self.parts is None else list(self.parts)
        if stored is None:
            return State(start_at=start_at, parts=list(DEFAULT_PARTS) if parts is None else parts)
        for option, given, before in (("--since", start_at, stored.start_at), ("--with", parts, stored.parts)):
            if given is not None and given != before:
                raise unusable(self.directory, f"was begun with a different {option}")
        path = self.directory / f"{stored.number:04}"
        if path.is_dir():  # The last run completed its set.
            # A document without an id can never be read.
            stored.retry = [row for row in read_lines(path / "unreadable.jsonl") if row["document_id"] is not None]
            stored.number, stored.is_walked, stored.sizes = stored.number + 1, False, {}
        return stored

    def _write(self, ledger: ExportLedger, files: dict[str, BinaryIO], reader: Reader) -> MassDeletionError | None:
        """Write the rows of all changes. Threads read documents ahead; the rows stay in the order of the changes."""
        state, total, done, refusal = ledger.state, None, 0, None
        start_at = None if state.start_at is None else datetime.fromisoformat(state.start_at)
        if state.feed is None:
            total = total_of(self.client.encounters.list(limit=1, start_at=start_at))
        pending: deque[Future[list[Row]]] = deque()

        def write_pending() -> dict[str, int]:
            nonlocal done
            while pending:
                for kind, row in pending.popleft().result():
                    append(files[kind], row)
                done += 1
                self.progress(done, total)
            if reader.directory.is_dir():
                sync(reader.directory)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
            return {kind: file.tell() for kind, file in files.items()}

        ledger.write_pending = write_pending
        workers = ThreadPoolExecutor(self.concurrency, "charthero-export")
        try:
            if not state.is_walked:
                try:
                    for change in self.feed(ledger, start_at=start_at):
                        # What was unreadable in the last run is read again, or is gone.
                        state.retry = [row for row in state.retry if row["encounter_id"] != change.encounter_id]
                        pending.append(workers.submit(reader.read, change))
                except MassDeletionError as error:
                    # The next pass starts again, so its changes belong to the next set.
                    refusal = error
            pending.extend(workers.submit(reader.read_again, row) for row in state.retry)
            state.retry = []
            ledger.commit()
        finally:
            # Ctrl-C does not wait for requests in flight.
            workers.shutdown(wait=not isinstance(sys.exception(), KeyboardInterrupt), cancel_futures=True)
        return refusal
