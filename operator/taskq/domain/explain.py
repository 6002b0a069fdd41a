"""Why does it not run, and when will it? One answer for a Task, computed when somebody asks and stored nowhere.

The answer is made of what decisions read: the board, the queues and the same checks in the same order. What it says of
the future (position, estimate) holds as long as nothing else happens: see :mod:`taskq.domain.forecast`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from taskq.domain import forecast, limits, policy
from taskq.domain.actions import WriteStatus
from taskq.domain.board import Board
from taskq.domain.estimate import Estimate, estimate
from taskq.domain.forecast import Line, Start, Steps, finish
from taskq.domain.hindrance import Why, hindrance
from taskq.domain.lifecycle import Decision, Stage, View, decide, why_not_running
from taskq.domain.limits import Limit
from taskq.domain.model import Task, stamp
from taskq.domain.queue_state import QueueState
from taskq.domain.reasons import Reason, message
from taskq.resources.common import STOP_REASON_ANNOTATION

_NOT_IN_LINE = "it does not stand in its queue's order"


class Neighbour(msgspec.Struct, frozen=True, rename="camel"):
    """A Task that waits, too."""

    name: str
    queue: str
    effective_priority: int


class Ahead(msgspec.Struct, frozen=True, rename="camel"):
    """What starts before a Task, queues that share its room included."""

    count: int
    more: bool
    """There are more than ``count``; how many is not counted."""
    first: tuple[Neighbour, ...]


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """The answer; its JSON is an API: names and reasons stay."""

    namespace: str
    task: str
    uid: str
    phase: str
    reason: str
    message: str
    queue: str
    effective_priority: int
    as_of: str
    position: int | None = None
    """Place in its queue, 1 for the next one; null when it does not stand there, or too far behind to be counted."""
    ahead: Ahead | None = None
    limits: tuple[Limit, ...] = ()
    """Every limit that is reached at this moment and binds it."""
    not_before: str | None = None
    """It can't start earlier, whatever happens."""
    estimate: Estimate | None = None
    """Null for a Task that does not wait."""
    unsettled: int = 0
    """Tasks that changed a moment ago and have not found their place yet: the position may be off by so many."""


def explain(board: Board, task: Task, now: float, *, names: bool = True) -> Explanation:
    """Answer for one Task; ``names``: whether to name the others that it waits for."""
    return finish(explain_in_steps(board, task, now, names=names))


def explain_in_steps(board: Board, task: Task, now: float, *, names: bool = True) -> Steps[Explanation]:
    """The same, for who has other things to do meanwhile."""
    view = board.view(task.metadata.uid)
    if view is None or view.task.is_terminal:
        state = board.queues.find(task.queue)
        rules = state.rules if state else policy.spec_of(None)
        return _answer(task, task.status.phase, _told(task), policy.priority(task, rules), now)
    task, decision = view.task, decide(view, now)
    priority = policy.effective_priority(task, view.rules, now)
    written = next((action for action in decision.actions if isinstance(action, WriteStatus)), None)
    if decision.stage is Stage.ENDED or (view.job and written and written.status["phase"] == "Retrying"):
        return _answer(task, *_outcome(task, written), priority, now)
    if decision.stage in (Stage.RUNNING, Stage.LAUNCHING):
        return _answer(task, "Running", _running(view, decision, now), priority, now)
    phase = "Retrying" if task.settled_attempt else "Pending"
    answer = _answer(task, phase, hindrance(view, now), priority, now)
    return (yield from _waiting(board, view, answer, now, names=names))


def _answer(task: Task, phase: str, why: Why | None, priority: int, now: float) -> Explanation:
    why = why or Why(Reason.STARTING, message(Reason.STARTING))
    return Explanation(
        namespace=task.metadata.namespace,
        task=task.metadata.name,
        uid=task.metadata.uid,
        phase=phase,
        reason=str(why.reason),
        message=why.message,
        queue=task.queue.name,
        effective_priority=priority,
        as_of=stamp(now),
        not_before=None if why.until is None else stamp(why.until + 0.999),
    )


# --- a Task that has ended, or runs -------------------------------------------------------------------------------


