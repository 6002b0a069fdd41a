"""What happens to one Task now."""

from __future__ import annotations

from typing import Any

import pytest

from builders import T0, TaskBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import FetchJob, FetchPods, KillPods, StopJob, WriteStatus
from taskq.domain.admission import Refusal
from taskq.domain.lifecycle import REPORT_SECONDS, Decision, Stage, View, decide, quiescent
from taskq.domain.model import Job, Pod, Task


def look(task: TaskBuilder | Task, now: float = 10, **facts: Any) -> Decision:
    """Decide on a Task `now` seconds after T0."""
    built = task if isinstance(task, Task) else task.build()
    queue = make_queue(**facts.pop("rules", {})).build()
    return decide(View(**{"task": built, "queue": queue, "queue_exists": True} | facts), T0 + now)


def written(decision: Decision) -> dict[str, Any]:
    """The one status that is written."""
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    return action.status


def ended_pod(job: Job, exit_code: int = 0, when: float = 8) -> tuple[Pod, ...]:
    """The pod of a finished Job."""
    pod = make_pod(job)
    return ((pod.failed(exit_code, when) if exit_code else pod.succeeded(when, "done")).build(),)


# --- before it starts ----------------------------------------------------------------------------------------------


def test_a_new_task_is_ready_and_writes_nothing() -> None:
    """Ordinary waiting costs no write."""
    found = look(make_task())
    assert (found.stage, found.actions) == (Stage.READY, ())
    assert found.place is not None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled", "Expired"])
def test_an_ended_task_is_left_alone(phase: str) -> None:
    """A terminal phase is never left, whatever else is true."""
    task = make_task().cancelled().ended(phase).build()
    job = make_job(task).build()
    assert look(task, job=job) == Decision(Stage.ENDED)


def test_a_task_being_deleted_is_left_alone() -> None:
    """Its Job goes with it."""
    assert look(make_task().deleting(since=1)) == Decision(Stage.ENDED)


def test_a_task_on_hold_waits() -> None:
    """Suspend keeps it out of the order, until it expires."""
    found = look(make_task(suspend=True, startingDeadlineSeconds=60))
    assert (found.stage, found.place, found.wake_at) == (Stage.WAITING, None, T0 + 60)


def test_a_task_not_yet_due_is_looked_at_when_it_is() -> None:
    """notBeforeTime is a timed wake-up."""
    found = look(make_task(notBeforeTime=at(30)))
    assert (found.stage, found.wake_at) == (Stage.WAITING, T0 + 30)
    assert look(make_task(notBeforeTime=at(30)), now=30).stage is Stage.READY


def test_a_task_that_never_started_expires() -> None:
    """At the deadline it ends as Expired, on hold or not."""
    for task in (make_task(startingDeadlineSeconds=10), make_task(startingDeadlineSeconds=10, suspend=True)):
        assert look(task, now=9.5).stage is not Stage.ENDED
        status = written(look(task, now=10))
        assert (status["phase"], status["reason"], status["settled"]) == ("Expired", "StartingDeadlineExceeded", "True")


@pytest.mark.parametrize("mode", ["IfPending", "Graceful", "Immediate"])
def test_every_cancellation_ends_a_pending_task(mode: str) -> None:
    """Before its Job exists, a Task is cancelled at once."""
    status = written(look(make_task().cancelled(mode, "not needed")))
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert "not needed" in status["message"]


def test_a_cancellation_comes_before_an_expiry() -> None:
    """What a user asked for wins over what time brings."""
    assert written(look(make_task(startingDeadlineSeconds=1).cancelled()))["phase"] == "Cancelled"


def test_a_retry_waits_for_its_time() -> None:
    """A failed Task re-enters the order when its backoff is over, and never expires."""
    task = make_task(startingDeadlineSeconds=1).failed_once(ended=5, due=30)
    assert look(task, now=10).wake_at == T0 + 30
    assert look(task, now=30).stage is Stage.READY


def test_a_fault_is_written_once() -> None:
    """A missing queue is told in the status, and not again while it stands there."""
    task = make_task(queueName="nope")
    status = written(look(task, queue=None, queue_exists=False))
    assert status["reason"] == "QueueNotFound"
    told = task.status(**status)
    assert look(told, now=500, queue=None, queue_exists=False).actions == ()


def test_a_fault_that_is_over_is_taken_back() -> None:
    """When the queue appears, the condition goes and the Task is ready."""
    task = make_task(queueName="nope")
    told = task.status(**written(look(task, queue=None, queue_exists=False)))
    found = look(told)
    assert found.stage is Stage.READY
    assert {c["type"]: c["status"] for c in written(found)["conditions"]} == {
        "Admitted": "False",
        "Reconciling": "True",
    }


