"""Our times and those of a Kubernetes CronJob, for the same expressions, zones and starts.

The table was made by the parser that the CronJob controller asks (cronjob/main.go); nothing of TaskQ has a part in it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskq.domain.schedules.cron import ScheduleFieldError
from taskq.domain.schedules.spec import Dst, ScheduleSpec
from taskq.domain.schedules.ticks import compile_plan

TABLE: list[dict[str, Any]] = json.loads((Path(__file__).parent / "cronjob" / "times.json").read_text(encoding="utf-8"))
TAKEN_BY_CRONJOB_ALONE = {"*/90 * * * *", "@every 1h", "0 0 30 2 *"}
TAKEN_BY_US_ALONE = {
    *("0 22-2 * * *", "0 0 * * 5-1", "0 0 L * *", "0 0 15W * *", "0 0 * * 5#2", "0 12 * * 7", "* * * * * *"),
}
NO_ANSWER = "no answer within a second"
BY_WHOLE_HOURS = ("Etc/UTC", "Asia/Kolkata", "Europe/Madrid", "America/New_York", "America/Havana")


def ours(row: dict[str, Any], dst: Dst) -> list[int] | None:
    """Our times over the span of a row, None when the expression is refused."""
    spec = ScheduleSpec(schedules=(row["expression"],), time_zone=row["zone"], dst=dst)
    try:
        plan = compile_plan(spec, row["from"])
    except ScheduleFieldError:
        return None
    return plan.first_few(row["from"], max(row["times"], default=row["from"]), 100)


def test_who_takes_which_expression() -> None:
    """All that only one of the two takes."""
    alone: dict[bool, set[str]] = {True: set(), False: set()}
    for row in TABLE:
        taken, by_cronjob = ours(row, Dst()) is not None, row.get("error", NO_ANSWER) == NO_ANSWER
        if taken != by_cronjob:
            alone[taken].add(row["expression"])
    assert alone == {True: TAKEN_BY_US_ALONE, False: TAKEN_BY_CRONJOB_ALONE}


@pytest.mark.parametrize("zone", BY_WHOLE_HOURS)
def test_with_skip_and_twice_the_times_are_those_of_a_cronjob(zone: str) -> None:
    """Clock changes included; but one, where a CronJob takes a Sunday's noon for a Saturday's."""
    different = {
        (row["expression"], rfc(tick))
        for row in TABLE
        if row["zone"] == zone and "error" not in row
        if (found := ours(row, Dst("Skip", "Twice"))) is not None
        for tick in set(found) ^ set(row["times"])
    }
    assert different == ({("0 12 13 * 5", "2027-03-14T16:00:00Z")} if zone == "America/Havana" else set())


def test_unless_set_otherwise_a_night_in_which_the_clocks_change_has_one_run() -> None:
    """Where a CronJob has none, or two."""
    rows = [row for row in TABLE if row["zone"] == "Europe/Madrid" and row["expression"] == "30 2 * * *"]
    different = [{rfc(tick) for tick in set(ours(row, Dst()) or ()) ^ set(row["times"])} for row in rows]
    assert different == [{"2027-03-28T01:00:00Z"}, {"2027-10-31T01:30:00Z"}]


def test_a_change_by_half_an_hour_makes_a_cronjob_miss_a_day() -> None:
    """03:00 exists on both days; we have it."""
    rows = [row for row in TABLE if row["zone"] == "Australia/Lord_Howe" and row["expression"] == "0 3 * * *"]
    missed = [{rfc(tick) for tick in set(ours(row, Dst()) or ()) - set(row["times"])} for row in rows]
    assert missed == [{"2027-10-02T16:00:00Z"}, {"2027-04-03T16:30:00Z"}]


def test_a_day_that_a_zone_left_out_keeps_a_cronjob_searching() -> None:
    """Samoa had no 30 December 2011; we have an answer for each of these."""
    endless = [row for row in TABLE if row.get("error") == NO_ANSWER]
    assert {row["zone"] for row in endless} == {"Pacific/Apia"}
    for row in endless:
        plan = compile_plan(ScheduleSpec(schedules=(row["expression"],), time_zone=row["zone"]), row["from"])
        assert plan.following(row["from"]) is not None


def rfc(moment: int) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
