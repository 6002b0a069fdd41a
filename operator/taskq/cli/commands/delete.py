"""`delete`: remove Tasks with their Jobs, pods and logs."""

from __future__ import annotations

import click

from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, apply, confirm, find
from taskq.cli.changing import bulk_options
from taskq.cli.framework import Command
from taskq.cli.kinds import TASK


@click.command(
    "delete",
    cls=Command,
    examples=["delete import-7", "delete --phase ended --older 7d", "delete --queue reports --phase failed --yes"],
)
@bulk_options
def command(api: Api, wanted: Wanted, yes: bool, dry_run: str) -> int:
    """Delete Tasks, with their Jobs, pods and logs.

    One that runs is stopped, and leaves no record: `cancel` keeps it.
    """
    found = find(api, wanted, meant=lambda _: True, verb="delete")
    if not confirm(found, "delete", yes=yes, dry_run=dry_run, named=bool(wanted.names)):
        return 0
    server = dry_run == "server"
    return apply(found, lambda stub: api.delete(TASK, stub, dry_run=server), "deleted", dry_run=dry_run)