def test_a_refused_task_is_ready_again_later() -> None:
    """The API server's refusal stands in the status while it is asked again, so that it does not flicker."""
    refusal = Refusal("QuotaExceeded", "no room", until=T0 + 20)
    task = make_task()
    found = look(task, refusal=refusal)
    assert (written(found)["reason"], found.wake_at) == ("QuotaExceeded", T0 + 20)
    told = task.status(**written(found))
    again = look(told, now=20, refusal=refusal)
    assert (again.stage, again.actions) == (Stage.READY, ())


def test_a_task_that_can_not_be_read_says_so() -> None:
    """A manifest of another version is a condition, not a crash."""
    task = make_task().build()
    task.defect = "Expected `int`, got `str` - at `$.spec.priority`"
    assert written(look(task))["reason"] == "InvalidTask"


# --- while it runs -------------------------------------------------------------------------------------------------


def test_an_unanswered_launch_holds_everything() -> None:
    """Nothing is decided while it is unknown whether the Job exists, not even a cancellation."""
    assert look(make_task().cancelled(), launching=True) == Decision(Stage.LAUNCHING)


def test_a_short_run_costs_no_write() -> None:
    """Running is written only after a while."""
    task = make_task().build()
    found = look(task, now=1, job=make_job(task).build())
    assert (found.stage, found.actions, found.wake_at) == (Stage.RUNNING, (), T0 + 2)


def test_a_longer_run_is_written_once() -> None:
    """After two seconds the status says Running, with attempt and Job, and then stays."""
    task = make_task()
    job = make_job(task.build()).build()
    status = written(look(task, now=3, job=job))
    assert (status["phase"], status["attempt"], status["jobName"]) == ("Running", 1, job.metadata.name)
    assert look(task.status(**status), now=99, job=job, pods=(make_pod(job).running(1).build(),)).actions == ()


def test_a_task_whose_pod_has_ended_is_not_said_to_run() -> None:
    """Its Job's end is a second away, and then is written; only if that takes long does the status say Running."""
    task = make_task().build()
    job = make_job(task).active().build()
    facts: dict[str, Any] = {"job": job, "pods": ended_pod(job, when=1)}
    waiting = look(task, now=2, **facts)
    assert (waiting.actions, waiting.wake_at) == ((), T0 + 2 + REPORT_SECONDS)
    assert written(look(task, now=2 + REPORT_SECONDS, **facts))["phase"] == "Running"


def test_an_image_that_can_not_be_pulled_is_told() -> None:
    """A fault of the pod is shown while the Task counts as running."""
    task = make_task().build()
    job = make_job(task).build()
    pods = (make_pod(job).waiting("ImagePullBackOff", 'Back-off pulling image "x"').build(),)
    status = written(look(task, now=3, job=job, pods=pods))
    assert (status["phase"], status["reason"]) == ("Running", "ImagePullFailed")


@pytest.mark.parametrize("mode", ["Graceful", "Immediate"])
def test_a_cancellation_stops_the_job_first(mode: str) -> None:
    """A running Task is not Cancelled before its pods have ended: its Job is stopped."""
    task = make_task().cancelled(mode).build()
    (action,) = look(task, job=make_job(task).build()).actions
    assert isinstance(action, StopJob)
    assert action.reason == "Cancelled"


def test_an_immediate_cancellation_kills_before_it_stops() -> None:
    """A kubelet that has begun to stop a pod with a long grace period keeps to it, so the short one comes first."""
    at_once, gently = make_task().cancelled("Immediate").build(), make_task().cancelled().build()
    job = make_job(at_once).build()
    pod = make_pod(job).running(1).build()
    (action,) = look(at_once, job=job, pods=(pod,)).actions
    assert isinstance(action, StopJob)
    assert action.kill == ((pod.metadata.key, pod.metadata.uid),)
    (action,) = look(gently, job=job, pods=(pod,)).actions
    assert isinstance(action, StopJob)
    assert action.kill == ()


def test_if_pending_leaves_a_running_task_alone() -> None:
    """IfPending comes too late for a Task with a Job."""
    task = make_task().cancelled("IfPending").build()
    assert look(task, now=1, job=make_job(task).build()).actions == ()


def test_a_container_that_never_starts_is_stopped_after_pending() -> None:
    """pendingSeconds counts from the Job's creation."""
    task = make_task(timeouts={"pendingSeconds": 5}).build()
    job = make_job(task).build()
    assert look(task, now=1, job=job).wake_at == T0 + 2
    (action,) = look(task, now=5, job=job).actions
    assert isinstance(action, StopJob)
    assert action.reason == "PendingTimeout"
    assert look(task, now=1, job=job, pods=(make_pod(job).running(1).build(),)).wake_at == T0 + 2


