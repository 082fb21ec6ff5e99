"""Paging, windows, ties, and data that changes."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.sandbox import Sandbox
from charthero_ext.sandbox.data import Timeline, from_microseconds, microseconds
from charthero_ext.sandbox.store import Store
from tests.examples import examples
from tests.sandbox.conftest import API, Get

NEWEST = datetime(2026, 5, 1, tzinfo=UTC)


def timeline(count: int, *, ties: int = 0) -> Timeline:
    return Timeline(
        organization_id="org_test", count=count, seed=0, ties=ties, newest_at=NEWEST, span=timedelta(days=365)
    )


def walk(get: Get, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = get("/encounters", params={"limit": 100, "offset": len(items), **params}).json()
        items += page["items"]
        if not page["items"]:
            assert len(items) == page["total"]
            return items


def order(encounter: dict[str, Any]) -> tuple[str, str]:
    return encounter["created_at"], encounter["encounter_id"]


def test_pages_hold_every_encounter_once_ordered_by_created_at_and_id(get: Get, sandbox: Sandbox) -> None:
    ascending = walk(get, sort_order="asc")
    ids = [encounter["encounter_id"] for encounter in ascending]
    instants = [encounter["created_at"] for encounter in ascending]

    assert ids == list(sandbox.encounter_ids())
    assert len(ids) == len(set(ids)) == 500
    assert ids != sorted(ids)  # ids say nothing about the age
    assert ascending == sorted(ascending, key=order)
    assert walk(get, sort_order="desc") == walk(get) == ascending[::-1]
    assert {instants.count(instant) for instant in instants} >= {1, 3, 40}


def test_a_window_includes_start_at_and_excludes_end_at(get: Get) -> None:
    everything = walk(get, sort_order="asc")
    start, end = everything[100]["created_at"], everything[-100]["created_at"]

    inside = walk(get, sort_order="asc", start_at=start, end_at=end)
    assert inside == [encounter for encounter in everything if start <= encounter["created_at"] < end]
    assert walk(get, end_at=start) == [encounter for encounter in everything if encounter["created_at"] < start][::-1]
    assert walk(get, start_at="2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize(("precision", "digits"), [("microseconds", 6), ("milliseconds", 3), ("seconds", 0)])
def test_precision_truncates_datetimes_but_not_windows(precision: Any, digits: int) -> None:
    with Sandbox(encounters=50, precision=precision) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        url = f"{sandbox.base_url}{API}/encounters"
        newest = httpx.get(url, headers=headers, trust_env=False).json()["items"][0]
        written = newest["created_at"]
        exact = sandbox.store.find(newest["encounter_id"])["created_at"]

        assert len(written.removesuffix("Z").partition(".")[2]) == digits
        assert timedelta(0) <= exact - datetime.fromisoformat(written) < timedelta(microseconds=10 ** (6 - digits))
        # The truncated value finds its encounter as start_at, and would miss it as end_at.
        again = httpx.get(url, params={"start_at": written}, headers=headers, trust_env=False).json()
        assert [encounter["encounter_id"] for encounter in again["items"]] == [newest["encounter_id"]]


def test_seed_and_clock_decide_the_data() -> None:
    def everything(**options: Any) -> list[Any]:
        return list(Sandbox(**{"encounters": 60, "now": NEWEST, **options}).store)

    assert everything() == everything()
    later = everything(now=NEWEST + timedelta(days=1))
    assert [e["created_at"] - timedelta(days=1) for e in later] == [e["created_at"] for e in everything()]
    assert not {e["encounter_id"] for e in everything()} & {e["encounter_id"] for e in everything(seed=1)}


def test_ten_million_encounters_take_no_memory() -> None:
    sandbox = Sandbox(encounters=10_000_000, ties=5000, newest_at=NEWEST, span=timedelta(days=365))
    start, end = (microseconds(datetime(2025, 8, day, tzinfo=UTC)) for day in (1, 21))
    tracemalloc.start()
    for offset in (0, 10_000, 5_000_000, 9_999_900):
        items, total = sandbox.store.page(start=None, end=None, offset=offset, limit=100, descending=False)
        assert (len(items), total) == (100, 10_000_000)
    _, inside = sandbox.store.page(start=start, end=end, offset=0, limit=100, descending=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert inside == pytest.approx(10_000_000 * 20 / 365, rel=0.001)
    assert peak < 2_000_000


@given(text=st.text(max_size=30) | st.from_regex(r"enc_[0-9a-fA-F_+ -]{18,22}", fullmatch=True))
def test_an_invented_id_is_not_found(text: str) -> None:
    assert Store(timeline(10_000)).find(text) is None


instants = st.sampled_from([timeline(40, ties=6).created(index) for index in (0, 5, 17, 20, 39)]) | st.integers(
    microseconds(NEWEST - timedelta(days=400)), microseconds(NEWEST + timedelta(days=10))
)


@given(
    size=st.sampled_from([(40, 6), (0, 0), (1, 1), (7, 0), (16, 16), (101, 37)]),
    changes=st.lists(st.tuples(st.sampled_from("adddc"), st.integers(0, 1000), instants), max_size=60),
    start=st.none() | instants,
    end=st.none() | instants,
    offset=st.integers(0, 60),
    limit=st.integers(0, 30),
    descending=st.booleans(),
)
@examples(200)
def test_pages_stay_exact_after_any_changes(
    size: tuple[int, int],
    changes: list[tuple[str, int, int]],
    start: int | None,
    end: int | None,
    offset: int,
    limit: int,
    descending: bool,
) -> None:
    store = Store(timeline(size[0], ties=size[1]))
    model = {encounter["encounter_id"]: encounter for encounter in store}
    assert len(model) == size[0]
    for change, number, created in changes:
        if change == "a":
            added = store.append(created, ready=True, fields={})
            model[added["encounter_id"]] = added
        elif model:
            encounter_id = sorted(model)[number % len(model)]
            if change == "d":
                store.delete(model.pop(encounter_id))
            else:
                model[encounter_id] = store.change(model[encounter_id], {"status": f"changed {number}"})

    inside = sorted(
        (
            encounter
            for encounter in model.values()
            if (start is None or encounter["created_at"] >= from_microseconds(start))
            and (end is None or encounter["created_at"] < from_microseconds(end))
        ),
        key=lambda encounter: (encounter["created_at"], encounter["encounter_id"]),
        reverse=descending,
    )
    assert store.page(start=start, end=end, offset=offset, limit=limit, descending=descending) == (
        inside[offset : offset + limit],
        len(inside),
    )
    assert len(store) == len(model)
    assert all(store.find(encounter_id) == encounter for encounter_id, encounter in model.items())


def test_the_newest_encounters_are_from_yesterday_and_today(get: Get, sandbox: Sandbox) -> None:
    now = sandbox.clock.now()
    for days in (1, 2, 20):
        start, end = now - timedelta(days=days), now - timedelta(days=days - 1)
        assert walk(get, start_at=start.isoformat(), end_at=end.isoformat())
    assert now - timedelta(hours=12) < datetime.fromisoformat(walk(get)[0]["created_at"]) < now


def test_newest_at_fixes_the_data() -> None:
    first, second = (list(Sandbox(encounters=20, newest_at=NEWEST, span=timedelta(days=9)).store) for _ in range(2))
    assert first == second
    assert NEWEST - timedelta(days=9) <= first[0]["created_at"] < first[-1]["created_at"] < NEWEST


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"newest_at": datetime(2100, 1, 1, tzinfo=UTC)}, "newest_at must not be after"),
        ({"now": datetime(2026, 1, 1)}, "time zone"),
        ({"ties": 251}, "ties must be between 0 and the number of encounters"),
        ({"span": timedelta(microseconds=9)}, "span is too short"),
        *(({"host": host}, "this machine only") for host in ("0.0.0.0", "::", "192.0.2.1", "example.test", "")),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**options)


steps = st.one_of(
    st.tuples(st.just("append"), st.none() | st.integers(-40, 40), st.booleans()),
    st.tuples(st.sampled_from(["change", "set updated_at", "finish", "add", "delete", "shift"]), st.integers(0, 99)),
    st.tuples(st.just("clock"), st.none() | st.integers(-5, 5)),
    st.tuples(st.just("reset"), st.integers(-5, 5)),
)


@given(steps=st.lists(steps, max_size=20))
def test_updated_at_never_lies_in_the_future_or_goes_back(steps: list[Any]) -> None:
    sandbox = Sandbox(encounters=12, now=NEWEST, span=timedelta(hours=6))
    known: dict[str, datetime] = {}
    for step, value, *more in steps:
        ids = list(sandbox.encounter_ids())
        encounter_id = ids[value % len(ids)] if ids and isinstance(value, int) else "enc_unknown"
        instant = None if value is None else sandbox.clock.now() + timedelta(hours=value)
        with suppress(KeyError, ValueError):
            if step == "append":
                sandbox.append(created_at=instant, ready=more[0])
            elif step == "change":
                sandbox.change(encounter_id, status="amended")
            elif step == "set updated_at":
                sandbox.change(encounter_id, updated_at=(instant - timedelta(hours=50)).isoformat())
            elif step == "finish":
                sandbox.finish_transcript(encounter_id)
            elif step == "add":
                sandbox.add_document(encounter_id)
            elif step == "delete":
                sandbox.delete(encounter_id)
            elif step == "shift":
                sandbox.shift(sandbox.store)
            elif step == "clock":
                sandbox.clock.set(instant)
            else:
                known.clear()
                sandbox.reset(now=instant)
        now = sandbox.clock.now()
        for encounter in sandbox.store:
            updated_at = encounter["updated_at"]
            assert known.get(encounter["encounter_id"], updated_at) <= updated_at <= now
            known[encounter["encounter_id"]] = updated_at


def test_a_change_keeps_the_order_and_the_other_fields(get: Get, sandbox: Sandbox) -> None:
    before = walk(get)
    sandbox.clock.set(datetime(2100, 1, 1, tzinfo=UTC))
    sandbox.change(before[3]["encounter_id"], status="amended")

    after = walk(get)
    assert after[3] == before[3] | {"status": "amended", "updated_at": "2100-01-01T00:00:00.000000Z"}
    assert after[:3] + after[4:] == before[:3] + before[4:]
    with pytest.raises(ValueError, match="created_at"):
        sandbox.change(before[3]["encounter_id"], created_at="2020-01-01T00:00:00Z")
    with pytest.raises(KeyError):
        sandbox.change("enc_unknown", status="amended")


def test_values_outside_the_contract_are_served(get: Get, sandbox: Sandbox) -> None:
    sandbox.clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    sandbox.change(next(sandbox.encounter_ids()), updated_at=datetime.fromisoformat("2030-01-01T02:00:00+02:00"))
    assert get("/encounters?sort_order=asc").json()["items"][0]["updated_at"] == "2030-01-01T00:00:00.000000Z"
    odd = {"created": "not a date", "nested": [None, {"deep": "\ud800"}]}
    broken = sandbox.append(patient=None, documents=None, updated_at="yesterday", status=None, extra=odd)
    half = sandbox.append(
        documents=[{"document_id": "doc_half", "schema_type": "ambient_transcript", "status": "completed"}]
    )

    first, second = get("/encounters").json()["items"][:2]
    assert (second["documents"], second["updated_at"]) == (None, "yesterday")
    assert second["extra"]["nested"][1] == {"deep": "?"}
    assert first["encounter_id"] == half["encounter_id"]
    assert get(f"/encounters/{broken['encounter_id']}").status_code == 200
    assert get(f"/encounters/{broken['encounter_id']}/documents/doc_half").status_code == 404
    assert get(f"/encounters/{half['encounter_id']}/documents/doc_half").json()["document"]["title"] is None
    for rest in ("/transcript", "/audio"):
        assert get(f"/encounters/{half['encounter_id']}/documents/doc_half{rest}").status_code == 200
