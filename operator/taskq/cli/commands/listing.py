"""`list`: Tasks, by any filter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NoReturn, TypeVar

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.columns import task_columns
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TASK, Object, name_of
from taskq.cli.masking import Masked
from taskq.cli.options import OUTPUT, connected, everywhere, printed
from taskq.cli.output import Format, Table, batches, note, print_documents
from taskq.cli.queueof import queue_of
from taskq.cli.selection import Selection, by_names, filtered, named, selected

T = TypeVar("T")

SORTS: dict[str, Callable[[Object, float], Any]] = {
    "name": lambda task, _: name_of(task),
    "age": lambda task, now: now - _epoch(task["metadata"]["creationTimestamp"]),
    "priority": lambda task, _: _number(tasks.priority(task)),
    "queue": lambda task, _: tasks.queue(task),
    "phase": lambda task, _: tasks.phase(task),
    "attempt": lambda task, _: int(task.get("status", {}).get("attempt") or 0),
    "waited": lambda task, now: tasks.waited_seconds(task, now) or 0.0,
    "ran": lambda task, now: tasks.ran_seconds(task, now) or 0.0,
    "started": lambda task, _: str(task.get("status", {}).get("startTime") or ""),
    "finished": lambda task, _: str(task.get("status", {}).get("completionTime") or ""),
}


def _epoch(time: str) -> float:
    from taskq.cli.text import parsed

    found = parsed(time)
    assert found is not None
    return found.timestamp()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


@click.command(
    "list",
    cls=Command,
    examples=[
        "list",
        "list -A --phase Failed --newer 1h",
        "list --queue reports --phase waiting --sort-by -priority",
        "list --phase unfinished -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'",
    ],
)
@named
@filtered
@option("-w", "--watch", is_flag=True, section=OUTPUT, help="Go on with what changes.")
@option("--sort-by", default="", metavar="KEY", section=OUTPUT, help=f"One of {', '.join(SORTS)}; -KEY turns it round.")
@option("--limit", type=click.IntRange(min=1), section=OUTPUT, help="Print at most so many.")
@printed
@everywhere
@connected
def command(
    api: Api,
    form: Format,
    selection: Selection,
    names: tuple[str, ...],
    all_namespaces: bool,
    watch: bool,
    sort_by: str,
    limit: int | None,
) -> None:
    """List Tasks, by any filter.

    A page of the list is in memory at a time, however long it is; --sort-by keeps its lines, and jsonpath all
    of it.
    """
    now = api.clock.now()
    if watch and not form.is_table:
        raise CliError("--watch prints tables only; `kubectl get tasks.taskq.dev -o json --watch` prints documents")
    if names and (selection.is_given or all_namespaces or watch):
        raise CliError("give names or filters, not both; --text finds a Task by a part of its name")
    namespace = None if all_namespaces else api.namespace
    found: Iterable[Object] = by_names(api, names) if names else selected(api, selection, namespace, now)
    if watch and (sort_by or limit is not None):
        raise CliError("--watch prints what changes as it comes: leave --sort-by and --limit out")
    table = Table(
        task_columns(now, queue_of(api), namespaced=namespace is None), wide=form.name == "wide", headers=form.headers
    )
    if watch:
        _watch(api, table, selection, namespace)
    rows: Iterable[tuple[str, ...]]
    if not form.is_table:
        ordered = _sorted(found, lambda task: task, sort_by, now) if sort_by else found
        shown = map(Masked(api).task, islice(ordered, limit))
        print_documents(TASK, shown, form, single=len(names) == 1)
        return
    rows = _sorted(found, table.row, sort_by, now) if sort_by else map(table.row, found)
    count = 0
    for batch in batches(islice(rows, limit)):
        table.print(batch)
        count += len(batch)
    if not count:
        note(f"No Tasks found in {namespace} namespace." if namespace else "No Tasks found.")


def _sorted(found: Iterable[Object], kept: Callable[[Object], T], sort_by: str, now: float) -> list[T]:
    """What is `kept` of each Task, in the order asked for: of a table only its cells, a tenth of the document."""
    key = sort_by.removeprefix("-")
    if key not in SORTS:
        raise CliError(f"unknown key {key!r}; --sort-by takes {', '.join(SORTS)}")
    pairs = [(SORTS[key](task, now), kept(task)) for task in found]
    pairs.sort(key=lambda pair: pair[0], reverse=sort_by.startswith("-"))
    return [one for _, one in pairs]


def _watch(api: Api, table: Table, selection: Selection, namespace: str | None) -> NoReturn:
    """What is there, then what changes, for ever; a watch that the server ends goes on where it was."""
    clock = api.clock
    version, shown = "", set()
    for page in api.pages(TASK, namespace, labels=selection.labels):
        version = version or page.version  # of the first page: what changed while the others came is told again
        tasks_now = [task for task in page.items if selection.holds(task, clock.now(), queue_of(api))]
        shown |= {task["metadata"]["uid"] for task in tasks_now}
        table.print(table.row(task) for task in tasks_now)
        sys.stdout.flush()
    while True:
        try:
            for kind, task in api.watch(TASK, namespace, version, labels=selection.labels):
                version = task["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                uid, now = task["metadata"]["uid"], clock.now()
                if (
                    selection.holds(task, now, queue_of(api)) or uid in shown
                ):  # one that leaves the selection is shown a last time
                    table.columns = task_columns(now, queue_of(api), namespaced=namespace is None)
                    table.print([table.row(task)])
                    sys.stdout.flush()
                    (shown.add if selection.holds(task, now, queue_of(api)) and kind != "DELETED" else shown.discard)(
                        uid
                    )
        except ApiRefused as error:
            if error.status != 410:
                raise
            version = next(iter(api.pages(TASK, namespace, labels=selection.labels, size=1))).version
