"""Changes of clocks: a table written by hand for zones of every temper, and every change of every zone by halves."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from taskq.domain.schedules import instants
from taskq.domain.schedules.cron import DAY, ScheduleFieldError
from taskq.domain.schedules.spec import Dst, ScheduleSpec
from taskq.domain.schedules.ticks import Plan, compile_plan


def plan(expressions: str, zone: str, gap: str = "RunAfter", overlap: str = "Once") -> Plan:
    """The ticks of some expressions, parted by «|»; dailyTimes when there is a colon in them."""
    parts = tuple(expressions.split("|"))
    dst = Dst(gap, overlap)  # type: ignore[arg-type]
    if ":" in expressions:
        return compile_plan(ScheduleSpec(daily_times=parts, time_zone=zone, dst=dst), 0)
    return compile_plan(ScheduleSpec(schedules=parts, time_zone=zone, dst=dst), 0)


def fires(ticks: Plan, zone: str, start: str, end: str) -> list[str]:
    """Ticks from one time of UTC on and before another, as clocks of the zone show them, with their offset."""
    low, high = (int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) for text in (start, end))
    found = ticks.first_few(low - 1, high - 1, 100)
    assert found == ticks.latest_few(high - 1, low - 1, 100)
    assert len(found) == ticks.how_many(low - 1, high - 1)
    return [datetime.fromtimestamp(tick, ZoneInfo(zone)).strftime("%d %H:%M:%S%z") for tick in found]


BERLIN, YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
APIA, TOKYO, CASABLANCA, SAO_PAULO = "Pacific/Apia", "Asia/Tokyo", "Africa/Casablanca", "America/Sao_Paulo"
HOURLY = "29 01:05:00+0100, 29 03:05:00+0200, 29 04:05:00+0200, 29 05:05:00+0200"
SPRING, AUTUMN = ("2026-03-28T23:30", "2026-03-29T04:00"), ("2026-10-24T22:30", "2026-10-25T04:00")

TABLE = [
    # Berlin, spring: 02:00 to 03:00 is left out on 29 March
    (BERLIN, "30 2 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200"),
    (BERLIN, "30 2 * * *", "Skip", "Once", SPRING, ""),
    (BERLIN, "0 2 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200"),
    (BERLIN, "0 3 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200"),
    (BERLIN, "30 2 * * *|0 3 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200"),
    (BERLIN, "59 1 * * *", "RunAfter", "Once", SPRING, "29 01:59:00+0100"),
    (BERLIN, "*/20 2 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200"),
    (BERLIN, "02:15:00|02:45:30|04:00:00", "RunAfter", "Once", SPRING, "29 03:00:00+0200, 29 04:00:00+0200"),
    (BERLIN, "02:15:00", "Skip", "Once", SPRING, ""),
    (BERLIN, "0 */2 * * *", "RunAfter", "Once", SPRING, "29 03:00:00+0200, 29 04:00:00+0200"),
    # What is hourly goes by elapsed time: nothing is made up for, nothing is lost
    (BERLIN, "5 * * * *", "RunAfter", "Once", SPRING, HOURLY),
    (BERLIN, "5 0-23 * * *", "RunAfter", "Once", SPRING, HOURLY),
    (BERLIN, "30 2 * * *|45 * * * *", "RunAfter", "Once", ("2026-03-29T00:00", "2026-03-29T02:00"),
     "29 01:45:00+0100, 29 03:00:00+0200, 29 03:45:00+0200"),
    # Berlin, autumn: 02:00 to 03:00 comes twice on 25 October
    (BERLIN, "30 2 * * *", "RunAfter", "Once", AUTUMN, "25 02:30:00+0200"),
    (BERLIN, "30 2 * * *", "RunAfter", "Twice", AUTUMN, "25 02:30:00+0200, 25 02:30:00+0100"),
    (BERLIN, "0 3 * * *", "RunAfter", "Once", AUTUMN, "25 03:00:00+0100"),
    (BERLIN, "0 2 * * *", "RunAfter", "Twice", AUTUMN, "25 02:00:00+0200, 25 02:00:00+0100"),
    (BERLIN, "02:30:00", "RunAfter", "Once", AUTUMN, "25 02:30:00+0200"),
    (BERLIN, "5 * * * *", "RunAfter", "Once", ("2026-10-24T23:00", "2026-10-25T03:00"),
     "25 01:05:00+0200, 25 02:05:00+0200, 25 02:05:00+0100, 25 03:05:00+0100"),
    (BERLIN, "30 2 * * *|15 * * * *", "RunAfter", "Once", ("2026-10-25T00:00", "2026-10-25T02:00"),
     "25 02:15:00+0200, 25 02:30:00+0200, 25 02:15:00+0100"),
    # New York: 8 March and 1 November
    (YORK, "30 2 * * *", "RunAfter", "Once", ("2026-03-08T05:00", "2026-03-08T12:00"), "08 03:00:00-0400"),
    (YORK, "30 1 * * *", "RunAfter", "Once", ("2026-11-01T04:00", "2026-11-01T12:00"), "01 01:30:00-0400"),
    (YORK, "30 1 * * *", "RunAfter", "Twice", ("2026-11-01T04:00", "2026-11-01T12:00"),
     "01 01:30:00-0400, 01 01:30:00-0500"),
    (YORK, "0 2 * * *", "RunAfter", "Once", ("2026-11-01T04:00", "2026-11-01T12:00"), "01 02:00:00-0500"),
    # Lord Howe changes by 30 minutes: 02:00 to 02:30 is left out on 4 October, 01:30 to 02:00 comes twice on 5 April
    (LORD_HOWE, "15 2 * * *", "RunAfter", "Once", ("2026-10-03T14:00", "2026-10-03T20:00"), "04 02:30:00+1100"),
    (LORD_HOWE, "15 2 * * *", "Skip", "Once", ("2026-10-03T14:00", "2026-10-03T20:00"), ""),
    (LORD_HOWE, "45 2 * * *", "RunAfter", "Once", ("2026-10-03T14:00", "2026-10-03T20:00"), "04 02:45:00+1100"),
    (LORD_HOWE, "45 1 * * *", "RunAfter", "Once", ("2026-04-04T14:00", "2026-04-04T20:00"), "05 01:45:00+1100"),
    (LORD_HOWE, "45 1 * * *", "RunAfter", "Twice", ("2026-04-04T14:00", "2026-04-04T20:00"),
     "05 01:45:00+1100, 05 01:45:00+1030"),
    (LORD_HOWE, "*/15 * * * *", "RunAfter", "Once", ("2026-04-04T14:30", "2026-04-04T15:45"),
     "05 01:30:00+1100, 05 01:45:00+1100, 05 01:30:00+1030, 05 01:45:00+1030, 05 02:00:00+1030"),
    # Samoa left out the whole of 30 December 2011
    (APIA, "0 3 * * *", "Skip", "Once", ("2011-12-29T00:00", "2012-01-01T00:00"),
     "29 03:00:00-1000, 31 03:00:00+1400, 01 03:00:00+1400"),
    (APIA, "0 3 * * *", "RunAfter", "Once", ("2011-12-29T00:00", "2011-12-31T00:00"),
     "29 03:00:00-1000, 31 00:00:00+1400, 31 03:00:00+1400"),
    (APIA, "0 12 30 12 *", "RunAfter", "Once", ("2011-12-01T00:00", "2012-01-31T00:00"), "31 00:00:00+1400"),
    (APIA, "0 12 30 12 *", "Skip", "Once", ("2011-12-01T00:00", "2012-01-31T00:00"), ""),
    (APIA, "30 * * * *", "RunAfter", "Once", ("2011-12-30T09:00", "2011-12-30T11:00"),
     "29 23:30:00-1000, 31 00:30:00+1400"),
    # Tokyo never changes
    (TOKYO, "30 2 * * *", "RunAfter", "Twice", ("2026-03-28T00:00", "2026-03-30T00:00"),
     "29 02:30:00+0900, 30 02:30:00+0900"),
    # Casablanca changes for Ramadan: back at 03:00 on 15 February, on at 02:00 on 22 March
    (CASABLANCA, "30 2 * * *", "RunAfter", "Once", ("2026-02-15T00:00", "2026-02-15T12:00"), "15 02:30:00+0100"),
    (CASABLANCA, "30 2 * * *", "RunAfter", "Twice", ("2026-02-15T00:00", "2026-02-15T12:00"),
     "15 02:30:00+0100, 15 02:30:00+0000"),
    (CASABLANCA, "30 2 * * *", "RunAfter", "Once", ("2026-03-22T00:00", "2026-03-22T12:00"), "22 03:00:00+0100"),
    # Sao Paulo changed at midnight: 4 November 2018 began at 01:00, the last hour of 17 February 2018 came twice
    (SAO_PAULO, "0 0 * * *", "RunAfter", "Once", ("2018-11-03T12:00", "2018-11-05T01:00"), "04 01:00:00-0200"),
    (SAO_PAULO, "0 0 * * *", "Skip", "Once", ("2018-11-03T12:00", "2018-11-05T03:00"), "05 00:00:00-0200"),
    (SAO_PAULO, "0 0 4 11 *", "Skip", "Once", ("2018-01-01T00:00", "2019-01-01T00:00"), ""),
    (SAO_PAULO, "30 23 * * 6", "RunAfter", "Once", ("2018-02-17T12:00", "2018-02-18T12:00"), "17 23:30:00-0200"),
    (SAO_PAULO, "30 23 * * 6", "RunAfter", "Twice", ("2018-02-17T12:00", "2018-02-18T12:00"),
     "17 23:30:00-0200, 17 23:30:00-0300"),
    (SAO_PAULO, "0 0 * * *", "RunAfter", "Twice", ("2018-02-17T12:00", "2018-02-18T12:00"), "18 00:00:00-0300"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "expressions", "gap", "overlap", "window", "expected"), TABLE)
def test_ticks_around_a_change(
    zone: str, expressions: str, gap: str, overlap: str, window: tuple[str, str], expected: str
) -> None:
    """These and no others, found forwards, found backwards, and counted."""
    assert fires(plan(expressions, zone, gap, overlap), zone, *window) == [
        part for part in expected.split(", ") if part
    ]


@pytest.mark.parametrize("zone", [BERLIN, YORK, LORD_HOWE, APIA, TOKYO, CASABLANCA, SAO_PAULO, "Etc/UTC"])
def test_pieces_tile_the_time_and_have_its_offsets(zone: str) -> None:
    """No instant is in none or in two, and each has the offset that the zone's clocks show."""
    low, high = (int(datetime(year, 6, 3, 4, 5, tzinfo=UTC).timestamp()) for year in (2008, 2030))
    cut = list(instants.pieces(zone, low, high))
    assert cut[0].start == low
    assert cut[-1].end == high
    assert all(one.end == other.start for one, other in pairwise(cut))
    assert cut[::-1] == list(instants.pieces_backwards(zone, low, high))
    for piece in cut:
        for instant in (piece.start, (piece.start + piece.end) // 2, piece.end - 1):
            shown = datetime.fromtimestamp(instant, ZoneInfo(zone))
            offset = shown.utcoffset()
            assert offset is not None
            assert offset.total_seconds() == piece.offset
            assert bool(shown.fold) == piece.repeated


def test_a_change_that_is_no_summer_time_is_a_change() -> None:
    """Caracas set its clocks back half an hour for good, on 9 December 2007."""
    cut = list(instants.pieces("America/Caracas", 1_196_000_000, 1_198_000_000))
    assert [piece.repeated for piece in cut] == [False, True, False]
    assert cut[1].end - cut[1].start == 1_800


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "Europe", "europe/berlin ", "../../etc/passwd", "/etc/localtime", "right/UTC", "localtime",
     "posixrules", "Factory", "UTC+3:00", "Europe/Berlin\n", "x" * 10_000, "Etc/\x00UTC", "Ευρώπη/Βερολίνο"],
)  # fmt: skip
def test_an_unknown_zone_is_refused_by_its_field(name: str) -> None:
    """Also folders, paths, and what every machine has another of."""
    with pytest.raises(ScheduleFieldError, match=r"^spec\.timeZone: "):
        instants.zone(name)


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT-14"])
def test_a_zone_of_the_database_is_taken(name: str) -> None:
    """By its IANA name."""
    assert instants.zone(name) == name


def test_a_leap_year_of_daily_ticks_has_as_many_as_days() -> None:
    """Whatever the clocks do, one a day."""
    ticks = plan("30 2 * * *", BERLIN)
    start = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())
    assert ticks.how_many(start, start + 366 * DAY) == 366
