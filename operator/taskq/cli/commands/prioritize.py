"""`prioritize`: change the place of waiting Tasks."""

from __future__ import annotations

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, apply, confirm, find
from taskq.cli.changing import bulk_options
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TASK
from taskq.cli.newtask import priority_fields


@click.command(
    "prioritize",
    cls=Command,
    examples=["prioritize import-7 --to 100", "prioritize --queue reports -l team=blue --to urgent"],
)
@option(
    "--to", "priority", required=True, metavar="NUMBER|LEVEL", help="A number, or one of the queue's priorityLevels."
)
@bulk_options
def command(api: Api, wanted: Wanted, priority: str, yes: bool, dry_run: str) -> int:
    """Change the priority of waiting Tasks.

    It takes effect with the next start. Higher goes first, unless the queue says LowestFirst.
    """
    found = find(api, wanted, meant=lambda task: tasks.phase(task) in {"Pending", "Retrying"}, verb="prioritize")
    if not confirm(found, "prioritize", yes=yes, dry_run=dry_run, named=bool(wanted.names)):
        return 0
    body = {"spec": {"priority": None, "priorityLevel": None} | priority_fields(priority)}
    server = dry_run == "server"
    return apply(found, lambda stub: api.patch(TASK, stub, body, dry_run=server), "prioritized", dry_run=dry_run)
