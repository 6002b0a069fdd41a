"""`logs`: what a Task's containers printed."""

from __future__ import annotations

import sys

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TASK, Object
from taskq.cli.options import DURATION, connected
from taskq.cli.podlogs import How, attempt_of, ending, follow_task, no_pod_yet, pods_of, print_pod


@click.command(
    "logs",
    cls=Command,
    examples=[
        "logs train-7f2k9",
        "logs -f train-7f2k9",
        "logs train-7f2k9 --previous",
        "logs train-7f2k9 --all-attempts",
    ],
)
@click.argument("name", metavar="TASK", shell_complete=existing(TASK))
@option("-f", "--follow", is_flag=True, help="Go on until the Task has ended, over all attempts that come.")
@option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of this attempt; the latest one by default.")
@option("--previous", is_flag=True, help="Of the attempt before the latest one.")
@option("--all-attempts", is_flag=True, help="Of every attempt, the first one first.")
@option("-c", "--container", default="", metavar="NAME", help="Of this container; of all of them by default.")
@option("--tail", type=click.IntRange(min=0), metavar="N", help="The last so many lines of each container.")
@option("--since", type=DURATION, metavar="TIME", help="Lines of the last so long, such as 10m.")
@option("--timestamps", is_flag=True, help="With the time of each line.")
@option("--prefix", is_flag=True, help="With attempt, pod and container before each line.")
@connected
def command(
    api: Api,
    name: str,
    follow: bool,
    attempt: int | None,
    previous: bool,
    all_attempts: bool,
    container: str,
    tail: int | None,
    since: float | None,
    timestamps: bool,
    prefix: bool,
) -> None:
    """Print the logs of a Task, of any attempt.

    Pods stay as long as their Task. When one is gone all the same, what its attempt said last is printed, from the
    Task's status.
    """
    if sum((attempt is not None, previous, all_attempts)) > 1:
        raise CliError("--attempt, --previous and --all-attempts each say which attempt: give one of them")
    task = api.get(TASK, api.namespace, name.rpartition("/")[2])
    how = How(container, tail, since, timestamps, prefix or all_attempts)
    latest = int(task.get("status", {}).get("attempt") or 0)
    if previous:
        attempt = latest - 1
        if attempt < 1:
            raise CliError(
                f"{name} has had {latest or 'no'} attempt, so there is no previous one; leave --previous out"
            )
    if follow and attempt is None:
        if all_attempts:
            _print(api, task, [pod for pod in pods_of(api, task) if attempt_of(pod) < latest], how)
        follow_task(api, task, how)
        return
    wanted = attempt if attempt is not None else (None if all_attempts else latest)
    if wanted == 0:
        raise no_pod_yet(task)
    found = pods_of(api, task, wanted)
    if not found:
        _from_status(task, wanted)
        return
    _print(api, task, found, how, follow=follow)


def _print(api: Api, task: Object, pods: list[Object], how: How, *, follow: bool = False) -> None:
    for pod in pods:
        try:
            printed = print_pod(api, pod, how, follow=follow)
        except ApiRefused as error:
            if error.status not in {404, 500}:  # the pod or its node went meanwhile
                raise
            printed = False
        if not printed:
            _from_status(task, attempt_of(pod), waiting=pod)


def _from_status(task: Object, attempt: int | None, *, waiting: Object | None = None) -> None:
    """What the Task's status keeps of its attempts; a CliError when that is nothing."""
    if waiting is not None and waiting.get("status", {}).get("phase") == "Pending" and not tasks.ended(task):
        raise CliError(
            f"{waiting['metadata']['name']} has not started; --follow waits, `describe` says what it waits for"
        )
    if attempt is not None and attempt > int(task.get("status", {}).get("attempt") or 0):
        raise CliError(f"there has been no attempt {attempt}; `describe` lists those that there were")
    if not tasks.attempts(task):
        raise no_pod_yet(task)
    sys.stdout.write(ending(task, attempt) + "\n")
