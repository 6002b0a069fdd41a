"""`suspend` and `resume`: hold Tasks, and let them go on."""

from __future__ import annotations

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, apply, confirm, find
from taskq.cli.changing import bulk_options
from taskq.cli.framework import Command
from taskq.cli.kinds import TASK


@click.command(
    "suspend",
    cls=Command,
    examples=["suspend import-7", "suspend --queue reports --phase waiting", "suspend -l team=blue"],
)
@bulk_options
def suspend(api: Api, wanted: Wanted, yes: bool, dry_run: str) -> int:
    """Hold Tasks: no attempt of them starts.

    A running attempt goes on. To hold a whole queue, `pause` it.
    """
    return _set(api, wanted, True, yes=yes, dry_run=dry_run)


@click.command("resume", cls=Command, examples=["resume import-7", "resume --queue reports", "resume --all -A"])
@bulk_options
def resume(api: Api, wanted: Wanted, yes: bool, dry_run: str) -> int:
    """Let held Tasks go on."""
    return _set(api, wanted, False, yes=yes, dry_run=dry_run)


def _set(api: Api, wanted: Wanted, value: bool, *, yes: bool, dry_run: str) -> int:
    verb, done = ("suspend", "suspended") if value else ("resume", "resumed")
    found = find(
        api,
        wanted,
        meant=lambda task: not tasks.ended(task) and bool(task["spec"].get("suspend")) is not value,
        verb=verb,
    )
    if not confirm(found, verb, yes=yes, dry_run=dry_run, named=bool(wanted.names)):
        return 0
    body = {"spec": {"suspend": value}}
    server = dry_run == "server"
    return apply(found, lambda stub: api.patch(TASK, stub, body, dry_run=server), done, dry_run=dry_run)
