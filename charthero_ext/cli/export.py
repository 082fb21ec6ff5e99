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

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from attrs import Factory, define, frozen

from charthero_ext.changes import Change
from charthero_ext.cli.durable import Lines, Measured, make_private, measured, read_lines, sync, write_whole
from charthero_ext.cli.export_ledger import ExportLedger, State
from charthero_ext.cli.records import Reader, Row
from charthero_ext.cli.rendering import documents_of
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError
from charthero_ext.pagination.window import total_of

__all__ = ["LEDGER", "Export", "ExportError", "Manifest", "verify"]

LEDGER, MANIFEST = "export.ledger", "manifest.json"
DEFAULT_PARTS = ("documents", "transcripts")
OTHER_KINDS = ("deleted", "missing", "unreadable")

Progress = Callable[[int, int | None], object]


class ExportError(ChartHeroError):
    """The directory cannot be used for this export."""


@frozen(kw_only=True)
class Manifest:
    """What a set contains.

    ``counts`` has the lines of each kind: ``missing`` does not exist, ``unreadable`` is read again by the next run.
    A kind without lines has no file.
    """

    base_url: str
    start_at: str | None
    parts: list[str]
    finished_at: datetime
    counts: dict[str, int]
    files: dict[str, Measured]


@define
class SetWriter:
    """Writes the lines of a set in order, while threads read documents."""

    files: dict[str, Lines]
    state: State
    reader: Reader
    workers: ThreadPoolExecutor
    progress: Progress
    total: int | None
    _pending: deque[tuple[str, dict[str, Any], list[Future[list[Row]]]]] = Factory(deque)
    _done: int = 0

    def add(self, change: Change) -> None:
        """Take a change. Its lines are written later."""
        encounter_id, encounter = change.encounter_id, change.encounter
        # What was unreadable in the last run is read again, or is gone.
        self.state.retry = [row for row in self.state.retry if row["encounter_id"] != encounter_id]
        if encounter is None:
            self._pending.append(("deleted", {"encounter_id": encounter_id}, []))
            return
        documents = documents_of(encounter) if self.reader.parts else []
        jobs = [self.workers.submit(self.reader.read, encounter_id, document) for document in documents]
        self._pending.append(("encounters", encounter.to_dict(), jobs))

    def write_pending(self) -> dict[str, int]:
        """Write what was added, and return the sizes of the files, which are then on disk."""
        while self._pending:
            kind, row, jobs = self._pending.popleft()
            self.files[kind].write(row)
            self._write(jobs)
            self._done += 1
            self.progress(self._done, self.total)
        if "audio" in self.reader.parts:
            sync(self.reader.directory)
        return {kind: file.sync() for kind, file in self.files.items()}

    def write_retries(self) -> None:
        """Read again what was unreadable in the last run."""
        self._write([self.workers.submit(self.reader.read_again, row) for row in self.state.retry])
        self.state.retry = []

    def _write(self, jobs: list[Future[list[Row]]]) -> None:
        for job in jobs:
            for found in job.result():
                self.files[found.kind].write(found.row)


