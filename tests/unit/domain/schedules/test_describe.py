"""A Schedule's times in plain words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.domain.schedules.describe import MAX_LENGTH, describe
from taskq.domain.schedules.spec import ScheduleSpec


def words(**fields: Any) -> str:
    """The description of a spec."""
    return describe(msgspec.convert({"timeZone": "Europe/Madrid"} | fields, ScheduleSpec))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * 1-5", "at 03:00 on weekdays"),
        ("0 3 * * *", "at 03:00 every day"),
        ("15 30 3 * * *", "at 03:30:15 every day"),
        ("0 0,12 * * *", "at 00:00 and 12:00 every day"),
        ("*/5 * * * *", "every 5 minutes"),
        ("* * * * *", "every minute"),
        ("0-59 * * * *", "every minute"),
        ("*/30 * * * * *", "every 30 seconds"),
        ("* * * * * *", "every second"),
        ("5 * * * *", "at minute 5 of every hour"),
        ("5,20 * * * *", "at minutes 5 and 20 of every hour"),
        ("*/45 * * * *", "at minutes 0 and 45 of every hour"),
        ("10-20 * * * * *", "at seconds 10-20 of every minute"),
        ("*/30 5 * * * *", "every 30 seconds of minute 5 of every hour"),
        ("0 */2 * * *", "every 2 hours"),
        ("0 9-17 * * mon-fri", "on the hour of hours 9-17 on weekdays"),
        ("*/10 9-17 * * 1-5", "every 10 minutes of hours 9-17 on weekdays"),
        ("0 22-1 * * 0,6", "at 00:00, 01:00, 22:00 and 23:00 at weekends"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 1,15,L * *", "at 00:00 on days 1 and 15 of the month and on the last day of the month"),
        ("0 0 * * 5#2", "at 00:00 on the second Friday of the month"),
        ("0 0 * * sun#1,7#3", "at 00:00 on the first Sunday and the third Sunday of the month"),
        ("0 0 * * L5", "at 00:00 on the last Friday of the month"),
        ("0 0 15W * *", "at 00:00 on the weekday nearest to day 15 of the month"),
        ("0 0 1 1,7 *", "at 00:00 on day 1 of the month in January and July"),
        ("0 0 1 * 1", "at 00:00 on day 1 of the month or on Mondays"),
        ("0 3 * 2 *", "at 03:00 in February"),
        ("@hourly", "every hour"),
        ("@weekly", "at 00:00 on Sundays"),
    ],
)
def test_an_expression_in_words(expression: str, expected: str) -> None:
    """What happens, not what was typed."""
    assert words(schedules=[expression]) == f"{expected}, Europe/Madrid"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"everySeconds": 1}, "every second, counted from the creation"),
        ({"everySeconds": 5400}, "every 90 minutes, counted from the creation"),
        ({"everySeconds": 86400, "startTime": "2026-01-01T00:00:00Z"}, "every day, counted from startTime"),
        (
            {"everySeconds": 600, "startDelaySeconds": 120},
            "every 10 minutes, counted from 2 minutes after the creation",
        ),
        ({"everySeconds": 600, "startDelaySeconds": 60}, "every 10 minutes, counted from 1 minute after the creation"),
        ({"dailyTimes": ["15:30:10", "03:00:00"]}, "every day at 03:00 and 15:30:10, Europe/Madrid"),
        ({"schedules": ["0 3 * * *", "@hourly", "0 3 * * *"]}, "at 03:00 every day; every hour, Europe/Madrid"),
        ({"schedules": ["nonsense"]}, ""),
        ({"dailyTimes": ["25:00"]}, ""),
        ({}, ""),
    ],
)
def test_other_kinds_in_words(fields: dict[str, Any], expected: str) -> None:
    """Nothing at all where it can't be read; the condition says why."""
    assert words(**fields) == expected


def test_a_long_one_is_cut() -> None:
    """The status stays small."""
    minutes = ",".join(str(minute) for minute in range(0, 60, 3) if minute % 7)
    text = words(schedules=[f"{minutes} {hour} 1,3,5,9 1,3,8 mon,wed" for hour in range(16)])
    assert len(text) == MAX_LENGTH
    assert text.endswith("…")


@given(
    schedules=st.lists(st.text("0123456789*/-,?LW#hr@monfebR() ", max_size=40), max_size=20),
    every=st.one_of(st.none(), st.integers(-5, 10**12)),
    times=st.lists(st.text("0123456789:", max_size=9), max_size=4),
    zone=st.text(max_size=9),
)
def test_any_input_gives_a_text(schedules: list[str], every: int | None, times: list[str], zone: str) -> None:
    """Of bounded length, without an exception."""
    spec = ScheduleSpec(tuple(schedules), every, tuple(times), zone)
    assert len(describe(spec)) <= MAX_LENGTH
