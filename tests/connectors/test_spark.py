"""The Spark data source in a local Spark. Its Python workers are separate processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import ConfigurationError
from charthero_ext.sandbox import Sandbox
from tests.connectors.conftest import LEFT_OUT
from tests.docs.test_readme import SPARK

pyspark = pytest.importorskip("pyspark", reason=LEFT_OUT)
pytestmark = [
    pytest.mark.spark,
    # py4j leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

from pyspark.errors import PySparkException, StreamingQueryException  # noqa: E402
from pyspark.sql import DataFrame, SparkSession  # noqa: E402

from charthero_ext.connectors.spark import ENCOUNTERS, ChartHeroDataSource  # noqa: E402

KEY = "ch_sk_canary_of_spark"
CANARY = "ch_sk_canary_in_an_option"
NEWEST = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(encounters=400, ties=30, newest_at=NEWEST, span=timedelta(days=120)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def event_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("event-log")


@pytest.fixture(scope="module")
def session(running: Sandbox, event_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two tasks at once, each tried three times. The workers have the environment that Spark was started with."""
    surroundings = {
        "CHARTHERO_BASE_URL": running.base_url,
        "CHARTHERO_API_KEY": KEY,
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in surroundings.items():
            patch.setenv(name, value)
        patch.chdir(tmp_path_factory.mktemp("spark"))
        session = (
            SparkSession.builder.master("local[2,3]")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "50")
            .config("spark.eventLog.enabled", "true")
            .config("spark.eventLog.compress", "false")
            .config("spark.eventLog.dir", event_log.as_uri())
            .getOrCreate()
        )
    session.dataSource.register(ChartHeroDataSource)
    yield session
    session.stop()


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    running.set_key(KEY)
    return running


@pytest.fixture
def spark(session: SparkSession, sandbox: Sandbox) -> SparkSession:
    return session


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[ChartHero]:
    with ChartHero(api_key=sandbox.api_key, base_url=sandbox.base_url) as client:
        yield client


def read(spark: SparkSession, **options: Any) -> DataFrame:
    return spark.read.format("charthero").options(**options).load("encounters")


def as_sent(frame: DataFrame) -> list[dict[str, Any]]:
    """The encounters of a frame in the form of the API, without what is null or was not sent."""
    return [without_nulls(row.asDict(recursive=True)) for row in frame.collect()]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if isinstance(value, datetime):  # Spark's have the zone of this machine, but no tzinfo
        return value.astimezone(UTC)
    return value


def walked(client: ChartHero, **range_: Any) -> list[dict[str, Any]]:
    return [
        without_nulls(each.to_dict() | {"created_at": each.created_at, "updated_at": each.updated_at})
        for each in client.encounters.iter(**range_)
    ]


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["encounter_id"])


def test_a_read_by_several_tasks_equals_a_walk(spark: SparkSession, client: ChartHero) -> None:
    frame = read(spark, start_at="2024-12-01T00:00:00Z", end_at="2025-02-20T12:00:00+01:00", max_rows="50")
    expected = walked(client, start_at="2024-12-01T00:00:00Z", end_at="2025-02-20T12:00:00+01:00")
    assert len(expected) > 200
    assert frame.rdd.getNumPartitions() > 4
    assert by_id(as_sent(frame)) == by_id(expected)


def test_a_read_without_bounds_returns_everything(spark: SparkSession, client: ChartHero) -> None:
    frame = read(spark)
    statuses = dict(frame.groupBy("status").count().collect())
    assert sum(statuses.values()) == 400
    assert frame.where("created_at >= '2025-02-01' AND size(documents) > 0").count() == sum(
        bool(each.documents) for each in client.encounters.iter(start_at="2025-02-01T00:00:00Z")
    )
    assert frame.schema == ENCOUNTERS
    assert read(spark, start_at="2030-01-01T00:00:00Z").count() == 0


def test_a_task_that_is_retried_returns_nothing_twice(spark: SparkSession, sandbox: Sandbox, client: ChartHero) -> None:
    # One request plans the one window; the task fails on its third page, when two hundred rows are out.
    sandbox.fail("status", status=400, operation="encounters.list", after=3)
    spark.sparkContext.setJobGroup("failing", "")
    try:
        rows = as_sent(read(spark, max_rows="1000"))
        tracker = spark.sparkContext.statusTracker()
        stages = [stage for job in tracker.getJobIdsForGroup("failing") for stage in tracker.getJobInfo(job).stageIds]
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert sandbox.faults.waiting() == []
    assert sum(tracker.getStageInfo(stage).numFailedTasks for stage in stages) == 1
    assert by_id(rows) == by_id(walked(client))


def test_a_lasting_failure_is_raised_with_its_cause(spark: SparkSession, sandbox: Sandbox) -> None:
    frame = read(spark)
    sandbox.enable_route("encounters.list", False)
    with pytest.raises(PySparkException, match=r"PermissionDeniedError: encounters\.list"):
        frame.collect()


