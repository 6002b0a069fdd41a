"""The columns of each kind's table. Names have no spaces and values neither, as kubectl's have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskq.cli import tasks
from taskq.cli.kinds import Object, condition, name_of, namespace_of
from taskq.cli.output import Column, phase_colour
from taskq.cli.text import age, one_line, since
from taskq.resources.common import DEFAULT_MAX_CONCURRENCY

MESSAGE_WIDTH = 80

NAMESPACE = Column("NAMESPACE", namespace_of)


def _status(name: str) -> Any:
    return lambda obj: str(obj.get("status", {}).get(name, ""))


def task_columns(now: float, queue_of: Callable[[Object], str], *, namespaced: bool) -> Sequence[Column]:
    """Tasks; wide ones say what they are and why they stand there."""

    def seconds(value: float | None) -> str:
        return "" if value is None else age(value)

    return (
        *((NAMESPACE,) if namespaced else ()),
        Column("NAME", name_of),
        Column("QUEUE", queue_of),
        Column("PRI", tasks.priority),
        Column("PHASE", tasks.phase, colour=phase_colour),
        Column("ATTEMPT", _status("attempt")),
        Column("WAITED", lambda task: seconds(tasks.waited_seconds(task, now))),
        Column("RAN", lambda task: seconds(tasks.ran_seconds(task, now))),
        Column("REASON", tasks.reason),
        Column("TYPE", tasks.type_of, wide=True),
        Column("SCHEDULE", tasks.schedule, wide=True),
        Column("JOB", _status("jobName"), wide=True),
        Column("AGE", lambda task: since(task["metadata"]["creationTimestamp"], now)),
        Column("MESSAGE", lambda task: one_line(task.get("status", {}).get("message") or "", MESSAGE_WIDTH), wide=True),
    )


def queue_columns(now: float, *, namespaced: bool) -> Sequence[Column]:
    """TaskQueues with their counts."""
    return (
        *((NAMESPACE,) if namespaced else ()),
        Column("NAME", name_of),
        Column("READY", ready),
        Column("STATE", lambda queue: queue["spec"].get("state", "Open"), colour=_state_colour),
        Column("PENDING", _status("pending")),
        Column("RUNNING", _running),
        Column("RETRYING", _status("retrying")),
        Column("OLDEST", lambda queue: since(queue.get("status", {}).get("oldestPendingTime"), now)),
        Column("SUCCEEDED", _status("succeeded")),
        Column("FAILED", _status("failed")),
        Column("EXPIRED", _status("expired"), wide=True),
        Column("CANCELLED", _status("cancelled"), wide=True),
        Column("PARENT", lambda queue: (queue["spec"].get("parent") or {}).get("name", ""), wide=True),
        Column("PRIORITY", lambda queue: str(queue["spec"].get("priority", 0)), wide=True),
        Column("ORDERING", lambda queue: queue["spec"].get("ordering", ""), wide=True),
        Column("RATE", _rate, wide=True),
        Column("LAST-START", lambda queue: since(queue.get("status", {}).get("lastStartTime"), now)),
        Column("AGE", lambda queue: since(queue["metadata"]["creationTimestamp"], now)),
    )


def ready(obj: Object) -> str:
    """The condition Ready: True, False, or unknown to anybody."""
    found = condition(obj, "Ready")
    return str(found["status"]) if found else "<unknown>"


def _running(queue: Object) -> str:
    running = queue.get("status", {}).get("running")
    limit = queue["spec"].get("maxConcurrency", DEFAULT_MAX_CONCURRENCY)
    return f"{'?' if running is None else running}/{limit}"


def _rate(queue: Object) -> str:
    limit = queue["spec"].get("rateLimit")
    return f"{limit['maxStarts']}/{age(limit['periodSeconds'])}" if limit else ""


def _state_colour(state: str) -> str:
    return {"Open": "", "Closed": "red"}.get(state, "yellow")


def schedule_columns(now: float, *, namespaced: bool) -> Sequence[Column]:
    """Schedules with the next run, as the user's clock shows it, and as the Schedule's does."""
    from taskq.cli.plans import next_ticks, plan_of, wall, zone_of
    from taskq.errors import TaskQError

    def upcoming(schedule: Object) -> int | None:
        try:
            return next(iter(next_ticks(plan_of(schedule), now, 1)), None)
        except TaskQError:
            return None

    def here(schedule: Object) -> str:
        tick = upcoming(schedule)
        return "" if tick is None or _is_suspended(schedule) else wall(tick)

    def there(schedule: Object) -> str:
        tick = upcoming(schedule)
        return "" if tick is None or _is_suspended(schedule) else wall(tick, zone_of(schedule["spec"]))

    return (
        *((NAMESPACE,) if namespaced else ()),
        Column("NAME", name_of),
        Column("READY", ready),
        Column("SUSPENDED", _suspended, colour=lambda text: "" if text == "false" else "yellow"),
        Column("ACTIVE", lambda schedule: str(len(schedule.get("status", {}).get("active") or ()))),
        Column("LAST", lambda schedule: since(schedule.get("status", {}).get("lastScheduleTime"), now)),
        Column("RESULT", _status("lastResult"), colour=phase_colour),
        Column("NEXT", here),
        Column("NEXT-IN-ITS-ZONE", there, wide=True),
        Column("MISSED", _status("missedRuns"), wide=True),
        Column("FAILURES", _status("consecutiveFailures"), wide=True),
        Column("AGE", lambda schedule: since(schedule["metadata"]["creationTimestamp"], now)),
        Column("WHEN", lambda schedule: one_line(_when(schedule))),
    )


def _is_suspended(schedule: Object) -> bool:
    return bool(schedule["spec"].get("suspend") or schedule.get("status", {}).get("suspension"))


def _suspended(schedule: Object) -> str:
    """By whom: the spec, or the Schedule itself after too many failures."""
    if schedule["spec"].get("suspend"):
        return "true"
    reason = (schedule.get("status", {}).get("suspension") or {}).get("reason", "")
    return reason if reason and reason != "Spec" else "false"


def _when(schedule: Object) -> str:
    from taskq.cli.plans import spec_of
    from taskq.domain.schedules.describe import describe

    return describe(spec_of(schedule["spec"]))


def template_columns(now: float, *, namespaced: bool) -> Sequence[Column]:
    """TaskTemplates with what `run` can give them."""
    return (
        *((NAMESPACE,) if namespaced else ()),
        Column("NAME", name_of),
        Column("READY", ready),
        Column("QUEUE", lambda template: template["spec"].get("queueName", "")),
        Column("PARAMETERS", _parameters),
        Column("IMAGE", _image, wide=True),
        Column("AGE", lambda template: since(template["metadata"]["creationTimestamp"], now)),
        Column("DESCRIPTION", lambda template: one_line(template["spec"].get("description") or "", MESSAGE_WIDTH)),
    )


def _parameters(template: Object) -> str:
    """`name*` is one that has to be given."""
    return ",".join(
        one["name"] + ("*" if one.get("required") and "default" not in one else "")
        for one in template["spec"].get("parameters") or ()
    )


def _image(template: Object) -> str:
    pod = template["spec"]["jobTemplate"].get("spec", {}).get("template", {}).get("spec", {})
    return ",".join(container.get("image", "") for container in pod.get("containers") or ())
