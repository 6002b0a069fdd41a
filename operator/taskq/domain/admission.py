"""Whether a Task that is due may stand in its queue's order, and if not, why: the first check that fails tells."""

from __future__ import annotations

from typing import NamedTuple

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
    template_exists: bool,
    refusal: Refusal | None,
    now: float,
) -> tuple[Fault | None, float | None]:
    """The fault that keeps a Task out of the order, and when to look again without any other event."""
    name = task.queue.name
    if not queue_exists:  # it was never created, or was deleted with Tasks in it
        return (Reason.QUEUE_NOT_FOUND, message(Reason.QUEUE_NOT_FOUND, queue=name)), None
    if queue and queue.spec.state == "Closed" and not task.settled_attempt:
        return (Reason.QUEUE_CLOSED, message(Reason.QUEUE_CLOSED, queue=name)), None
    if queue and queue.spec.state == "Draining" and not accepted_before_draining(task, queue, now):
        since = stamp(draining_since(queue, now))
        return (Reason.QUEUE_DRAINING, message(Reason.QUEUE_DRAINING, queue=name, since=since)), None
    if task.spec.template_ref and not template_exists:
        text = message(Reason.TEMPLATE_NOT_FOUND, template=task.spec.template_ref.name)
        return (Reason.TEMPLATE_NOT_FOUND, text), None
    if refusal and now < refusal.until:
        return (refusal.reason, refusal.message), refusal.until
    return None, None


def may_start(rules: QueueSpec) -> bool:
    """Whether the queue starts anything at all."""
    return rules.state in ("Open", "Draining")


def draining_since(queue: Queue, now: float) -> float:
    """When the queue stopped accepting; before that stands in its status, it is now."""
    accepting = queue.accepting_since
    if accepting and accepting.status == "False" and accepting.last_transition_time:
        return seconds(accepting.last_transition_time)
    return now


def accepted_before_draining(task: Task, queue: Queue, now: float) -> bool:
    """Whether a Task belongs to the work that a draining queue still does, retries included."""
    return task.metadata.created <= draining_since(queue, now)
