"""When Schedules run: computed here by the operator's own rules, so that a preview shows what will happen."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from taskq.cli.errors import CliError
from taskq.cli.kinds import Object
from taskq.cli.text import parsed
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.domain.schedules.ticks import Plan, compile_plan
from taskq.resources.common import DEFAULT_TIME_ZONE

END = 32_503_680_000
"""The year 3000, after which nothing is looked for."""


def spec_of(document: dict[str, Any]) -> ScheduleSpec:
    """The spec of a Schedule's document; CliError when it has another shape."""
    try:
        return msgspec.convert(document, ScheduleSpec)
    except msgspec.ValidationError as error:
        raise CliError(f"the Schedule's spec can't be read: {error}") from error


def plan_of(schedule: Object) -> Plan:
    """The ticks of a Schedule; ScheduleFieldError, which names the field, when it can't be followed."""
    created = parsed(schedule["metadata"]["creationTimestamp"])
    assert created is not None
    return compile_plan(spec_of(schedule["spec"]), created.timestamp())


def next_ticks(plan: Plan, after: float, number: int) -> list[int]:
    """The next so many ticks."""
    return plan.first_few(int(after), END, number)


def zone_of(spec: Object) -> tzinfo:
    """The zone that a Schedule's times are read in."""
    return ZoneInfo(spec.get("timeZone") or DEFAULT_TIME_ZONE)


def wall(tick: float, zone: tzinfo | None = None) -> str:
    """A tick as the clocks of a zone (the user's own by default) show it."""
    shown = datetime.fromtimestamp(tick, UTC).astimezone(zone)
    return f"{shown:%a %Y-%m-%d %H:%M:%S %Z}"
