"""Work that does not get on: an attempt that does not end. A queue that starts nothing: :mod:`stuck_queue`.

Both are told only where the queue's ``alerts.stuckSeconds`` says from when on, and change nothing in how it works. What
is told is a condition, an Event when it begins or is over, and two metrics.
"""

from __future__ import annotations

from typing import NamedTuple

from taskq.domain import batch
from taskq.domain.actions import Note
from taskq.domain.admission import Fault
from taskq.domain.model import Condition, Job, QueueSpec, Task, seconds
from taskq.domain.reasons import Reason, message

STUCK = "Stuck"
"""The condition's type; it is there only while true."""


class Verdict(NamedTuple):
    """Whether an attempt is stuck (reason and message), and when to ask again (epoch seconds)."""

    why: Fault | None = None
    again: float | None = None


def attempt(task: Task, rules: QueueSpec, job: Job, fault: Fault | None, now: float) -> Verdict:
    """Judge a running attempt: by its age, or, where items are counted, by when the last of them ended.

    ``fault`` is what keeps its containers from running: it says more than the time that it takes.
    """
    limit = rules.alerts.stuck_seconds if rules.alerts else None
    if limit is None:
        return Verdict()
    at = _last_step(task, job, now) + limit
    if now < at:
        return Verdict(again=at)
    reason = Reason.NO_PROGRESS if job.has_items else Reason.RUNNING_LONG
    facts = {"attempt": task.current_attempt, "limit": limit, "queue": task.queue.name, "job": job.metadata.name}
    text = message(reason, **facts)
    return Verdict((fault[0], f"{text}: {fault[1]}") if fault else (reason, text))


def _last_step(task: Task, job: Job, now: float) -> float:
    newest, written = batch.progress_of(job), task.status.progress
    began = job.metadata.created
    if newest is None or written is None or task.status.attempt != task.current_attempt:
        return began
    if batch.is_news(written, newest):  # it will be written in a moment
        return now
    return max(began, seconds(written.last_change_time)) if written.last_change_time else began


def note(present: Condition | None, why: Fault | None) -> Note | None:
    """What to tell when an object begins to be stuck, or is so no longer."""
    was = present is not None and present.status == "True"
    if why and not was:
        return Note(reason=STUCK, message=why[1], warning=True)
    if was and not why:
        return Note(reason=Reason.NOT_STUCK, message=message(Reason.NOT_STUCK))
    return None
