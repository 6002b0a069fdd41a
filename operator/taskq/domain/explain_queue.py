"""Why does a queue start nothing, or not more? What holds it, what its Tasks wait for, and which of them come next."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from taskq.domain import forecast, limits
from taskq.domain.board import Board
from taskq.domain.explain import Neighbour, neighbours
from taskq.domain.forecast import Start, Steps, finish
from taskq.domain.limits import Limit
from taskq.domain.model import Key, stamp
from taskq.domain.queue_state import QueueState
from taskq.domain.reasons import Reason, message
from taskq.domain.waiting import Waiting


class QueueExplanation(msgspec.Struct, frozen=True, rename="camel"):
    """The answer for a queue; its JSON is an API: names and reasons stay."""

    namespace: str
    queue: str
    state: str
    reason: str
    message: str
    as_of: str
    pending: int
    held: int
    running: int
    retrying: int
    waiting_for: dict[str, int]
    """How many of its Tasks wait for what."""
    limits: tuple[Limit, ...]
    """Every limit that is reached at this moment; the first one gave ``reason``."""
    following: tuple[Neighbour, ...] = msgspec.field(name="next", default=())
    """The Tasks that start next, in this order."""
    seconds_between_starts: float | None = None
    """The mean of its recent busy times; null while it has not had one."""
    unsettled: int = 0
    """Tasks that changed a moment ago and have not found their place yet."""


def explain_queue(board: Board, key: Key, now: float, *, names: bool = True) -> QueueExplanation:
    """Answer for one queue; one that nothing is known of is empty. ``names``: whether to name Tasks."""
    return finish(explain_queue_in_steps(board, key, now, names=names))


def explain_queue_in_steps(board: Board, key: Key, now: float, *, names: bool = True) -> Steps[QueueExplanation]:
    """The same, for who has other things to do meanwhile."""
    state = board.queues.find(key) or QueueState(key)
    found = tuple(_limits(board, state, now, names=names))
    reason, text = (found[0].reason, found[0].message) if found else _unlimited(state)
    counts = state.counts()
    first: tuple[Start, ...] = ()
    if names:
        ending = [(holder.queue, holder.job) for holder in limits.holders_of(board, state)]
        first = yield from forecast.next_of(board.queues, state, ending=ending, now=now)
    return QueueExplanation(
        namespace=key.namespace,
        queue=key.name,
        state=state.rules.state,
        reason=str(reason),
        message=text,
        as_of=stamp(now),
        pending=counts.pending,
        held=counts.held,
        running=counts.running,
        retrying=counts.retrying,
        waiting_for={str(why): count for why, count in Waiting(board.queues, now).reasons(state).items()},
        limits=found,
        following=tuple(neighbours(board, first, now)),
        seconds_between_starts=state.pace.seconds_a_start(now),
        unsettled=board.unsettled(state),
    )


def _limits(board: Board, state: QueueState, now: float, *, names: bool) -> Iterator[Limit]:
    yield from limits.lasting(board, state)
    head = state.order.blocked_head()
    if head:
        yield limits.head_blocked(board, state, head, now, names=names)
    yield from limits.passing(board, state, now, names=names)


def _unlimited(state: QueueState) -> tuple[str, str]:
    """What to say of a queue that no limit of its own holds."""
    if state.order.head():
        return Reason.QUEUE_STARTS, message(Reason.QUEUE_STARTS)
    if len(state.order):
        return Reason.CONCURRENCY_KEY_LIMIT, message(Reason.KEYS_TAKEN, count=len(state.order))
    return Reason.NOTHING_READY, message(Reason.NOTHING_READY)
