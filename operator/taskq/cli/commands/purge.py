"""`purge`: empty TaskQueues."""

from __future__ import annotations

import click

from taskq.cli.api import Api
from taskq.cli.bulk import confirm
from taskq.cli.changing import change_each, some_names, the_named
from taskq.cli.framework import Command, option
from taskq.cli.kinds import QUEUE, name_of
from taskq.cli.options import asking, connected, dry_run
from taskq.cli.queuework import unfinished
from taskq.cli.selection import GROUPS
from taskq.cli.text import stamp
from taskq.resources.common import CANCEL_ALL_ANNOTATION, PURGE_ANNOTATION


@click.command("purge", cls=Command, examples=["purge reports", "purge reports --running --yes"])
@some_names(QUEUE)
@option("--running", is_flag=True, help="Cancel what runs, too.")
@asking
@dry_run
@connected
def command(api: Api, names: tuple[str, ...], running: bool, yes: bool, dry_run: str) -> int:
    """Empty TaskQueues: cancel all that waits in them.

    Those that were created up to now are cancelled by the operator, however many there are; their records stay. For a
    part of a queue use `cancel` with filters.
    """
    phases = GROUPS["unfinished" if running else "waiting"]
    now = api.server_now()
    queues = [name_of(the_named(api, QUEUE, name)) for name in names]  # a mistyped name would be an empty queue
    found = [task for queue in queues for task in unfinished(api, queue, phases)]
    if not confirm(found, "cancel", yes=yes, dry_run=dry_run, named=False):
        return 0
    annotation = CANCEL_ALL_ANNOTATION if running else PURGE_ANNOTATION
    body = {"metadata": {"annotations": {annotation: stamp(now)}}}
    return change_each(api, QUEUE, queues, lambda _: body, "purged", dry_run=dry_run)
