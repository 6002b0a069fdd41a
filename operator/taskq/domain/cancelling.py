"""Who wants a Task to end before its time: the Task's own ``cancellation``, or a request on its queue.

A request is an annotation of the TaskQueue, taken up once: the operator writes its value and a time into the queue's
status, and decisions read only that. It concerns Tasks created up to that time, so it needs no list of them, survives
a crash at any point, and leaves alone what is created later.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from taskq.domain.model import Queue, Task, seconds, stamp
from taskq.domain.outcome import Outcome
from taskq.domain.queue_facts import QueueRequest
from taskq.domain.reasons import Reason, message
from taskq.resources.common import CANCEL_ALL_ANNOTATION, MAX_TOKEN_LENGTH, PURGE_ANNOTATION


class Wish(NamedTuple):
    """Why a Task is to end as Cancelled."""

    reason: str
    message: str


def of_waiting(task: Task, queue: Queue | None) -> Wish | None:
    """Whether a Task without a Job is to be cancelled."""
    own = task.spec.cancellation
    if own:
        return _cancelled(f"spec.cancellation{f': {own.reason}' if own.reason else ''}")
    if wish := _of_queue(task, queue):
        return wish
    purge = queue.status.purge if queue else None
    if purge and _concerns(purge, task):
        text = message(Reason.PURGED, queue=task.queue.name, time=stamp(seconds(purge.time)))
        return Wish(Reason.PURGED, text)
    return None


def of_running(task: Task, queue: Queue | None, outcome: Outcome | None = None) -> Wish | None:
    """Whether a Task with a Job is to be stopped; with how the attempt ended, whether it was.

    A queue may be deleted between the two: then only the Job tells why it was stopped.
    """
    own = task.spec.cancellation
    if own and own.mode != "IfPending":
        return _cancelled(f"spec.cancellation{f': {own.reason}' if own.reason else ''}")
    if wish := _of_queue(task, queue):
        return wish
    stopped = outcome is not None and outcome.reason == Reason.CANCELLED
    return _cancelled(f"the annotation {CANCEL_ALL_ANNOTATION} of its queue") if stopped else None


def is_new(old: Queue, new: Queue) -> bool:
    """Whether a queue's Tasks must be looked at again for a request."""
    return (old.status.purge, old.status.cancel_all) != (new.status.purge, new.status.cancel_all)


def taken_up(queue: Queue, now: float) -> dict[str, Any]:
    """What a queue's status must say of requests that it does not say yet."""
    asked = {
        "purge": (PURGE_ANNOTATION, queue.status.purge),
        "cancelAll": (CANCEL_ALL_ANNOTATION, queue.status.cancel_all),
    }
    patch: dict[str, Any] = {}
    for field, (annotation, before) in asked.items():
        nonce = queue.metadata.annotations.get(annotation, "")[:MAX_TOKEN_LENGTH]
        if nonce and (before is None or before.nonce != nonce):
            until = max(_limit(nonce, now), seconds(before.time) if before else 0.0)
            patch[field] = {"nonce": nonce, "time": stamp(until)}
    return patch


def _of_queue(task: Task, queue: Queue | None) -> Wish | None:
    request = queue.status.cancel_all if queue else None
    if request and _concerns(request, task):
        since = stamp(seconds(request.time))
        return _cancelled(f"the annotation {CANCEL_ALL_ANNOTATION} of queue {task.queue.name} ({since})")
    return None


def _cancelled(who: str) -> Wish:
    return Wish(Reason.CANCELLED, message(Reason.CANCELLED, who=who))


def _concerns(request: QueueRequest, task: Task) -> bool:
    return task.metadata.created <= seconds(request.time)


def _limit(nonce: str, now: float) -> float:
    """The time that a value names, if it names one in the past; else now.

    A day alone, or a time without a zone, names none: it might as well be a number that somebody counts up.
    """
    try:
        named = datetime.fromisoformat(nonce)
    except ValueError:
        return now
    return max(0.0, min(now, seconds(named))) if named.tzinfo else now