def test_values_that_fit_no_column_are_in_additional(spark: SparkSession, sandbox: Sandbox, client: ChartHero) -> None:
    odd: dict[str, Any] = {
        "patient": {"patient_id": 5, "last_name": "Synthetic", "pronouns": "they"},
        "documents": [{"document_id": "doc_1", "audio_duration_seconds": "long"}, None, "doc_2"],
        "updated_at": "yesterday",
        "date_of_service": ["2025-03-01"],
        "additional": "of the API",
        "priority": None,
    }
    added = sandbox.append(created_at=NEWEST + timedelta(hours=1), **odd)["encounter_id"]
    sandbox.fail("unknown", times=None, operation="encounters.list")
    start_at = "2025-02-27T00:00:00Z"
    rows = {row["encounter_id"]: row.asDict(recursive=True) for row in read(spark, start_at=start_at).collect()}
    sent = {encounter.encounter_id: encounter.to_dict() for encounter in client.encounters.iter(start_at=start_at)}
    assert rows.keys() == sent.keys()
    for encounter_id, row in rows.items():
        additional = json.loads(row.pop("additional"))
        assert additional["sandbox_unseen"] == {"since": "tomorrow"}
        for name, value in sent[encounter_id].items():
            if name in additional:
                assert additional[name] == value
            elif name in ("created_at", "updated_at"):
                assert without_nulls(row[name]) == datetime.fromisoformat(value)
            else:
                assert without_nulls(row[name]) == without_nulls(value)
    assert rows[added]["updated_at"] is rows[added]["patient"]["patient_id"] is rows[added]["date_of_service"] is None
    assert rows[added]["patient"]["last_name"] == "Synthetic"
    assert [each and each["document_id"] for each in rows[added]["documents"]] == ["doc_1", None, None]


def test_a_stream_returns_each_encounter_once(
    spark: SparkSession, sandbox: Sandbox, client: ChartHero, tmp_path: Path
) -> None:
    stream = spark.readStream.format("charthero").options(delay_seconds="0", max_rows="150").load("encounters")

    def run() -> list[int]:
        query = (
            stream.writeStream.format("parquet")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "encounters"))
        )
        query.awaitTermination()
        return [progress.numInputRows for progress in query.recentProgress]

    assert sum(run()) == 400
    sandbox.append()
    sandbox.append()
    assert sum(run()) == 2
    assert sum(run()) == 0
    sandbox.append()
    # Every attempt of a batch fails, so the next run begins with that batch.
    sandbox.fail("status", status=400, operation="encounters.list", after=2, times=None)
    with pytest.raises(StreamingQueryException):
        run()
    sandbox.faults.clear()
    sandbox.append()
    assert sum(run()) == 2
    assert by_id(as_sent(spark.read.parquet(str(tmp_path / "encounters")))) == by_id(walked(client))
    offsets = [path.read_text().splitlines()[-1] for path in (tmp_path / "checkpoint" / "offsets").glob("[0-9]*")]
    assert all(datetime.fromisoformat(json.loads(offset)["before"]).tzinfo for offset in offsets)


