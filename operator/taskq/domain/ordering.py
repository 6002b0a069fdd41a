"""The order in which a queue's Tasks start.

Within a queue Tasks start by (effective priority, due time, creation, name, uid); a queue with ``TimeThenPriority``
puts the due time first. This is the only comparator; nothing else orders Tasks.
"""

from __future__ import annotations

import heapq

from taskq.domain import policy
from taskq.domain.model import QueueSpec, Task

Rank = tuple[float, float, float, str, str]
"""Smaller starts first."""


def rank(task: Task, queue: QueueSpec) -> Rank:
    """Place of a Task in its queue's order, as a tuple that compares."""
    wanted = policy.priority(task, queue)
    priority = float(wanted if queue.priority_order == "LowestFirst" else -wanted)
    due = policy.due_time(task)
    first, second = (due, priority) if queue.ordering == "TimeThenPriority" else (priority, due)
    return (first, second, task.metadata.created, task.metadata.name, task.metadata.uid)


class PendingOrder:
    """The Tasks of one queue that may start now, by rank.

    A heap with lazy deletion: taking a Task out, or giving it another rank, leaves its old entry behind, which is
    dropped when it reaches the top. So each change costs O(log n), whatever the length of the queue.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[Rank] = []
        self._rank: dict[str, Rank] = {}

    def __len__(self) -> int:
        """How many Tasks stand in the order."""
        return len(self._rank)

    def __contains__(self, uid: str) -> bool:
        """Whether this Task stands in the order."""
        return uid in self._rank

    def put(self, place: Rank) -> None:
        """Insert a Task, or move it to another place; the uid is the last item of its rank."""
        uid = place[-1]
        if self._rank.get(uid) == place:
            return
        self._rank[uid] = place
        heapq.heappush(self._heap, place)
        if len(self._heap) > 2 * len(self._rank) + 64:
            self._heap = list(self._rank.values())
            heapq.heapify(self._heap)

    def discard(self, uid: str) -> None:
        """Take a Task out, if it is there."""
        self._rank.pop(uid, None)

    def head(self) -> str | None:
        """The uid of the Task that starts next."""
        while self._heap:
            place = self._heap[0]
            if self._rank.get(place[-1]) == place:
                return place[-1]
            heapq.heappop(self._heap)
        return None
