"""Which queue starts next: groups, siblings, namespaces, against a slow reference; and what binds a child."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import T0, make_queue
from taskq.domain.model import NO_LANE, Key, Queue
from taskq.domain.ordering import Place
from taskq.domain.queues import Queues
from taskq.domain.reasons import Reason

NAMES = ("root", "a", "b", "lone")
NAMESPACES = ("shop", "farm")
KEYS = [Key(namespace, name) for namespace in NAMESPACES for name in NAMES]


def queue(key: Key, generation: int = 1, **spec: Any) -> Queue:
    """A TaskQueue of this name."""
    return make_queue(key.name, **spec).meta(namespace=key.namespace, generation=generation).build()


class GroupsMachine(RuleBasedStateMachine):
    """Any history of edits, arrivals, starts and ends."""

    @initialize(limit=st.none() | st.integers(1, 6))
    def begin(self, limit: int | None) -> None:
        self.now, self.made, self.limit = T0, 0, limit
        self.queues = Queues(cluster_limit=limit)
        self.objects: dict[Key, Queue] = {}
        self.waiting: dict[Key, list[str]] = {key: [] for key in KEYS}
        self.running: dict[Key, list[Key]] = {key: [] for key in KEYS}
        self.last_start: dict[Key, float] = {}
        self.namespace_start: dict[str, float] = {}
        for key in KEYS:
            parent = {"parent": {"name": "root"}} if key.name in "ab" else {}
            self.edit(key, **parent)

    def edit(self, key: Key, **spec: Any) -> None:
        """Create or change a TaskQueue; its waiting Tasks are put again, as the board does."""
        old = self.objects.get(key)
        new = queue(key, old.metadata.generation + 1 if old else 1, **spec)
        self.objects[key] = new
        self.queues.changed(old, new)
        for other in KEYS:
            for uid in self.waiting[other]:
                self.put(other, uid)

    def put(self, key: Key, uid: str) -> None:
        state = self.queues.of(key)
        state.ready(Place((0.0, float(uid[1:]), 0.0, uid, uid)))
        self.queues.feed(state)

    @rule(
        key=st.sampled_from(KEYS),
        most=st.integers(1, 3),
        priority=st.integers(0, 1),
        state=st.sampled_from(["Open", "Open", "Paused"]),
    )
    def change(self, key: Key, most: int, priority: int, state: str) -> None:
        parent = {"parent": {"name": "root"}} if key.name in "ab" else {}
        self.edit(key, maxConcurrency=most, priority=priority, state=state, **parent)

    @rule(key=st.sampled_from(KEYS))
    def arrive(self, key: Key) -> None:
        self.made += 1
        self.waiting[key].append(f"u{self.made}")
        self.put(key, f"u{self.made}")

    @rule()
    def start(self) -> None:
        picked = self.queues.pick(self.now)
        if picked is None:
            return
        state, uid = picked
        self.now += 1
        job = Key(state.key.namespace, f"job-{uid}")
        self.queues.started(state, uid, job, self.now)
        self.waiting[state.key].remove(uid)
        self.running[state.key].append(job)
        self.last_start[state.key] = self.namespace_start[state.key.namespace] = self.now

    @rule(key=st.sampled_from(KEYS), pick=st.integers(0, 9))
    def end(self, key: Key, pick: int) -> None:
        if self.running[key]:
            self.queues.free(key, self.running[key].pop(pick % len(self.running[key])))

    def startable(self, key: Key) -> bool:
        spec = self.objects[key].spec
        return bool(self.waiting[key]) and len(self.running[key]) < spec.max_concurrency and spec.state == "Open"

    def allowed(self) -> set[tuple[Key, str]]:
        """Every (queue, Task) that may start next by the rules; more than one only when groups take turns."""
        if self.limit is not None and sum(map(len, self.running.values())) >= self.limit:
            return set()
        choices = set()
        for namespace in NAMESPACES:
            for root, names in (("root", ("root", "a", "b")), ("lone", ("lone",))):
                family = [Key(namespace, name) for name in names]
                top = self.objects[Key(namespace, root)].spec
                if sum(len(self.running[key]) for key in family) >= top.max_concurrency or top.state != "Open":
                    continue
                ready = [key for key in family if self.startable(key)]
                if ready:
                    choices.add(min(ready, key=self.standing))
        if self.limit is not None and choices:
            best = min(self.turn(key.namespace) for key in choices)
            choices = {key for key in choices if self.turn(key.namespace) == best}
        return {(key, min(self.waiting[key], key=lambda uid: int(uid[1:]))) for key in choices}

    def standing(self, key: Key) -> tuple[Any, ...]:
        start = self.last_start.get(key, float("-inf"))
        return (-self.objects[key].spec.priority, len(self.running[key]), start, key.name)

    def turn(self, namespace: str) -> tuple[Any, ...]:
        running = sum(len(jobs) for key, jobs in self.running.items() if key.namespace == namespace)
        return (running, self.namespace_start.get(namespace, float("-inf")), namespace)

    @invariant()
    def the_choice_is_one_that_the_rules_allow(self) -> None:
        if not hasattr(self, "queues"):
            return
        picked = self.queues.pick(self.now)
        allowed = self.allowed()
        assert ((picked[0].key, picked[1]) in allowed) if picked else not allowed


GroupsMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestGroups = GroupsMachine.TestCase


def test_a_missing_parent_stops_its_children_and_nobody_else() -> None:
    """The child has nothing to share; the fault names the field."""
    queues = Queues()
    orphan, healthy = Key("shop", "orphan"), Key("shop", "healthy")
    queues.changed(None, queue(orphan, parent={"name": "gone"}))
    queues.changed(None, queue(healthy))
    for key, uid in ((orphan, "u1"), (healthy, "u2")):
        queues.of(key).ready(Place((0.0, 0.0, 0.0, uid, uid)))
        queues.feed(queues.of(key))
    fault = queues.fault_of(queues.of(orphan))
    assert fault is not None
    assert fault[0] == Reason.PARENT_NOT_FOUND
    assert "spec.parent.name" in fault[1]
    picked = queues.pick(T0)
    assert picked is not None
    assert picked[0].key == healthy


def test_the_children_start_once_their_parent_is_created() -> None:
    """Mended, they go on without any other event."""
    queues = Queues()
    child, parent = Key("shop", "child"), Key("shop", "parent")
    queues.changed(None, queue(child, parent={"name": "parent"}))
    queues.of(child).ready(Place((0.0, 0.0, 0.0, "u1", "u1")))
    queues.feed(queues.of(child))
    assert queues.pick(T0) is None
    queues.changed(None, queue(parent))
    queues.of(child).ready(Place((0.0, 0.0, 0.0, "u1", "u1")))
    picked = queues.pick(T0)
    assert picked is not None
    assert picked[0].key == child


def test_a_second_level_is_refused() -> None:
    """A child can't be a parent."""
    queues = Queues()
    for name, parent in (("top", None), ("middle", "top"), ("leaf", "middle")):
        spec = {"parent": {"name": parent}} if parent else {}
        queues.changed(None, queue(Key("shop", name), **spec))
    fault = queues.fault_of(queues.of(Key("shop", "leaf")))
    assert fault is not None
    assert fault[0] == Reason.PARENT_IS_CHILD
    assert queues.fault_of(queues.of(Key("shop", "middle"))) is None


