"""Which Tasks a command is about: by name, or by filters.

As much as it can, the API server filters: namespace, labels, phase and queue. Type, age and text are looked for here,
in one page after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.errors import CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import QUEUE, SCHEDULE, TASK, Object, name_of
from taskq.cli.options import DURATION
from taskq.cli.queueof import queue_of
from taskq.cli.text import parsed
from taskq.resources.common import LABEL_SCHEDULE, Phase

FILTERS = "Filters"
GROUPS = {
    "waiting": (Phase.PENDING, Phase.RETRYING),
    "active": (Phase.RUNNING,),
    "unfinished": (Phase.PENDING, Phase.RUNNING, Phase.RETRYING),
    "ended": (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED),
}
"""Words for several phases."""


class Selection(NamedTuple):
    """Filters; all that are given must hold. Times are seconds; labels are a selector as kubectl takes it."""

    queues: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    types: tuple[str, ...] = ()
    labels: str = ""
    newer: float | None = None
    older: float | None = None
    text: str = ""
    dead: bool = False

    @property
    def is_given(self) -> bool:
        """Whether any filter is."""
        return self != Selection()

    def field_selectors(self) -> list[str]:
        """Selectors for the API server, no Task in two of them.

        A Task that no operator has written about yet has its queue in the spec only, or nowhere when it means
        `default` or leaves it to its TaskTemplate: so a queue is looked for in several ways, and `holds` decides.
        """
        phases = [f"status.phase!={phase}" for phase in Phase if self.phases and phase not in self.phases]
        phases += ["status.deadLetter=True"] * self.dead
        ways: list[list[str]] = []
        for queue in self.queues:
            ways += [[f"status.queueName={queue}"], ["status.queueName=", f"spec.queueName={queue}"]]
        if self.queues:
            ways.append(["status.queueName=", "spec.queueName="])
        return [",".join(way + phases) for way, _ in product(ways or [[]], [0])]

    def holds(self, task: Object, now: float, queue_of: Callable[[Object], str] = tasks.queue) -> bool:
        """Whether a Task is meant, labels apart, which the API server looks at."""
        if self.phases and tasks.phase(task) not in self.phases:
            return False
        if self.queues and queue_of(task) not in self.queues:
            return False
        if self.types and tasks.type_of(task) not in self.types:
            return False
        if self.dead and task.get("status", {}).get("deadLetter") != "True":
            return False
        return self._has_age(task, now) and self._has_text(task)

    def _has_age(self, task: Object, now: float) -> bool:
        created = parsed(task["metadata"]["creationTimestamp"])
        assert created is not None
        age = now - created.timestamp()
        return (self.newer is None or age <= self.newer) and (self.older is None or age >= self.older)

    def _has_text(self, task: Object) -> bool:
        if not self.text:
            return True
        status = task.get("status", {})
        places = [
            name_of(task),
            *(task["metadata"].get("labels") or {}).values(),
            *(task["metadata"].get("annotations") or {}).values(),
            *(str(parameter.get("value", "")) for parameter in task["spec"].get("parameters") or ()),
            str(status.get("reason") or ""),
            str(status.get("message") or ""),
            str(status.get("result") or ""),
        ]
        wanted = self.text.casefold()
        return any(wanted in place.casefold() for place in places)

    def words(self) -> str:
        """The filters, for questions and answers."""
        said = [f"queue {', '.join(self.queues)}"] * bool(self.queues)
        said += [f"phase {', '.join(self.phases)}"] * bool(self.phases)
        said += [f"type {', '.join(self.types)}"] * bool(self.types)
        said += [f"labels {self.labels}"] * bool(self.labels)
        said += [f"text {self.text!r}"] * bool(self.text)
        said += ["dead letters"] * self.dead
        said += ["an age limit"] * (self.newer is not None or self.older is not None)
        return "; ".join(said)


def selected(api: Api, selection: Selection, namespace: str | None, now: float) -> Iterator[Object]:
    """The Tasks of a selection, a page of them in memory at a time."""
    queue = queue_of(api)
    for fields in selection.field_selectors():
        for task in api.list(TASK, namespace, labels=selection.labels, fields=fields):
            if selection.holds(task, now, queue):
                yield task


def _phases(values: tuple[str, ...]) -> tuple[Phase, ...]:
    known = {phase.lower(): (phase,) for phase in Phase} | GROUPS
    found: list[Phase] = []
    for word in (word.strip() for value in values for word in value.split(",")):
        if word.lower() not in known:
            choices = ", ".join([*Phase, *GROUPS])
            raise CliError(f"unknown phase {word!r}; --phase takes {choices}")
        found += known[word.lower()]
    return tuple(dict.fromkeys(found))


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def _selection(
    queues: tuple[str, ...],
    phases: tuple[str, ...],
    types: tuple[str, ...],
    schedules: tuple[str, ...],
    labels: str,
    newer: float | None,
    older: float | None,
    text: str,
    dead: bool,
) -> Selection:
    of_schedule = [f"{LABEL_SCHEDULE} in ({', '.join(_names(schedules))})"] * bool(schedules)
    selector = ",".join([labels] * bool(labels) + of_schedule)
    return Selection(_names(queues), _phases(phases), _names(types), selector, newer, older, text, dead)


filtered = bundle(
    "selection",
    _selection,
    option(
        "-q",
        "--queue",
        "queues",
        multiple=True,
        metavar="NAME",
        section=FILTERS,
        shell_complete=existing(QUEUE),
        help="Of this TaskQueue.",
    ),
    option(
        "--phase",
        "phases",
        multiple=True,
        metavar="PHASE",
        section=FILTERS,
        help=f"In this phase ({', '.join(Phase)}), or in several: {', '.join(GROUPS)}.",
    ),
    option("-t", "--type", "types", multiple=True, metavar="NAME", section=FILTERS, help="Of this TaskTemplate."),
    option(
        "--schedule",
        "schedules",
        multiple=True,
        metavar="NAME",
        section=FILTERS,
        shell_complete=existing(SCHEDULE),
        help="Made by this Schedule.",
    ),
    option("-l", "--selector", "labels", default="", metavar="SELECTOR", section=FILTERS, help="With these labels."),
    option("--newer", type=DURATION, metavar="TIME", section=FILTERS, help="Created at most so long ago, such as 1h."),
    option("--older", type=DURATION, metavar="TIME", section=FILTERS, help="Created at least so long ago, such as 2d."),
    option(
        "--text",
        default="",
        metavar="TEXT",
        section=FILTERS,
        help="With this text in name, labels, annotations, parameters, reason, message or result, in any case.",
    ),
    option("--dead", is_flag=True, section=FILTERS, help="Dead letters: Failed, and kept by the queue's retention."),
)
"""Gives a command `selection: Selection`."""

named = click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=existing(TASK))
"""Gives a command `names: tuple[str, ...]`."""


def by_names(api: Api, names: tuple[str, ...]) -> list[Object]:
    """Tasks by their names, all of which must be there; `task/x` is taken, too."""
    return [api.get(TASK, api.namespace, name.rpartition("/")[2]) for name in names]
