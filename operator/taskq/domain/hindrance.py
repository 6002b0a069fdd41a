"""What keeps a Task itself from being ready, in words: the questions of :mod:`lifecycle`, in their order."""

from __future__ import annotations

from typing import NamedTuple

from taskq.domain import deduplication, dependencies, policy
from taskq.domain.actions import WriteStatus
from taskq.domain.lifecycle import View, decide, fault_of
from taskq.domain.model import Task, stamp
from taskq.domain.reasons import Reason, message


class Why(NamedTuple):
    """A reason with its sentence."""

    reason: str
    message: str
    until: float | None = None
    """When it ends by itself, epoch seconds."""


def hindrance(view: View, now: float) -> Why | None:
    """None for a Task that is ready to start.

    What the decision says last wins: a check that this module has no words of its own for is told in those that are
    written, or about to be written, in the Task's status.
    """
    decision, known = decide(view, now), _known(view, now)
    if not decision.waits_for or (known and known.reason == decision.waits_for):
        return known
    written = next((action for action in decision.actions if isinstance(action, WriteStatus)), None)
    if written:
        return Why(decision.waits_for, written.status["message"], decision.wake_at)
    shown = view.task.condition("Admitted")
    told = shown is not None and shown.reason == decision.waits_for
    text = shown.message if shown and told else message(Reason.WAITING, queue=view.task.queue.name)
    return Why(decision.waits_for, text)


def _known(view: View, now: float) -> Why | None:
    task = view.task
    if task.defect:
        return Why(Reason.INVALID_TASK, message(Reason.INVALID_TASK, message=task.defect))
    if view.rival:
        return Why(*deduplication.in_words(task, view.rival))
    waits = view.dependencies.waits if view.dependencies else ()
    if view.dependencies and waits:
        fault, _ = dependencies.fault_of(task, view.dependencies, now)
        names = dependencies.in_words(waits)
        unfinished = Reason.DEPENDENCY_UNFINISHED
        return Why(*(fault or (unfinished, message(unfinished, names=names))))
    if task.spec.suspend:
        return Why(Reason.SUSPENDED, message(Reason.SUSPENDED))
    due = policy.due_time(task)
    if due > now:
        return _not_due(task, due)
    fault, until = fault_of(view, now)
    return Why(*fault, until) if fault else None


def _not_due(task: Task, due: float) -> Why:
    if not task.status.attempts:
        return Why(Reason.NOT_DUE, message(Reason.NOT_DUE, due=stamp(due)), due)
    last = task.status.attempts[-1]
    text = message(Reason.BACKING_OFF, attempt=last.number, reason=last.reason, due=stamp(due))
    return Why(Reason.BACKING_OFF, text, due)
