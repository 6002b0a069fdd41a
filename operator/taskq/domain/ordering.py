"""The order in which a queue's Tasks start.

Within a queue, Tasks start by (effective priority, due time, creation, name, uid); a queue with ``TimeThenPriority``
puts the due time first. With ``fairShareLabelKey``, values of that label take turns inside one priority: fewest running
first, then the least recent start, then the value. This is the only comparator; nothing else orders Tasks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sortedcontainers import SortedList

from taskq.domain import policy
from taskq.domain.model import NO_LANE, Lane, QueueSpec, RateLimit, Task

Rank = tuple[float, float, float, str, str]
"""Smaller starts first; the last item is the uid."""


def rank(task: Task, queue: QueueSpec, now: float) -> Rank:
    """Place of a Task in its queue's order, as a tuple that compares."""
    wanted = policy.effective_priority(task, queue, now)
    priority = float(wanted if queue.priority_order == "LowestFirst" else -wanted)
    due = policy.due_time(task)
    first, second = (due, priority) if queue.ordering == "TimeThenPriority" else (priority, due)
    return (first, second, task.metadata.created, task.metadata.name, task.metadata.uid)


Age = tuple[float, str, str]
"""Creation, name and uid: what `maxPending` counts by."""


class Place(NamedTuple):
    """Where a Task that may start stands in its queue."""

    rank: Rank
    lane: Lane = NO_LANE
    held: bool = False
    """It keeps its place but can't start: in a Strict queue nothing overtakes it."""


class _Turn:
    """The Tasks of one fair-share value, and where that value stands among the others.

    A heap with lazy deletion: taking a Task out, or giving it another rank, leaves its old entry behind, which is
    dropped when it reaches the top. So each change costs O(log n), whatever the length of the queue.
    """

    __slots__ = ("fair", "heap", "last_start", "running", "stamp")

    def __init__(self, fair: str) -> None:
        self.fair = fair
        self.heap: list[Rank] = []
        self.running = 0
        self.last_start = float("-inf")
        self.stamp = 0

    def copy(self) -> _Turn:
        twin = _Turn(self.fair)
        twin.heap = self.heap.copy()
        twin.running, twin.last_start, twin.stamp = self.running, self.last_start, self.stamp
        return twin


