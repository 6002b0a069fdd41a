"""The board: what it plans when objects come and go, and that one bad object stops no other."""

from __future__ import annotations

from typing import Any

import pytest

from builders import T0, make_job, make_pod, make_queue, make_task
from taskq.domain import lifecycle
from taskq.domain.actions import FetchPods, Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.model import Key, Task
from taskq.resources.common import CONCURRENCY_ANNOTATION


def board_of(*tasks: Task, **queue: Any) -> Board:
    """A board that knows the default queue and these Tasks."""
    board = Board(Limits())
    board.on_queue(None, make_queue("default", **queue).build())
    for task in tasks:
        board.on_task(None, task)
    return board


def launches(board: Board, now: float = 0) -> list[str]:
    """Names of the Tasks that a pass starts."""
    return [action.task.name for action in board.plan(T0 + now).actions if isinstance(action, Launch)]


def tasks(*names: str, **spec: Any) -> list[Task]:
    """Tasks of these names."""
    return [make_task(name, uid=name, **spec).build() for name in names]


def test_a_pass_starts_as_many_as_there_is_room_for() -> None:
    """And counts what it has just asked for, before any watch has shown it."""
    board = board_of(*tasks("a", "b", "c"), maxConcurrency=2)
    assert launches(board) == ["a", "b"]
    assert launches(board) == []


