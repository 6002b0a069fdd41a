"""Waiting for what becomes of a Task, by watching it; and the exit code that its outcome makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.kinds import TASK, Object, condition, name_of, namespace_of
from taskq.cli.output import note
from taskq.cli.text import one_line
from taskq.resources.common import Phase

TIMED_OUT = 124
"""As `timeout` from coreutils has it, which is no exit code that a Task's container often has."""
LONGEST_WATCH_SECONDS = 300
"""A watch is opened anew after so long: proxies cut those that live longer."""


def changes(api: Api, task: Object, *, until: float | None = None) -> Iterator[Object]:
    """The Task as it is, and again each time it changes; ends when `until` (by uptime) has come.

    CliError when it is deleted.
    """
    clock = api.clock
    namespace, name, uid = namespace_of(task), name_of(task), task["metadata"]["uid"]
    while True:
        current = api.find(TASK, namespace, name)
        if current is None or current["metadata"]["uid"] != uid:
            raise CliError(f"Task {namespace}/{name} was deleted while it was waited for")
        yield current
        left = LONGEST_WATCH_SECONDS if until is None else until - clock.uptime()
        if left <= 0:
            return
        version = current["metadata"]["resourceVersion"]
        seconds = max(1, min(LONGEST_WATCH_SECONDS, round(left)))
        try:
            for kind, seen in api.watch(TASK, namespace, version, fields=f"metadata.name={name}", seconds=seconds):
                if kind == "DELETED":
                    raise CliError(f"Task {namespace}/{name} was deleted while it was waited for")
                if kind != "BOOKMARK":
                    yield seen
        except ApiRefused as error:
            if error.status != 410:
                raise


def wait_until(api: Api, task: Object, done: Callable[[Object], bool], seconds: float | None) -> Object | None:
    """The Task as soon as `done` says so; None when that took longer than `seconds`. A fault is told meanwhile."""
    until = None if seconds is None else api.clock.uptime() + seconds
    told = ""
    for seen in changes(api, task, until=until):
        if done(seen):
            return seen
        fault = condition(seen, "Stalled")
        if fault and fault["status"] == "True" and fault["message"] != told:
            told = str(fault["message"])
            note(f"{name_of(seen)} waits until somebody mends it: {one_line(told)}")
    return None


def outcome_code(task: Object) -> int:
    """The exit code that stands for a Task's end: 0, the container's own, or 1 where there is none."""
    if tasks.phase(task) == Phase.SUCCEEDED:
        return 0
    code = tasks.exit_code(task)
    return code if code is not None and 0 < code < 256 else 1
