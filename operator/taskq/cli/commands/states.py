"""`pause`, `drain`, `close` and `open`: what a TaskQueue does with its Tasks."""

from __future__ import annotations

import click

from taskq.cli.api import Api
from taskq.cli.changing import change_each, some_names
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import QUEUE
from taskq.cli.options import DURATION, connected, dry_run
from taskq.cli.queuework import unfinished, wait_idle
from taskq.cli.text import plural
from taskq.resources.common import QueueState


def _set(api: Api, names: tuple[str, ...], state: QueueState, done: str, dry: str) -> int:
    return change_each(api, QUEUE, names, lambda _: {"spec": {"state": state.value}}, done, dry_run=dry)


@click.command("pause", cls=Command, examples=["pause reports", "pause reports imports"])
@some_names(QUEUE)
@dry_run
@connected
def pause(api: Api, names: tuple[str, ...], dry_run: str) -> int:
    """Start nothing more in TaskQueues; what runs goes on."""
    return _set(api, names, QueueState.PAUSED, "paused", dry_run)


@click.command("drain", cls=Command, examples=["drain reports", "drain reports --wait --timeout 1h"])
@some_names(QUEUE)
@option("--wait", is_flag=True, help="Wait until nothing of them is unfinished.")
@option("--timeout", type=DURATION, metavar="TIME", help="Wait so long at most; exit code 1 then.")
@dry_run
@connected
def drain(api: Api, names: tuple[str, ...], wait: bool, timeout: float | None, dry_run: str) -> int:
    """Work off what is in TaskQueues; what comes later waits."""
    code = _set(api, names, QueueState.DRAINING, "draining", dry_run)
    if wait and not code and dry_run == "none":
        until = None if timeout is None else api.clock.uptime() + timeout
        for name in names:
            if not wait_idle(api, name, until):
                left = plural(len(unfinished(api, name)), "Task")
                raise CliError(f"{name} is not drained in time: {left} unfinished; it goes on draining")
    return code


@click.command("close", cls=Command, examples=["close reports"])
@some_names(QUEUE)
@dry_run
@connected
def close(api: Api, names: tuple[str, ...], dry_run: str) -> int:
    """Start and accept nothing in TaskQueues; what runs goes on."""
    return _set(api, names, QueueState.CLOSED, "closed", dry_run)


@click.command("open", cls=Command, examples=["open reports"])
@some_names(QUEUE)
@dry_run
@connected
def open_(api: Api, names: tuple[str, ...], dry_run: str) -> int:
    """Let TaskQueues start their Tasks again."""
    return _set(api, names, QueueState.OPEN, "opened", dry_run)
