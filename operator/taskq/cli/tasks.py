"""What a Task's document says, read once and in one place."""

from __future__ import annotations

from taskq.cli.kinds import Object
from taskq.cli.text import parsed
from taskq.resources.common import DEFAULT_QUEUE, LABEL_SCHEDULE, TERMINAL_PHASES, Phase

ENDED = frozenset(phase.value for phase in TERMINAL_PHASES)


def phase(task: Object) -> str:
    """Where it stands."""
    return str(task.get("status", {}).get("phase") or Phase.PENDING.value)


def ended(task: Object) -> bool:
    """Whether it is over."""
    return phase(task) in ENDED


def queue(task: Object) -> str:
    """The queue in use, or the one that will be."""
    return str(task.get("status", {}).get("queueName") or task["spec"].get("queueName") or DEFAULT_QUEUE)


def type_of(task: Object) -> str:
    """Its TaskTemplate; empty when it carries a Job of its own."""
    return str((task["spec"].get("templateRef") or {}).get("name", ""))


def schedule(task: Object) -> str:
    """The Schedule that made it; empty when none did."""
    return str((task["metadata"].get("labels") or {}).get(LABEL_SCHEDULE, ""))


def priority(task: Object) -> str:
    """The priority in use, or what the Task says of it."""
    status, spec = task.get("status", {}), task["spec"]
    for value in (status.get("effectivePriority"), spec.get("priority"), spec.get("priorityLevel")):
        if value is not None:
            return str(value)
    return ""


def attempts(task: Object) -> list[Object]:
    """The attempts that ended, oldest first, at most ten."""
    return list(task.get("status", {}).get("attempts") or ())


def waited_seconds(task: Object, now: float) -> float | None:
    """From when it could have started to the start of its first attempt that we know; so far, when it waits."""
    status = task.get("status", {})
    begin = parsed(task["spec"].get("notBeforeTime"))
    created = parsed(task["metadata"]["creationTimestamp"])
    assert created is not None
    due = max(begin, created) if begin else created
    known = attempts(task)
    first = known[0].get("startTime") if known and known[0]["number"] == 1 else status.get("startTime")
    started = parsed(first)
    if started is None:
        stop = parsed(status.get("completionTime"))
        started_at = stop.timestamp() if stop else now
    else:
        started_at = started.timestamp()
    return max(0.0, started_at - due.timestamp())


def ran_seconds(task: Object, now: float) -> float | None:
    """How long its latest attempt ran, or runs; None when none started."""
    status = task.get("status", {})
    known = attempts(task)
    latest = known[-1] if known and known[-1]["number"] == status.get("attempt") else {}
    start = parsed(latest.get("startTime") or status.get("startTime"))
    if start is None:
        return None
    if phase(task) == Phase.RETRYING and not latest:
        return None
    stop = parsed(latest.get("completionTime") or status.get("completionTime"))
    return max(0.0, (stop.timestamp() if stop else now) - start.timestamp())


def reason(task: Object) -> str:
    """Why it stands there, as one word: the status' own, else a fault that a condition names."""
    found = task.get("status", {}).get("reason")
    if found:
        return str(found)
    for obj in task.get("status", {}).get("conditions", ()):
        if obj["type"] == "Admitted" and obj["status"] == "False":
            return str(obj["reason"])
    return ""


def exit_code(task: Object) -> int | None:
    """The exit code of the last attempt that ended."""
    known = attempts(task)
    code = known[-1].get("exitCode") if known else None
    return None if code is None else int(code)
