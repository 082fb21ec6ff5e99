"""Encounters, documents, transcripts and recordings as JSON Lines in a directory, whole even if it is killed meanwhile.

What makes it so is the order of writes. Lines are appended to ``*.part`` files. After each batch these are synced, and
then the state is replaced as a whole: the walk's checkpoint, with the sizes that the files have at it. Whoever goes on
cuts the files back to those sizes first, so a line is there if and only if the checkpoint is behind it. When the walk
is complete, the state says so, the files take their names, the manifest is written, and last the state goes. Every step
can be done again, so it does not matter between which of them the process died.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from attrs import frozen

from charthero_ext.cli.durable import Lines, held, measured, read_lines, replace_json, sync
from charthero_ext.cli.export_parts import GAPS, Parts
from charthero_ext.cli.export_records import Manifest, Options, State, added, counts_of
from charthero_ext.cli.rendering import documents_of
from charthero_ext.client import ChartHero
from charthero_ext.errors import ChartHeroError, ConfigurationError
from charthero_ext.pagination import Window

__all__ = ["Export", "ExportError"]

_T = TypeVar("_T")

BATCH = 50  # encounters between two states
OUTAGE = 20  # unreadable parts in a row, and they are no accident of single records

ENCOUNTERS, MANIFEST, STATE = "encounters.jsonl", "manifest.json", "export-state.json"

Progress = Callable[[int, int | None], object]


class ExportError(ChartHeroError):
    """The directory cannot be exported to; the text says why, and what to do."""


@frozen(kw_only=True)
class Export:
    """An export of the encounters of a range, oldest first, into a directory.

    Attributes:
        client: Whose encounters.
        directory: Where they go. Made if it is not there, for its owner only, as are the files in it.
        start_at: Only encounters with ``created_at >= start_at``.
        end_at: Only encounters with ``created_at < end_at``.
        parts: What to have besides the encounters: ``documents``, ``transcripts``, ``audio``.
        concurrency: How many requests at once.

    Raises:
        ValueError: ``start_at`` is not before ``end_at``, or one has no time zone.
    """

    client: ChartHero
    directory: Path
    start_at: datetime | None = None
    end_at: datetime | None = None
    parts: tuple[str, ...] = ("documents", "transcripts")
    concurrency: int = 4

    def __attrs_post_init__(self) -> None:
        Window(start_at=self.start_at, end_at=self.end_at)

    @property
    def _files(self) -> tuple[str, ...]:
        return (ENCOUNTERS, *(f"{part}.jsonl" for part in self.parts))

    def run(self, progress: Progress | None = None) -> Manifest:
        """Export, or go on with what was begun, and return the manifest; that of a finished export at once.

        Args:
            progress: Called with how many encounters there are and, where it is known, how many there will be.

        Raises:
            ExportError: The directory is in use, holds something else, or was changed by somebody else.
            OSError: It cannot be written.
            ChartHeroError: A call failed. What was exported stays; running it again goes on.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and stat.S_IMODE(self.directory.stat().st_mode) & 0o077:
            names = {path.name for path in self.directory.iterdir()}
            if names and names.isdisjoint({MANIFEST, STATE}):
                raise ExportError(f"other users can read {self.directory}; choose another directory")
            self.directory.chmod(0o700)
        try:
            with held(self.directory):
                manifest = self._read(MANIFEST, Manifest) or self._written(progress or (lambda *_: None))
                self._check(manifest)
                for left_over in (f"{GAPS}.part", f".{STATE}.new", f".{MANIFEST}.new", STATE):
                    (self.directory / left_over).unlink(missing_ok=True)
        except BlockingIOError:
            raise ExportError(f"another export is writing to {self.directory}; wait until it has ended") from None
        return manifest

    @property
    def _options(self) -> Options:
        start, end = (None if at is None else at.astimezone(UTC).isoformat() for at in (self.start_at, self.end_at))
        url = self.client.settings.base_url
        return Options(base_url=url, start_at=start, end_at=end, parts=list(self.parts))

    def _begin(self) -> State:
        state = self._read(STATE, State)
        if state is not None:
            self._refuse_another(state.options)
            if state.receipt and state.sizes.keys() != {*self._files, GAPS}:
                raise self._damaged(STATE)
            return state
        names = [*self._files, *(f"{name}.part" for name in (*self._files, GAPS)), "audio"]
        if taken := {path.name for path in self.directory.iterdir()}.intersection(names):
            raise ExportError(f"{self.directory} holds {min(taken)} of something else; choose another directory")
        state = State(self._options)
        replace_json(self.directory / STATE, state)
        return state

    def _written(self, progress: Progress) -> Manifest:
        state = self._begin()
        if not state.complete:
            with ExitStack() as stack:
                try:
                    files = {
                        name: stack.enter_context(Lines(self.directory / f"{name}.part", state.sizes.get(name, 0)))
                        for name in (*self._files, GAPS)
                    }
                except EOFError as error:
                    raise self._damaged(str(error)) from None
                self._collect(state, files, stack.enter_context(_workers(self.concurrency)), progress)
        return self._finish(state)

    def _collect(self, state: State, files: dict[str, Lines], workers: ThreadPoolExecutor, progress: Progress) -> None:
        """Append everything that is not written yet."""
        earlier, done, total, unreadable = state.receipt, state.rows, None, Counter[str]()
        progress(done, total)
        parts = Parts(self.parts, self.client.documents, self.directory)
        if "audio" in self.parts:
            parts.drop_recordings_but(line["file"] for line in read_lines(self.directory / "audio.jsonl.part"))
        try:
            walk = self.client.encounters.iter(
                start_at=self.start_at, end_at=self.end_at, concurrency=self.concurrency, resume_from=state.checkpoint
            )
        except ConfigurationError:
            raise self._damaged(STATE) from None
        while not state.complete:
            batch = [(encounter, documents_of(encounter)) for encounter in islice(walk, BATCH)]
            work = [(encounter.encounter_id, document) for encounter, documents in batch for document in documents]
            had = workers.map(parts, work if self.parts else ())
            if total is None and walk.receipt.total_at_start is not None:
                total = done + walk.receipt.total_at_start
            for encounter, documents in batch:
                files[ENCOUNTERS].write(encounter.to_dict())
                for name, row, error in (row for rows in islice(had, len(documents)) for row in rows):
                    files[name].write(row)
                    part = row["part"] if error else name.removesuffix(".jsonl")
                    unreadable[part] = unreadable[part] + 1 if error and not row["gone"] else 0
                    if error and unreadable[part] == OUTAGE:
                        raise error
                done += 1
                progress(done, total)
            state.sizes = {name: file.sync() for name, file in files.items()}
            state.checkpoint = walk.checkpoint()
            state.receipt = added(earlier, walk.receipt)
            replace_json(self.directory / STATE, state)

    def _finish(self, state: State) -> Manifest:
        """Give the files their names, and write the manifest."""
        files = {}
        for name in (*self._files, GAPS):
            part, final = self.directory / f"{name}.part", self.directory / name
            found = part if part.exists() else final
            if not found.is_file() or found.stat().st_size != state.sizes.get(name):
                raise self._damaged(name)
            files[name] = measured(found)
        for name in self._files:
            if (part := self.directory / f"{name}.part").exists():
                part.replace(self.directory / name)
        sync(self.directory)
        del files[GAPS]
        gaps: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for gap in read_lines(self.directory / f"{GAPS}.part"):
            gaps[gap.pop("gone")].append(gap)
        if state.receipt is None:
            raise self._damaged(STATE)
        manifest = Manifest(
            options=state.options,
            finished_at=datetime.now(UTC).replace(microsecond=0),
            counts=counts_of(files),
            receipt=state.receipt,
            files=files,
            missing=gaps[True],
            unreadable=gaps[False],
        )
        replace_json(self.directory / MANIFEST, manifest)
        return manifest

    def _check(self, manifest: Manifest) -> None:
        """See that the manifest is of this export, and that what it lists is there."""
        self._refuse_another(manifest.options)
        if manifest.files.keys() != set(self._files) or manifest.counts != counts_of(manifest.files):
            raise self._damaged(MANIFEST)
        for name, file in manifest.files.items():
            path = self.directory / name
            if not path.is_file() or path.stat().st_size != file.bytes:
                raise self._damaged(name)

    def _refuse_another(self, options: Options) -> None:
        names = {"base_url": "host", "start_at": "--since", "end_at": "--until", "parts": "--with"}
        if differing := [
            said for name, said in names.items() if getattr(options, name) != getattr(self._options, name)
        ]:
            raise ExportError(
                f"{self.directory} was exported with a different {' and '.join(differing)}; choose another directory"
            )

    def _damaged(self, name: str) -> ExportError:
        return ExportError(f"{name} in {self.directory} is not as the export left it; export to another directory")

    def _read(self, name: str, kind: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode((self.directory / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except ValueError:
            raise self._damaged(name) from None


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose queue is dropped when the caller leaves; after Ctrl-C, nobody waits for what they are at."""
    workers, waits = ThreadPoolExecutor(count, "charthero-export"), True
    try:
        yield workers
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        workers.shutdown(wait=waits, cancel_futures=True)
