"""The dice of a walk, and what they have done so far."""

from __future__ import annotations

import os
import random
from collections import Counter, deque
from collections.abc import Callable

RATES: dict[str, float] = {
    # of requests
    "not sent": 0.02,
    "throttled (429)": 0.01,
    "server error before": 0.015,
    "server error after": 0.01,
    "read unanswered": 0.01,
    "POST ambiguous": 0.05,
    "POST late": 0.05,
    "status PATCH ambiguous": 0.04,
    "PATCH late": 0.03,
    "slow request": 0.05,
    "waits for a connection": 0.1,
    "crash before sending": 0.003,
    "frozen before sending": 0.03,
    "crash after applying": 0.003,
    "list page expired (410)": 0.05,
    # of watch events, and of watches
    "watch lag": 0.1,
    "watch event twice": 0.04,
    "watch event lost": 0.01,
    "watch cut": 0.01,
    "watch expired (410)": 0.1,
    # of Jobs
    "pod evicted": 0.05,
    "pod out of memory": 0.05,
    "image never pulled": 0.05,
    "pod hangs": 0.05,
    "kubelet deaf": 0.2,
    "pod ends well when told to stop": 0.3,
    "stopped pod counts as failed": 0.2,
    "controller slow": 0.1,
}
"""How often each fault occurs at each chance; every seed scales each of them by its own factor, or leaves it out."""

DEEDS: dict[str, float] = {
    "Job deleted (background)": 1,
    "Job deleted (foreground)": 1,
    "Job deleted (orphan)": 0.5,
    "pod deleted": 1,
    "pod force-deleted": 0.5,
    "Task deleted": 0.5,
    "Task made anew": 1,
    "priority edited": 2,
    "Task held": 1,
    "Task released": 1.5,
    "cancelled (IfPending)": 0.4,
    "cancelled (Graceful)": 0.7,
    "cancelled (Immediate)": 0.7,
    "queue deleted": 0.3,
    "queue made anew": 1,
    "queue paused": 0.7,
    "queue opened": 1.5,
    "queue drains": 0.3,
    "queue closed": 0.3,
    "queue only tried": 0.3,
    "queue purged": 0.25,
    "queue cancelled": 0.15,
    "cap raised": 0.7,
    "cap lowered": 0.7,
    "order changed": 0.3,
    "strategy changed": 0.4,
    "levels changed": 0.7,
    "limit of the order changed": 0.4,
    "template deleted": 0.4,
    "template made anew": 1,
    "quota set": 0.4,
    "quota lifted": 1.5,
    "name taken": 0.3,
    "history compacted": 1,
    "clock forward": 0.4,
    "clock back": 0.4,
    "clock right again": 0.4,
    "crash": 0.8,
    "freeze": 0.7,
    "graceful stop": 0.4,
    "lease deleted": 0.1,
}
"""What users, controllers and machines do, by weight."""


TRACE = int(os.environ.get("TASKQ_SIM_TRACE", "120"))
"""Steps of a walk that are kept, to be shown when it fails."""


class Dice:
    """All chance of one walk: the same seed, the same walk."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        """Choose which faults this walk has, and how many."""
        self.seed = seed
        self.random = random.Random(seed)
        self.on = True
        self.counts: Counter[str] = Counter()
        self.trace: deque[tuple[float, str]] = deque(maxlen=TRACE)
        self._now = now
        self._rates = {fault: self._scaled(rate) for fault, rate in RATES.items()}
        self.deeds = {deed: self._scaled(weight) for deed, weight in DEEDS.items()}

    def _scaled(self, rate: float) -> float:
        return 0.0 if self.random.random() < 0.35 else rate * self.random.uniform(0.2, 2.5)

    def hit(self, fault: str) -> bool:
        """Whether it strikes now; if so, it is counted."""
        if not self.on or self.random.random() >= self._rates[fault]:
            return False
        self.count(fault)
        return True

    def count(self, fault: str) -> None:
        """It has happened."""
        self.counts[fault] += 1
        self.say(f"~ {fault}")

    def between(self, low: float, high: float) -> float:
        """A number of seconds."""
        return self.random.uniform(low, high)

    def chance(self, probability: float) -> bool:
        """A choice that is no fault."""
        return self.random.random() < probability

    def say(self, line: str) -> None:
        """Put a line into the trace."""
        self.trace.append((self._now(), line))