def test_a_rate_limit_wakes_its_queue_by_itself() -> None:
    """No event comes when a period is over: the queue says when to look again."""
    queues = Queues()
    key = Key("shop", "slow")
    queues.changed(None, queue(key, rateLimit={"maxStarts": 1, "periodSeconds": 60}))
    for uid in ("u1", "u2"):
        queues.of(key).ready(Place((0.0, 0.0, 0.0, uid, uid)))
    queues.feed(queues.of(key))
    picked = queues.pick(T0)
    assert picked is not None
    queues.started(picked[0], picked[1], Key("shop", "job-1"), T0)
    assert queues.pick(T0) is None
    wake = queues.next_wake()
    assert wake == T0 + 60
    queues.ring(wake)
    picked = queues.pick(wake)
    assert picked is not None
    assert picked[1] == "u2"


def test_starts_before_a_restart_count() -> None:
    """The Jobs that are found tell when they were made: no burst after a restart."""
    queues = Queues()
    key = Key("shop", "slow")
    queues.changed(None, queue(key, rateLimit={"maxStarts": 2, "periodSeconds": 60}))
    queues.note_start(key, T0 - 10)
    queues.note_start(key, T0 - 5)
    queues.of(key).ready(Place((0.0, 0.0, 0.0, "u1", "u1")))
    queues.feed(queues.of(key))
    assert queues.pick(T0) is None


def test_one_slot_is_held_once() -> None:
    """However often a Job is seen, it counts once, and is freed once."""
    queues = Queues(cluster_limit=2)
    key, job = Key("shop", "q"), Key("shop", "job")
    for _ in range(3):
        queues.take(key, job, NO_LANE, T0)
    queues.free(key, job)
    queues.free(key, job)
    queues.take(key, Key("shop", "other"), NO_LANE, T0)
    queues.of(key).ready(Place((0.0, 0.0, 0.0, "u1", "u1")))
    queues.feed(queues.of(key))
    assert queues.pick(T0) is not None
