"""A Spark data source for encounters: batch reads spread over executors, and streams.

Needs the extra, Spark 4 and Java 17: ``pip install "charthero-ext[spark]"``, also where tasks run. Spark displays its
configuration and options, so neither may contain the key. Each process reads the key itself: from a profile, from
``CHARTHERO_API_KEY_FILE``, or from ``CHARTHERO_API_KEY``. ``spark.executorEnv`` may name the file.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from charthero_ext import ChartHero, Settings
from charthero_ext._operations import as_instant
from charthero_ext.errors import ConfigurationError
from charthero_ext.models import Encounter

try:
    from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, InputPartition  # type: ignore[import-not-found,unused-ignore]
    from pyspark.sql.types import ArrayType, DataType, DoubleType, StringType, StructField, StructType, TimestampType  # type: ignore[import-not-found,unused-ignore]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'The Spark source needs the extra "spark": pip install "charthero-ext[spark]"', name=error.name
    ) from None

__all__ = ["ENCOUNTERS", "ChartHeroDataSource"]


def _fields(kind: DataType, names: str) -> list[StructField]:
    return [StructField(name, kind) for name in names.split()]


_PYTHON = {StringType: (str,), DoubleType: (float, int), TimestampType: (datetime,)}
_DOCUMENT = _fields(StringType(), "document_id schema_type status title workflow_variant")
#: The columns. ``additional`` is a JSON object of the fields that no column holds completely, or null.
ENCOUNTERS = StructType(
    _fields(StringType(), "encounter_id organization_id")
    + _fields(TimestampType(), "created_at updated_at")
    + _fields(StringType(), "date_of_service encounter_type status")
    + _fields(StructType(_fields(StringType(), "patient_id first_name last_name date_of_birth")), "patient")
    + _fields(ArrayType(StructType(_DOCUMENT + _fields(DoubleType(), "audio_duration_seconds"))), "documents")
    + _fields(StringType(), "additional")
)
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("start_at", "end_at", "base_url")),
    "max_rows": "1000",
    "delay_seconds": "300",
    "attempts": "12",
    "push_filters": "false",
}


class ChartHeroDataSource(DataSource):
    """The format ``charthero``: ``load("encounters")``, from ``spark.read`` or ``spark.readStream``.

    A batch read returns each encounter of a range once. Each task walks over one window, and a task that is retried
    returns nothing twice. Errors are raised as Spark's exceptions, which quote ours.

    A stream returns each encounter once, some time after it was created. It does not return an encounter that appears
    more than ``delay_seconds`` after its ``created_at``, later changes of an encounter (a new status, a finished
    transcript), or deletions. For these use ``encounters.changes`` of the client or the dlt source. Its offsets
    are instants of the clock, so an outage does not end a stream that waits for new encounters.

    Options:
        start_at, end_at: Only encounters with ``start_at <= created_at < end_at``; ISO 8601 with a time zone. A stream
            that continues from a checkpoint needs the ``start_at`` that it was started with.
        base_url: The API host, only if it is the one that the environment or the profile names.
        max_rows: About how many encounters a task reads; 1000.
        delay_seconds: Of a stream, how late an encounter may appear, and clocks may differ; 300.
        attempts: How many requests a call makes at most, if they fail in a way that may pass; 12, over half a minute.
        push_filters: ``true`` lets ``WHERE created_at >= …`` read only the windows it needs. Spark 4.1 or later, with
            ``spark.sql.python.filterPushdown.enabled`` set to true, or Spark refuses it. Without it, Spark reads the
            whole range and filters afterwards, so use ``start_at``.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "charthero"

    def schema(self) -> StructType:
        """Return the columns, which are always the same."""
        self.reader(ENCOUNTERS)
        return ENCOUNTERS

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return the reader of a range."""
        options = _Options(self.options, schema)
        return (_FilteredReader if options.push_filters else _Reader)(options)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 - Spark's name
        """Return the reader of a stream."""
        return _StreamReader(_Options(self.options, schema))


class _Options:
    """The options of a reader, checked. They travel to the tasks, and contain no key."""

    def __init__(self, options: Mapping[str, str], schema: StructType) -> None:
        given = _DEFAULTS | dict(options)
        path = given.pop("path", None)
        if "provider" in given:  # the catalog's own option
            raise ConfigurationError(
                "CREATE TABLE … USING charthero is not supported: the source holds no table. Use CREATE TEMPORARY VIEW "
                "encounters USING charthero OPTIONS (path 'encounters')"
            )
        if unknown := ", ".join(sorted(given.keys() - _DEFAULTS.keys())):
            raise ConfigurationError(
                f"unknown options: {unknown}; known are {', '.join(_DEFAULTS)}. The API key cannot be an option, "
                "because Spark displays options: set CHARTHERO_API_KEY_FILE wherever Spark runs Python"
            )
        if path != "encounters":
            raise ConfigurationError('only load("encounters") is supported, or the option path with this value')
        if schema != ENCOUNTERS:
            raise ConfigurationError("the schema cannot be chosen: encounters have the columns of ENCOUNTERS")
        self.start_at, self.end_at = (
            as_instant(given[at], at) if given[at] is not None else None for at in ("start_at", "end_at")
        )
        if self.start_at is not None and self.end_at is not None and self.start_at >= self.end_at:
            raise ConfigurationError("start_at must be before end_at")
        self.max_rows = int(_number(given, "max_rows", int, 1))
        self.attempts = int(_number(given, "attempts", int, 1))
        self.delay = timedelta(seconds=_number(given, "delay_seconds", float, 0))
        if given["push_filters"].lower() not in ("true", "false"):
            raise ConfigurationError("push_filters must be true or false")
        self.push_filters = given["push_filters"].lower() == "true"
        self.base_url = _configured_host(given["base_url"])

    def client(self) -> ChartHero:
        return ChartHero(settings=Settings.load(base_url=self.base_url, attempts=self.attempts))

    def windows(self, start: datetime | None, end: datetime | None) -> list[InputPartition]:
        if start is not None and end is not None and start >= end:
            return []
        with self.client() as client:
            windows = client.encounters.windows(start_at=start, end_at=end, max_rows=self.max_rows)
            return [InputPartition(window) for window in windows]

    def rows(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        if partition.value is None:  # what Spark reads if there are no partitions
            return
        with self.client() as client:
            yield from map(_row, client.encounters.iter_window(partition.value))


def _configured_host(base_url: str | None) -> str:
    """Return the host that the environment or the profile names.

    An option cannot name another one, because the author of a query could then send the key anywhere.
    """
    configured = Settings.load()
    if base_url is not None and configured.base_url != (
        Settings(base_url=base_url, key_source=configured.key_source).base_url
    ):
        raise ConfigurationError("base_url names another host than CHARTHERO_BASE_URL or the profile")
    return configured.base_url


def _number(given: Mapping[str, str], name: str, kind: type[int] | type[float], least: int) -> float:
    with suppress(ValueError):
        value = kind(given[name])
        if least <= value <= 10**9:
            return value
    raise ConfigurationError(f"{name} must be a {'whole ' if kind is int else ''}number of at least {least}")


class _Reader(DataSourceReader):
    def __init__(self, options: _Options) -> None:
        self.options = options
        self.start, self.end = options.start_at, options.end_at

    def partitions(self) -> list[InputPartition]:
        return self.options.windows(self.start, self.end)

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        return self.options.rows(partition)


class _FilteredReader(_Reader):
    def pushFilters(self, filters: list[Any]) -> list[Any]:  # noqa: N802 - Spark's name
        """Narrow the range, and let Spark apply the filters too."""
        for each in filters:
            kind, value = type(each).__name__, getattr(each, "value", None)
            if getattr(each, "attribute", None) != ("created_at",) or not isinstance(value, datetime):
                continue
            at = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            if kind in ("EqualTo", "GreaterThan", "GreaterThanOrEqual"):
                self.start = at if self.start is None else max(self.start, at)
            if kind in ("EqualTo", "LessThan", "LessThanOrEqual"):
                after = at + timedelta(microseconds=kind != "LessThan")
                self.end = after if self.end is None else min(self.end, after)
        return filters


class _StreamReader(DataSourceStreamReader):
    until: datetime | None = None

    def __init__(self, options: _Options) -> None:
        self.options = options
        started = options.start_at and options.start_at.astimezone(UTC).isoformat()
        self.source = {"start_at": started or "", "host": urlsplit(options.base_url).netloc}

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802 - Spark's name
        self.until = datetime.now(UTC) - self.options.delay

    def initialOffset(self) -> dict[str, str]:  # noqa: N802 - Spark's name
        return self._offset(self.options.start_at or datetime(1970, 1, 1, tzinfo=UTC))

    def latestOffset(self, start: dict[str, str] | None = None, limit: Any = None) -> dict[str, str]:  # noqa: N802
        """Return an instant of the clock, without a request. Spark tells the start since 4.2."""
        now = datetime.now(UTC)
        end = self.until or now.replace(second=0, microsecond=0) - self.options.delay
        end = min(end, self.options.end_at or end)
        return start if start is not None and end <= self._instant(start) else self._offset(end)

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> list[InputPartition]:
        return self.options.windows(self._instant(start), self._instant(end))

    def read(self, partition: InputPartition) -> Iterator[tuple[Any, ...]]:
        return self.options.rows(partition)

    def _offset(self, at: datetime) -> dict[str, str]:
        return {"before": at.astimezone(UTC).isoformat(), **self.source}

    def _instant(self, offset: dict[str, str]) -> datetime:
        """Return the instant of an offset, which a checkpoint may have kept for a stream of other options."""
        for name, mine in self.source.items():
            if (kept := offset.get(name, mine)) != mine:
                raise ConfigurationError(
                    f"the stream of this checkpoint has {name} {kept or 'left out'}, and not {mine or 'left out'}; "
                    "use the same one, or another checkpointLocation"
                )
        return datetime.fromisoformat(offset["before"])


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
