"""Finished Tasks: how many there are, and when each is to go.

They are not kept in memory as Tasks; for each there is only what a deletion, a count and a limit need.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sortedcontainers import SortedList

from taskq.domain import policy
from taskq.domain.deduplication import end_of
from taskq.domain.model import Key, QueueSpec, Task, seconds

NEEDED_SECONDS = 5.0
"""How often it is asked whether a Task that is over its time is needed by others still."""


class Finished(NamedTuple):
    """A finished Task; times are epoch seconds."""

    uid: str
    task: Key
    queue: Key
    phase: str
    ended: float
    expires: float
    result_expires: float | None
    """When its result is to be taken away while the Task stays; None when they go together, or there is none."""
    free_at: float
    """Until then it is kept in any case: its Job's creation time counts for the queue's ``rateLimit``, or it is a
    dead letter, or the window of its deduplication key is not over."""

    retry_of: Key | None = None
    """The Task whose Job this one ran again."""

    @property
    def succeeded(self) -> bool:
        """Whether it counts for ``maxSucceeded`` and not for ``maxFailed``."""
        return self.phase == "Succeeded"


class Due(NamedTuple):
    """What is to be done about a finished Task now."""

    finished: Finished
    forget_result_only: bool


def finished(task: Task, rules: QueueSpec) -> Finished:
    """What is worth knowing of a Task that has ended."""
    ended = seconds(task.status.completion_time) if task.status.completion_time else task.metadata.created
    expires = ended + policy.ttl_seconds(task, rules, succeeded=task.status.phase == "Succeeded")
    result_ttl = policy.result_ttl_seconds(task, rules)
    result_expires = ended + result_ttl if result_ttl is not None and task.status.result else None
    free_at = max(
        ended,
        ended + rules.rate_limit.period_seconds if rules.rate_limit else 0.0,
        ended + _dead_letter_seconds(task, rules),
        ended + _window_seconds(task),
    )
    return Finished(
        uid=task.metadata.uid,
        task=task.metadata.key,
        queue=task.queue,
        phase=task.status.phase,
        ended=ended,
        expires=max(expires, free_at),
        result_expires=result_expires if result_expires is not None and result_expires < expires else None,
        free_at=free_at,
        retry_of=Key(task.metadata.namespace, task.spec.retry_of.name) if task.spec.retry_of else None,
    )


def _window_seconds(task: Task) -> int:
    asked = task.spec.deduplication
    return asked.window_seconds or 0 if asked and end_of(task) else 0


def _never(_task: Key, _uid: str) -> bool:
    return False


class Archive:
    """All finished Tasks that are known."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, Finished] = {}
        self._counts: dict[Key, Counter[str]] = {}
        self._due: list[tuple[float, str, bool]] = []
        self._by_age: dict[tuple[Key, bool], SortedList[tuple[float, str]]] = {}
        self._retries: dict[Key, set[Key]] = {}

    def __contains__(self, uid: str) -> bool:
        """Whether this Task is known."""
        return uid in self._known

    def __iter__(self) -> Iterator[Finished]:
        """All of them."""
        return iter(self._known.values())

    def add(self, task: Finished, rules: QueueSpec) -> None:
        """A Task has ended; above the queue's ``retention`` the oldest of its kind is due."""
        if task.uid in self._known:
            return
        self._known[task.uid] = task
        if task.retry_of:
            self._retries.setdefault(task.retry_of, set()).add(task.task)
        self._counts.setdefault(task.queue, Counter())[task.phase] += 1
        heapq.heappush(self._due, (task.expires, task.uid, False))
        if task.result_expires is not None:
            heapq.heappush(self._due, (task.result_expires, task.uid, True))
        ages = self._by_age.setdefault((task.queue, task.succeeded), SortedList())
        ages.add((task.ended, task.uid))
        most = _most(rules, succeeded=task.succeeded)
        while most is not None and len(ages) > most:
            oldest = self._known[ages.pop(0)[1]]
            heapq.heappush(self._due, (oldest.free_at, oldest.uid, False))

    def discard(self, uid: str) -> None:
        """A Task is gone."""
        task = self._known.pop(uid, None)
        if task is None:
            return
        if task.retry_of:
            self._retries[task.retry_of].discard(task.task)
            if not self._retries[task.retry_of]:
                del self._retries[task.retry_of]
        self._counts[task.queue][task.phase] -= 1
        self._by_age[task.queue, task.succeeded].discard((task.ended, task.uid))

    def retries_of(self, task: Key) -> AbstractSet[Key]:
        """The finished Tasks that ran this one's Job again."""
        return self._retries.get(task, frozenset())

    def counts(self, queue: Key) -> Counter[str]:
        """How many of a queue are kept, by phase."""
        return self._counts.get(queue, Counter())

    def take_due(self, now: float, most: int, is_needed: Callable[[Key, str], bool] = _never) -> list[Due]:
        """At most so many that are due; each is told once. What others need, by name and uid, is due later again."""
        due: list[Due] = []
        while self._due and self._due[0][0] <= now and len(due) < most:
            _, uid, result_only = heapq.heappop(self._due)
            known = self._known.get(uid)
            if known and is_needed(known.task, uid):
                heapq.heappush(self._due, (now + NEEDED_SECONDS, uid, result_only))
            elif known:
                due.append(Due(known, result_only))
        return due

    def next_due(self) -> float | None:
        """When :meth:`take_due` has something next, epoch seconds."""
        return self._due[0][0] if self._due else None


def _dead_letter_seconds(task: Task, rules: QueueSpec) -> int:
    if not task.status.dead_letter or rules.retention is None:
        return 0
    return rules.retention.dead_letter_seconds or 0


def _most(rules: QueueSpec, *, succeeded: bool) -> int | None:
    if rules.retention is None:
        return None
    return rules.retention.max_succeeded if succeeded else rules.retention.max_failed
