"""When a Task is likely to start, and what this is made of; or why nobody can say."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from taskq.domain.board import Board
from taskq.domain.forecast import FARTHEST, Line
from taskq.domain.model import stamp
from taskq.domain.queue_state import QueueState
from taskq.domain.reasons import Reason

_UNTIL_SOMEBODY_ACTS = "the queue starts nothing until somebody changes that"
_UNKNOWABLE: dict[str, str] = {
    Reason.QUEUE_PAUSED: _UNTIL_SOMEBODY_ACTS,
    Reason.DRY_RUN: _UNTIL_SOMEBODY_ACTS,
    Reason.QUEUE_CLOSED: _UNTIL_SOMEBODY_ACTS,
    Reason.PARENT_NOT_FOUND: _UNTIL_SOMEBODY_ACTS,
    Reason.PARENT_IS_CHILD: _UNTIL_SOMEBODY_ACTS,
    Reason.INVALID_QUEUE: _UNTIL_SOMEBODY_ACTS,
    Reason.HEAD_BLOCKED: "it depends on when the queue's first Task can start",
    Reason.QUOTA_EXCEEDED: "it depends on when the quota has room",
    Reason.JOB_NOT_CREATED: "it depends on when the API server can create its Job in time",
}


class Estimate(msgspec.Struct, frozen=True, rename="camel"):
    """A time (RFC 3339), or null, and the words for it."""

    start_time: str | None
    why: str


def estimate(board: Board, state: QueueState, line: Line, held_by: Collection[str], now: float) -> Estimate:
    """From the recent starts of its queue, and its rate limit; ``held_by`` are the reasons why it waits."""
    for reason in held_by:
        if reason in _UNKNOWABLE:
            return Estimate(None, _UNKNOWABLE[reason])
    if line.position is None:
        return Estimate(None, f"more than {FARTHEST} Tasks start before it: too far ahead to say")
    if not held_by:
        return Estimate(stamp(now), "nothing holds it")
    pace, by_rate = state.pace, _by_rate(board, state, line, now)
    if not pace.learned:
        pace.learn(board.spans(state.key), state.rules.max_concurrency)
    gap = pace.seconds_a_start(now)
    if gap is None:
        if set(held_by) == {Reason.RATE_LIMIT}:
            return Estimate(stamp(by_rate + 0.999), "by the queue's spec.rateLimit")
        return Estimate(None, "no slot of this queue has become free yet while others waited for it")
    at = max(now, by_rate, pace.last_start(now) + line.position * gap)
    return Estimate(stamp(at), f"its queue's last {len(pace)} starts came {gap:.3g} s apart")


def _by_rate(board: Board, state: QueueState, line: Line, now: float) -> float:
    """The earliest time that ``rateLimit`` allows, its own queue's and its parent's."""
    root, earliest = board.queues.root_of(state), now
    for member, before in ((state, (line.position or 1) - 1), (root, line.ahead)):
        rate = member.rules.rate_limit if member else None
        if member and rate:
            free = member.starts.free_at(rate, now)
            earliest = max(earliest, free + before // rate.max_starts * rate.period_seconds)
    return earliest
