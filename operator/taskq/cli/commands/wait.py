"""`wait`: until Tasks have come so far."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, find
from taskq.cli.changing import wanted_options
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TASK, Object, condition, name_of
from taskq.cli.options import DURATION, connected
from taskq.cli.output import note
from taskq.cli.text import one_line
from taskq.cli.waiting import wait_until
from taskq.resources.common import Phase

GOALS: dict[str, Callable[[Object], bool]] = {
    "ended": tasks.ended,
    "succeeded": lambda task: tasks.phase(task) == Phase.SUCCEEDED,
    "running": lambda task: tasks.phase(task) == Phase.RUNNING,
}


@click.command(
    "wait",
    cls=Command,
    examples=[
        "wait import-7",
        "wait --queue reports --for succeeded --timeout 1h",
        "wait import-7 --for condition=Stalled",
    ],
)
@option(
    "--for",
    "goal",
    default="ended",
    metavar="GOAL",
    help=f"{', '.join(GOALS)}, or condition=TYPE; ended by default.",
)
@option("--timeout", type=DURATION, metavar="TIME", help="Give up after so long, all Tasks together.")
@wanted_options
@connected
def command(api: Api, wanted: Wanted, goal: str, timeout: float | None) -> int:
    """Wait until Tasks have come so far.

    Those that the filters find now are waited for. The exit code is 1 when the time is over, or when one has ended
    without reaching the goal.
    """
    reached = _goal(goal)
    found = find(api, wanted, meant=lambda task: not reached(task), verb="wait")
    if not found and not wanted.names:
        note("No Tasks to wait for.")
    until = None if timeout is None else api.clock.uptime() + timeout
    failed = False
    for item in found:
        left = None if until is None else max(0.0, until - api.clock.uptime())
        seen = wait_until(api, item.stub, lambda task: reached(task) or tasks.ended(task), left)
        if seen is None:
            raise CliError(
                f"{TASK.qualified}/{item.name} is not there within {timeout:g} s; a longer --timeout waits on"
            )
        if reached(seen):
            sys.stdout.write(f"{TASK.qualified}/{item.name} condition met\n")
        else:
            failed = True
            note(f"error: {name_of(seen)} {tasks.phase(seen)}: {one_line(seen['status'].get('message') or '')}")
    return 1 if failed else 0


def _goal(text: str) -> Callable[[Object], bool]:
    kind, equals, name = text.partition("=")
    if kind == "condition" and equals:
        return lambda task: (found := condition(task, name)) is not None and found["status"] == "True"
    if text.lower() not in GOALS:
        raise CliError(f"unknown goal {text!r}; --for takes {', '.join(GOALS)}, or condition=TYPE")
    return GOALS[text.lower()]
