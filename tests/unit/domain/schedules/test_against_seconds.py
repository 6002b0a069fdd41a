"""Ticks against a reference that looks at every second, with zoneinfo and nothing of the code it checks."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.domain.schedules import spec as api
from taskq.domain.schedules.cron import ScheduleFieldError
from taskq.domain.schedules.ticks import compile_plan

# --- the reference ------------------------------------------------------------------------------------------------


class Cron(NamedTuple):
    """An expression as sets of values; ``None`` for a day field means that it says nothing."""

    seconds: set[int]
    minutes: set[int]
    hours: set[int]
    days: set[int] | None
    months: set[int]
    weekdays: set[int] | None
    last_day: bool = False
    nth: tuple[int, int] | None = None

    def matches(self, wall: datetime) -> bool:
        """Whether a clock that shows this shows a time of the expression."""
        if wall.second not in self.seconds or wall.minute not in self.minutes or wall.hour not in self.hours:
            return False
        if wall.month not in self.months:
            return False
        length = calendar.monthrange(wall.year, wall.month)[1]
        weekday = wall.isoweekday() % 7
        ways = []
        if self.days is not None or self.last_day:
            ways.append(wall.day in (self.days or ()) or (self.last_day and wall.day == length))
        if self.weekdays is not None:
            ways.append(weekday in self.weekdays)
        if self.nth is not None:
            ways.append((weekday, (wall.day - 1) // 7 + 1) == self.nth)
        return any(ways) or not ways


def reference(crons: list[Cron], zone: ZoneInfo, gap: str, overlap: str, low: int, high: int) -> list[int]:
    """The ticks from ``low`` on and before ``high``: every second is looked at."""
    found = []
    before = datetime.fromtimestamp(low - 1, zone)
    for instant in range(low, high):
        shown = datetime.fromtimestamp(instant, zone)
        wall = shown.replace(tzinfo=None)
        hit = False
        for cron in crons:
            hourly = len(cron.hours) == 24
            if cron.matches(wall) and (not shown.fold or hourly or overlap == "Twice"):
                hit = True
            if not hourly and gap == "RunAfter" and shown.utcoffset() > before.utcoffset():  # type: ignore[operator]
                left_out = before.replace(tzinfo=None) + timedelta(seconds=1)
                while left_out < wall:
                    hit = hit or cron.matches(left_out)
                    left_out += timedelta(seconds=1)
        if hit:
            found.append(instant)
        before = shown
    return found


# --- what is compared ---------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """One expression, as text and as sets."""

    text: str
    cron: Cron


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """A field as text, and its values by the plain reading of it."""
    kind = draw(st.sampled_from(["all", "one", "few", "range", "step", "wrap"]))
    if kind == "all":
        return "*", set(range(low, high + 1))
    if kind == "step":
        step = draw(st.integers(1, high - low))
        return f"*/{step}", set(range(low, high + 1, step))
    values = draw(st.lists(st.integers(low, high), min_size=2, max_size=3, unique=True))
    if kind == "one":
        return str(values[0]), {values[0]}
    if kind == "few":
        return ",".join(map(str, values)), set(values)
    first, last = sorted(values[:2])
    if kind == "range":
        return f"{first}-{last}", set(range(first, last + 1))
    return f"{last}-{first}", {*range(last, high + 1), *range(low, first + 1)}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An expression that may well match within some hours."""
    second = draw(st.one_of(st.just(("0", {0})), fields(0, 59)))
    minute, hour = (
        draw(fields(0, 59)),
        draw(st.one_of(st.just(("2", {2})), st.just(("*", set(range(24)))), fields(0, 23))),
    )
    day, days, last_day = "*", None, False
    weekday, weekdays, nth = "*", None, None
    which = draw(st.sampled_from(["", "", "", "day", "weekday", "both", "last", "nth"]))
    if which in ("day", "both"):
        day, days = draw(fields(1, 31))
        days = None if day in ("*", "*/1") else days
    if which in ("weekday", "both"):
        weekday, weekdays = draw(fields(0, 6))
        weekdays = None if weekday in ("*", "*/1") else weekdays
    if which == "last":
        day, last_day = "L", True
    if which == "nth":
        nth = (draw(st.integers(0, 6)), draw(st.integers(1, 5)))
        weekday = f"{nth[0]}#{nth[1]}"
    month = draw(st.one_of(st.just(("*", set(range(1, 13)))), fields(1, 12)))
    text = f"{second[0]} {minute[0]} {hour[0]} {day} {month[0]} {weekday}"
    return Case(text, Cron(second[1], minute[1], hour[1], days, month[1], weekdays, last_day, nth))


CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"),
    ("Africa/Casablanca", "2026-03-22T02:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("Asia/Tokyo", "2026-02-28T15:00"),
    ("Asia/Kathmandu", "2025-12-31T18:15"),
    ("Etc/UTC", "2028-02-29T00:00"),
]
HALF = 5_000
"""Seconds on either side of a change: an hour and what touches it."""


@settings(max_examples=150, deadline=None)
@given(
    given_cases=st.lists(cases(), min_size=1, max_size=3),
    change=st.sampled_from(CHANGES),
    gap=st.sampled_from(["RunAfter", "Skip"]),
    overlap=st.sampled_from(["Once", "Twice"]),
    cut=st.tuples(st.integers(0, HALF - 1), st.integers(0, HALF - 1)),
)
def test_ticks_are_those_that_looking_at_every_second_finds(
    given_cases: list[Case], change: tuple[str, str], gap: str, overlap: str, cut: tuple[int, int]
) -> None:
    """Around changes of clocks, for several expressions together: the next, the latest, and the number of all."""
    name, moment = change
    spec = api.ScheduleSpec(
        schedules=tuple(case.text for case in given_cases),
        time_zone=name,
        dst=api.Dst(gap, overlap),  # type: ignore[arg-type]
    )
    try:
        plan = compile_plan(spec, 0)
    except ScheduleFieldError as error:
        if "can't be met" in error.fault:
            return
        raise
    middle = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    low, high = middle - HALF + cut[0], middle + HALF - cut[1]
    expected = reference([case.cron for case in given_cases], ZoneInfo(name), gap, overlap, low, high)
    assert plan.first_few(low - 1, high - 1, 20_000) == expected
    assert plan.how_many(low - 1, high - 1) == len(expected)
    assert plan.latest_few(high - 1, low - 1, 50) == expected[-50:]
    following = plan.following(low - 1)
    if expected:
        assert following == expected[0]
    else:
        assert following is None or following >= high