@frozen(kw_only=True)
class Export:
    """A run that adds a set to a directory. Without ``start_at`` and ``parts``, they are those of the first run."""

    client: ChartHero
    directory: Path
    start_at: datetime | None = None
    parts: tuple[str, ...] | None = None
    look_back: timedelta = timedelta(days=30)
    allow_mass_delete: bool = False
    concurrency: int = 4

    def run(self, progress: Progress) -> tuple[Path, Manifest]:
        """Add a set, or complete the one that was begun. Return its directory and its manifest.

        Raises:
            ExportError: The directory contains something else, or was changed.
            ConfigurationError: Another run is using the directory, or it belongs to another host.
            ChartHeroError: A call failed. The next run continues.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.directory / LEDGER).is_file() and any(self.directory.iterdir()):
            raise ExportError(f"{self.directory} is not empty and contains no export; choose another directory")
        make_private(self.directory)
        with ExportLedger(self.directory / LEDGER) as ledger:
            try:
                ledger.state = self._checked(ledger.load_state())
            except ValueError:
                raise self._damaged(LEDGER) from None
            self._close_set(ledger)
            path = self.directory / f".{ledger.state.number:04}"
            if path.is_symlink() or (ledger.state.sizes and not path.is_dir()):
                raise self._damaged(path.name)
            path.mkdir(mode=0o700, exist_ok=True)
            self._write(ledger, path, progress)
            manifest = self._manifest(ledger.state, path)
            write_whole(path / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            sync(path)
            final = path.rename(self.directory / path.name.removeprefix("."))
            sync(self.directory)
            self._close_set(ledger)
        return final, manifest

    def _checked(self, stored: State | None) -> State:
        """Return the state of the export. Refuse options that differ from those of the first run."""
        start_at = None if self.start_at is None else self.start_at.astimezone(UTC).isoformat()
        parts = None if self.parts is None else list(self.parts)
        if stored is None:
            return State(start_at=start_at, parts=list(DEFAULT_PARTS) if parts is None else parts)
        for option, given, before in (("--since", start_at, stored.start_at), ("--with", parts, stored.parts)):
            if given is not None and given != before:
                raise ExportError(f"{self.directory} was begun with a different {option}; choose another directory")
        return stored

    def _close_set(self, ledger: ExportLedger) -> None:
        """Start the next set if the current one is complete."""
        state, path = ledger.state, self.directory / f"{ledger.state.number:04}"
        if path.is_dir():
            unreadable = path / "unreadable.jsonl"
            rows = read_lines(unreadable) if unreadable.exists() else iter(())
            # A document without an id can never be read.
            state.retry = [row for row in rows if row["document_id"] is not None]
            state.number, state.is_walked, ledger.write_pending = state.number + 1, False, dict
            ledger.commit()

    def _write(self, ledger: ExportLedger, path: Path, progress: Progress) -> None:
        state, total = ledger.state, None
        start_at = None if state.start_at is None else datetime.fromisoformat(state.start_at)
        if state.feed is None:
            total = total_of(self.client.encounters.list(limit=1, start_at=start_at))
        reader = Reader(self.client.documents, tuple(state.parts), path / "audio")
        if "audio" in state.parts:
            reader.directory.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as stack:
            files = {}
            for kind in ("encounters", *state.parts, *OTHER_KINDS):
                try:
                    files[kind] = stack.enter_context(Lines(path / f"{kind}.jsonl", state.sizes.get(kind, 0)))
                except EOFError as error:
                    raise self._damaged(f"{path.name}/{error}") from None
            workers = stack.enter_context(_workers(self.concurrency))
            writer = SetWriter(files, state, reader, workers, progress, total)
            ledger.write_pending = writer.write_pending
            if not state.is_walked:
                for change in self.client.encounters.changes(
                    ledger, start_at=start_at, look_back=self.look_back, allow_mass_delete=self.allow_mass_delete
                ):
                    writer.add(change)
            writer.write_retries()
            ledger.commit()

    def _manifest(self, state: State, path: Path) -> Manifest:
        """Remove what is empty or left over, and measure the rest."""
        files, counts = {}, {}
        for kind, size in state.sizes.items():
            file = path / f"{kind}.jsonl"
            if size:
                files[file.name] = measured(file)
            else:
                file.unlink()
            counts[kind] = files[file.name].lines if size else 0
        if "audio" in state.parts:
            named = {row["file"] for row in read_lines(path / "audio.jsonl")} if counts["audio"] else set()
            for recording in (path / "audio").iterdir():
                if f"audio/{recording.name}" not in named:
                    recording.unlink()
            if not named:
                (path / "audio").rmdir()
        return Manifest(
            base_url=self.client.settings.base_url,
            start_at=state.start_at,
            parts=state.parts,
            finished_at=datetime.now(UTC).replace(microsecond=0),
            counts=counts,
            files=files,
        )

    def _damaged(self, name: str) -> ExportError:
        return ExportError(f"{name} in {self.directory} was changed or removed; export to another directory")


def verify(directory: Path) -> int:
    """Compare the files of every set with its manifest, and return the number of sets.

    Raises:
        ExportError: A file differs, is missing, or is not in the manifest.
    """
    paths = sorted(path for path in directory.iterdir() if re.fullmatch(r"\d{4,}", path.name))
    for path in paths:
        for name in _differing(path):
            raise ExportError(f"{path / name} is not as it was exported")
    return len(paths)


def _differing(path: Path) -> Iterator[str]:
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, ValueError):
        yield MANIFEST
        return
    yield from {MANIFEST, *manifest.files}.symmetric_difference(file.name for file in path.glob("*.*"))
    yield from (name for name, file in manifest.files.items() if measured(path / name) != file)
    recordings = {}
    if "audio.jsonl" in manifest.files:
        recordings = {row["file"]: (row["bytes"], row["sha256"]) for row in read_lines(path / "audio.jsonl")}
    found = {f"audio/{file.name}": measured(file) for file in (path / "audio").glob("*")}
    yield from recordings.keys() ^ found.keys()
    yield from (name for name, file in found.items() if (file.bytes, file.sha256) != recordings[name])


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Start threads. On the way out drop what they have not begun, and after Ctrl-C do not wait for the rest."""
    workers, waits = ThreadPoolExecutor(count, "charthero-export"), True
    try:
        yield workers
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        workers.shutdown(wait=waits, cancel_futures=True)