def test_a_stream_waits_for_late_encounters(spark: SparkSession, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.append(created_at=datetime.now(UTC) - timedelta(minutes=2))
    start = NEWEST - timedelta(days=2)
    seen: list[str] = []
    query = (
        spark.readStream.format("charthero")
        .options(start_at=start.isoformat(), end_at="2100-01-01T00:00:00Z")
        .load("encounters")
        .writeStream.foreachBatch(lambda frame, _: seen.extend(row["encounter_id"] for row in frame.collect()))
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    *settled, _ = [each["encounter_id"] for each in sandbox.store if each["created_at"] >= start]
    assert sorted(seen) == sorted(settled)


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a process of Spark, for tests that need no Spark."""
    monkeypatch.setenv("CHARTHERO_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("CHARTHERO_API_KEY", KEY)


@pytest.mark.usefixtures("environment")
def test_the_offsets_of_a_stream_need_no_network(sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, times=None)
    options = {"path": "encounters", "start_at": "2025-01-01T00:00:00Z", "attempts": "3"}
    stream = ChartHeroDataSource(options).streamReader(ENCOUNTERS)
    start = stream.initialOffset()
    end = stream.latestOffset(start, None)
    assert datetime.fromisoformat(start["before"]) < datetime.fromisoformat(end["before"]) < datetime.now(UTC)
    assert stream.latestOffset(end, None) is end
    sandbox.faults.clear()
    sandbox.fail("status", status=503, times=2)
    assert stream.partitions(start, end)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("other", [{"start_at": "2025-02-01T00:00:00Z"}, {}])
def test_a_start_that_differs_from_the_checkpoint_is_refused(other: dict[str, str]) -> None:
    options = {"path": "encounters", "start_at": "2025-01-01T01:00:00+01:00"}
    kept = ChartHeroDataSource(options).streamReader(ENCOUNTERS).initialOffset()
    same = {"path": "encounters", "start_at": "2025-01-01T00:00:00Z"}
    assert ChartHeroDataSource(same).streamReader(ENCOUNTERS).latestOffset(kept, None)
    stream = ChartHeroDataSource({"path": "encounters", **other}).streamReader(ENCOUNTERS)
    for use in (lambda: stream.latestOffset(kept, None), lambda: stream.partitions(kept, stream.latestOffset())):
        with pytest.raises(ConfigurationError, match=r"start_at 2025-01-01T00:00:00\+00:00, and not"):
            use()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "2026-01-01T00:00:00Z"}, "unknown options: start; known are start_at"),
        ({"start_at": "2026-01-01T00:00:00"}, "start_at has no time zone"),
        ({"end_at": ""}, "end_at is not"),
        ({"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}, "start_at must be before end_at"),
        *(({"max_rows": value}, "max_rows must be a whole number") for value in ("abc", "", "-5", "0", "1.5", "nan")),
        *(({"delay_seconds": value}, "delay_seconds must be a number") for value in ("nan", "inf", "-1", "soon")),
        ({"attempts": "0"}, "attempts must be a whole number of at least 1"),
        ({"push_filters": "perhaps"}, "push_filters must be true or false"),
        ({"base_url": "https://elsewhere.example.test"}, "base_url names another host"),
        ({"path": "patients"}, r'only load\("encounters"\)'),
    ],
)
@pytest.mark.usefixtures("environment")
def test_invalid_options_are_refused_by_name(options: dict[str, str], message: str) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=message):
        ChartHeroDataSource({"path": "encounters", **options}).schema()


def test_errors_reach_the_user_of_spark(spark: SparkSession) -> None:
    with pytest.raises(PySparkException, match="CREATE TEMPORARY VIEW"):
        spark.sql("CREATE TABLE encounters_table USING charthero")
    spark.sql("CREATE TEMPORARY VIEW encounters_view USING charthero OPTIONS (path 'encounters')")
    assert spark.sql("SELECT count(*) FROM encounters_view").first()[0] == 400
    with pytest.raises(PySparkException, match="max_rows must be a whole number"):
        read(spark, max_rows="abc")
    with pytest.raises(PySparkException, match="the schema cannot be chosen"):
        spark.read.format("charthero").schema("encounter_id string").load("encounters").collect()


@pytest.mark.skipif(pyspark.__version__ < "4.1", reason="Spark pushes filters since 4.1")
def test_a_filter_on_created_at_reads_only_its_windows(spark: SparkSession, client: ChartHero) -> None:
    since, until = NEWEST - timedelta(days=9, microseconds=1), NEWEST - timedelta(days=2)
    filters = (
        f"created_at >= '{since.isoformat()}' AND created_at <= '{until.isoformat()}' AND status IS NOT NULL",
        f"created_at > '{since.isoformat()}' AND created_at < '{until.isoformat()}'",
        f"created_at = '{client.encounters.list(limit=1).items[0].created_at.isoformat()}'",
        "created_at < '2000-01-01' AND created_at > '2001-01-01'",
    )
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        for condition in filters:
            whole, pushed = read(spark, max_rows="50"), read(spark, max_rows="50", push_filters="true")
            assert by_id(as_sent(pushed.where(condition))) == by_id(as_sent(whole.where(condition)))
            assert pushed.where(condition).rdd.getNumPartitions() < 4 < whole.where(condition).rdd.getNumPartitions()
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")


def test_no_key_is_in_a_plan_an_event_log_or_a_checkpoint(
    spark: SparkSession, event_log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = read(spark, start_at="2025-02-01T00:00:00Z")
    assert frame.count() > 0
    for mode in ("simple", "extended", "codegen", "cost", "formatted"):
        frame.explain(mode=mode)
    for name in ("api_key", "Api_Key", "CHARTHERO_API_KEY"):
        message = f"unknown options: {name.lower()}.*CHARTHERO_API_KEY_FILE"
        for reader in (spark.read, spark.readStream):
            with pytest.raises(PySparkException, match=message) as caught:
                reader.format("charthero").option(name, CANARY).load("encounters")
            assert CANARY not in str(caught.value)
    with pytest.raises(PySparkException):
        spark.read.format("charthero").schema(ENCOUNTERS).option("api_key", CANARY).load("encounters").count()
    stream = spark.readStream.format("charthero").load("encounters").writeStream.format("noop")
    query = stream.option("checkpointLocation", str(tmp_path / "checkpoint")).trigger(availableNow=True).start()
    query.awaitTermination()
    query.explain(extended=True)
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    plans = "".join(capfd.readouterr())
    logged = contents(event_log)
    assert "BatchScan charthero" in plans
    assert "SparkListenerSQLExecutionStart" in logged
    for place in (plans, logged, contents(tmp_path / "checkpoint")):
        assert KEY not in place
        assert CANARY not in place


def contents(directory: Path) -> str:
    return "".join(path.read_bytes().decode(errors="replace") for path in directory.rglob("*") if path.is_file())


def test_the_ten_lines_of_the_readme_run(
    spark: SparkSession, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.append()
    (snippet,) = SPARK
    assert len(snippet.splitlines()) == 10
    exec(compile(snippet, "README", "exec"), {})
    assert "completed" in capfd.readouterr().out
