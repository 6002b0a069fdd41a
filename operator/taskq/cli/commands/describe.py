"""`describe`: all about one Task."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from taskq.cli import tasks, why
from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.events import events_of
from taskq.cli.framework import Command
from taskq.cli.kinds import TASK, TEMPLATE, Object, name_of, namespace_of
from taskq.cli.masking import LAST_APPLIED, MASK, is_sensitive
from taskq.cli.options import connected
from taskq.cli.output import Column, Table, coloured, phase_colour
from taskq.cli.queueof import queue_of
from taskq.cli.selection import by_names
from taskq.cli.text import age, between, local, one_line, parsed, since
from taskq.cli.why import answered
from taskq.resources.common import Phase

LABEL_WIDTH = 14


@click.command("describe", cls=Command, examples=["describe nightly-1700000000", "describe a b"])
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=existing(TASK))
@answered
@connected
def command(api: Api, names: tuple[str, ...], api_url: str) -> None:
    """Tell all about a Task: attempts, timeline, events, and why it waits.

    The position and the likely start hold as long as nothing else happens. Values of parameters that the TaskTemplate
    calls sensitive are not shown.
    """
    now = api.clock.now()
    for index, task in enumerate(by_names(api, names)):
        if index:
            sys.stdout.write("\n\n")
        template = _template(api, task)
        sys.stdout.write("\n".join(_head(task, queue_of(api)(task), now)) + "\n")
        _section("Parameters", _parameters(task, template))
        _why(api, task, api_url)
        _attempts(task, now)
        _section("Timeline", _timeline(task))
        _section("Result", (task.get("status", {}).get("result") or "").splitlines())
        _conditions(task, now)
        _events(api, task, now)


def _template(api: Api, task: Object) -> Object | None:
    """The Task's TaskTemplate; None also for those who may not read it."""
    name = tasks.type_of(task)
    try:
        return api.find(TEMPLATE, namespace_of(task), name) if name else None
    except ApiRefused:
        return None


def _line(label: str, value: str) -> str:
    return f"{label + ':':<{LABEL_WIDTH}} {value}".rstrip()


def _head(task: Object, queue: str, now: float) -> Iterable[str]:
    meta, spec, status = task["metadata"], task["spec"], task.get("status", {})
    phase, reason = tasks.phase(task), tasks.reason(task)
    yield _line("Name", name_of(task))
    yield _line("Namespace", namespace_of(task))
    yield _line("Queue", queue)
    yield _line("Priority", tasks.priority(task) or "the queue's")
    shown = coloured(phase, phase_colour(phase))
    yield _line("Phase", shown + (f" ({reason})" if reason and reason != phase else ""))
    if status.get("message"):
        yield _line("Message", one_line(status["message"]))
    for label, value in (
        ("Type", tasks.type_of(task)),
        ("Schedule", tasks.schedule(task)),
        ("Retry of", (spec.get("retryOf") or {}).get("name", "")),
        ("Retried by", status.get("retriedBy", "")),
        ("Waits for", ", ".join(one["name"] for one in spec.get("dependsOn") or ())),
    ):
        if value:
            yield _line(label, value)
    for key, label in (("labels", "Labels"), ("annotations", "Annotations")):
        known = sorted((name, value) for name, value in (meta.get(key) or {}).items() if name != LAST_APPLIED)
        for index, (name, value) in enumerate(known):
            shown = f"{name}={one_line(value, 200)}"
            yield _line(label, shown) if not index else f"{'':<{LABEL_WIDTH}} {shown}"
    yield _line("Created", _moment(meta["creationTimestamp"], now))
    if spec.get("notBeforeTime"):
        yield _line("Not before", local(spec["notBeforeTime"]))
    if status.get("startTime"):
        yield _line("Started", _moment(status["startTime"], now))
    if status.get("completionTime"):
        yield _line("Ended", _moment(status["completionTime"], now))
    for label, seconds in (("Waited", tasks.waited_seconds(task, now)), ("Ran", tasks.ran_seconds(task, now))):
        if seconds is not None:
            yield _line(label, age(seconds))
    if status.get("jobName"):
        yield _line("Job", status["jobName"])


def _moment(time: str, now: float) -> str:
    return f"{local(time)} ({since(time, now)} ago)"


def _section(title: str, lines: Sequence[str]) -> None:
    if lines:
        sys.stdout.write(f"{title}:\n" + "".join(f"  {line}\n" for line in lines))


