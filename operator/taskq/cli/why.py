"""Why a Task does not run yet, as far as its own document and its queue's tell."""

from __future__ import annotations

from taskq.cli import tasks
from taskq.cli.kinds import Object, condition, name_of
from taskq.cli.text import age, local, parsed
from taskq.resources.common import DEFAULT_MAX_CONCURRENCY, Phase, QueueState

STATES = {
    QueueState.PAUSED: "is Paused and starts nothing",
    QueueState.DRAINING: "is Draining and starts nothing newer than its change of state",
    QueueState.CLOSED: "is Closed and accepts nothing",
    QueueState.DRY_RUN: "is in DryRun and starts nothing",
}


def reasons(task: Object, queue: Object | None, now: float) -> list[str]:
    """What holds it back, the most certain first; empty when it does not wait."""
    if tasks.phase(task) not in {Phase.PENDING, Phase.RETRYING}:
        return []
    found = [*_own(task, now), *_faults(task), *_of_queue(queue)]
    return found or [f"Waits in queue {tasks.queue(task)} for its turn"]


def _own(task: Object, now: float) -> list[str]:
    spec, status = task["spec"], task.get("status", {})
    said = []
    if spec.get("cancellation") is not None:
        said.append("It is being cancelled (spec.cancellation)")
    if spec.get("suspend"):
        said.append(f"It is held by spec.suspend; `resume {name_of(task)}` lets it go on")
    for field, words in (
        (spec.get("notBeforeTime"), "spec.notBeforeTime"),
        (status.get("nextAttemptTime"), "the backoff before the next attempt"),
    ):
        due = parsed(field)
        if due is not None and due.timestamp() > now:
            said.append(f"Not before {local(due)}, in {age(due.timestamp() - now)} ({words})")
    return said


def _faults(task: Object) -> list[str]:
    admitted = condition(task, "Admitted")
    if admitted is None or admitted["status"] == "True":
        return []
    return [f"{admitted['reason']}: {admitted['message']}"]


def _of_queue(queue: Object | None) -> list[str]:
    if queue is None:
        return []
    spec, status, name = queue["spec"], queue.get("status", {}), name_of(queue)
    said = []
    state = spec.get("state", QueueState.OPEN)
    if state in STATES:
        said.append(f"Its queue {name} {STATES[QueueState(state)]}; `open {name}` changes that")
    limit = spec.get("maxConcurrency", DEFAULT_MAX_CONCURRENCY)
    running = status.get("running") or 0
    if running >= limit:
        said.append(f"Its queue {name} is full: {running} of {limit} run (spec.maxConcurrency)")
    return said
