"""What is known of one queue at a moment: its rules, its order, and who holds its slots."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import NamedTuple

from taskq.domain import policy
from taskq.domain.model import NO_LANE, Key, Lane, Queue, QueueSpec
from taskq.domain.ordering import Age, OldestFirst, PendingOrder, Place, Rank, Starts
from taskq.domain.pace import Pace


class Counts(NamedTuple):
    """Unfinished Tasks of a queue; times are epoch seconds."""

    pending: int
    held: int
    running: int
    retrying: int
    oldest_pending: float | None


class QueueState:
    """One queue, with or without an object of its own."""

    def __init__(self, key: Key) -> None:
        """Start with no Task and all defaults."""
        self.key = key
        self.queue: Queue | None = None
        self.members: set[str] = set()
        """The uids of its unfinished Tasks."""
        self.order = PendingOrder()
        self.holding: dict[Key, Lane] = {}
        """The Jobs that count against the cap: asked for, running, or with pods that still terminate."""
        self.jobs = 0
        """How many of its Jobs are known, ended ones included: they tell of its starts."""
        self.starts = Starts()
        self.pace = Pace()
        self.states: Counter[str] = Counter()
        self.blocked: Counter[str] = Counter()
        """What keeps Tasks out of the order, or those that were started from running."""
        self.stuck: set[str] = set()
        """The uids of those that run and do not get on."""
        self.last_start: float | None = None
        self._oldest = OldestFirst()
        self._beyond: dict[str, Place] = {}
        self._ages: list[tuple[float, str]] = []
        self._waiting_since: dict[str, float] = {}

    def copy(self) -> QueueState:
        """The same queue, for a forecast: its members are shared, its figures are left out, and nobody comes in new."""
        twin = QueueState(self.key)
        twin.queue, twin.members, twin.last_start = self.queue, self.members, self.last_start
        twin.order, twin.starts, twin.holding = self.order.copy(), self.starts.copy(), self.holding.copy()
        if self._beyond:
            twin._oldest, twin._beyond = self._oldest.copy(), self._beyond.copy()
        return twin

    @property
    def rules(self) -> QueueSpec:
        """The rules in force."""
        return policy.spec_of(self.queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing refers to it any more."""
        return not self.members and not self.jobs and not self.holding and self.queue is None

    def configure(self, queue: Queue | None) -> None:
        """Follow the queue's object; its Tasks must be decided on again."""
        self.queue = queue
        self.order.configure(self.rules)
        self._oldest.limit = self.rules.max_pending
        self.pace.rest()
        for uid in [*self._beyond, *(rank[-1] for rank in self.order)]:
            self.withdraw(uid)

    # --- its order ---------------------------------------------------------------------------------------------------

    def ready(self, place: Place) -> None:
        """A Task may start, or its place has changed; with ``maxPending`` only the oldest stand in the order."""
        uid = place.rank[-1]
        if self._oldest.limit is None:
            self.order.put(place)
            return
        pushed_out = self._oldest.add(_age(place.rank))
        if pushed_out and pushed_out != uid:
            self._beyond[pushed_out] = self.order.place_of(pushed_out)
            self.order.discard(pushed_out)
        if uid in self._oldest:
            self.order.put(place)
        else:
            self._beyond[uid] = place

    def withdraw(self, uid: str) -> None:
        """A Task may not start (any more), or has started."""
        self.order.discard(uid)
        self._beyond.pop(uid, None)
        let_in = self._oldest.discard(uid)
        place = self._beyond.pop(let_in, None) if let_in else None
        if place:
            self.order.put(place)
        if not len(self.order):
            self.pace.rest()

    def is_beyond(self, uid: str) -> bool:
        """Whether ``maxPending`` keeps a Task out of the order."""
        return uid in self._beyond

    def leave(self, uid: str, counted_as: str, waits_for: str) -> None:
        """A Task has ended, or moves to another queue; with what it was counted as, and what it waited for."""
        self.members.discard(uid)
        self.stuck.discard(uid)
        self.withdraw(uid)
        self.count(counted_as, "")
        self.explain(waits_for, "")
        self.waits(uid, None)

    # --- its slots ---------------------------------------------------------------------------------------------------

    def take(self, job: Key, lane: Lane, at: float) -> bool:
        """A Job holds a slot from ``at`` on; False when it did so before.

        Of one that was told by its pods alone the lane was not known: it has its Job's from now on.
        """
        held = self.holding.get(job)
        if held is not None and lane in (held, NO_LANE):
            return False
        self.holding[job] = lane
        self.order.took(lane, at)
        if held is not None:
            self.order.gave_back(held)
        return held is None

    def free(self, job: Key) -> bool:
        """A Job holds its slot no longer; False when it did not."""
        lane = self.holding.pop(job, None)
        if lane is None:
            return False
        self.order.gave_back(lane)
        return True

    # --- its figures -------------------------------------------------------------------------------------------------

    def count(self, before: str, after: str) -> None:
        """Move a Task from one state to another; an empty one means that it is not there."""
        _move(self.states, before, after)

    def explain(self, before: str, after: str) -> None:
        """Change what keeps a Task from starting or running; empty means that nothing but the order does."""
        _move(self.blocked, before, after)

    def waits(self, uid: str, since: float | None) -> None:
        """A pending Task could have started since then, epoch seconds; None when it is not pending, or not due."""
        if since is None:
            self._waiting_since.pop(uid, None)
        elif self._waiting_since.get(uid) != since:
            self._waiting_since[uid] = since
            heapq.heappush(self._ages, (since, uid))

    @property
    def beyond(self) -> int:
        """How many are not let into the order by ``maxPending``."""
        return len(self._beyond)

    def counts(self) -> Counts:
        """How many Tasks stand where."""
        while self._ages and self._waiting_since.get(self._ages[0][1]) != self._ages[0][0]:
            heapq.heappop(self._ages)
        oldest = self._ages[0][0] if self._ages else None
        states = self.states
        return Counts(states["pending"], states["held"], states["running"], states["retrying"], oldest)


def _move(counter: Counter[str], before: str, after: str) -> None:
    if before == after:
        return
    if before:
        counter[before] -= 1
    if after:
        counter[after] += 1


def _age(rank: Rank) -> Age:
    return rank[2:]
