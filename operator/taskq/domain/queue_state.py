"""What is known of one queue at a moment: its rules, its order, and who holds its slots."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import NamedTuple

from taskq.domain import policy
from taskq.domain.admission import may_start
from taskq.domain.model import Key, Queue, QueueSpec
from taskq.domain.ordering import PendingOrder


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
        self.holding: set[Key] = set()
        """The Jobs that count against the cap: asked for, running, or with pods that still terminate."""
        self.states: Counter[str] = Counter()
        self.last_start: float | None = None
        self._ages: list[tuple[float, str]] = []
        self._waiting: set[str] = set()

    @property
    def rules(self) -> QueueSpec:
        """The rules in force."""
        return policy.spec_of(self.queue)

    @property
    def has_room(self) -> bool:
        """Whether a Task may start now."""
        return len(self.holding) < self.rules.max_concurrency and may_start(self.rules)

    @property
    def is_idle(self) -> bool:
        """Whether nothing refers to it any more."""
        return not self.members and not self.holding and self.queue is None

    def count(self, uid: str, created: float, before: str, after: str) -> None:
        """Move a Task from one state to another; an empty one means that it is not there."""
        if before:
            self.states[before] -= 1
        if after:
            self.states[after] += 1
        if after == "pending" and uid not in self._waiting:
            self._waiting.add(uid)
            heapq.heappush(self._ages, (created, uid))
        elif after != "pending":
            self._waiting.discard(uid)

    def counts(self) -> Counts:
        """How many Tasks stand where."""
        while self._ages and self._ages[0][1] not in self._waiting:
            heapq.heappop(self._ages)
        oldest = self._ages[0][0] if self._ages else None
        states = self.states
        return Counts(states["pending"], states["held"], states["running"], states["retrying"], oldest)