def _told(task: Task) -> Why:
    """What a Task's own status says: of one that has ended, or that the board has not seen yet."""
    for kind in ("Finished", "Admitted"):
        condition = task.condition(kind)
        if condition:
            return Why(condition.reason, condition.message)
    return Why(Reason.WAITING, message(Reason.WAITING, queue=task.queue.name))


def _outcome(task: Task, written: WriteStatus | None) -> tuple[str, Why]:
    """What is about to be written of a Task whose attempt, or life, has ended."""
    if written:
        return written.status["phase"], Why(written.status["reason"], written.status["message"])
    return task.status.phase, Why(Reason.DELETED, message(Reason.DELETED))


def _running(view: View, decision: Decision, now: float) -> Why:
    job = view.job
    if job is None:
        if decision.stage is Stage.LAUNCHING and view.refusal:
            return Why(view.refusal.reason, view.refusal.message, view.refusal.until)
        reason = Reason.LAUNCHING if decision.stage is Stage.LAUNCHING else Reason.JOB_LEAVING
        return Why(reason, message(reason))
    stop = job.metadata.annotations.get(STOP_REASON_ANNOTATION)
    if stop:
        return Why(Reason.STOPPING, message(Reason.STOPPING, job=job.metadata.name, reason=stop))
    fault, _ = why_not_running(view, job, now)
    if fault:
        return Why(*fault)
    return Why(Reason.STARTED, message(Reason.STARTED, attempt=view.task.current_attempt, job=job.metadata.name))


# --- a Task that waits --------------------------------------------------------------------------------------------


def _waiting(board: Board, view: View, answer: Explanation, now: float, *, names: bool) -> Steps[Explanation]:
    """Add what its queue has to do with it."""
    state, uid = board.queues.of(view.task.queue), view.task.metadata.uid
    in_line = uid in state.order or state.is_beyond(uid)
    found = tuple(_limits(board, state, uid, now, in_line=in_line, names=names))
    answer = msgspec.structs.replace(answer, limits=found, unsettled=board.unsettled(state))
    hindered = hindrance(view, now) is not None
    if not in_line:
        if not hindered:  # it has changed since the last pass
            text = message(Reason.WAITING, queue=view.task.queue.name)
            answer = msgspec.structs.replace(answer, reason=str(Reason.WAITING), message=text)
        return msgspec.structs.replace(answer, estimate=Estimate(None, _NOT_IN_LINE))
    held_by = [limit.reason for limit in found]
    if hindered:
        held_by.insert(0, answer.reason)
    elif found:
        answer = msgspec.structs.replace(answer, reason=found[0].reason, message=found[0].message)
    ending = [(holder.queue, holder.job) for holder in limits.holders_of(board, state)]
    line = yield from forecast.line_before(board.queues, state, uid, ending=ending, now=now)
    first = tuple(neighbours(board, line.first, now)) if names else ()
    return msgspec.structs.replace(
        answer,
        message=f"{answer.message}. {_place(line)}",
        position=line.position,
        ahead=Ahead(line.ahead, line.position is None, first),
        estimate=estimate(board, state, line, held_by, now),
    )


def _limits(board: Board, state: QueueState, uid: str, now: float, *, in_line: bool, names: bool) -> Iterator[Limit]:
    yield from limits.lasting(board, state)
    if in_line:
        yield from limits.own(board, state, uid, names=names)
        head = state.order.blocked_head()
        if head and head != uid:
            yield limits.head_blocked(board, state, head, now, names=names)
    yield from limits.passing(board, state, now, names=names)


def neighbours(board: Board, starts: Iterable[Start], now: float) -> Iterator[Neighbour]:
    """The Tasks of a forecast, as others read them."""
    for start in starts:
        view = board.view(start.uid)
        if view:
            priority = policy.effective_priority(view.task, view.rules, now)
            yield Neighbour(view.task.metadata.name, start.queue.name, priority)


def _place(line: Line) -> str:
    if line.position is None:
        return f"More than {line.ahead} Tasks start before it"
    others = line.ahead - line.position + 1
    place = "It is the next of its queue" if line.position == 1 else f"It is number {line.position} of its queue"
    return f"{place}; {others} of other queues start before it" if others else place
