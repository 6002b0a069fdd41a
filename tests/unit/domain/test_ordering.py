"""The order in which a queue's Tasks start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import T0, at, make_queue, make_task
from taskq.domain.model import Task
from taskq.domain.ordering import PendingOrder, Place, Rank, rank

OPEN = make_queue().build().spec


def order(tasks: list[Task], **queue: Any) -> list[str]:
    """Names in the order of a queue with these rules."""
    rules = make_queue(**queue).build().spec
    return [task.metadata.name for task in sorted(tasks, key=lambda task: rank(task, rules, T0))]


def test_higher_priority_starts_first() -> None:
    """The highest priority goes first, whatever the age."""
    old, urgent = make_task("old", created=0).build(), make_task("urgent", created=9, priority=5).build()
    assert order([old, urgent]) == ["urgent", "old"]


def test_lowest_first_turns_the_priorities_round() -> None:
    """With LowestFirst the smallest number goes first."""
    tasks = [make_task(f"p{p}", priority=p).build() for p in (7, -2, 3)]
    assert order(tasks, priorityOrder="LowestFirst", taskDefaults={"priority": 5}) == ["p-2", "p3", "p7"]


def test_equal_priorities_start_by_due_time() -> None:
    """Between equal priorities the one that was due first goes first, not the one created first."""
    late = make_task("late", created=0, notBeforeTime=at(50)).build()
    early = make_task("early", created=20).build()
    assert order([late, early]) == ["early", "late"]


def test_time_then_priority_puts_the_due_time_first() -> None:
    """With TimeThenPriority an older Task goes before a more urgent one."""
    old, urgent = make_task("old", created=0).build(), make_task("urgent", created=9, priority=5).build()
    assert order([urgent, old], ordering="TimeThenPriority") == ["old", "urgent"]


def test_a_retry_is_due_when_its_backoff_is_over() -> None:
    """A failed Task stands in the order with the time of its next attempt, behind what was due before."""
    failed = make_task("failed", created=0).failed_once(ended=5, due=30).build()
    fresh = make_task("fresh", created=20).build()
    assert order([failed, fresh]) == ["fresh", "failed"]


@pytest.mark.parametrize(("order_of", "expected"), [("HighestFirst", "failed"), ("LowestFirst", "failed")])
def test_a_failed_task_is_boosted_once(order_of: str, expected: str) -> None:
    """Towards the front, whichever end that is, and by no more after a second failure."""
    policy = {"maxAttempts": 5, "priorityBoost": 10}
    failed = make_task("failed", priority=0, retryPolicy=policy).failed_once(1, 2).failed_once(3, 4).build()
    other = make_task("other", priority=9 if order_of == "HighestFirst" else -9).build()
    never = make_task("never", priority=11 if order_of == "HighestFirst" else -11).build()
    rules = {"priorityOrder": order_of, "taskDefaults": {"priority": 0}}
    assert order([other, failed, never], **rules) == ["never", expected, "other"]


def test_a_due_time_before_the_creation_gives_no_advantage() -> None:
    """A notBeforeTime in the past does not jump the queue."""
    sly = make_task("sly", created=10, notBeforeTime="2000-01-01T00:00:00Z").build()
    honest = make_task("honest", created=5).build()
    assert order([sly, honest]) == ["honest", "sly"]


def test_the_queues_default_priority_fills_in() -> None:
    """A Task that says nothing has the queue's default priority."""
    silent, loud = make_task("silent", created=5).build(), make_task("loud", created=0, priority=2).build()
    assert order([silent, loud], taskDefaults={"priority": 3}) == ["silent", "loud"]


def test_names_and_uids_decide_between_what_is_equal_otherwise() -> None:
    """Twins are ordered by name, and of the same name by uid, so that the order is total."""
    tasks = [make_task(name, uid=uid).build() for name, uid in (("b", "1"), ("a", "2"), ("a", "1"))]
    ranks = sorted(rank(task, OPEN, T0) for task in tasks)
    assert [place[-2:] for place in ranks] == [("a", "1"), ("a", "2"), ("b", "1")]


def ranks() -> st.SearchStrategy[Rank]:
    """Few values of each item, so that equal ones meet often."""
    small = st.integers(0, 3).map(float)
    return st.tuples(small, small, small, st.sampled_from("ab"), st.sampled_from("uvwxyz"))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), ranks()),
            st.tuples(st.just("discard"), st.sampled_from("uvwxyz")),
            st.tuples(st.just("take"), st.none()),
        )
    )
)
def test_the_heap_behaves_as_a_sorted_dictionary(steps: list[tuple[str, Any]]) -> None:
    """Whatever is put, moved, taken out and taken off, the head is the smallest rank present."""
    heap, model = PendingOrder(), dict[str, Rank]()
    for step, value in steps:
        if step == "put":
            heap.put(Place(value))
            model[value[-1]] = value
        elif step == "discard":
            heap.discard(value)
            model.pop(value, None)
        elif (head := heap.head()) is not None:
            heap.discard(head)
            model.pop(head)
        smallest = min(model.values(), default=None)
        assert heap.head() == (smallest[-1] if smallest else None)
        assert len(heap) == len(model)
        assert all((uid in heap) == (uid in model) for uid in "uvwxyz")


@settings(max_examples=50)
@given(st.permutations([(p, c, n) for p in (0, 1) for c in (0, 1) for n in ("a", "b")]))
def test_the_order_does_not_depend_on_arrival(arrival: list[tuple[int, int, str]]) -> None:
    """Tasks that arrive in any order start in the same one."""
    heap = PendingOrder()
    for priority, created, name in arrival:
        task = make_task(name, uid=f"{name}{priority}{created}", created=created, priority=priority).build()
        heap.put(Place(rank(task, OPEN, T0)))
    starts = []
    while (head := heap.head()) is not None:
        heap.discard(head)
        starts.append(head)
    assert starts == ["a10", "b10", "a11", "b11", "a00", "b00", "a01", "b01"]


def test_moving_a_task_often_does_not_grow_the_heap() -> None:
    """A Task whose priority changes again and again leaves no trail behind."""
    heap = PendingOrder()
    for step in range(5000):
        heap.put(Place((float(-step), 0.0, T0, "a", "u")))
    turn = heap._turns[""]
    assert len(turn.heap) <= 2 * len(heap) + 65
    assert len(heap._next) <= 4 * len(heap._turns) + 65


@pytest.mark.parametrize("field", ["priority", "created"])
def test_rank_compares_numbers_as_numbers(field: str) -> None:
    """Ten is more than nine, not less as in text."""
    nine, ten = (
        make_task(f"n{v}", created=v if field == "created" else 0, priority=v if field == "priority" else 0).build()
        for v in (9, 10)
    )
    assert order([nine, ten]) == (["n10", "n9"] if field == "priority" else ["n9", "n10"])
