"""Purge and cancel-all: a value and a time in a queue's status, and nothing else."""

from __future__ import annotations

from typing import Any

from builders import T0, TaskBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import StopJob, WriteStatus
from taskq.domain.lifecycle import Decision, Stage, View, decide
from taskq.domain.model import Queue
from taskq.domain.queues import Queues


def asked(**status: Any) -> Queue:
    """A queue with what its status says of requests."""
    return make_queue()._with("status", **status).build()


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