class PendingOrder:
    """The Tasks of one queue that may start now."""

    def __init__(self) -> None:
        """Start empty, with the rules of a queue that says nothing."""
        self._rank: dict[str, Rank] = {}
        self._lane: dict[str, Lane] = {}
        self._held: set[str] = set()
        self._turns: dict[str, _Turn] = {}
        self._next: list[tuple[float, int, float, str, int]] = []
        self._parked: dict[str, dict[str, list[Rank]]] = {}
        """By key, then by fair-share value."""
        self._running_by_key: Counter[str] = Counter()
        self._strict = False
        self._by_time = False
        self._max_per_key: int | None = None

    def copy(self) -> PendingOrder:
        """The same order, for a forecast: whatever is done to one is not done to the other, and nothing is held."""
        twin = PendingOrder()
        twin._rank, twin._lane = self._rank.copy(), self._lane.copy()
        twin._turns = {fair: turn.copy() for fair, turn in self._turns.items()}
        twin._next = self._next.copy()
        twin._parked = {
            key: {fair: heap.copy() for fair, heap in parked.items()} for key, parked in self._parked.items()
        }
        twin._running_by_key = self._running_by_key.copy()
        twin._strict, twin._by_time, twin._max_per_key = self._strict, self._by_time, self._max_per_key
        return twin

    def __len__(self) -> int:
        """How many Tasks stand in the order."""
        return len(self._rank)

    def __contains__(self, uid: str) -> bool:
        """Whether this Task stands in the order."""
        return uid in self._rank

    def __iter__(self) -> Iterator[Rank]:
        """Every Task's place, in no order."""
        return iter(self._rank.values())

    def configure(self, rules: QueueSpec) -> None:
        """Follow the queue's rules; Tasks whose rank or lane depends on what changed must be put again."""
        self._strict = rules.queueing_strategy == "Strict"
        self._by_time = rules.ordering == "TimeThenPriority"
        self._max_per_key = rules.max_concurrency_per_key
        for key in list(self._parked):
            self._unpark(key, len(self._rank))
        for turn in self._turns.values():
            self._touch(turn)

    def put(self, place: Place) -> None:
        """Insert a Task, or move it to another place."""
        uid = place.rank[-1]
        (self._held.add if place.held else self._held.discard)(uid)
        if self._rank.get(uid) == place.rank and self._lane[uid] == place.lane:
            return
        before = self._lane.get(uid)
        self._rank[uid] = place.rank
        self._lane[uid] = place.lane
        if before:
            self._left(before)
        self._enter(place.rank, place.lane.fair)

    def discard(self, uid: str) -> None:
        """Take a Task out, if it is there."""
        if self._rank.pop(uid, None):
            self._held.discard(uid)
            self._left(self._lane.pop(uid))

    def took(self, lane: Lane, at: float) -> None:
        """A Task of this lane has started, at this time in epoch seconds."""
        turn = self._turn(lane.fair)
        turn.running += 1
        turn.last_start = max(turn.last_start, at)
        self._running_by_key[lane.key] += 1
        self._touch(turn)

    def gave_back(self, lane: Lane) -> None:
        """A Task of this lane has ended."""
        turn = self._turn(lane.fair)
        turn.running -= 1
        self._running_by_key[lane.key] -= 1
        self._touch(turn)
        self._unpark(lane.key, 1)

    @property
    def set_aside(self) -> int:
        """About how many were found to wait for one of their key; those that left meanwhile may count, too."""
        return sum(len(heap) for by_value in self._parked.values() for heap in by_value.values())

    def place_of(self, uid: str) -> Place:
        """Where a Task of the order stands."""
        return Place(self._rank[uid], self._lane[uid], uid in self._held)

    def lane_of(self, uid: str) -> Lane:
        """The lane of a Task in the order."""
        return self._lane[uid]

    def is_blocked(self, uid: str) -> bool:
        """Whether it is held, or as many of its key run as may."""
        key = self._lane[uid].key
        full = key and self._max_per_key is not None and self._running_by_key[key] >= self._max_per_key
        return bool(full) or uid in self._held

    def head(self) -> str | None:
        """The uid of the Task that starts next.

        None when there is none, or when the first is blocked and the queue is ``Strict``. Otherwise a blocked Task is
        set aside until one of its key ends, so that it is looked at once and not at every start.
        """
        while self._next:
            *_, fair, stamp = self._next[0]
            turn = self._turns[fair]
            uid = self._front(turn) if turn.stamp == stamp else None
            if uid is None:
                heapq.heappop(self._next)
            elif not self.is_blocked(uid):
                return uid
            elif self._strict:
                return None
            else:
                self._park(turn)
        return None

    def blocked_head(self) -> str | None:
        """The uid of the Task that nothing may overtake and that can't start; None unless the queue is Strict."""
        if not self._strict or self.head() or not self._next:
            return None
        return self._front(self._turns[self._next[0][3]])

    def running_of(self, key: str) -> int:
        """How many Tasks of one concurrency key run."""
        return self._running_by_key[key]

    # --- one value among the others ----------------------------------------------------------------------------------

    def _turn(self, fair: str) -> _Turn:
        turn = self._turns.get(fair)
        if turn is None:
            turn = self._turns[fair] = _Turn(fair)
        return turn

    def _enter(self, place: Rank, fair: str) -> None:
        turn = self._turn(fair)
        heapq.heappush(turn.heap, place)
        if len(turn.heap) > 2 * len(self._rank) + 64:
            turn.heap = [old for old in set(turn.heap) if self._stands(old, fair)]
            heapq.heapify(turn.heap)
        self._touch(turn)

    def _left(self, lane: Lane) -> None:
        """A Task has left its place: another of its key may stand for it now."""
        self._touch(self._turn(lane.fair))
        self._unpark(lane.key, 1)

    def _stands(self, place: Rank, fair: str) -> bool:
        uid = place[-1]
        return self._rank.get(uid) == place and self._lane[uid].fair == fair

    def _front(self, turn: _Turn) -> str | None:
        while turn.heap:
            if self._stands(turn.heap[0], turn.fair):
                return turn.heap[0][-1]
            heapq.heappop(turn.heap)
        return None

    def _touch(self, turn: _Turn) -> None:
        """Give a value its place among the others anew; old places are told by their stamp."""
        turn.stamp += 1
        if self._front(turn) is None:
            return
        band = 0.0 if self._by_time else turn.heap[0][0]
        heapq.heappush(self._next, (band, turn.running, turn.last_start, turn.fair, turn.stamp))
        if len(self._next) > 4 * len(self._turns) + 64:
            self._next = [entry for entry in self._next if self._turns[entry[3]].stamp == entry[4]]
            heapq.heapify(self._next)

    # --- Tasks that wait for their key --------------------------------------------------------------------------------

    def _park(self, turn: _Turn) -> None:
        place = heapq.heappop(turn.heap)
        parked = self._parked.setdefault(self._lane[place[-1]].key, {})
        heapq.heappush(parked.setdefault(turn.fair, []), place)
        self._touch(turn)

    def _unpark(self, key: str, count: int) -> None:
        """Let so many of each value that waits for this key back into the order: which value comes first may change."""
        parked = self._parked.pop(key, {})
        for fair, heap in parked.items():
            self._unpark_from(heap, Lane(fair, key), count)
        left = {fair: heap for fair, heap in parked.items() if heap}
        if left:
            self._parked[key] = left

    def _unpark_from(self, heap: list[Rank], lane: Lane, count: int) -> None:
        while heap and count:
            place = heapq.heappop(heap)
            if self._rank.get(place[-1]) == place and self._lane[place[-1]] == lane:
                self._enter(place, lane.fair)
                count -= 1


