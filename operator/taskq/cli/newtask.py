"""What `run` and `create` share: the options that a new Task takes, its creation, and waiting for it."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.errors import CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import QUEUE, TASK, Object, name_of
from taskq.cli.options import DURATION
from taskq.cli.output import Format, note, print_documents, say
from taskq.cli.text import moment, one_line, stamp, whole_seconds
from taskq.cli.waiting import TIMED_OUT, outcome_code, wait_until
from taskq.resources.common import API_VERSION

WAITING = "Waiting"


class Wish(NamedTuple):
    """What the options say of a new Task; times as they were typed."""

    name: str
    queue: str
    priority: str
    at: str
    delay: float | None
    deadline: str
    hard_timeout: str
    soft_timeout: str
    max_attempts: int | None
    labels: dict[str, str]
    annotations: dict[str, str]
    suspend: bool
    after: tuple[str, ...]

    def spec(self, now: float) -> Object:
        """The fields of spec that they make, without the Job."""
        if self.at and self.delay is not None:
            raise CliError("--at and --in both say when: give one of them")
        spec: Object = {}
        if self.queue:
            spec["queueName"] = self.queue
        if self.priority:
            spec |= priority_fields(self.priority)
        if self.at:
            spec["notBeforeTime"] = stamp(moment(self.at, now))
        if self.delay is not None:
            spec["notBeforeTime"] = stamp(now + self.delay + 0.999)  # never sooner than asked for
        if self.deadline:
            spec["startingDeadlineSeconds"] = whole_seconds(self.deadline)
        limits = {"hardSeconds": self.hard_timeout, "softSeconds": self.soft_timeout}
        if timeouts := {name: whole_seconds(value) for name, value in limits.items() if value}:
            spec["timeouts"] = timeouts
        if self.max_attempts is not None:
            spec["retryPolicy"] = {"maxAttempts": self.max_attempts}
        if self.suspend:
            spec["suspend"] = True
        if self.after:
            spec["dependsOn"] = [{"name": name} for name in self.after]
        return spec


class Patience(NamedTuple):
    """Whether to wait for the end, to print the logs meanwhile, and for how many seconds at most."""

    wait: bool
    follow: bool
    timeout: float | None


def priority_fields(text: str) -> Object:
    """The field that says a priority: a number, or the name of a level."""
    return {"priority": int(text)} if text.lstrip("+-").isdecimal() else {"priorityLevel": text}


def pairs(values: tuple[str, ...], flag: str) -> dict[str, str]:
    """`k=v`, given once or several times; CliError for anything else."""
    found = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise CliError(f"{flag} {value!r}: write it as NAME=VALUE")
        found[key] = text
    return found


def _wish(
    name: str,
    queue: str,
    priority: str,
    at: str,
    delay: float | None,
    deadline: str,
    hard_timeout: str,
    soft_timeout: str,
    max_attempts: int | None,
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
    suspend: bool,
    after: tuple[str, ...],
) -> Wish:
    said = pairs(labels, "--label"), pairs(annotations, "--annotation")
    return Wish(
        name, queue, priority, at, delay, deadline, hard_timeout, soft_timeout, max_attempts, *said, suspend, after
    )


wished = bundle(
    "wish",
    _wish,
    option("--name", default="", metavar="NAME", help="Name of the Task; made up when not given."),
    option(
        "-q",
        "--queue",
        default="",
        metavar="NAME",
        shell_complete=existing(QUEUE),
        help="TaskQueue; else the TaskTemplate's, or «default».",
    ),
    option("--priority", default="", metavar="NUMBER|LEVEL", help="A number, or one of the queue's priorityLevels."),
    option(
        "--at", default="", metavar="TIME", help="Not before this: RFC 3339, '2026-03-01 14:00' or 14:00, your zone."
    ),
    option("--in", "delay", type=DURATION, metavar="TIME", help="Not before so long from now, such as 15m."),
    option("--deadline", default="", metavar="TIME", help="Expire when not started within so long."),
    option("--hard-timeout", default="", metavar="TIME", help="Kill an attempt after so long."),
    option("--soft-timeout", default="", metavar="TIME", help="Send an attempt SIGTERM after so long."),
    option("--max-attempts", type=click.IntRange(min=1), metavar="N", help="Try so often."),
    option("--label", "labels", multiple=True, metavar="K=V", help="Label of the Task; again for more."),
    option("--annotation", "annotations", multiple=True, metavar="K=V", help="Annotation of the Task; again for more."),
    option("--suspend", is_flag=True, help="Hold it until `resume`."),
    option("--after", multiple=True, metavar="TASK", help="Not before this Task has Succeeded; again for more."),
)
"""Gives a command `wish: Wish`."""

patient = bundle(
    "patience",
    Patience,
    option("--wait", is_flag=True, section=WAITING, help="Wait for the end; exit with the code of the Task."),
    option("--follow", is_flag=True, section=WAITING, help="Print its logs meanwhile; includes --wait."),
    option(
        "--timeout",
        type=DURATION,
        metavar="TIME",
        section=WAITING,
        help=f"Wait so long at most; exit code {TIMED_OUT} then.",
    ),
)
"""Gives a command `patience: Patience`."""


def manifest(wish: Wish, base: str, spec: Object, now: float) -> Object:
    """The Task to create; `base` begins its name unless a name was given."""
    metadata: Object = {"name": wish.name} if wish.name else {"generateName": f"{base[:57]}-"}
    for key, value in (("labels", wish.labels), ("annotations", wish.annotations)):
        if value:
            metadata[key] = value
    return {"apiVersion": API_VERSION, "kind": "Task", "metadata": metadata, "spec": wish.spec(now) | spec}


def submit(api: Api, body: Object, patience: Patience, form: Format, *, dry_run: str) -> int:
    """Create the Task, say so, and wait for it if asked to; the exit code."""
    if dry_run == "client":
        shown = {**body, "metadata": {"namespace": api.namespace, **body["metadata"]}}
        named = {**shown, "metadata": {"name": shown["metadata"].get("generateName"), **shown["metadata"]}}
        _show(shown if not form.is_table and form.name != "name" else named, form, dry_run)
        return 0
    made = api.create(TASK, api.namespace, body, dry_run=dry_run == "server")
    _show(made, form, dry_run)
    if dry_run != "none" or not (patience.wait or patience.follow):
        return 0
    return await_end(api, made, patience)


def _show(task: Object, form: Format, dry_run: str) -> None:
    if form.is_table:
        say(TASK, task, "created", dry_run=dry_run)
    else:
        print_documents(TASK, [task], form, single=True)
    sys.stdout.flush()


def await_end(api: Api, task: Object, patience: Patience) -> int:
    """Wait for a Task's end, with its logs if asked for; the exit code that its outcome makes."""
    until = None if patience.timeout is None else api.clock.uptime() + patience.timeout
    if patience.follow:
        from taskq.cli.podlogs import follow_task

        follow_task(api, task, until=until)
    left = None if until is None else max(0.0, until - api.clock.uptime())
    done = wait_until(api, task, tasks.ended, left)
    if done is None:
        note(f"error: {name_of(task)} has not ended within the --timeout; it goes on; `list {name_of(task)}` shows it")
        return TIMED_OUT
    status: dict[str, Any] = done["status"]
    message = one_line(status.get("message") or "")
    note(f"{TASK.qualified}/{name_of(done)} {tasks.phase(done)}" + (f": {message}" if message else ""))
    return outcome_code(done)
