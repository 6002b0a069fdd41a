"""Ticks of every kind of schedule: where they begin and end, how they merge, and how they are spread."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.domain.schedules import cron, instants, ticks
from taskq.domain.schedules.cron import DAY, ScheduleFieldError
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.domain.schedules.ticks import Plan, compile_plan, fire_time, schedule_hash

T0 = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp())


def at(seconds: float) -> str:
    """RFC 3339 of a moment after T0."""
    return datetime.fromtimestamp(T0 + seconds, UTC).isoformat()


def spec(**fields: Any) -> ScheduleSpec:
    """A spec as in a manifest."""
    return msgspec.convert(fields, ScheduleSpec)


def plan(created: float = 0, **fields: Any) -> Plan:
    """The ticks of a Schedule created so many seconds after T0."""
    return compile_plan(spec(**fields), T0 + created)


def first(ticks: Plan, number: int = 3) -> list[int]:
    """The first ticks, in seconds after T0."""
    return [tick - T0 for tick in ticks.first_few(T0 - 10 * DAY, T0 + 400 * DAY, number)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"everySeconds": 600}, [600, 1200, 1800]),
        ({"everySeconds": 600, "startTime": at(1000)}, [1000, 1600, 2200]),
        ({"everySeconds": 600, "startTime": at(0)}, [0, 600, 1200]),
        ({"everySeconds": 600, "startTime": at(-1000)}, [200, 800, 1400]),
        ({"everySeconds": 600, "startTime": at(0.25)}, [1, 601, 1201]),
        ({"everySeconds": 600, "startDelaySeconds": 120}, [120, 720, 1320]),
        ({"everySeconds": 600, "startTime": at(1000), "startDelaySeconds": 120}, [1120, 1720, 2320]),
        ({"everySeconds": 600, "endTime": at(1200)}, [600, 1200]),
        ({"everySeconds": 600, "endTime": at(1199.5)}, [600]),
        ({"everySeconds": 600, "endTime": at(-5)}, []),
        ({"everySeconds": 1}, [1, 2, 3]),
        ({"schedules": ["*/10 * * * *"]}, [600, 1200, 1800]),
        ({"schedules": ["*/10 * * * *"], "startTime": at(0)}, [0, 600, 1200]),
        ({"schedules": ["*/10 * * * *"], "startTime": at(601)}, [1200, 1800, 2400]),
        ({"schedules": ["*/10 * * * *"], "startDelaySeconds": 601}, [1200, 1800, 2400]),
        ({"schedules": ["*/10 * * * *"], "endTime": at(600)}, [600]),
        ({"schedules": ["*/10 * * * *", "*/15 * * * *"]}, [600, 900, 1200]),
        ({"schedules": ["*/10 * * * *", "0 * * * *", "*/10 * * * *"]}, [600, 1200, 1800]),
        ({"schedules": ["*/20 * * * * *"]}, [20, 40, 60]),
        ({"dailyTimes": ["12:00:01", "12:30:00", "12:30"]}, [1, 1800, DAY + 1]),
        ({"dailyTimes": ["13:00:00"], "timeZone": "Europe/Madrid"}, [DAY, 2 * DAY, 3 * DAY]),
    ],
)
def test_the_first_ticks_are(fields: dict[str, Any], expected: list[int]) -> None:
    """In seconds after the creation, at noon."""
    assert first(plan(**fields)) == expected


def test_the_instant_of_creation_is_no_tick() -> None:
    """It lies in the second in which the object appeared; whether it was before or after nobody can say."""
    assert first(plan(schedules=["0 12 * * *"]), 1) == [DAY]


def test_a_creation_in_the_future_of_the_clock_has_no_past_ticks() -> None:
    """Two clocks differ; nothing comes before the creation."""
    assert first(plan(created=3000, everySeconds=600), 1) == [3600]


def test_a_backfill_sees_ticks_before_the_creation() -> None:
    """With the same phase, and not before a startTime."""
    whole = compile_plan(spec(everySeconds=600), T0, whole_past=True)
    assert [tick - T0 for tick in whole.first_few(T0 - 1500, T0 + 700, 9)] == [-1200, -600, 0, 600]
    bounded = compile_plan(spec(everySeconds=600, startTime=at(-700)), T0, whole_past=True)
    assert [tick - T0 for tick in bounded.first_few(T0 - 1500, T0, 9)] == [-700, -100]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "spec"),
        ({"everySeconds": 60, "schedules": ["@hourly"]}, "spec"),
        ({"dailyTimes": ["03:00:00"], "schedules": ["@hourly"]}, "spec"),
        ({"everySeconds": 0}, "spec.everySeconds"),
        ({"everySeconds": 60, "timeZone": "Mars/Olympus"}, "spec.timeZone"),
        ({"schedules": ["@hourly", "@hourly", "no"]}, "spec.schedules[2]"),
        ({"schedules": ["@hourly"] * 17}, "spec.schedules"),
        ({"dailyTimes": ["03:00:00", "24:00:00"]}, "spec.dailyTimes[1]"),
        ({"dailyTimes": ["3:00"]}, "spec.dailyTimes[0]"),
        ({"dailyTimes": ["03:00:00\n"]}, "spec.dailyTimes[0]"),
        ({"dailyTimes": ["03:00:00"] * 97}, "spec.dailyTimes"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    """The API server refuses some of it before; a restored object may still have it."""
    with pytest.raises(ScheduleFieldError) as refused:
        plan(**fields)
    assert refused.value.field == field


@given(every=st.integers(1, 10**8), low=st.integers(-(10**9), 10**9), length=st.integers(1, 10**9))
def test_intervals_are_computed(every: int, low: int, length: int) -> None:
    """First, last and number of an interval agree, whatever its length."""
    source = ticks.Every(T0, every)
    high = low + length
    one, last, number = source.first_in(low, high), source.last_in(low, high), source.number(low, high)
    if one is None:
        assert last is None
        assert number == 0
    else:
        assert last is not None
        assert low <= one < low + every
        assert high - every <= last < high
        assert (last - one) // every + 1 == number


@pytest.mark.parametrize("back", [1, 5, 101, 10_000])
@pytest.mark.parametrize(
    "expression", ["* * * * * *", "* * * * *", "0 * * * *", "30 2 * * *", "0 3 * * 1-5", "@monthly"]
)
def test_missed_ticks_are_counted_without_being_walked(
    back: int, expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is exact; the work is bounded by the days that are looked at, not by the ticks."""
    counted = plan(created=-40 * 366 * DAY, schedules=[expression], timeZone="Europe/Madrid")
    until, few = T0, counted.latest_few(T0, 0, min(back, 120))
    if back == len(few):
        assert counted.how_many(few[0] - 1, until) == back
    looked = {"first": 0, "last": 0, "days": 0}
    count_calls(monkeypatch, cron.Walls, "first_in", looked, "first")
    count_calls(monkeypatch, cron.Walls, "last_in", looked, "last")
    count_calls(monkeypatch, cron.Days, "has", looked, "days")
    period = {"* * * * * *": 1, "* * * * *": 60, "0 * * * *": 3600}.get(expression, DAY)
    number = counted.how_many(T0 - back * period, T0)
    if period < DAY:
        assert number == back
    assert looked["days"] <= 10 * 366 + 2 * 40
    assert looked["first"] + looked["last"] <= 40


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, into: dict[str, int], key: str) -> None:
    """Count the calls of a method."""
    real = getattr(owner, name)

    def counted(self: Any, *given: Any) -> Any:
        into[key] += 1
        return real(self, *given)

    monkeypatch.setattr(owner, name, counted)


