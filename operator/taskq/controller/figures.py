"""How queues stand, for a scrape: counted already, so that ten thousand pending Tasks cost no more than one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from taskq.domain.board import Board
from taskq.domain.model import Key
from taskq.domain.queue_state import QueueState
from taskq.domain.stuck import STUCK
from taskq.domain.waiting import Waiting, unstarted
from taskq.observability.queue_metrics import NO_ALERTS, UNFINISHED, QueueFacts


def queue_facts(board: Board, kept: Callable[[Key], Mapping[str, int]], now: float) -> Iterator[QueueFacts]:
    """The facts of every queue; ``kept`` counts, by phase, the finished Tasks of one that are still there.

    Whoever asks may let other parts of the program have their turn between two of them.
    """
    waiting = Waiting(board.queues, now)
    for state in list(board.queues):
        yield _facts(state, waiting, kept(state.key), now)


def _facts(state: QueueState, waiting: Waiting, kept: Mapping[str, int], now: float) -> QueueFacts:
    oldest = state.counts().oldest_pending
    states = Counter({name: state.states[name] for name in UNFINISHED})
    states.update({phase.lower(): count for phase, count in kept.items()})
    return QueueFacts(
        state.key,
        states,
        waiting.reasons(state),
        unstarted(state),
        0.0 if oldest is None else now - oldest,
        state.rules.max_concurrency,
        state.rules.max_pending,
        waiting.is_held(state),
        state.rules.alerts or NO_ALERTS,
        len(state.stuck),
        state.queue is not None and state.queue.condition(STUCK) is not None,
    )