class OldestFirst:
    """The oldest so many of the Tasks that may start: what a queue with ``maxPending`` lets into its order."""

    def __init__(self) -> None:
        """Let everything in."""
        self.limit: int | None = None
        self._ages: SortedList[Age] = SortedList()
        self._age: dict[str, Age] = {}

    def copy(self) -> OldestFirst:
        """The same Tasks, for a forecast."""
        twin = OldestFirst()
        twin.limit = self.limit
        twin._ages, twin._age = self._ages.copy(), self._age.copy()
        return twin

    def __contains__(self, uid: str) -> bool:
        """Whether this Task is among the oldest."""
        age = self._age.get(uid)
        return age is not None and (self.limit is None or self._ages.index(age) < self.limit)

    def add(self, age: Age) -> str | None:
        """Take a Task in; returns the uid of one that is pushed out by it, which may be itself."""
        uid = age[-1]
        if uid in self._age:
            return None
        self._age[uid] = age
        self._ages.add(age)
        if self.limit is None or len(self._ages) <= self.limit or self._ages.index(age) >= self.limit:
            return None
        return str(self._ages[self.limit][-1])

    def discard(self, uid: str) -> str | None:
        """Take a Task out; returns the uid of one that comes in for it."""
        age = self._age.pop(uid, None)
        if age is None:
            return None
        place = self._ages.index(age)
        del self._ages[place]
        if self.limit is None or place >= self.limit or len(self._ages) < self.limit:
            return None
        return str(self._ages[self.limit - 1][-1])


class Starts:
    """When Tasks of a queue were started, as far back as its ``rateLimit`` looks; epoch seconds."""

    def __init__(self) -> None:
        """None yet."""
        self._times: list[float] = []

    def copy(self) -> Starts:
        """The same times, for a forecast."""
        twin = Starts()
        twin._times = self._times.copy()
        return twin

    def add(self, time: float) -> None:
        """A Task was started."""
        heapq.heappush(self._times, time)

    def free_at(self, limit: RateLimit | None, now: float) -> float:
        """When the next start is allowed; not after ``now`` when it is now.

        A start that lies in the future was recorded before the clock was set back: it counts as one of now, since
        otherwise the queue would stand still until the clock is there again.
        """
        if limit is None:
            self._times.clear()
            return now
        while self._times and self._times[0] <= now - limit.period_seconds:
            heapq.heappop(self._times)
        if len(self._times) < limit.max_starts:
            return now
        ahead = [time for time in self._times if time > now + 1]
        if ahead:
            self._times = [min(time, now) for time in self._times]
            heapq.heapify(self._times)
        blocking = heapq.nlargest(limit.max_starts, self._times)[-1]
        return blocking + limit.period_seconds
