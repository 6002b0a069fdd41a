"""The status that TaskQ writes on a Task: whole, in one patch, in both dialects.

kstatus (Flux, Helm) reads ``Reconciling`` and ``Stalled``, which are there only while true; ``kubectl wait`` reads
``Complete``, ``Failed`` and ``Finished``. ``phase`` is derived from the same facts, for tables and selectors.
"""

from __future__ import annotations

from typing import Any

from taskq.domain import batch, hooks, policy
from taskq.domain.items import Progress
from taskq.domain.model import Attempt, Condition, Job, QueueSpec, Task, precise_stamp, seconds, stamp
from taskq.domain.outcome import Outcome
from taskq.domain.reasons import STALLING, Reason, message
from taskq.resources.common import MAX_ATTEMPTS_KEPT

Patch = dict[str, Any]
"""The value of ``status`` in a merge patch: None removes a field."""

State = tuple[str, str, str]
"""Status, reason and message of a condition."""

_MESSAGE_MAX = 1024


def waiting(task: Task, queue: QueueSpec, fault: tuple[str, str] | None, now: float) -> Patch:
    """A Task that stands in its queue; with a fault, why it can't start.

    Never both ``Reconciling`` and ``Stalled``: kstatus goes by the one that it meets first.
    """
    reason, text = fault or (Reason.WAITING, message(Reason.WAITING, queue=task.queue.name))
    stalls = reason in STALLING
    conditions: dict[str, State | None] = {
        "Admitted": ("False", reason, text),
        "Reconciling": None if stalls else ("True", reason, text),
        "Stalled": ("True", reason, text) if stalls else None,
    }
    phase = "Retrying" if task.settled_attempt else "Pending"
    return _patch(task, queue, now, phase, reason, text, conditions)


def running(
    task: Task,
    queue: QueueSpec,
    job: Job,
    fault: tuple[str, str] | None,
    now: float,
    progress: Progress | None = None,
    *,
    stuck: tuple[str, str] | None = None,
) -> Patch:
    """A Task whose attempt has a Job; with a fault, why its containers don't run; ``stuck``: why it does not get on."""
    started = message(Reason.STARTED, attempt=task.current_attempt, job=job.metadata.name)
    reason, text = fault or (Reason.STARTED, started)
    conditions: dict[str, State | None] = {
        "Admitted": ("True", Reason.STARTED, started),
        "Reconciling": ("True", reason, text),
        "Stalled": None,
        "Stuck": ("True", *stuck) if stuck else None,
    }
    return _patch(task, queue, now, "Running", reason, text, conditions) | {
        "attempt": task.current_attempt,
        "jobName": job.metadata.name,
        "nextAttemptTime": None,
        **_first_times(task, job.metadata.created),
        **_progress(task, progress, now),
    }


def retrying(
    task: Task, queue: QueueSpec, job_name: str, outcome: Outcome, *, due: float, counts: bool, now: float
) -> Patch:
    """A Task whose attempt failed and which runs again at ``due``."""
    reason = Reason.BACKING_OFF
    text = message(reason, attempt=task.current_attempt, reason=outcome.reason, due=stamp(due))
    conditions: dict[str, State | None] = {
        "Admitted": ("False", reason, text),
        "Reconciling": ("True", reason, text),
        "Stalled": None,
    }
    return (
        _patch(task, queue, now, "Retrying", outcome.reason, text, conditions)
        | _settled_attempt(task, job_name, outcome, counts=counts)
        | {"nextAttemptTime": precise_stamp(due)}
    )


def ended(
    task: Task,
    queue: QueueSpec,
    phase: str,
    reason: str,
    text: str,
    now: float,
    *,
    attempt: tuple[str, Outcome] | None = None,
    counts: bool | None = None,
) -> Patch:
    """A Task that reached its end; ``attempt`` is the Job name and outcome of the attempt that ended it.

    ``counts`` says whether that attempt was the Task's fault; None, that nobody asks (success, cancellation).
    """
    good = phase == "Succeeded"
    conditions: dict[str, State | None] = {
        "Complete": ("True", reason, text) if good else None,
        "Failed": None if good else ("True", reason, text),
        "Finished": ("True", reason, text),
        "Admitted": ("True", Reason.STARTED, text) if attempt else ("False", reason, text),
        "Reconciling": None,
        "Stalled": ("True", reason, text) if phase in ("Failed", "Expired") else None,
    }
    patch = _patch(task, queue, now, phase, reason, text, conditions)
    patch |= {"completionTime": stamp(now), "nextAttemptTime": None, "settled": "True"}
    planned = hooks.planned(task, phase)
    if planned:
        patch |= {"hooks": planned, "settled": None}
    if phase == "Failed" and queue.retention and queue.retention.dead_letter_seconds:
        patch["deadLetter"] = "True"
    if attempt:
        job_name, outcome = attempt
        patch |= _settled_attempt(task, job_name, outcome, counts=counts)
        patch["completionTime"] = stamp(outcome.ended)
        if outcome.result:
            patch["result"] = outcome.result
    return patch


