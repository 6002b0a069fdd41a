"""`retry` and `replay`: the work of Tasks that have ended, once more."""

from __future__ import annotations

from collections.abc import Callable

import click

from taskq.cli import tasks
from taskq.cli.again import retry as create_retry
from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, apply, confirm, find
from taskq.cli.changing import bulk_options
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import Object, name_of
from taskq.cli.newtask import Patience, await_end, patient, priority_fields
from taskq.cli.params import parameterised
from taskq.cli.selection import Selection
from taskq.resources.common import Phase

ELSEWHERE = option(
    "--to-queue", "queue", default="", metavar="NAME", help="In this TaskQueue instead of the old one's."
)
OTHERWISE = option(
    "--priority", default="", metavar="NUMBER|LEVEL", help="With this priority instead of the old one's."
)


@click.command(
    "retry",
    cls=Command,
    examples=[
        "retry import-7",
        "retry import-7 -p url=https://example.com/b.csv --wait",
        "retry --phase failed --newer 1h",
    ],
)
@parameterised
@ELSEWHERE
@OTHERWISE
@patient
@bulk_options
def command(
    api: Api,
    wanted: Wanted,
    parameters: list[Object],
    queue: str,
    priority: str,
    patience: Patience,
    yes: bool,
    dry_run: str,
) -> int:
    """Run Tasks that have ended once more, each as a new Task.

    The new one refers to the old one (spec.retryOf) and has its Job, queue and priority, and its parameters but for
    those given here. Filters find what Failed, Expired or was Cancelled; a Task that is named may have Succeeded, too.
    """

    def meant(task: Object) -> bool:
        return tasks.ended(task) and tasks.phase(task) != Phase.SUCCEEDED

    return _again(
        api, wanted, meant, "retry", "retried", parameters, queue, priority, patience, yes=yes, dry_run=dry_run
    )


@click.command("replay", cls=Command, examples=["replay --queue reports", "replay --all --newer 1d --yes"])
@parameterised
@ELSEWHERE
@OTHERWISE
@patient
@bulk_options
def replay(
    api: Api,
    wanted: Wanted,
    parameters: list[Object],
    queue: str,
    priority: str,
    patience: Patience,
    yes: bool,
    dry_run: str,
) -> int:
    """Run dead letters once more, each as a new Task.

    Dead letters are Failed Tasks that their queue keeps (retention.deadLetterSeconds); `list --dead` shows them. One
    whose replay succeeds is a dead letter no longer.
    """
    wanted = wanted._replace(selection=wanted.selection._replace(dead=True)) if not wanted.names else wanted

    def meant(task: Object) -> bool:
        return bool(task["status"].get("deadLetter") == "True")

    if not wanted.names and not wanted.all_ and wanted.selection == Selection(dead=True):
        raise CliError("which dead letters? Give names, filters such as --queue, or --all")
    return _again(
        api, wanted, meant, "replay", "replayed", parameters, queue, priority, patience, yes=yes, dry_run=dry_run
    )


def _again(
    api: Api,
    wanted: Wanted,
    meant: Callable[[Object], bool],
    verb: str,
    done: str,
    parameters: list[Object],
    queue: str,
    priority: str,
    patience: Patience,
    *,
    yes: bool,
    dry_run: str,
) -> int:
    waits = patience.wait or patience.follow
    if waits and len(wanted.names) != 1:
        raise CliError(f"--wait and --follow are for one Task; `{verb} …`, then `wait` with filters, is for several")
    overrides: Object = ({"queueName": queue} if queue else {}) | (priority_fields(priority) if priority else {})
    found = find(api, wanted, meant=meant, verb=verb)
    if not confirm(found, verb, yes=yes, dry_run=dry_run, named=bool(wanted.names)):
        return 0
    made: list[Object] = []

    def change(stub: Object) -> str:
        made.append(create_retry(api, stub, parameters, overrides, dry_run=dry_run == "server"))
        return f"as {name_of(made[-1])}"

    code = apply(found, change, done, dry_run=dry_run)
    return await_end(api, made[0], patience) if waits and made and dry_run == "none" else code
