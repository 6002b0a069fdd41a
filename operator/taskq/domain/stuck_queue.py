"""A queue in which Tasks wait, and none runs or starts, though it is Open: since when, and what holds them."""

from __future__ import annotations

from taskq.domain.admission import Fault
from taskq.domain.board import Board
from taskq.domain.explain_queue import explain_queue
from taskq.domain.model import Key, Queue
from taskq.domain.queue_state import QueueState
from taskq.domain.queues import Queues
from taskq.domain.reasons import Reason, message
from taskq.domain.stuck import STUCK

_SAYS_NOTHING = frozenset({Reason.NOTHING_READY, Reason.QUEUE_STARTS})


class QuietQueues:
    """Asked about each queue every few seconds; a queue without ``alerts.stuckSeconds`` costs one comparison."""

    def __init__(self, board: Board) -> None:
        """Nothing has been seen yet: after a restart what the queue's own facts say must do."""
        self._board = board
        self._lively: dict[Key, float] = {}
        """When a queue was last seen to run something, or to have nothing to start."""

    def judge(self, queue: Queue, state: QueueState, now: float) -> Fault | None:
        """Why it is stuck, or None."""
        limit = queue.spec.alerts.stuck_seconds if queue.spec.alerts else None
        if limit is None:
            self._lively.pop(state.key, None)
            return None
        oldest = state.counts().oldest_pending
        if state.holding or oldest is None or not _is_open(self._board.queues, state):
            self._lively[state.key] = now
            return None
        shown = queue.condition(STUCK)
        since = max(oldest, state.last_start or 0.0, self._lively.get(state.key, 0.0))
        if not shown and now < since + limit:
            return None
        why = self._why(state, limit, now)
        if why[0] != Reason.RATE_LIMIT:
            return why
        self._lively[state.key] = now  # its owner wants it to start so seldom
        return None

    def _why(self, state: QueueState, limit: int, now: float) -> Fault:
        told = explain_queue(self._board, state.key, now, names=False)
        reason, text = told.reason, told.message
        if reason in _SAYS_NOTHING and told.waiting_for:
            reason = max(told.waiting_for, key=lambda name: (told.waiting_for[name], name))
            text = message(Reason.WAITS_FOR, reason=reason)
        return reason, message(Reason.QUEUE_STUCK, limit=limit, why=text)


def _is_open(queues: Queues, state: QueueState) -> bool:
    """Whether somebody wants it to start Tasks."""
    root = queues.root_of(state) or state
    return all(member.rules.state == "Open" for member in (state, root))
