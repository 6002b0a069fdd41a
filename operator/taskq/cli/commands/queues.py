"""`queues`: TaskQueues with what waits and runs in them."""

from __future__ import annotations

import click

from taskq.cli.api import Api
from taskq.cli.columns import queue_columns
from taskq.cli.completing import names as existing
from taskq.cli.framework import Command
from taskq.cli.kinds import QUEUE
from taskq.cli.listing import list_kind
from taskq.cli.options import connected, everywhere, printed
from taskq.cli.output import Format


@click.command("queues", cls=Command, examples=["queues", "queues -A -o wide", "queues reports -o yaml"])
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=existing(QUEUE))
@printed
@everywhere
@connected
def command(api: Api, form: Format, names: tuple[str, ...], all_namespaces: bool) -> None:
    """List TaskQueues with what waits and runs in them.

    RUNNING is how many run of how many may; OLDEST is how long the oldest Task has waited that could have started.
    Of the ended Tasks, those that are kept are counted.
    """
    list_kind(api, QUEUE, names, form, queue_columns, all_namespaces=all_namespaces)
