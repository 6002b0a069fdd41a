"""`schedule`: run now, suspend, resume, backfill, preview."""

from __future__ import annotations

import sys
from zoneinfo import ZoneInfo

import click

from taskq.cli.api import Api
from taskq.cli.changing import change_each, some_names
from taskq.cli.completing import names as existing
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import SCHEDULE, TASK, Object, name_of
from taskq.cli.newtask import Patience, await_end, patient
from taskq.cli.options import asking, connected, dry_run
from taskq.cli.output import Column, Table, note, say
from taskq.cli.text import age, moment, plural, stamp
from taskq.clock import SystemClock
from taskq.resources.common import BACKFILL_ANNOTATION, DEFAULT_TIME_ZONE, RUN_NOW_ANNOTATION

PATIENCE_SECONDS = 30.0
"""For the operator to take up a request: it does so within a second, and a new leader within ten."""


@click.group("schedule", context_settings={"max_content_width": 110})
def group() -> None:
    """Steer Schedules: run now, suspend, resume, backfill, preview."""


# --- run-now ------------------------------------------------------------------------------------------------------


@group.command(
    "run-now", cls=Command, examples=["schedule run-now nightly-report", "schedule run-now nightly-report --follow"]
)
@click.argument("name", shell_complete=existing(SCHEDULE))
@patient
@dry_run
@connected
def run_now(api: Api, name: str, patience: Patience, dry_run: str) -> int:
    """Create a Schedule's Task now.

    It obeys concurrencyPolicy, and a suspended Schedule does it, too.
    """
    schedule = api.get(SCHEDULE, api.namespace, name)
    nonce = f"{api.clock.now():.3f}"
    if dry_run != "client":
        body = {"metadata": {"annotations": {RUN_NOW_ANNOTATION: nonce}}}
        schedule = api.patch(SCHEDULE, schedule, body, dry_run=dry_run == "server")
    say(SCHEDULE, schedule, "run now", dry_run=dry_run)
    sys.stdout.flush()
    if dry_run != "none" or not (patience.wait or patience.follow):
        return 0
    return await_end(api, _task_of(api, schedule, nonce), patience)


def _task_of(api: Api, schedule: Object, nonce: str) -> Object:
    """The Task that a run-now made, as soon as the Schedule says so; CliError when it made none."""
    version, until = schedule["metadata"]["resourceVersion"], api.clock.uptime() + PATIENCE_SECONDS
    name = name_of(schedule)
    while (left := until - api.clock.uptime()) > 0:
        fields, seconds = f"metadata.name={name}", max(1, round(left))
        for _, seen in api.watch(SCHEDULE, api.namespace, version, fields=fields, seconds=seconds):
            version = seen["metadata"]["resourceVersion"]
            status = seen.get("status", {})
            if status.get("lastRunNow") != nonce:
                continue
            entry: Object = next((run for run in reversed(status.get("runs") or ()) if run["trigger"] == "RunNow"), {})
            if entry.get("result") == "Skipped":
                raise CliError(f"the run was skipped: {entry.get('reason')}; see spec.concurrencyPolicy of {name}")
            if task := entry.get("taskName") and api.find(TASK, api.namespace, entry["taskName"]):
                return task
    raise CliError(f"no Task was made within {PATIENCE_SECONDS:.0f} s; `doctor` tells whether an operator runs")


# --- suspend, resume ----------------------------------------------------------------------------------------------


@group.command("suspend", cls=Command, examples=["schedule suspend nightly-report"])
@some_names(SCHEDULE)
@dry_run
@connected
def suspend(api: Api, names: tuple[str, ...], dry_run: str) -> int:
    """Create no Tasks by the clock; ticks of that time are not made up for.

    What has not started is cancelled, unless the Schedule's onSuspend is Keep.
    """
    return change_each(api, SCHEDULE, names, lambda _: {"spec": {"suspend": True}}, "suspended", dry_run=dry_run)


