"""What the Tasks of a queue wait for: counted without looking at them, and the same as looking at each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from builders import T0, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.model import Key, Task
from taskq.domain.reasons import STALLING
from taskq.domain.waiting import IN_ORDER, NOT_IN_ORDER, WAITING_STATES, Waiting, unstarted


def pending(count: int, **spec: Any) -> list[Task]:
    """So many Tasks, made one second after another."""
    return [make_task(f"t{n}", uid=f"t{n}", created=n, **spec).build() for n in range(count)]


def board_of(tasks: list[Task], *, limits: Limits | None = None, **queue: Any) -> Board:
    """A board that knows these Tasks, and a queue named default."""
    board = Board(limits or Limits())
    board.on_queue(None, make_queue("default", **queue).build())
    for task in tasks:
        board.on_task(None, task)
    return board


def pass_at(board: Board, now: float) -> None:
    """A pass whose status writes succeed at once."""
    for action in board.plan(T0 + now).actions:
        if isinstance(action, WriteStatus):
            board.written(action, T0 + now, failed=False)


def reasons(board: Board, now: float = 100, queue: str = "default") -> dict[str, int]:
    """What the Tasks of a queue wait for after a pass."""
    started = [action for action in board.plan(T0 + now).actions if isinstance(action, Launch)]
    for launch in started:
        board.on_job(None, make_job(board.entries[launch.uid].task, created=now).build())
        board.launched(launch)
    board.plan(T0 + now)
    namespace = next(iter(board.entries.values())).task.metadata.namespace
    state = board.queues.of(Key(namespace, queue))
    found = Waiting(board.queues, T0 + now).reasons(state)
    assert found.total() == sum(state.states[name] for name in WAITING_STATES)
    assert set(found) <= {*NOT_IN_ORDER, *IN_ORDER}
    return dict(found)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ({"maxConcurrency": 2}, {"ConcurrencyLimit": 4}),
        ({"state": "Paused"}, {"QueuePaused": 6}),
        ({"state": "DryRun"}, {"DryRun": 6}),
        ({"state": "Closed"}, {"QueueClosed": 6}),
        ({"rateLimit": {"maxStarts": 1, "periodSeconds": 600}}, {"RateLimit": 5}),
        ({"maxPending": 3, "maxConcurrency": 1}, {"PendingLimit": 2, "ConcurrencyLimit": 3}),
        ({"parent": {"name": "nobody"}}, {"ParentNotFound": 6}),
        ({"maxConcurrency": 100}, {}),
    ],
)
def test_the_first_limit_that_holds_the_queue_is_named(queue: dict[str, Any], expected: dict[str, int]) -> None:
    """All that stand in the order wait for it."""
    assert reasons(board_of(pending(6), **queue)) == expected


def test_every_fault_has_its_place_among_the_reasons() -> None:
    """A metric would tell a new one as Other."""
    assert set(NOT_IN_ORDER) >= STALLING
    assert not set(NOT_IN_ORDER) & set(IN_ORDER)


def test_tasks_that_do_not_stand_in_the_order_say_why() -> None:
    """Each by the reason that its own decision found."""
    tasks = [
        make_task("held", uid="held", suspend=True).build(),
        make_task("later", uid="later", notBeforeTime=at(500)).build(),
        make_task("odd", uid="odd", priorityLevel="none").build(),
    ]
    board = board_of(tasks)
    assert reasons(board) == {"Suspended": 1, "NotDue": 1, "PriorityLevelNotFound": 1}
    assert reasons(board, 501) == {"Suspended": 1, "PriorityLevelNotFound": 1}


def test_tasks_that_wait_for_one_of_their_key_are_told_apart() -> None:
    """The queue has room; their key has none."""
    tasks = [make_task(f"t{n}", uid=f"t{n}", created=n).meta(labels={"db": "one"}).build() for n in range(3)]
    assert reasons(board_of(tasks, concurrencyLabelKey="db")) == {"ConcurrencyKeyLimit": 2}


def test_the_room_of_a_parent_is_told_from_that_of_the_queue() -> None:
    """A child waits for its parent; the parent's own Tasks wait for their queue."""
    board = board_of(pending(3), maxConcurrency=1, priority=1)
    board.on_queue(None, make_queue("child", parent={"name": "default"}).build())
    board.on_task(None, make_task("c", uid="c", queueName="child").build())
    assert reasons(board) == {"ConcurrencyLimit": 2}
    assert reasons(board, queue="child") == {"ParentLimit": 1}


