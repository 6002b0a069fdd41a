"""Turns between label values, caps for one value, the oldest so many, and rates: against slow, obvious references."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import T0, make_queue
from taskq.domain.model import Lane, RateLimit
from taskq.domain.ordering import OldestFirst, PendingOrder, Place, Starts

UIDS = "abcdefghij"
FAIR = ("", "team=x", "team=y", "team=z")
KEYS = ("", "gpu=1", "gpu=2")


class Reference:
    """Every rule said once more, the slow way: look at all Tasks at every question."""

    def __init__(self, *, strict: bool, by_time: bool, per_key: int) -> None:
        self.strict, self.by_time, self.per_key = strict, by_time, per_key
        self.tasks: dict[str, Place] = {}
        self.running: list[Lane] = []
        self.last_start: dict[str, float] = {}

    def standing(self, place: Place) -> tuple[Any, ...]:
        fair = place.lane.fair
        band = 0 if self.by_time else place.rank[0]
        busy = sum(lane.fair == fair for lane in self.running)
        return (band, busy, self.last_start.get(fair, float("-inf")), fair, place.rank)

    def blocked(self, place: Place) -> bool:
        key = place.lane.key
        return place.held or bool(key and sum(lane.key == key for lane in self.running) >= self.per_key)

    def head(self) -> str | None:
        for place in sorted(self.tasks.values(), key=self.standing):
            if not self.blocked(place):
                return place.rank[-1]
            if self.strict:
                return None
        return None


class OrderMachine(RuleBasedStateMachine):
    """Any history of arrivals, moves, starts and ends."""

    @initialize(strict=st.booleans(), by_time=st.booleans(), per_key=st.integers(1, 3))
    def begin(self, strict: bool, by_time: bool, per_key: int) -> None:
        self.now = T0
        self.reference = Reference(strict=strict, by_time=by_time, per_key=per_key)
        self.order = PendingOrder()
        self.order.configure(
            make_queue(
                queueingStrategy="Strict" if strict else "BestEffort",
                ordering="TimeThenPriority" if by_time else "PriorityThenTime",
                maxConcurrencyPerKey=per_key,
            )
            .build()
            .spec
        )

    @rule(
        uid=st.sampled_from(UIDS),
        priority=st.integers(0, 2),
        due=st.integers(0, 3),
        fair=st.sampled_from(FAIR),
        key=st.sampled_from(KEYS),
        held=st.booleans(),
    )
    def put(self, uid: str, priority: int, due: int, fair: str, key: str, held: bool) -> None:
        place = Place((float(-priority), float(due), 0.0, uid, uid), Lane(fair, key), held and self.reference.strict)
        self.order.put(place)
        self.reference.tasks[uid] = place

    @rule(uid=st.sampled_from(UIDS))
    def discard(self, uid: str) -> None:
        self.order.discard(uid)
        self.reference.tasks.pop(uid, None)

    @rule()
    def start(self) -> None:
        uid = self.order.head()
        if uid is None:
            return
        self.now += 1
        lane = self.reference.tasks.pop(uid).lane
        self.order.took(lane, self.now)
        self.order.discard(uid)
        self.reference.running.append(lane)
        self.reference.last_start[lane.fair] = self.now

    @rule(pick=st.integers(0, 100))
    def end(self, pick: int) -> None:
        if self.reference.running:
            self.order.gave_back(self.reference.running.pop(pick % len(self.reference.running)))

    @rule(strict=st.booleans(), per_key=st.integers(1, 3))
    def change_the_rules(self, strict: bool, per_key: int) -> None:
        """The queue is edited; its Tasks are put again, as the board does."""
        self.reference.strict, self.reference.per_key = strict, per_key
        places = [place._replace(held=place.held and strict) for place in self.reference.tasks.values()]
        self.order.configure(
            make_queue(
                queueingStrategy="Strict" if strict else "BestEffort",
                ordering="TimeThenPriority" if self.reference.by_time else "PriorityThenTime",
                maxConcurrencyPerKey=per_key,
            )
            .build()
            .spec
        )
        for place in places:
            self.order.put(place)
            self.reference.tasks[place.rank[-1]] = place

    @invariant()
    def the_head_is_the_references(self) -> None:
        if hasattr(self, "reference"):
            assert self.order.head() == self.reference.head()


OrderMachine.TestCase.settings = settings(max_examples=3000, stateful_step_count=40, deadline=None)
TestOrder = OrderMachine.TestCase


@given(st.lists(st.tuples(st.sampled_from(["add", "drop"]), st.integers(0, 9))), st.integers(1, 4))
def test_only_the_oldest_so_many_are_let_in(steps: list[tuple[str, int]], limit: int) -> None:
    """What is let in and pushed out, told change by change, adds up to the oldest so many at every moment."""
    gate, inside, known = OldestFirst(), set[str](), dict[str, tuple[float, str, str]]()
    gate.limit = limit
    for step, number in steps:
        uid = f"u{number}"
        age = (float((number * 7) % 10), uid, uid)
        if step == "add" and uid not in known:
            known[uid] = age
            pushed_out = gate.add(age)
            inside.discard(pushed_out or "")
            if uid in gate:
                inside.add(uid)
        elif step == "drop":
            known.pop(uid, None)
            let_in = gate.discard(uid)
            inside.discard(uid)
            if let_in:
                inside.add(let_in)
        assert inside == {age[-1] for age in sorted(known.values())[:limit]}


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 5), st.integers(1, 30))
def test_no_period_has_more_starts_than_the_rate_allows(gaps: list[int], most: int, period: int) -> None:
    """Whoever starts as soon as it is allowed never has more than maxStarts in any window of periodSeconds."""
    starts, limit, made, now = Starts(), RateLimit(most, period), [], T0
    for gap in gaps:
        now = max(now + gap, starts.free_at(limit, now + gap))
        starts.add(now)
        made.append(now)
    assert all(sum(t <= other < t + period for other in made) <= most for t in made)


def test_a_clock_set_back_holds_a_queue_for_one_period_at_most() -> None:
    """Starts that seem to lie in the future count as made now."""
    starts, limit = Starts(), RateLimit(1, 60)
    starts.add(T0 + 3600)
    assert starts.free_at(limit, T0) <= T0 + 60


def test_without_a_rate_every_moment_is_right() -> None:
    """A queue without rateLimit never waits for it."""
    starts = Starts()
    starts.add(T0)
    assert starts.free_at(None, T0) == T0