def differs(task: Task, patch: Patch) -> bool:
    """Whether a patch says anything that the status does not say yet; times do not count."""
    if patch["phase"] != task.status.phase or patch.get("attempt", task.status.attempt) != task.status.attempt:
        return True
    if "progress" in patch and patch["progress"] != batch.standing(task.status.progress):
        return True
    wanted = {c["type"]: (c["status"], c["reason"], c["message"]) for c in patch["conditions"]}
    return wanted != {c.type: (c.status, c.reason, c.message) for c in task.status.conditions}


def _patch(
    task: Task,
    queue: QueueSpec,
    now: float,
    phase: str,
    reason: str,
    text: str,
    states: dict[str, State | None],
) -> Patch:
    return {
        "observedGeneration": task.metadata.generation,
        "queueName": task.queue.name,
        "effectivePriority": policy.effective_priority(task, queue, now),
        "phase": phase,
        "reason": reason,
        "message": text[:_MESSAGE_MAX],
        "conditions": conditions(task.status.conditions, task.metadata.generation, {"Stuck": None, **states}, now),
    }


def conditions(
    present: tuple[Condition, ...], generation: int, states: dict[str, State | None], now: float
) -> list[dict[str, Any]]:
    """The whole list: the present conditions, changed by ``states``; None takes one away.

    All get the generation, since ``kubectl wait`` passes over a condition that is older than the spec. The transition
    time moves only with the status, as the API conventions ask.
    """
    before = {condition.type: condition for condition in present}
    merged: dict[str, State | None] = {c.type: (c.status, c.reason, c.message) for c in present}
    merged.update(states)
    return [
        {
            "type": kind,
            "status": state[0],
            "reason": str(state[1]),
            "message": state[2][:_MESSAGE_MAX],
            "lastTransitionTime": _transition(before.get(kind), state[0], now),
            "observedGeneration": generation,
        }
        for kind, state in merged.items()
        if state
    ]


def _transition(before: Condition | None, state: str, now: float) -> str:
    if before and before.status == state and before.last_transition_time:
        return stamp(seconds(before.last_transition_time))
    return stamp(now)


def _settled_attempt(task: Task, job_name: str, outcome: Outcome, *, counts: bool | None) -> Patch:
    number = task.current_attempt
    entry: dict[str, Any] = {
        "number": number,
        "jobName": job_name,
        "podName": outcome.pod_name or None,
        "startTime": stamp(outcome.started) if outcome.started else None,
        "completionTime": stamp(outcome.ended),
        "exitCode": outcome.exit_code,
        "reason": outcome.reason,
        "message": outcome.message or None,
    }
    kept = [_attempt(attempt) for attempt in task.status.attempts[-(MAX_ATTEMPTS_KEPT - 1) :]]
    patch: Patch = {
        "attempt": number,
        "jobName": job_name,
        **_first_times(task, outcome.started),
        "attempts": [*kept, {name: value for name, value in entry.items() if value is not None}],
    }
    patch |= _progress(task, outcome.progress, outcome.ended)
    if counts is not None:
        field = "failedAttempts" if counts else "ignoredAttempts"
        spent = task.status.failed_attempts if counts else task.status.ignored_attempts
        patch[field] = spent + 1
    return patch


def _progress(task: Task, progress: Progress | None, now: float) -> Patch:
    return {"progress": batch.patch(task.status.progress, progress, now)} if progress else {}


def _first_times(task: Task, started: float | None) -> Patch:
    """When the Task could first have started, and when it did: later attempts change neither."""
    first = not task.settled_attempt
    patch: Patch = {}
    if first or task.status.queued_time is None:
        patch["queuedTime"] = stamp(policy.due_time(task))
    if started and (first or task.status.start_time is None):
        patch["startTime"] = stamp(started)
    return patch


def _attempt(attempt: Attempt) -> dict[str, Any]:
    values = {
        "number": attempt.number,
        "jobName": attempt.job_name,
        "podName": attempt.pod_name,
        "startTime": stamp(seconds(attempt.start_time)) if attempt.start_time else None,
        "completionTime": stamp(seconds(attempt.completion_time)) if attempt.completion_time else None,
        "exitCode": attempt.exit_code,
        "reason": attempt.reason,
        "message": attempt.message,
    }
    return {name: value for name, value in values.items() if value not in (None, "")}
