"""Who wants a Task to end before its time: the Task's own ``cancellation``, or a request on its queue.

A request is an annotation of the TaskQueue, taken up once: the operator writes its value and a time into the queue's
status (:mod:`taskq.domain.requests`), and decisions read only that. It concerns Tasks created up to that second, so it
needs no list of them, survives a crash at any point, and leaves alone what is created later.
"""

from __future__ import annotations

from typing import NamedTuple

from taskq.domain.model import Queue, Task, seconds, stamp
from taskq.domain.outcome import Outcome
from taskq.domain.queue_facts import QueueRequest
from taskq.domain.reasons import Reason, message
from taskq.resources.common import CANCEL_ALL_ANNOTATION


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
