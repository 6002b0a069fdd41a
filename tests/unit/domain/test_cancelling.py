"""Purge and cancel-all: a value and a time in a queue's status, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from builders import T0, TaskBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain import cancelling
from taskq.domain.actions import StopJob, WriteStatus
from taskq.domain.lifecycle import Decision, Stage, View, decide
from taskq.domain.model import Queue
from taskq.domain.queues import Queues


def asked(nonce: str = "", what: str = "purge", **status: Any) -> Queue:
    """A queue with an annotation, and with what its status says of such requests."""
    queue = make_queue()
    if nonce:
        queue = queue.meta(annotations={f"taskq.dev/{what}": nonce})
    return queue._with("status", **status).build()


def request(time: float, nonce: str = "one") -> dict[str, str]:
    """A request as a status has it."""
    return {"nonce": nonce, "time": at(time)}


def look(task: TaskBuilder, queue: Queue, **facts: Any) -> Decision:
    """Decide on a Task."""
    return decide(View(**{"task": task.build(), "queue": queue, "queue_exists": True} | facts), T0 + 60)


def end(decision: Decision) -> tuple[str, str]:
    """Phase and reason of the end that is written."""
    (write,) = decision.actions
    assert isinstance(write, WriteStatus)
    return write.status["phase"], write.status["reason"]


@pytest.mark.parametrize(
    ("nonce", "until"),
    [
        ("one", 30.5),
        (at(20), 20),
        (at(25.25), 25),
        (at(99), 30.5),  # none in the future
        ("2026-03-02T12:00:20", 30.5),  # without a zone it is no time
        ("20260302", 30.5),
        ("0001-01-01T00:00:00Z", -T0),
    ],
)
def test_a_new_value_is_taken_up_with_its_time(nonce: str, until: float) -> None:
    """That is the value itself if it is a time, else when it is seen; whole seconds, as creation times have."""
    assert cancelling.taken_up(asked(nonce), T0 + 30.5) == {"purge": {"nonce": nonce, "time": at(int(until))}}
    assert cancelling.taken_up(asked(nonce, "cancel-all"), T0 + 30.5).keys() == {"cancelAll"}


def test_a_value_is_taken_up_once() -> None:
    """And no annotation at all asks for nothing."""
    assert cancelling.taken_up(asked("one", purge=request(10)), T0 + 30) == {}
    assert cancelling.taken_up(asked(), T0 + 30) == {}


def test_a_later_request_takes_nothing_back() -> None:
    """What an earlier one concerned may not have ended yet."""
    patch = cancelling.taken_up(asked(at(5), purge=request(10)), T0 + 30)
    assert patch == {"purge": {"nonce": at(5), "time": at(10)}}


def test_a_purge_ends_what_waits_and_was_there() -> None:
    """Held, retrying or due; a Task of the next second stays."""
    purged = asked(purge=request(10))
    for task in (make_task(created=10), make_task(suspend=True), make_task().failed_once(5, due=99)):
        assert end(look(task, purged)) == ("Cancelled", "Purged")
    assert look(make_task(created=11), purged).stage is Stage.READY


def test_a_purge_lets_run_what_runs() -> None:
    """Cancel-all stops it, gracefully."""
    task = make_task()
    job = make_job(task.build(), created=5).active().build()
    pods = (make_pod(job).running().build(),)
    assert not [a for a in look(task, asked(purge=request(10)), job=job, pods=pods).actions if isinstance(a, StopJob)]
    (stop,) = look(task, asked(cancelAll=request(10)), job=job, pods=pods).actions
    assert isinstance(stop, StopJob)
    assert (stop.reason, stop.kill) == ("Cancelled", ())


def test_what_was_stopped_by_cancel_all_ends_cancelled() -> None:
    """Also when its queue has been deleted meanwhile: it is not tried again."""
    task = make_task(retryPolicy={"maxAttempts": 5})
    job = make_job(task.build(), created=5).stopped("Cancelled", 20).build()
    pods = (make_pod(job).failed(143, 19).build(),)
    for queue in (asked(cancelAll=request(10)), None):
        decision = decide(View(task=task.build(), queue=queue, queue_exists=queue is not None, job=job, pods=pods), T0)
        assert end(decision) == ("Cancelled", "Cancelled")


def test_a_request_wakes_the_queues_tasks() -> None:
    """A status alone changes no generation."""
    queues = Queues()
    queues.changed(None, asked())
    queues.of(asked().metadata.key).members.add("u1")
    assert queues.changed(asked(), asked(pending=1)) == set()
    assert queues.changed(asked(), asked(purge=request(10))) == {"u1"}
