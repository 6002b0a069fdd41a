"""All queues: which of them starts a Task next, and who holds their slots.

A queue with a ``parent`` takes its room from it, so the two and their siblings form a group; a queue without one is a
group of its own. Between the members of a group: higher queue priority first, then fewest running, then the least
recent start, then the name. Groups take turns; under a cluster-wide cap, so do namespaces, by the same rule.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from taskq.domain import cancelling
from taskq.domain.admission import Fault, may_start, unreadable_queue
from taskq.domain.model import Key, Lane, Queue
from taskq.domain.ordering import Starts
from taskq.domain.queue_state import QueueState
from taskq.domain.reasons import Reason, message

NEVER = float("-inf")

START_SECONDS = 1.0
"""A Job's creation time has whole seconds; for a ``rateLimit`` the later end counts."""

_HELD_BY = {"Paused": Reason.QUEUE_PAUSED, "Closed": Reason.QUEUE_CLOSED, "DryRun": Reason.DRY_RUN}


class Queues:
    """See the module."""

    def __init__(self, *, cluster_limit: int | None = None) -> None:
        """``cluster_limit`` bounds what runs in all namespaces together; None does not."""
        self._limit = cluster_limit
        self._states: dict[Key, QueueState] = {}
        self._children: dict[Key, set[Key]] = {}
        self._hungry: dict[Key, None] = {}
        self._timers: list[tuple[float, Key]] = []
        self._wakes: dict[Key, float] = {}
        self._running: Counter[str] = Counter()
        self._last_start: dict[str, float] = {}
        self.newly_limited: set[Key] = set()
        """The queues with a ``rateLimit`` that they had not before: :meth:`recall` is to be told of their starts."""

    def __iter__(self) -> Iterator[QueueState]:
        """All queues that are of any interest."""
        return iter(self._states.values())

    def find(self, key: Key) -> QueueState | None:
        """A queue, if anything is known of it."""
        return self._states.get(key)

    def of(self, key: Key) -> QueueState:
        """A queue, known or not."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = QueueState(key)
        return state

    def forget_idle(self, state: QueueState) -> None:
        """Drop a queue that nothing refers to any more."""
        if state.is_idle and not self._children.get(state.key):
            self._states.pop(state.key, None)

    def changed(self, old: Queue | None, new: Queue | None) -> set[str]:
        """A TaskQueue appeared, changed or was deleted; returns the uids of the Tasks to decide on again."""
        queue = new or old
        if queue is None:
            return set()
        state = self.of(queue.metadata.key)
        if old and new and old.metadata.generation == new.metadata.generation:
            state.queue = new
            return state.members if cancelling.is_new(old, new) else set()
        if new and new.spec.rate_limit and not (old and old.spec.rate_limit):
            self.newly_limited.add(state.key)
        self._adopt(state.key, old, new)
        state.configure(new)
        family = [state, *(self.of(child) for child in self._children.get(state.key, ()))]
        for member in family:
            self.feed(member)
        affected = set().union(*(member.members for member in family))
        self.forget_idle(state)
        return affected

    def parent_of(self, state: QueueState) -> QueueState | None:
        """The queue whose room it shares, if it names one that exists."""
        ref = state.rules.parent
        return self._states.get(Key(state.key.namespace, ref.name)) if ref else None

    def fault_of(self, state: QueueState) -> Fault | None:
        """Why a queue can't start anything until somebody mends it."""
        if state.queue and (unreadable := unreadable_queue(state.queue)):
            return unreadable
        ref = state.rules.parent
        if ref is None:
            return None
        parent = self.parent_of(state)
        if parent is None or parent.queue is None:
            return Reason.PARENT_NOT_FOUND, message(Reason.PARENT_NOT_FOUND, parent=ref.name)
        if parent is state or parent.rules.parent:
            return Reason.PARENT_IS_CHILD, message(Reason.PARENT_IS_CHILD, parent=ref.name)
        return None

    def is_alone(self, state: QueueState) -> bool:
        """Whether it shares its room with no other queue."""
        return state.rules.parent is None and not self._children.get(state.key)

    def family_of(self, root: QueueState) -> Iterator[QueueState]:
        """The queues that share a root's room, itself included."""
        return self._family(root)

    @property
    def cluster_use(self) -> tuple[int, int | None]:
        """How many Jobs hold a slot in all namespaces, and how many may."""
        return self._running.total(), self._limit

    def rehearsal(self, state: QueueState) -> Queues:
        """A copy of one group alone, in which this queue and the root of its group are open and have no rate limit."""
        root, stage = self._root(state), Queues()
        members = list(self._family(root)) if root else [state]
        stage._states = {member.key: member.copy() for member in members}
        if root:
            stage._children = {root.key: set(self._children.get(root.key, ()))}
        for member in (state, root):
            if member and member.queue:
                spec = msgspec.structs.replace(member.rules, state="Open", rate_limit=None)
                if root is None:
                    spec.parent = None
                stage._states[member.key].queue = msgspec.structs.replace(member.queue, spec=spec, defect="")
        stage._hungry = dict.fromkeys([(root or state).key])
        return stage

    # --- slots -------------------------------------------------------------------------------------------------------

    def take(self, queue: Key, job: Key, lane: Lane, at: float) -> None:
        """A Job holds a slot of a queue since ``at``, epoch seconds."""
        state = self.of(queue)
        if state.take(job, lane, at):
            self._running[queue.namespace] += 1

    def note_start(self, queue: Key, created: float) -> None:
        """A Job is found that this process did not start."""
        state = self.of(queue)
        root = self._root(state)
        for member in (state, root) if root and root is not state else (state,):
            member.starts.add(created + START_SECONDS)
        state.last_start = max(created, state.last_start or created)
        self._last_start[queue.namespace] = max(created, self._last_start.get(queue.namespace, created))

    def recall(self, starts: Iterable[tuple[Key, float]]) -> None:
        """Count, against the limits that are new, all starts that are known: queues and times in epoch seconds.

        Without a limit none are kept, and a queue may be deleted and made anew: neither must allow a burst, since the
        Jobs are there to tell, as they do after a restart.
        """
        bound: dict[Key, list[Starts]] = {}
        for state in [self._states[key] for key in self.newly_limited if key in self._states]:
            state.starts = Starts()
            for member in self._family(state):
                bound.setdefault(member.key, []).append(state.starts)
        self.newly_limited.clear()
        for queue, at in starts:
            for known in bound.get(queue, ()):
                known.add(at)

    def job_moved(self, before: Key | None, after: Key | None) -> None:
        """A Job is known of one queue, and of another one no longer."""
        if before == after:
            return
        if after:
            self.of(after).jobs += 1
        if before:
            state = self.of(before)
            state.jobs -= 1
            self.forget_idle(state)

    def free(self, queue: Key, job: Key) -> None:
        """A Job holds its slot no longer."""
        state = self.of(queue)
        if state.free(job):
            self._running[queue.namespace] -= 1
            self.feed(state)
        self.forget_idle(state)

    def feed(self, state: QueueState) -> None:
        """Something about a queue has changed that may let a Task start."""
        root = self._root(state)
        if root:
            self._hungry[root.key] = None

    # --- which limit holds them -------------------------------------------------------------------------------------

    def own_limit(self, state: QueueState, now: float) -> str:
        """What keeps a queue from starting anything at all at this moment, its group apart; empty for nothing."""
        fault = self.fault_of(state)
        if fault:
            return fault[0]
        if not may_start(state.rules):
            return _HELD_BY[state.rules.state]
        if len(state.holding) >= state.rules.max_concurrency:
            return Reason.CONCURRENCY_LIMIT
        return "" if state.starts.free_at(state.rules.rate_limit, now) <= now else Reason.RATE_LIMIT

    def group_limit(self, root: QueueState, now: float) -> str:
        """What keeps a whole group from starting anything; empty for nothing."""
        if not may_start(root.rules):
            return _HELD_BY[root.rules.state]
        if sum(len(member.holding) for member in self._family(root)) >= root.rules.max_concurrency:
            return Reason.PARENT_LIMIT
        if root.starts.free_at(root.rules.rate_limit, now) > now:
            return Reason.RATE_LIMIT
        full = self._limit is not None and self._running.total() >= self._limit
        return Reason.CLUSTER_LIMIT if full else ""

    def root_of(self, state: QueueState) -> QueueState | None:
        """The queue whose room bounds its group; None when it names a parent that can't be one."""
        return self._root(state)

    # --- whose turn it is --------------------------------------------------------------------------------------------

    def pick(self, now: float) -> tuple[QueueState, str] | None:
        """The queue that starts next and the uid of its Task; None when there is no room or nobody waits."""
        while self._hungry:
            if self._limit is not None and self._running.total() >= self._limit:
                return None
            key = self._next_group()
            root = self._states.get(key)
            member = self._next_member(root, now) if root else None
            uid = member.order.head() if member else None
            if member and uid:
                return member, uid
            del self._hungry[key]
        return None

    def started(self, state: QueueState, uid: str, job: Key, now: float) -> None:
        """A Task that was picked is being started: its group goes to the end of the line."""
        self.take(state.key, job, state.order.lane_of(uid), now)
        state.pace.started(now)
        state.withdraw(uid)
        root = self._root(state)
        for member in (state, root) if root and root is not state else (state,):
            member.starts.add(now)
        state.last_start = now
        self._last_start[state.key.namespace] = now
        if len(state.order) and not self._goes_on(state, root, now):
            state.pace.filled(now)
        if root:
            self._hungry.pop(root.key, None)
            self._hungry[root.key] = None

    def _goes_on(self, state: QueueState, root: QueueState | None, now: float) -> bool:
        """Whether the queue could start another at once."""
        if self._limit is not None and self._running.total() >= self._limit:
            return False
        own = state.order.head() is not None and self._is_free(state, now)
        return own and root is not None and self._has_room(root, now)

    @property
    def is_hungry(self) -> bool:
        """Whether a group may have something to start that was not looked at since it changed."""
        return bool(self._hungry)

    def ring(self, now: float) -> None:
        """Let the queues start again whose ``rateLimit`` has room again."""
        while self._timers and self._timers[0][0] <= now:
            at, key = heapq.heappop(self._timers)
            if self._wakes.get(key) == at:
                del self._wakes[key]
            state = self._states.get(key)
            if state:
                self.feed(state)

    def next_wake(self) -> float | None:
        """When to call :meth:`ring`, epoch seconds."""
        return self._timers[0][0] if self._timers else None

    def _next_group(self) -> Key:
        if self._limit is None:
            return next(iter(self._hungry))
        return min(
            self._hungry,
            key=lambda key: (
                self._running[key.namespace],
                self._last_start.get(key.namespace, NEVER),
                key.namespace,
            ),
        )

    def _next_member(self, root: QueueState, now: float) -> QueueState | None:
        if not self._has_room(root, now):
            return None
        waiting = [member for member in self._family(root) if member.order.head() and self._is_free(member, now)]
        return min(
            waiting,
            key=lambda member: (
                -member.rules.priority,
                len(member.holding),
                NEVER if member.last_start is None else member.last_start,
                member.key.name,
            ),
            default=None,
        )

    def _has_room(self, root: QueueState, now: float) -> bool:
        """Whether the group as a whole may start one more."""
        if sum(len(member.holding) for member in self._family(root)) >= root.rules.max_concurrency:
            return False
        return may_start(root.rules) and self._is_in_rate(root, now)

    def _is_free(self, state: QueueState, now: float) -> bool:
        if len(state.holding) >= state.rules.max_concurrency or not may_start(state.rules):
            return False
        return self._is_in_rate(state, now)

    def _is_in_rate(self, state: QueueState, now: float) -> bool:
        at = state.starts.free_at(state.rules.rate_limit, now)
        if at <= now:
            return True
        if self._wakes.get(state.key) != at:
            self._wakes[state.key] = at
            heapq.heappush(self._timers, (at, state.key))
        return False

    # --- groups ------------------------------------------------------------------------------------------------------

    def _root(self, state: QueueState) -> QueueState | None:
        """The queue whose room bounds its group; None when it names a parent that can't be one."""
        if state.rules.parent is None:
            return state
        return None if self.fault_of(state) else self.parent_of(state)

    def _family(self, root: QueueState) -> Iterator[QueueState]:
        yield root
        for key in self._children.get(root.key, ()):
            child = self._states.get(key)
            if child and self._root(child) is root:
                yield child

    def _adopt(self, key: Key, old: Queue | None, new: Queue | None) -> None:
        before = old.spec.parent if old else None
        after = new.spec.parent if new else None
        if before:
            siblings = self._children.get(Key(key.namespace, before.name), set())
            siblings.discard(key)
        if after:
            self._children.setdefault(Key(key.namespace, after.name), set()).add(key)