def _parameters(task: Object, template: Object | None) -> list[str]:
    """Values, but none that the TaskTemplate calls sensitive; secrets are named, never read.

    When the template can't be read nobody knows what is sensitive, so all are hidden.
    """
    given = task["spec"].get("parameters") or []
    if not given:
        return []
    lines = []
    for parameter in given:
        name = parameter["name"]
        if (source := parameter.get("valueFrom")) is not None:
            kind, reference = next(iter(source.items()))
            key = f"/{reference['key']}" if "key" in reference else ""
            lines.append(f"{name} from {kind.removesuffix('KeyRef')} {reference['name']}{key}")
            continue
        hidden = bool(tasks.type_of(task)) and is_sensitive(name, template)
        lines.append(f"{name} = {MASK if hidden else one_line(str(parameter.get('value', '')), 200)}")
    return lines


def _why(api: Api, task: Object, api_url: str) -> None:
    if tasks.ended(task):
        return
    try:
        found = why.explanation(api, task, api_url)
    except CliError as error:
        _section("Why it waits", [f"<unknown> ({error})"])
        return
    waits = found["phase"] in {Phase.PENDING, Phase.RETRYING}
    _section("Why it waits" if waits else "How it stands", list(why.lines(found, api.clock.now())))


def _attempts(task: Object, now: float) -> None:
    rows = tasks.attempts(task)
    status = task.get("status", {})
    if status.get("attempt") and (not rows or rows[-1]["number"] != status["attempt"]) and not tasks.ended(task):
        running = {"number": status["attempt"], "jobName": status.get("jobName"), "startTime": status.get("startTime")}
        rows.append({**running, "reason": tasks.phase(task)})
    if not rows:
        return
    sys.stdout.write("Attempts:\n")
    table = Table(
        (
            Column("  NUMBER", lambda attempt: f"  {attempt['number']}"),
            Column("STARTED", lambda attempt: local(attempt.get("startTime"))),
            Column("RAN", lambda attempt: between(attempt.get("startTime"), attempt.get("completionTime"), now)),
            Column("EXIT", lambda attempt: str(attempt.get("exitCode", ""))),
            Column("REASON", lambda attempt: attempt.get("reason") or ""),
            Column("POD", lambda attempt: attempt.get("podName") or ""),
            Column("MESSAGE", lambda attempt: one_line(attempt.get("message") or "", 120)),
        )
    )
    table.print(table.row(attempt) for attempt in rows)


def _timeline(task: Object) -> list[str]:
    """What happened when, with the time that passed since the step before."""
    spec, status = task["spec"], task.get("status", {})
    steps: list[tuple[str | None, str]] = [(task["metadata"]["creationTimestamp"], "created")]
    steps.append((spec.get("notBeforeTime"), "may start (spec.notBeforeTime)"))
    known = tasks.attempts(task)
    for attempt in known:
        number = attempt["number"]
        steps.append((attempt.get("startTime"), f"attempt {number} started"))
        steps.append((attempt.get("completionTime"), f"attempt {number} ended: {attempt.get('reason') or 'unknown'}"))
    if status.get("attempt") and (not known or known[-1]["number"] != status["attempt"]):
        steps.append((status.get("startTime"), f"attempt {status['attempt']} started"))
    if not tasks.ended(task):
        steps.append((status.get("nextAttemptTime"), "next attempt is due"))
    steps.append((status.get("completionTime"), f"ended: {tasks.phase(task)}"))
    timed = sorted(
        ((moment, words) for time, words in steps if (moment := parsed(time)) is not None), key=lambda step: step[0]
    )
    lines, before = [], timed[0][0]
    for moment, words in timed:
        lines.append(f"{local(moment)}  {'+' + age((moment - before).total_seconds()):<8} {words}")
        before = moment
    return lines


def _conditions(task: Object, now: float) -> None:
    conditions = task.get("status", {}).get("conditions") or []
    if not conditions:
        return
    sys.stdout.write("Conditions:\n")
    table = Table(
        (
            Column("  TYPE", lambda found: f"  {found['type']}"),
            Column("STATUS", lambda found: found["status"]),
            Column("REASON", lambda found: found["reason"]),
            Column("AGE", lambda found: since(found["lastTransitionTime"], now)),
            Column("MESSAGE", lambda found: one_line(found["message"])),
        )
    )
    table.print(table.row(found) for found in conditions)


def _events(api: Api, task: Object, now: float) -> None:
    try:
        found = events_of(api, namespace_of(task), task["metadata"]["uid"])
    except ApiRefused as error:
        sys.stdout.write(f"Events:        <unknown> ({error})\n")
        return
    if not found:
        sys.stdout.write("Events:        <none>\n")
        return
    sys.stdout.write("Events:\n")
    table = Table(
        (
            Column("  AGE", lambda event: f"  {since(event.time, now)}"),
            Column("TYPE", lambda event: event.type),
            Column("REASON", lambda event: event.reason),
            Column("MESSAGE", lambda event: one_line(event.message)),
        )
    )
    table.print(table.row(event) for event in found)
