"""A Spark data source: encounters, spread over executors or as a stream.

Needs the extra, Spark 4 and Java 17: ``pip install "charthero-ext[spark]"``, also where tasks run. Spark shows its
configuration and may show options, so the key is in neither. Each process reads it by itself: from a profile, from
``CHARTHERO_API_KEY_FILE``, or from ``CHARTHERO_API_KEY``; ``spark.executorEnv`` may name the file, but hold no key.

Source in the contract: "List parameters" and "Bodies".
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, InputPartition  # type: ignore[import-not-found,unused-ignore]
from pyspark.sql.types import ArrayType, DataType, DoubleType, StringType, StructField, StructType, TimestampType  # type: ignore[import-not-found,unused-ignore]

from charthero_ext import ChartHero, Settings
from charthero_ext._operations import as_instant
from charthero_ext.errors import ConfigurationError
from charthero_ext.models import Encounter

__all__ = ["ENCOUNTERS", "ChartHeroDataSource"]


def _fields(kind: DataType, names: str) -> list[StructField]:
    return [StructField(name, kind) for name in names.split()]


_PYTHON = {StringType: (str,), DoubleType: (float, int), TimestampType: (datetime,)}
_DOCUMENT = _fields(StringType(), "document_id schema_type status title workflow_variant")
#: The columns. ``additional`` is a JSON object of the fields that no column holds, or not wholly; null for none.
ENCOUNTERS = StructType(
    _fields(StringType(), "encounter_id organization_id")
    + _fields(TimestampType(), "created_at updated_at")
    + _fields(StringType(), "date_of_service encounter_type status")
    + _fields(StructType(_fields(StringType(), "patient_id first_name last_name date_of_birth")), "patient")
    + _fields(ArrayType(StructType(_DOCUMENT + _fields(DoubleType(), "audio_duration_seconds"))), "documents")
    + _fields(StringType(), "additional")
)
_OPTIONS: dict[str, Any] = {**dict.fromkeys(("start_at", "end_at", "base_url")), "max_rows": 1000, "delay_seconds": 300}


class ChartHeroDataSource(DataSource):
    """The format ``charthero``: ``load("encounters")``, from ``spark.read`` or ``spark.readStream``.

    A read brings every encounter of a range once; each task walks over a window, and one that is tried again leaves
    nothing twice. A stream brings every encounter once, some time after it was created, and not what changes later; its
    offsets are instants, before which everything was read. What is wrong is raised as Spark's exceptions, quoting ours.

    Options:
        start_at, end_at: Only encounters with ``start_at <= created_at < end_at``; ISO 8601 with a time zone.
        base_url: The API host, where the environment does not name it.
        max_rows: About how many encounters a task reads; 1000.
        delay_seconds: Of a stream, for encounters that show up late and clocks that differ; 300.
    """

    @classmethod
    def name(cls) -> str:
        """The name of the format."""
        return "charthero"

    def schema(self) -> StructType:
        """The columns, always the same."""
        self.reader(ENCOUNTERS)
        return ENCOUNTERS

    def reader(self, schema: StructType) -> DataSourceReader:
        """What reads a range once."""
        return _Reader(self.options, schema)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 - Spark's name
        """What reads on from instant to instant."""
        return _StreamReader(self.options, schema)


class _Reader(DataSourceReader):  # it travels to the tasks, and holds no key
    def __init__(self, options: Mapping[str, str], schema: StructType) -> None:
        given = _OPTIONS | dict(options)
        if given.pop("path", None) != "encounters" or schema != ENCOUNTERS:
            raise ConfigurationError('there are encounters, with the columns they have: load("encounters")')
        if unknown := ", ".join(sorted(given.keys() - _OPTIONS.keys())):
            hint = "a key is none, as options may be shown: set CHARTHERO_API_KEY_FILE wherever Spark runs Python"
            raise ConfigurationError(f"unknown options: {unknown}; there are {', '.join(_OPTIONS)}; {hint}")
        self.start_at, self.end_at = (as_instant(given[at], at) if given[at] else None for at in ("start_at", "end_at"))
        self.base_url = Settings.load(base_url=given["base_url"]).base_url
        self.max_rows, self.delay = int(given["max_rows"]), timedelta(seconds=float(given["delay_seconds"]))

    def windows(self, start: datetime | None, end: datetime | None) -> list[InputPartition]:
        with ChartHero(base_url=self.base_url) as client:
            windows = client.encounters.windows(start_at=start, end_at=end, max_rows=self.max_rows)
            return [InputPartition(window) for window in windows]

    def partitions(self) -> list[InputPartition]:
        return self.windows(self.start_at, self.end_at)

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        with ChartHero(base_url=self.base_url) as client:
            yield from map(_row, client.encounters.iter_window(partition.value))


class _StreamReader(_Reader, DataSourceStreamReader):
    until: datetime | None = None

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        self.until = datetime.now(UTC) - self.delay

    def initialOffset(self) -> dict[str, str]:  # noqa: N802
        return {"before": (self.start_at or datetime(1970, 1, 1, tzinfo=UTC)).isoformat()}

    def latestOffset(self, start: dict[str, str] | None = None, limit: Any = None) -> dict[str, str]:  # noqa: N802
        end = self.until or datetime.now(UTC) - self.delay
        end = min(end, self.end_at or end)
        if start is not None:  # Spark tells it since 4.2, and takes it for an answer where there is nothing to read
            begin = datetime.fromisoformat(start["before"])
            with ChartHero(base_url=self.base_url) as client:
                if begin >= end or not client.encounters.list(limit=1, start_at=begin, end_at=end).items:
                    return start
        return {"before": end.isoformat()}

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> list[InputPartition]:  # type: ignore[override]
        start_at, end_at = (datetime.fromisoformat(offset["before"]) for offset in (start, end))
        return self.windows(start_at, end_at) if start_at < end_at else []


with suppress(ImportError):  # before Spark 4.2
    from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow  # type: ignore[import-not-found,unused-ignore]

    SupportsTriggerAvailableNow.register(_StreamReader)


def _row(encounter: Encounter) -> tuple[Any, ...]:
    instants = {name: getattr(encounter, name) for name in ("created_at", "updated_at")}
    sent = encounter.to_dict() | {name: at for name, at in instants.items() if getattr(at, "tzinfo", None) is not None}
    row = _fitting(sent, StructType(ENCOUNTERS.fields[:-1]))
    rest = {name: value for name, value in sent.items() if name not in row or row[name] != value}
    return *map(row.get, ENCOUNTERS.names[:-1]), json.dumps(rest, ensure_ascii=False) if rest else None


def _fitting(value: Any, kind: DataType) -> Any:
    if isinstance(kind, StructType) and isinstance(value, dict):
        return {field.name: _fitting(value[field.name], field.dataType) for field in kind if field.name in value}
    if isinstance(kind, ArrayType) and isinstance(value, list):
        return [_fitting(each, kind.elementType) for each in value]
    return value if type(value) in _PYTHON.get(type(kind), ()) else None
