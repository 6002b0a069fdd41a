"""Whether a Task that is due may stand in its queue's order, and if not, why: the first check that fails tells."""

from __future__ import annotations

import math
from typing import NamedTuple

from taskq.domain import policy
from taskq.domain.model import Queue, QueueSpec, Task, seconds, stamp
from taskq.domain.reasons import Reason, message

Fault = tuple[str, str]
"""Reason and message."""


class Refusal(NamedTuple):
    """The API server said no to a Task's Job."""

    reason: str
    message: str
    until: float
    """Epoch seconds before which it is not asked again."""


def why_blocked(
    task: Task,
    queue: Queue | None,
    *,
    queue_exists: bool,
    template_fault: Fault | None = None,
    refusal: Refusal | None,
    now: float,
    parent: Queue | None = None,
) -> tuple[Fault | None, float | None]:
    """The fault that keeps a Task out of the order, and when to look again without any other event."""
    if template_fault:  # without its template it is not even known which queue it belongs to
        return template_fault, None
    name = task.queue.name
    if not queue_exists:  # it was never created, or was deleted with Tasks in it
        return (Reason.QUEUE_NOT_FOUND, message(Reason.QUEUE_NOT_FOUND, queue=name)), None
    for accepting in (queue, parent):
        fault = _not_accepted(task, accepting, now) if accepting else None
        if fault:
            return fault, None
    if task.spec.priority_level and not policy.priority_level(task, policy.spec_of(queue)):
        text = message(Reason.PRIORITY_LEVEL_NOT_FOUND, queue=name, level=task.spec.priority_level)
        return (Reason.PRIORITY_LEVEL_NOT_FOUND, text), None
    if refusal and now < refusal.until:
        return (refusal.reason, refusal.message), refusal.until
    return None, None


def _not_accepted(task: Task, queue: Queue, now: float) -> Fault | None:
    name = queue.metadata.name
    if unreadable := unreadable_queue(queue):
        return unreadable
    if queue.spec.state == "Closed" and not task.settled_attempt:
        return Reason.QUEUE_CLOSED, message(Reason.QUEUE_CLOSED, queue=name)
    if queue.spec.state == "Draining" and not accepted_before_draining(task, queue, now):
        since = stamp(draining_since(queue, now))
        return Reason.QUEUE_DRAINING, message(Reason.QUEUE_DRAINING, queue=name, since=since)
    return None


def unreadable_queue(queue: Queue) -> Fault | None:
    """Why a queue's rules are not known."""
    if not queue.defect:
        return None
    text = message(Reason.INVALID_QUEUE, queue=queue.metadata.name, message=queue.defect)
    return Reason.INVALID_QUEUE, text


def may_start(rules: QueueSpec) -> bool:
    """Whether the queue starts anything at all."""
    return rules.state in ("Open", "Draining")


def draining_since(queue: Queue, now: float) -> float:
    """When the queue stopped accepting; before that stands in its status, it is about to be."""
    accepting = queue.accepting_since
    if accepting and accepting.status == "False" and accepting.last_transition_time:
        return seconds(accepting.last_transition_time)
    return math.floor(now) + 1


def accepted_before_draining(task: Task, queue: Queue, now: float) -> bool:
    """Whether a Task belongs to the work that a draining queue still does, retries included.

    Accepting turns False at the beginning of a second (see ``queue_status.stops_accepting``), so a Task of that second
    came after it.
    """
    return task.metadata.created < draining_since(queue, now)
