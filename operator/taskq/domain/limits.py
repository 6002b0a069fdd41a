"""Which limits hold a Task that stands in its queue's order, or the queue itself, at this moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from taskq.domain.admission import may_start
from taskq.domain.board import Board
from taskq.domain.entry import Holder
from taskq.domain.hindrance import hindrance
from taskq.domain.model import stamp
from taskq.domain.queue_state import QueueState
from taskq.domain.reasons import Reason, message

_NAMED = 5
"""Holders that are named in an answer; their number is always told."""

_STATES = {"Paused": Reason.QUEUE_PAUSED, "DryRun": Reason.DRY_RUN, "Closed": Reason.QUEUE_CLOSED}


class Held(msgspec.Struct, frozen=True, rename="camel"):
    """Who holds a slot."""

    job: str
    queue: str
    task: str = ""
    since: str | None = None


class Limit(msgspec.Struct, frozen=True, rename="camel"):
    """One limit that is reached; figures that do not apply are null."""

    reason: str
    message: str
    queue: str
    """The queue whose limit it is; empty for one of the whole cluster."""
    field: str = ""
    """What to change."""
    running: int | None = None
    limit: int | None = None
    holders: tuple[Held, ...] = ()
    """The first few of those that run, the longest first."""
    free_at: str | None = None


def lasting(board: Board, state: QueueState) -> Iterator[Limit]:
    """What keeps a queue from starting anything until somebody changes it."""
    fault = board.queues.fault_of(state)
    if fault:
        yield Limit(str(fault[0]), fault[1], state.key.name, "spec.parent.name" if state.rules.parent else "spec")
    for member in _bound_by(board, state):
        if not may_start(member.rules):
            reason = _STATES[member.rules.state]
            yield Limit(str(reason), message(reason, queue=member.key.name), member.key.name, "spec.state")


def passing(board: Board, state: QueueState, now: float, *, names: bool) -> Iterator[Limit]:
    """What keeps a queue from starting anything at this moment. ``names``: whether to name who runs."""
    use = (len(state.holding), state.rules.max_concurrency)
    if use[0] >= use[1]:
        running = board.holders(state) if names else ()
        yield _full(Reason.CONCURRENCY_LIMIT, state, "spec.maxConcurrency", use, running)
    root = board.queues.root_of(state)
    if root and root is not state:
        yield from _parent(board, state, root, names=names)
    for member in _bound_by(board, state):
        yield from _rate(member, now)
    yield from _cluster(board)


def own(board: Board, state: QueueState, uid: str, *, names: bool) -> Iterator[Limit]:
    """What keeps one Task from starting, whatever its queue could start."""
    if state.is_beyond(uid):
        text = message(Reason.PENDING_LIMIT, queue=state.key.name, limit=state.rules.max_pending)
        yield Limit(str(Reason.PENDING_LIMIT), text, state.key.name, "spec.maxPending", limit=state.rules.max_pending)
        return
    key, limit = state.order.lane_of(uid).key, state.rules.max_concurrency_per_key
    running = state.order.running_of(key)
    if key and running >= limit:
        same = [holder for holder in board.holders(state) if holder.lane.key == key] if names else ()
        field = "spec.maxConcurrencyPerKey"
        yield _full(Reason.CONCURRENCY_KEY_LIMIT, state, field, (running, limit), same, key=key)


def head_blocked(board: Board, state: QueueState, head: str, now: float, *, names: bool) -> Limit:
    """A Strict queue whose first Task can't start, and what keeps that one."""
    view = board.view(head)
    why = hindrance(view, now) if view else None
    key = next(own(board, state, head, names=names), None)
    name = view.task.metadata.name if view and names else "another"
    text = why.message if why else key.message if key else ""
    if why and not names:  # what keeps another Task may name what is its own affair
        text = str(why.reason)
    text = message(Reason.HEAD_BLOCKED, queue=state.key.name, head=name, why=text)
    return Limit(str(Reason.HEAD_BLOCKED), text, state.key.name, "spec.queueingStrategy")


def holders_of(board: Board, state: QueueState) -> list[Holder]:
    """Who holds the slots of a queue and of those that share its room, the longest first."""
    root = board.queues.root_of(state)
    family = board.queues.family_of(root) if root else [state]
    found = [holder for member in family for holder in board.holders(member)]
    return sorted(found, key=lambda holder: holder.since)


def _bound_by(board: Board, state: QueueState) -> list[QueueState]:
    root = board.queues.root_of(state)
    return [state] if root is None or root is state else [state, root]


def _parent(board: Board, state: QueueState, root: QueueState, *, names: bool) -> Iterator[Limit]:
    use = (sum(len(member.holding) for member in board.queues.family_of(root)), root.rules.max_concurrency)
    if use[0] >= use[1]:
        running = holders_of(board, state) if names else ()
        facts = {"queue": state.key.name, "parent": root.key.name}
        yield _full(Reason.PARENT_LIMIT, root, "spec.maxConcurrency", use, running, **facts)


def _rate(state: QueueState, now: float) -> Iterator[Limit]:
    rate = state.rules.rate_limit
    at = state.starts.free_at(rate, now)
    if rate is None or at <= now:
        return
    name, free = state.key.name, stamp(at + 0.999)
    text = message(Reason.RATE_LIMIT, queue=name, limit=rate.max_starts, period=rate.period_seconds, time=free)
    yield Limit(str(Reason.RATE_LIMIT), text, name, "spec.rateLimit", limit=rate.max_starts, free_at=free)


def _cluster(board: Board) -> Iterator[Limit]:
    running, limit = board.queues.cluster_use
    if limit is not None and running >= limit:
        text = message(Reason.CLUSTER_LIMIT, running=running, limit=limit)
        yield Limit(str(Reason.CLUSTER_LIMIT), text, "", "--cluster-max-concurrency", running, limit)


def _full(
    reason: str, state: QueueState, field: str, use: tuple[int, int], running: Iterable[Holder], **facts: str
) -> Limit:
    known = [
        Held(holder.job.name, holder.queue.name, holder.task, stamp(holder.since) if 0 < holder.since < 1e11 else None)
        for holder in running
    ]
    told = [held.task or f"Job {held.job}" for held in known[:_NAMED]]
    more = len(known) - len(told)
    named = f": {', '.join(told)}{f' and {more} more' if more else ''}" if told else ""
    facts = {"queue": state.key.name} | facts
    text = message(reason, running=use[0], limit=use[1], holders=named, **facts)
    return Limit(str(reason), text, state.key.name, field, *use, tuple(known[:_NAMED]))