def test_a_task_that_can_not_be_decided_on_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect that one object brings to light is reported, and that object is looked at again later."""
    honest = lifecycle.decide

    def broken(view: lifecycle.View, now: float) -> lifecycle.Decision:
        if view.task.metadata.name == "bad":
            raise ZeroDivisionError
        return honest(view, now)

    monkeypatch.setattr(lifecycle, "decide", broken)
    board = board_of(*tasks("bad", "good"))
    plan = board.plan(T0)
    assert [action.task.name for action in plan.actions if isinstance(action, Launch)] == ["good"]
    assert [(key.name, type(error)) for key, error in plan.defects] == [("bad", ZeroDivisionError)]
    monkeypatch.undo()
    assert launches(board, 61) == ["bad"]


def test_a_job_that_vanishes_keeps_its_slot_until_its_pods_are_known_to_be_gone() -> None:
    """The watch on pods may lag behind: they are listed once before anybody else starts."""
    first, second = tasks("a", "b")
    board = board_of(first, second, maxConcurrency=1)
    (launch,) = [action for action in board.plan(T0).actions if isinstance(action, Launch)]
    job = make_job(first).build()
    board.on_job(None, job)
    board.launched(launch)
    pod = make_pod(job).running(1).build()
    board.on_pod(None, pod)
    board.on_job(job, None)
    (fetch,) = [action for action in board.plan(T0 + 2).actions if isinstance(action, FetchPods)]
    board.asked(fetch, T0 + 2, failed=False)
    assert launches(board, 3) == []
    board.on_pod(pod, None)
    assert launches(board, 4) == ["b"]


def test_a_task_that_leaves_frees_no_slot_by_itself() -> None:
    """Its Job is there until the garbage collector comes, and counts until then."""
    first, second = tasks("a", "b")
    board = board_of(first, second, maxConcurrency=1)
    (launch,) = [action for action in board.plan(T0).actions if isinstance(action, Launch)]
    board.on_job(None, make_job(first).build())
    board.launched(launch)
    board.on_task(first, None)
    assert launches(board, 1) == []


def test_a_refused_job_gives_its_slot_back_and_waits_longer_each_time() -> None:
    """The next in line starts; the refused one is asked for again after 2 s, then after 4 s."""
    board = board_of(*tasks("a"), maxConcurrency=1)
    for start, wait in ((0, 2), (2, 4), (6, 8)):
        (launch,) = [action for action in board.plan(T0 + start).actions if isinstance(action, Launch)]
        board.not_launched(launch, ("JobRefused", "no"), T0 + start)
        (write,) = board.plan(T0 + start + wait - 0.1).actions
        assert isinstance(write, WriteStatus)
        board.written(write, T0 + start + wait - 0.1, failed=False)


@pytest.mark.parametrize("limited", ["default", "parent"])
def test_starts_before_a_restart_count_whatever_is_listed_first(limited: str) -> None:
    """The Jobs may be known before their queue, its parent and its Tasks, and may have ended."""
    rate = {"rateLimit": {"maxStarts": 1, "periodSeconds": 60}}
    child = {"parent": {"name": "parent"}, **(rate if limited == "default" else {})}
    board = Board(Limits())
    board.on_job(None, make_job(tasks("ended")[0], created=-10).complete(-5).build())
    board.on_queue(None, make_queue("default", **child).build())
    board.on_queue(None, make_queue("parent", **(rate if limited == "parent" else {})).build())
    board.on_task(None, tasks("next")[0])
    assert launches(board) == []
    assert launches(board, 60) == ["next"]


def test_a_job_whose_pods_are_listed_first_counts_for_its_key() -> None:
    """After a restart a mutex holds whatever is known first: the pods tell of a slot, their Job whose it is."""
    first, second = (make_task(name, uid=name).meta(labels={"account": "a"}).build() for name in ("first", "second"))
    job = make_job(first).meta(annotations={CONCURRENCY_ANNOTATION: "account=a"})
    pod, ended = make_pod(job.build()).running(1).build(), job.complete(2).build()
    board = board_of(first, second, concurrencyLabelKey="account")
    board.on_pod(None, pod)
    board.on_job(None, job.build())
    assert launches(board) == []
    board.on_job(job.build(), ended)
    board.on_pod(pod, make_pod(ended).succeeded(2).build())
    assert launches(board, 2) == ["second"]


def test_who_has_started_keeps_its_key_also_when_its_job_is_listed_after_a_newer_task() -> None:
    """Its Job ended while nobody watched, and its status says nothing yet: the newer Task does not replace it."""
    asked = {"key": "red", "mode": "Replace"}
    first = make_task("first", uid="first", deduplication=asked, retryPolicy={"maxAttempts": 2}).build()
    second = make_task("second", uid="second", created=5, deduplication=asked).build()
    board = board_of(first, second)
    board.on_job(None, make_job(first).failed(2).build())
    plan = board.plan(T0 + 6)
    assert not [action for action in plan.actions if isinstance(action, Launch)]
    ended = {w.task.name: w.status["phase"] for w in plan.actions if isinstance(w, WriteStatus)}
    assert ended == {"second": "Cancelled"}


def test_a_queue_that_only_ended_jobs_remember_is_forgotten_with_them() -> None:
    """Nothing is kept of a queue of which neither an object, nor a Task, nor a Job is left."""
    board, job = Board(Limits()), make_job(tasks("ended")[0]).complete(1).build()
    board.on_job(None, job)
    assert [state.key for state in board.queues] == [Key("shop", "default")]
    board.on_job(job, None)
    assert list(board.queues) == []


def test_what_can_start_or_end_nothing_does_not_press() -> None:
    """A pod that comes and runs is looked at with what else comes soon; a Job's end, and a new Task, at once."""
    (first, second), later = tasks("a", "b"), tasks("c")[0]
    board = board_of(first, second, maxConcurrency=1)
    (launch,) = (action for action in board.plan(T0).actions if isinstance(action, Launch))
    job = make_job(first)
    board.on_job(None, job.build())
    board.launched(launch)
    assert not board.is_pressed
    board.on_pod(None, make_pod(job.build()).build())
    board.on_job(job.build(), job.active().build())
    assert not board.is_pressed
    board.plan(T0)
    board.on_job(job.build(), job.complete(5).build())
    assert board.is_pressed
    board.plan(T0 + 5)
    assert not board.is_pressed
    board.on_task(None, later)
    assert board.is_pressed


def test_a_standby_knows_the_order_before_it_leads() -> None:
    """What waits is decided on ahead; what has a Job is left to the first plan, and nothing is asked for by then."""
    (runs, *waiting) = tasks("a", "b", "c")
    board = board_of(runs, *waiting, maxConcurrency=2)
    board.on_job(None, make_job(runs).build())
    assert not board.prepare(T0)
    assert board.undecided == 1
    assert launches(board) == ["b"]
