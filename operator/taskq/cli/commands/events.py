"""`events`: what the operator told about our kinds."""

from __future__ import annotations

import sys

import click

from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.events import Event, event, events_of, in_order
from taskq.cli.framework import Command, option
from taskq.cli.kinds import EVENT, TASK
from taskq.cli.options import DURATION, OUTPUT, connected, everywhere, printed
from taskq.cli.output import Column, Format, Table, note, print_documents
from taskq.cli.text import one_line, parsed, since
from taskq.resources.common import API_VERSION

ABOUT_OURS = f"involvedObject.apiVersion={API_VERSION}"


@click.command(
    "events",
    cls=Command,
    examples=["events", "events nightly-1700000000", "events -A --warnings --newer 1h", "events -w"],
)
@click.argument("task", required=False, metavar="[TASK]", shell_complete=existing(TASK))
@option("--warnings", is_flag=True, section="Filters", help="Warnings only.")
@option("--newer", type=DURATION, metavar="TIME", section="Filters", help="Of the last so long, such as 1h.")
@option("-w", "--watch", is_flag=True, section=OUTPUT, help="Go on with those that come.")
@printed
@everywhere
@connected
def command(
    api: Api,
    form: Format,
    task: str | None,
    warnings: bool,
    newer: float | None,
    watch: bool,
    all_namespaces: bool,
) -> None:
    """List Events about Tasks, TaskQueues, Schedules and TaskTemplates.

    The oldest first. The API server forgets Events, after an hour unless it is set otherwise; a Task's status does not.
    """
    namespace = None if all_namespaces else api.namespace
    fields = ABOUT_OURS + ",type=Warning" * warnings
    now = api.clock.now()

    def wanted(one: Event) -> bool:
        moment = parsed(one.time)
        return newer is None or moment is None or now - moment.timestamp() <= newer

    if task is not None:
        uid = api.get(TASK, api.namespace, task.rpartition("/")[2])["metadata"]["uid"]
        fields = f"involvedObject.uid={uid}" + ",type=Warning" * warnings
        found = [one for one in events_of(api, api.namespace, uid) if wanted(one)]
        found = [one for one in found if one.type == "Warning" or not warnings]
    if not form.is_table:
        print_documents(EVENT, (obj for obj in api.list(EVENT, namespace, fields=fields) if wanted(event(obj))), form)
        return
    first = next(iter(api.pages(EVENT, namespace, fields=fields, size=1))).version if watch else ""
    if task is None:
        found = in_order([one for obj in api.list(EVENT, namespace, fields=fields) if wanted(one := event(obj))])
    table = Table(_columns(now, namespaced=all_namespaces), headers=form.headers)
    table.print(table.row(one) for one in found)
    if watch:
        _watch(api, table, namespace, fields, first, namespaced=all_namespaces)
    if not found:
        note("No events found.")


def _watch(api: Api, table: Table, namespace: str | None, fields: str, version: str, *, namespaced: bool) -> None:
    """Those that come, until somebody stops it."""
    sys.stdout.flush()
    while True:
        for kind, obj in api.watch(EVENT, namespace, version, fields=fields):
            version = obj["metadata"]["resourceVersion"]
            if kind in {"ADDED", "MODIFIED"}:
                table.columns = _columns(api.clock.now(), namespaced=namespaced)
                table.print([table.row(event(obj))])
                sys.stdout.flush()


def _columns(now: float, *, namespaced: bool) -> tuple[Column, ...]:
    return (
        *((Column("NAMESPACE", lambda one: one.namespace),) if namespaced else ()),
        Column("AGE", lambda one: since(one.time, now)),
        Column("TYPE", lambda one: one.type, colour=lambda text: "yellow" if text == "Warning" else ""),
        Column("REASON", lambda one: one.reason),
        Column("OBJECT", lambda one: f"{one.kind.lower()}/{one.name}"),
        Column("TIMES", lambda one: str(one.times), wide=True),
        Column("MESSAGE", lambda one: one_line(one.message)),
    )
