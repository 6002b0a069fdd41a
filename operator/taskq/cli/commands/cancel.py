"""`cancel`: end Tasks; the record stays."""

from __future__ import annotations

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.bulk import Wanted, apply, confirm, find
from taskq.cli.changing import bulk_options
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TASK
from taskq.resources.common import CancellationMode


@click.command(
    "cancel",
    cls=Command,
    examples=[
        "cancel nightly-1700000000",
        "cancel --queue reports --phase waiting",
        "cancel -l team=blue --older 2d --reason 'superseded' --yes",
    ],
)
@option("--now", is_flag=True, help="Give a running attempt one second instead of its grace period (Immediate).")
@option("--if-pending", is_flag=True, help="Cancel what has no Job; leave alone what runs (IfPending).")
@option("--reason", default="", metavar="TEXT", help="Why, for people; it ends up in the Task's conditions.")
@bulk_options
def command(api: Api, wanted: Wanted, now: bool, if_pending: bool, reason: str, yes: bool, dry_run: str) -> int:
    """Cancel Tasks; the record stays.

    A running attempt gets SIGTERM and its grace period. What has ended is left alone.
    """
    if now and if_pending:
        raise CliError("--now stops what runs, and --if-pending leaves it alone: give one of them")
    mode = CancellationMode.GRACEFUL
    if now or if_pending:
        mode = CancellationMode.IMMEDIATE if now else CancellationMode.IF_PENDING
    cancellation = {"mode": mode.value} | ({"reason": reason} if reason else {})
    found = find(api, wanted, meant=lambda task: not tasks.ended(task), verb="cancel")
    if not confirm(found, "cancel", yes=yes, dry_run=dry_run, named=bool(wanted.names)):
        return 0
    body = {"spec": {"cancellation": cancellation}}
    server = dry_run == "server"
    return apply(found, lambda stub: api.patch(TASK, stub, body, dry_run=server), "cancelled", dry_run=dry_run)
