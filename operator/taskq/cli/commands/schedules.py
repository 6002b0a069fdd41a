"""`schedules`: Schedules with their next runs."""

from __future__ import annotations

import sys

import click

from taskq.cli.api import Api
from taskq.cli.columns import schedule_columns
from taskq.cli.completing import names as existing
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import SCHEDULE, Object, name_of, namespace_of
from taskq.cli.listing import list_kind
from taskq.cli.options import OUTPUT, connected, everywhere, printed
from taskq.cli.output import Column, Format, Table, note
from taskq.cli.plans import next_ticks, plan_of, wall, zone_of
from taskq.cli.text import age
from taskq.errors import TaskQError


@click.command(
    "schedules", cls=Command, examples=["schedules", "schedules -A -o wide", "schedules nightly-report --next 5"]
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=existing(SCHEDULE))
@option("--next", "number", type=click.IntRange(1, 1000), section=OUTPUT, help="List so many next runs of each.")
@printed
@everywhere
@connected
def command(api: Api, form: Format, names: tuple[str, ...], all_namespaces: bool, number: int | None) -> None:
    """List Schedules with their next runs, in your zone and in theirs.

    NEXT is what your clock will show; -o wide and --next show what the clocks of the Schedule's zone will.
    """
    if number is None:
        list_kind(api, SCHEDULE, names, form, schedule_columns, all_namespaces=all_namespaces)
        return
    if not form.is_table:
        raise CliError("--next prints a table; status.upcoming of -o json has the runs of the next hours")
    namespace = None if all_namespaces else api.namespace
    found = [api.get(SCHEDULE, api.namespace, name) for name in names] if names else api.list(SCHEDULE, namespace)
    now = api.clock.now()
    table = Table(_columns(now, namespaced=all_namespaces), headers=form.headers)
    for schedule in found:
        table.print(table.row((schedule, tick)) for tick in _ticks(schedule, now, number))
        sys.stdout.flush()


def _ticks(schedule: Object, now: float, number: int) -> list[int]:
    if schedule["spec"].get("suspend"):
        note(f"{name_of(schedule)} is suspended: none of these runs will be unless it is resumed")
    try:
        return next_ticks(plan_of(schedule), now, number)
    except TaskQError as error:
        note(f"{name_of(schedule)}: {error}")
        return []


def _columns(now: float, *, namespaced: bool) -> tuple[Column, ...]:
    return (
        *((Column("NAMESPACE", lambda row: namespace_of(row[0])),) if namespaced else ()),
        Column("NAME", lambda row: name_of(row[0])),
        Column("IN", lambda row: age(row[1] - now)),
        Column("HERE", lambda row: wall(row[1])),
        Column("IN-ITS-ZONE", lambda row: wall(row[1], zone_of(row[0]["spec"]))),
    )
