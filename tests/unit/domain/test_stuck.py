"""Attempts that do not end, and queues that start nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from builders import T0, JobBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.lifecycle import Decision, View, decide
from taskq.domain.model import Job, Key, Queue, Task
from taskq.domain.queue_status import queue_patch
from taskq.domain.stuck_queue import QuietQueues

WATCHED = {"alerts": {"stuckSeconds": 60}}


def look(task: Task, job: Job, now: float, **rules: Any) -> Decision:
    """Decide on a Task whose pod runs."""
    queue = make_queue(**rules).build()
    pods = (make_pod(job).running(since=1).build(),)
    return decide(View(task=task, queue=queue, queue_exists=True, job=job, pods=pods), T0 + now)


def written(decision: Decision) -> WriteStatus:
    """The one status write."""
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    return action


def condition(write: WriteStatus) -> tuple[str, str] | None:
    """Status and reason of the condition Stuck."""
    found = {c["type"]: (c["status"], c["reason"]) for c in write.status["conditions"]}
    return found.get("Stuck")


def after(task: Task, write: WriteStatus) -> Task:
    """The Task as the API server shows it after a write: what is null is taken away."""
    kept = {name: value for name, value in write.status.items() if value is not None}
    if "progress" in kept:
        kept["progress"] = {name: value for name, value in kept["progress"].items() if value is not None}
    return msgspec.convert(msgspec.to_builtins(task) | {"status": kept}, Task, strict=False)


def shown_running(**rules: Any) -> tuple[Task, Job]:
    """A Task whose status says that it runs."""
    task = make_task().build()
    job = make_job(task).active().build()
    return after(task, written(look(task, job, 10, **rules))), job


# --- attempts -----------------------------------------------------------------------------------------------------


def test_an_attempt_that_does_not_end_is_stuck_after_its_time() -> None:
    """A timed wake-up; one write and one Event that name the threshold."""
    task, job = shown_running(**WATCHED)
    early = look(task, job, 59, **WATCHED)
    assert (early.actions, early.wake_at, early.stuck) == ((), T0 + 60, False)
    found = look(task, job, 60, **WATCHED)
    write = written(found)
    assert (condition(write), found.stuck) == (("True", "RunningLong"), True)
    assert write.note is not None
    assert (write.note.reason, write.note.warning) == ("Stuck", True)
    assert "spec.alerts.stuckSeconds of queue default" in write.note.message


def test_it_is_said_once() -> None:
    """However long it goes on."""
    task, job = shown_running(**WATCHED)
    task = after(task, written(look(task, job, 60, **WATCHED)))
    later = look(task, job, 5000, **WATCHED)
    assert (later.actions, later.stuck) == ((), True)


def test_it_is_taken_away_when_it_is_over() -> None:
    """Because the threshold is gone or higher, or because the attempt has ended."""
    task, job = shown_running(**WATCHED)
    task = after(task, written(look(task, job, 60, **WATCHED)))
    for rules in ({}, {"alerts": {"stuckSeconds": 600}}, {"alerts": {"queueDepth": 1}}):
        write = written(look(task, job, 70, **rules))
        assert condition(write) is None
        assert write.note is not None
        assert (write.note.reason, write.note.warning) == ("NoLongerStuck", False)
    pods = (make_pod(job).failed(1, 80).build(),)
    over = make_job(task).failed(80).build()
    view = View(task=task, queue=make_queue(**WATCHED).build(), queue_exists=True, job=over, pods=pods)
    assert condition(written(decide(view, T0 + 81))) is None


def test_a_queue_without_the_threshold_judges_nothing() -> None:
    """No write and no wake-up."""
    task, job = shown_running()
    found = look(task, job, 100_000)
    assert (found.actions, found.wake_at, found.stuck) == ((), None, False)


def test_what_keeps_containers_from_running_is_the_reason() -> None:
    """It says more than the time that it takes; the Event about it is not sent anew."""
    task = make_task().build()
    job = make_job(task).active().build()
    pod = make_pod(job).waiting("ImagePullBackOff", "no such tag").build()
    view = View(task=task, queue=make_queue(**WATCHED).build(), queue_exists=True, job=job, pods=(pod,))
    first = written(decide(view, T0 + 10))
    assert first.note is not None
    assert first.note.reason == "ImagePullFailed"
    write = written(decide(view._replace(task=after(task, first)), T0 + 60))
    assert condition(write) == ("True", "ImagePullFailed")
    assert write.note is not None
    assert write.note.reason == "Stuck"


def batch_job(task: Task, succeeded: int) -> Job:
    """The Job of a batch of ten."""
    spec = {"completions": 10, "completionMode": "Indexed"}
    return JobBuilder(make_job(task).document | {"spec": spec, "status": {"active": 1, "succeeded": succeeded}}).build()


def test_a_batch_is_stuck_when_no_item_ends() -> None:
    """It may run for as long as it likes, if only its items do end."""
    task = make_task(batch={"completions": 10}).build()
    task = after(task, written(look(task, batch_job(task, 1), 50, **WATCHED)))
    assert look(task, batch_job(task, 1), 109, **WATCHED).wake_at == T0 + 110
    moved = after(task, written(look(task, batch_job(task, 2), 109, **WATCHED)))
    assert look(moved, batch_job(task, 2), 168, **WATCHED).actions == ()
    write = written(look(moved, batch_job(task, 2), 169, **WATCHED))
    assert condition(write) == ("True", "NoProgress")
    again = written(look(after(moved, write), batch_job(task, 3), 180, **WATCHED))
    assert condition(again) is None


def test_the_board_counts_those_that_are_stuck() -> None:
    """By queue, until they go."""
    board = Board(Limits())
    board.on_queue(None, make_queue(**WATCHED).build())
    task = make_task().build()
    job = make_job(task).active().build()
    board.on_task(None, task)
    board.on_job(None, job)
    board.on_pod(None, make_pod(job).running(since=1).build())
    state = board.queues.of(Key("shop", "default"))
    for now, count in ((1, 0), (61, 1)):
        board.plan(T0 + now)
        assert len(state.stuck) == count
    board.on_task(task, None)
    assert len(state.stuck) == 0


# --- queues -------------------------------------------------------------------------------------------------------


class Line:
    """A queue with one Task that waits, and who judges it."""

    def __init__(self, *, task: dict[str, Any] | None = None, **spec: Any) -> None:
        """Nothing has started."""
        self.board = Board(Limits())
        self.queue = make_queue(**{**WATCHED, **spec}).build()
        self.board.on_queue(None, self.queue)
        self.task = make_task(**(task or {})).build()
        self.board.on_task(None, self.task)
        self.quiet = QuietQueues(self.board)

    def judge(self, now: float, queue: Queue | None = None) -> tuple[str, str] | None:
        """Why it is stuck, at a moment; launches of this pass count as under way."""
        plan = self.board.plan(T0 + now)
        for action in plan.actions:
            if isinstance(action, WriteStatus):
                self.board.written(action, T0 + now, failed=False)
        state = self.board.queues.of(self.queue.metadata.key)
        return self.quiet.judge(queue or self.queue, state, T0 + now)


def test_a_queue_that_waits_and_starts_nothing_is_stuck_after_its_time() -> None:
    """It says what holds it."""
    line = Line(parent={"name": "nobody"})
    assert line.judge(59) is None
    why = line.judge(60)
    assert why is not None
    assert why[0] == "ParentNotFound"
    assert "for 60 s (spec.alerts.stuckSeconds)" in why[1]
    assert "spec.parent.name" in why[1]


def test_a_queue_whose_tasks_all_have_a_fault_names_the_most_common_one() -> None:
    """Nothing of its own holds it."""
    why = Line(task={"templateRef": {"name": "nobody"}}).judge(60)
    assert why is not None
    assert why[0] == "TemplateNotFound"


def test_a_queue_that_somebody_holds_is_not_stuck() -> None:
    """Paused, closed, drained or tried: that is what its owner wants."""
    for state in ("Paused", "Closed", "DryRun", "Draining"):
        assert Line(state=state, task={"templateRef": {"name": "nobody"}}).judge(500) is None


def test_a_queue_that_runs_something_or_has_nothing_to_start_is_not_stuck() -> None:
    """A Task on hold, or not due, does not wait for the queue."""
    assert Line().judge(500) is None
    assert Line(task={"suspend": True}).judge(500) is None
    assert Line(task={"notBeforeTime": at(1000)}).judge(500) is None
    assert Line(task={"templateRef": {"name": "nobody"}}, alerts={"queueDepth": 5}).judge(500) is None


def test_a_rate_limit_is_no_stuck_queue() -> None:
    """Its owner wants it to start so seldom."""
    line = Line(rateLimit={"maxStarts": 1, "periodSeconds": 3600})
    line.board.queues.note_start(line.queue.metadata.key, T0)
    assert [line.judge(now) for now in range(0, 500, 10)] == [None] * 50


def test_a_task_that_waits_for_another_does_not_wait_for_its_queue() -> None:
    """It is not the queue that keeps it."""
    waits = Line(task={"dependsOn": [{"name": "first"}]})
    waits.board.on_task(None, make_task("first", queueName="elsewhere", suspend=True).build())
    assert waits.judge(500) is None


def test_the_time_counts_from_when_something_last_ran() -> None:
    """Not from the Task's creation, which may have waited for its turn."""
    line = Line(maxConcurrency=1)
    (launch,) = (action for action in line.board.plan(T0).actions if isinstance(action, Launch))
    job = make_job(line.task).active().build()
    line.board.on_job(None, job)
    line.board.launched(launch)
    line.board.on_task(None, make_task("odd", templateRef={"name": "nobody"}).build())
    assert line.judge(500) is None
    line.board.on_job(job, make_job(line.task).complete(501).version(2).build())
    assert line.judge(510) is None
    assert line.judge(559) is None
    assert line.judge(560) is not None


def test_what_the_status_says_outlives_a_restart() -> None:
    """Another leader, that has seen nothing of it, does not take the condition away to give it again."""
    line = Line(parent={"name": "nobody"})
    why = line.judge(60)
    state = line.board.queues.of(line.queue.metadata.key)
    patch = queue_patch(line.queue, state.counts(), {}, None, T0 + 60, stuck=why)
    assert patch is not None
    document = msgspec.to_builtins(line.queue) | {"status": {"conditions": patch["conditions"]}}
    told = msgspec.convert(document, Queue, strict=False)
    line.quiet = QuietQueues(line.board)
    state.last_start = T0 + 61  # a start that came to nothing
    assert line.judge(62, told) == why
    assert line.judge(62) is None