def test_a_kubelet_that_does_not_keep_the_limit_is_overruled() -> None:
    """Thirty seconds after the hard limit the operator stops the Job itself."""
    task = make_task(timeouts={"hardSeconds": 60}).running().build()
    job = make_job(task).build()
    pods = (make_pod(job).running(5).build(),)
    assert look(task, now=94, job=job, pods=pods).wake_at == T0 + 95
    (action,) = look(task, now=95, job=job, pods=pods).actions
    assert isinstance(action, StopJob)
    assert action.reason == "TimedOut"


def test_a_stopping_job_is_waited_for() -> None:
    """While a pod of a stopped Job lives, nothing is written."""
    task = make_task().cancelled().build()
    job = make_job(task).stopping("Cancelled").build()
    pod = make_pod(job).running(1).deleting(since=9, grace=30).build()
    assert look(task, job=job, pods=(pod,)) == Decision(Stage.RUNNING)


def test_an_immediate_cancellation_shortens_the_grace() -> None:
    """Its pods get one more second, once."""
    task = make_task().cancelled("Immediate").build()
    job = make_job(task).stopping("Cancelled").build()
    slow = make_pod(job).running(1).deleting(since=9, grace=30).build()
    (action,) = look(task, job=job, pods=(slow,)).actions
    assert isinstance(action, KillPods)
    quick = make_pod(job).running(1).deleting(since=9, grace=1).build()
    assert look(task, job=job, pods=(quick,)).actions == ()


def test_a_job_that_goes_is_waited_for() -> None:
    """A Job that somebody deletes ends its attempt only once it is gone."""
    task = make_task().cancelled().build()
    assert look(task, job=make_job(task).deleting(since=5).build()) == Decision(Stage.RUNNING)
    assert look(task, job_leaving=True) == Decision(Stage.RUNNING)


# --- when an attempt ends ------------------------------------------------------------------------------------------


def test_a_success_is_one_write() -> None:
    """Pending to Succeeded, settled, with its result, in one patch."""
    task = make_task().build()
    job = make_job(task).complete(9).build()
    status = written(look(task, job=job, pods=ended_pod(job)))
    assert (status["phase"], status["settled"], status["result"]) == ("Succeeded", "True", "done")
    assert status["attempts"][0]["exitCode"] == 0


def test_an_outcome_waits_for_its_pods_to_be_read() -> None:
    """When no watch has shown the pod of a finished Job, it is fetched before anything is concluded."""
    task = make_task().build()
    job = make_job(task).failed(9).build()
    (action,) = look(task, job=job).actions
    assert isinstance(action, FetchPods)
    assert written(look(task, job=job, pods_fetched=True))["attempts"][0]["reason"] == "PodDeleted"


def test_an_announced_end_ends_nothing() -> None:
    """FailureTarget and SuccessCriteriaMet come while pods still terminate."""
    task = make_task().running().build()
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        assert look(task, job=make_job(task).condition(kind).build()).actions[0:1] != ()  # only the fact that it runs
        assert look(task, job=make_job(task).condition(kind).build()).stage is Stage.RUNNING


def test_a_failure_with_attempts_left_is_a_retry() -> None:
    """It becomes Retrying, keeps its history and names the next time."""
    task = make_task(retryPolicy={"maxAttempts": 2, "backoff": {"jitterPercent": 0}}).build()
    job = make_job(task).failed(9).build()
    found = look(task, job=job, pods=ended_pod(job, 3))
    status = written(found)
    assert (found.stage, status["phase"], status["failedAttempts"]) == (Stage.WAITING, "Retrying", 1)
    assert status["nextAttemptTime"] == "2026-03-02T12:00:18.000Z"
    assert "settled" not in status


def test_the_last_failure_ends_the_task() -> None:
    """With its attempts used up it is Failed and says how the last one ended."""
    task = make_task().build()
    job = make_job(task).failed(9).build()
    status = written(look(task, job=job, pods=ended_pod(job, 3)))
    assert (status["phase"], status["reason"], status["failedAttempts"]) == ("Failed", "RetriesExhausted", 1)
    assert status["attempts"][0]["exitCode"] == 3


