"""Timestamps: hours that a time zone repeats or skips, and the range of the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from charthero_ext import ChartHero
from charthero_ext._operations import as_instant
from charthero_ext.pagination import Window

from .conftest import settings

BERLIN = ZoneInfo("Europe/Berlin")
#: On 2026-10-25, Berlin's clocks show 02:30 twice: in summer time, then in winter time.
SUMMER = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
WINTER = SUMMER.replace(fold=1)
#: On 2026-03-29, Berlin's clocks skip from 02:00 to 03:00.
SKIPPED = datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)


class NotATime(datetime):
    """Like pandas.NaT: a datetime that is unequal to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = datetime.__hash__


def recording() -> tuple[ChartHero, list[dict[str, str]]]:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"items": [], "limit": 1, "offset": 0, "total": 0})

    return ChartHero(settings=settings(), httpx_args={"transport": httpx.MockTransport(answer)}), asked


CALLS: list[Callable[..., Any]] = [
    lambda ch, **range_: list(ch.encounters.iter(**range_)),
    lambda ch, **range_: ch.encounters.windows(**range_),
    lambda ch, **range_: ch.encounters.list(**range_),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_repeated_hour_of_a_time_zone_can_be_a_range(call: Callable[..., Any]) -> None:
    ch, asked = recording()
    call(ch, start_at=SUMMER, end_at=WINTER)
    assert {(query["start_at"], query["end_at"]) for query in asked} == {
        ("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00")
    }


@pytest.mark.parametrize("call", CALLS)
def test_a_skipped_local_time_is_converted_to_utc(call: Callable[..., Any]) -> None:
    ch, asked = recording()
    call(ch, start_at=SKIPPED)
    assert {query["start_at"] for query in asked} == {"2026-03-29T01:30:00+00:00"}


def test_a_checkpoint_of_a_repeated_hour_can_be_resumed() -> None:
    ch, _ = recording()
    walk = ch.encounters.iter(start_at=SUMMER, end_at=WINTER)
    assert list(ch.encounters.iter(start_at=SUMMER, end_at=WINTER, resume_from=walk.checkpoint())) == []


def test_a_window_can_be_a_repeated_hour() -> None:
    window = Window(start_at=SUMMER, end_at=WINTER)
    assert (window.end_at or SUMMER) - (window.start_at or WINTER) == timedelta(hours=1)
    with pytest.raises(ValueError, match="before end_at"):
        Window(start_at=WINTER, end_at=SUMMER)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["start_at", "end_at"])
def test_a_not_a_time_error_names_the_argument(call: Callable[..., Any], name: str) -> None:
    ch, asked = recording()
    with pytest.raises(ValueError, match=f"{name} .* not NotATime"):
        call(ch, **{name: NotATime(2026, 5, 1, tzinfo=UTC)})
    assert asked == []


@pytest.mark.parametrize("edge", [datetime.min, datetime.max])
def test_a_timestamp_out_of_range_error_names_the_argument(edge: datetime) -> None:
    zone = timezone(timedelta(hours=14 if edge is datetime.min else -12))
    with pytest.raises(ValueError, match="start_at is outside the years 1 to 9999"):
        as_instant(edge.replace(tzinfo=zone), "start_at")


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.timezones(), allow_imaginary=True))
@hypothesis_settings(deadline=None)
def test_an_aware_datetime_keeps_its_instant(instant: datetime) -> None:
    converted = as_instant(instant, "start_at")
    assert converted.tzinfo is UTC
    assert converted.timestamp() == instant.timestamp()