def test_a_full_cluster_is_named() -> None:
    """The operator's own cap."""
    assert reasons(board_of(pending(3), limits=Limits(cluster_limit=1))) == {"ClusterLimit": 2}


def test_what_is_about_to_start_says_so() -> None:
    """As many requests are under way as may be."""
    board = board_of(pending(3), limits=Limits(launches=1))
    board.plan(T0 + 9)
    state = next(iter(board.queues))
    assert Waiting(board.queues, T0 + 9).reasons(state) == Counter({"Starting": 2})


def test_tasks_whose_containers_do_not_run_are_counted_by_reason() -> None:
    """They run, for their queue; something is wrong all the same, until it is not."""
    board = board_of(pending(1))
    (launch,) = [action for action in board.plan(T0).actions if isinstance(action, Launch)]
    job = make_job(board.entries[launch.uid].task).build()
    board.on_job(None, job)
    board.launched(launch)
    pod = make_pod(job).waiting("ImagePullBackOff").build()
    board.on_pod(None, pod)
    pass_at(board, 10)
    (state,) = board.queues
    assert unstarted(state) == {"ImagePullFailed": 1}
    assert Waiting(board.queues, T0 + 10).reasons(state) == Counter()
    board.on_pod(pod, make_pod(job).running(11).build())
    pass_at(board, 12)
    assert unstarted(state) == Counter()


def test_a_queue_is_held_by_its_own_state_or_its_parents() -> None:
    """Held on purpose is not stuck."""
    board = board_of(pending(1), state="Paused")
    board.on_queue(None, make_queue("child", parent={"name": "default"}).build())
    board.on_queue(None, make_queue("lone").build())
    waiting = Waiting(board.queues, T0)
    held = {state.key.name: waiting.is_held(state) for state in board.queues}
    assert held == {"default": True, "child": True, "lone": False}


def test_the_age_counts_from_when_a_task_could_start() -> None:
    """A Task of next week is not old, whenever it was made."""
    tasks = [
        make_task("later", uid="later", created=0, notBeforeTime=at(500)).build(),
        make_task("now", uid="now", created=50).build(),
    ]
    board = board_of(tasks, state="Paused")
    board.plan(T0 + 60)
    state = next(iter(board.queues))
    assert state.counts().oldest_pending == T0 + 50
    board.on_task(tasks[1], None)
    board.plan(T0 + 61)
    assert state.counts().oldest_pending is None
    board.plan(T0 + 501)
    assert state.counts().oldest_pending == T0 + 500


def test_the_age_counts_from_when_a_task_was_let_go() -> None:
    """What its user held back has not waited; the wait that is measured begins then, too."""
    held = make_task("held", uid="held", suspend=True).build()
    board = board_of([held])
    board.plan(T0 + 60)
    state = next(iter(board.queues))
    assert state.counts().oldest_pending is None
    free = make_task("held", uid="held", suspend=False).meta(generation=2).build()
    board.on_queue(None, make_queue("default", state="Paused").meta(generation=2).build())
    board.on_task(held, free)
    board.plan(T0 + 100)
    assert state.counts().oldest_pending == T0 + 100
    board.on_queue(None, make_queue("default").meta(generation=3).build())
    (launch,) = [action for action in board.plan(T0 + 130).actions if isinstance(action, Launch)]
    assert launch.since == T0 + 100


def test_nothing_is_left_when_tasks_go() -> None:
    """Whatever they waited for."""
    tasks = [make_task("held", uid="held", suspend=True).build(), *pending(2)]
    board = board_of(tasks, state="Paused")
    board.plan(T0 + 10)
    state = next(iter(board.queues))
    for task in tasks:
        board.on_task(task, None)
    board.plan(T0 + 11)
    assert Waiting(board.queues, T0).reasons(state) == Counter()
    assert state.counts().oldest_pending is None