def test_a_stopped_attempt_of_a_cancelled_task_is_cancelled() -> None:
    """Once nothing of it runs, a cancelled Task ends as Cancelled whatever attempts it had left."""
    task = make_task(retryPolicy={"maxAttempts": 9}).cancelled().build()
    job = make_job(task).stopped("Cancelled", when=9).build()
    status = written(look(task, job=job, pods_fetched=True))
    assert (status["phase"], status["settled"]) == ("Cancelled", "True")


def test_a_success_wins_over_a_late_cancellation() -> None:
    """What completed before the stop took effect has succeeded."""
    task = make_task().cancelled().build()
    job = make_job(task).complete(9).stopping("Cancelled").build()
    assert written(look(task, job=job, pods=ended_pod(job)))["phase"] == "Succeeded"


def test_a_deleted_job_ends_its_attempt() -> None:
    """It counts as a failure with the reason JobDeleted, and is retried by the same rules."""
    task = make_task(retryPolicy={"maxAttempts": 2}).build()
    status = written(look(task, job_gone=True))
    assert (status["phase"], status["attempts"][0]["reason"]) == ("Retrying", "JobDeleted")


def test_a_started_task_without_a_job_asks_for_it() -> None:
    """When the status says that it started, no second Job is made before the API server was asked for the first."""
    task = make_task().running().build()
    (action,) = look(task).actions
    assert isinstance(action, FetchJob)


# --- stillness -----------------------------------------------------------------------------------------------------


def test_when_a_job_is_still() -> None:
    """Only a finished Job without living pods, or a suspended one that its controller has emptied, is still."""
    job = make_job(make_task().build())
    living, over = make_pod(job.build()).running().build(), make_pod(job.build()).failed(1, 5).build()
    table = [
        (job.build(), (), False),
        (job.active().build(), (), False),
        (job.complete(5).build(), (), True),
        (job.complete(5).build(), (over,), True),
        (job.failed(5).build(), (living,), False),
        (job.stopping("Cancelled").build(), (), False),
        (job.stopped("Cancelled", 5).build(), (), True),
        (job.stopped("Cancelled", 5).build(), (living,), False),
        (job.stopped("Cancelled", 5)._with("status", terminating=1).build(), (), False),
        (job.condition("FailureTarget").build(), (), False),
    ]
    assert [quiescent(found, pods) for found, pods, _ in table] == [still for *_, still in table]


def test_a_job_without_a_pod_is_told_after_a_while() -> None:
    """A quota on pods does not refuse the Job: nothing else would say why the Task stands still."""
    task = make_task().running().build()
    job = make_job(task).build()
    assert look(task, now=14, job=job).wake_at == T0 + 15
    status = written(look(task, now=15, job=job))
    reconciling = {c["type"]: c for c in status["conditions"]}["Reconciling"]
    assert reconciling["reason"] == "PodNotCreated"
    assert "ResourceQuota" in reconciling["message"]


# --- all attempts together -----------------------------------------------------------------------------------------


def test_a_running_attempt_is_stopped_when_the_total_is_over() -> None:
    """The total counts from the first attempt's start, not from this one's."""
    limits = {"timeouts": {"totalSeconds": 60}, "retryPolicy": {"maxAttempts": 5}}
    task = make_task(**limits).failed_once(ended=20, due=30).status(startTime=at(0)).build()
    job = make_job(task, created=30).build()
    pods = (make_pod(job).running(31).build(),)
    assert look(task, now=59, job=job, pods=pods).wake_at == T0 + 60
    stops = [action for action in look(task, now=60, job=job, pods=pods).actions if isinstance(action, StopJob)]
    assert [stop.reason for stop in stops] == ["TotalTimeoutExceeded"]


def test_no_attempt_starts_after_the_total_is_over() -> None:
    """A Task that waits for its retry fails when its time is over."""
    limits = {"timeouts": {"totalSeconds": 60}, "retryPolicy": {"maxAttempts": 5}}
    task = make_task(**limits).status(startTime=at(0)).failed_once(ended=20, due=90).build()
    assert look(task, now=59).wake_at == T0 + 60
    status = written(look(task, now=60))
    assert (status["phase"], status["reason"]) == ("Failed", "TotalTimeoutExceeded")
    assert "timeouts.totalSeconds (60)" in status["message"]


def test_a_retry_that_would_be_too_late_is_not_waited_for() -> None:
    """What can't start in time fails at once."""
    limits = {"timeouts": {"totalSeconds": 12}, "retryPolicy": {"maxAttempts": 5}}
    task = make_task(**limits).build()
    job = make_job(task).failed(9).build()
    status = written(look(task, job=job, pods=ended_pod(job, 3)))
    assert (status["phase"], status["reason"], status["failedAttempts"]) == ("Failed", "TotalTimeoutExceeded", 1)