def test_a_zone_is_looked_through_once_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many Schedules are in it."""
    looked = []
    real = instants._offset
    monkeypatch.setattr(instants, "_offset", lambda *given: looked.append(given) or real(*given))
    instants._pieces_of_year.cache_clear()
    for minute in range(50):
        plan(schedules=[f"{minute} 3 * * *"], timeZone="Europe/Madrid").following(T0)
    assert len(looked) < 2 * 400


def test_a_tick_of_the_rarest_day_is_found() -> None:
    """A fifth Monday that is a 29 February comes within 40 years."""
    rare = plan(schedules=["0 0 * 2 1#5"])
    found = [datetime.fromtimestamp(T0 + tick, UTC).year for tick in first(rare, 1)]
    following = rare.following(T0)
    assert found == []
    assert following is not None
    assert datetime.fromtimestamp(following, UTC).strftime("%Y-%m-%d") == "2044-02-29"


# --- jitter -------------------------------------------------------------------------------------------------------


@given(
    jitter=st.integers(1, 10_000),
    every=st.integers(1, 5_000),
    uid=st.uuids().map(str),
    number=st.integers(0, 1_000),
)
def test_jitter_never_comes_early_and_never_overtakes(jitter: int, every: int, uid: str, number: int) -> None:
    """A tick is created from its nominal time on, within the jitter, and before the next tick."""
    every_so_often = plan(everySeconds=every)
    tick = T0 + every * (number + 1)
    moment = fire_time(every_so_often, tick, jitter, uid)
    assert tick <= moment < tick + min(jitter, every)
    assert moment == fire_time(every_so_often, tick, jitter, uid)
    assert moment <= fire_time(every_so_often, tick + every, jitter, uid)


def test_jitter_spreads_schedules_and_ticks() -> None:
    """A thousand Schedules due at midnight are spread evenly, and another way each night."""
    nightly = plan(schedules=["@daily"])
    tick = nightly.following(T0)
    assert tick is not None
    spread = [fire_time(nightly, tick, 600, f"uid-{number}") - tick for number in range(1000)]
    assert all(60 < sum(minute * 60 <= moment < minute * 60 + 60 for moment in spread) < 145 for minute in range(10))
    assert fire_time(nightly, tick, 600, "a") - tick != fire_time(nightly, tick + DAY, 600, "a") - tick - DAY


def test_no_jitter_is_the_nominal_time() -> None:
    """To the second."""
    assert fire_time(plan(everySeconds=60), T0 + 60, 0, "a") == T0 + 60


# --- the hash -----------------------------------------------------------------------------------------------------

TIMING = {
    "schedules": ["@hourly"],
    "timeZone": "Europe/Madrid",
    "dst": {"gap": "Skip"},
    "startTime": at(0),
    "endTime": at(9),
    "startDelaySeconds": 5,
    "everySeconds": 5,
    "dailyTimes": ["03:00:00"],
}


@pytest.mark.parametrize("name", TIMING)
def test_an_edit_of_when_is_noticed(name: str) -> None:
    """Each of these fields moves ticks."""
    assert schedule_hash(spec(**{name: TIMING[name]})) != schedule_hash(spec())


def test_an_edit_of_anything_else_is_not() -> None:
    """None of these moves a tick, so none may lose one."""
    others = {
        "jitterSeconds": 5,
        "suspend": True,
        "concurrencyPolicy": "Allow",
        "missedRunPolicy": "RunAll",
        "maxCatchUpRuns": 5,
        "lookaheadSeconds": 5,
        "startingDeadlineSeconds": 5,
        "successfulTasksHistoryLimit": 5,
        "failedTasksHistoryLimit": 5,
        "onSuspend": "Keep",
        "suspendAfterConsecutiveFailures": 5,
        "skipIfSucceededWithinSeconds": 5,
    }
    assert schedule_hash(spec(**others)) == schedule_hash(spec())
    assert {*others, *TIMING} == {field.encode_name for field in msgspec.structs.fields(ScheduleSpec)}