@group.command("resume", cls=Command, examples=["schedule resume nightly-report"])
@some_names(SCHEDULE)
@dry_run
@connected
def resume(api: Api, names: tuple[str, ...], dry_run: str) -> int:
    """Create Tasks by the clock again."""
    code = change_each(api, SCHEDULE, names, lambda _: {"spec": {"suspend": False}}, "resumed", dry_run=dry_run)
    for name in names:
        suspension = api.get(SCHEDULE, api.namespace, name).get("status", {}).get("suspension") or {}
        if suspension.get("reason") == "ConsecutiveFailures":
            note(f"{name} has suspended itself after failures: a `schedule run-now {name}` that succeeds ends that")
    return code


# --- backfill -----------------------------------------------------------------------------------------------------


@group.command(
    "backfill",
    cls=Command,
    examples=["schedule backfill nightly-report --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z"],
)
@click.argument("name", shell_complete=existing(SCHEDULE))
@option("--from", "begin", required=True, metavar="TIME", help="The first instant of the interval.")
@option("--to", "end", default="", metavar="TIME", help="The instant before which it ends; now by default.")
@asking
@dry_run
@connected
def backfill(api: Api, name: str, begin: str, end: str, yes: bool, dry_run: str) -> int:
    """Run the ticks of a past interval, one after another.

    A tick whose Task still exists is skipped; delete the Task to run it once more.
    """
    from taskq.cli.plans import spec_of
    from taskq.domain.schedules.ticks import compile_plan

    schedule = api.get(SCHEDULE, api.namespace, name)
    now = api.clock.now()
    low, high = moment(begin, now), moment(end, now) if end else now
    if not low < high <= now:
        raise CliError("--from must be before --to, and both in the past")
    plan = compile_plan(spec_of(schedule["spec"]), low, whole_past=True)
    number = plan.how_many(int(low) - 1, int(high) - 1)
    if not number:
        note(f"{name} has no ticks in that time.")
        return 0
    note(f"Backfill {plural(number, 'tick')} of {name}, from {stamp(low)} on and before {stamp(high)}.")
    if dry_run == "none" and not yes:
        if not sys.stdin.isatty():
            raise CliError("nobody is there to ask; add --yes to go on, or --dry-run to see what would be done")
        if not click.confirm("Go on?", err=True):
            raise CliError("nothing was changed")
    value = f"{stamp(low)}/{stamp(high)}/{int(now)}"
    body = {"metadata": {"annotations": {BACKFILL_ANNOTATION: value}}}
    return change_each(api, SCHEDULE, [name], lambda _: body, "backfilled", dry_run=dry_run)


# --- preview ------------------------------------------------------------------------------------------------------


@group.command(
    "preview",
    cls=Command,
    examples=[
        "schedule preview '0 3 * * 1-5' --zone Europe/Madrid",
        "schedule preview @daily --from 2027-03-27 --count 3",
    ],
)
@click.argument("expressions", nargs=-1, required=True, metavar="CRON...")
@option(
    "--zone", default=DEFAULT_TIME_ZONE, metavar="ZONE", help="IANA time zone of the expressions; Etc/UTC by default."
)
@option("--count", type=click.IntRange(1, 1000), default=5, metavar="N", help="So many runs; 5 by default.")
@option("--from", "begin", default="", metavar="TIME", help="After this instant; now by default.")
def preview(expressions: tuple[str, ...], zone: str, count: int, begin: str) -> None:
    """Show when cron expressions will run, without a cluster.

    As the operator will run them, changes of clocks included.
    """
    from taskq.cli.plans import next_ticks, spec_of, wall
    from taskq.domain.schedules.describe import describe
    from taskq.domain.schedules.ticks import compile_plan

    clock = SystemClock()
    now = clock.now()
    spec = spec_of({"schedules": list(expressions), "timeZone": zone})
    start = moment(begin, now) if begin else now
    ticks = next_ticks(compile_plan(spec, start), start, count)
    note(describe(spec))
    if not ticks:
        note("It never runs.")
    there = ZoneInfo(zone)
    table = Table(
        (
            Column("IN", lambda tick: age(tick - now)),
            Column("HERE", wall),
            Column("IN-ITS-ZONE", lambda tick: wall(tick, there)),
            Column("UTC", stamp),
        )
    )
    table.print(table.row(tick) for tick in ticks)
