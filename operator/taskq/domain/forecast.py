"""In which order Tasks will start, as far as that can be said: what stands before one of them.

The order is found by rehearsal: a copy of the queue, and of those that share its room, is given one free slot after the
other, with the very code that starts Tasks in life. So there is no second definition of the order that could differ.

A forecast assumes that nothing else happens: nothing new arrives, nothing ages, what runs ends in the order in which it
started, and the queue is open and within its rate.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from taskq.domain.model import Key
from taskq.domain.queue_state import QueueState
from taskq.domain.queues import Queues

FARTHEST = 500
"""Starts that are rehearsed at most: some ten milliseconds. Whoever stands behind more is told so."""

_STEP = 20
"""Starts that are rehearsed without a pause: a few milliseconds."""

NAMED = 5
"""Tasks that are listed by name, of those that stand before one."""

_TICK_SECONDS = 0.001


T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work that may be left alone for a moment at each pause; what it reads of the board may have moved on then."""


class Start(NamedTuple):
    """One Task's turn."""

    queue: Key
    uid: str


class Line(NamedTuple):
    """What stands before one Task."""

    position: int | None
    """In its own queue, 1 for the next one; None when it is not reached within :data:`FARTHEST` starts."""
    ahead: int
    """How many start before it, those of other queues that share its room included."""
    first: tuple[Start, ...]
    """The first few of these."""


def finish(steps: Steps[T]) -> T:
    """Go on without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def line_before(
    queues: Queues, state: QueueState, uid: str, *, ending: Iterable[tuple[Key, Key]], now: float
) -> Steps[Line]:
    """Where a Task of the order stands; ``ending`` are the queues and Jobs that hold slots, first to end first."""
    if is_plain(queues, state):
        return _by_rank(state, uid)
    first: list[Start] = []
    own = seen = 0
    for start in islice(starts(queues, state, ending=ending, now=now), FARTHEST):
        own += start.queue == state.key
        if start.uid == uid:
            return Line(own, seen, tuple(first))
        seen += 1
        if len(first) < NAMED:
            first.append(start)
        if seen % _STEP == 0:
            yield
    return Line(None, seen, tuple(first))


def next_of(
    queues: Queues, state: QueueState, *, ending: Iterable[tuple[Key, Key]], now: float
) -> Steps[tuple[Start, ...]]:
    """The first few Tasks of one queue, in their order."""
    if is_plain(queues, state):
        return tuple(Start(state.key, rank[-1]) for rank in heapq.nsmallest(NAMED, state.order))
    found: list[Start] = []
    for number, start in enumerate(islice(starts(queues, state, ending=ending, now=now), FARTHEST)):
        if start.queue == state.key:
            found.append(start)
        if len(found) == NAMED:
            break
        if number % _STEP == _STEP - 1:
            yield
    return tuple(found)


def starts(queues: Queues, state: QueueState, *, ending: Iterable[tuple[Key, Key]] = (), now: float) -> Iterator[Start]:
    """The Tasks of a queue, and of those that share its room, in the order in which they would start."""
    stage, slots = queues.rehearsal(state), deque(ending)
    while True:
        picked = stage.pick(now)
        if picked:
            member, uid = picked
            job = Key(member.key.namespace, f"rehearsed/{uid}")
            stage.started(member, uid, job, now)
            slots.append((member.key, job))
            yield Start(member.key, uid)
        elif slots:
            stage.free(*slots.popleft())
            now += _TICK_SECONDS  # starts at one moment are equally recent, as in one pass of the board
        else:
            return


def is_plain(queues: Queues, state: QueueState) -> bool:
    """Whether rank alone decides: then a count is enough, however long the queue is."""
    rules = state.rules
    shares = rules.fair_share_label_key or rules.concurrency_label_key or rules.max_pending is not None
    return not shares and queues.is_alone(state)


def _by_rank(state: QueueState, uid: str) -> Line:
    mine = state.order.place_of(uid).rank
    before = [rank for rank in state.order if rank < mine]
    first = tuple(Start(state.key, rank[-1]) for rank in heapq.nsmallest(NAMED, before))
    return Line(len(before) + 1, len(before), first)
