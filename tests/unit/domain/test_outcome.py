"""How an attempt ended, read from its Job and pods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import T0, JobBuilder, PodBuilder, make_job, make_pod, make_task
from taskq.domain import outcome
from taskq.domain.model import Job, Timeouts
from taskq.resources.common import ATTEMPT_REASONS, RESULT_MAX_BYTES

TASK = make_task().build()
JOB = make_job(TASK)
POD = make_pod(JOB.build())
LIMITS = Timeouts(soft_seconds=5, hard_seconds=9, pending_seconds=3)


def end(job: JobBuilder, *pods: PodBuilder, now: float = 20) -> outcome.Outcome:
    """The outcome."""
    return outcome.of_attempt(job.build(), [pod.build() for pod in pods], LIMITS, T0 + now)


def disrupted(reason: str) -> PodBuilder:
    """A pod that Kubernetes itself ended."""
    return POD.failed(143, 8).condition("DisruptionTarget", "True", reason, "to make room")


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (POD.failed(1, 8), "Error"),
        (POD.failed(137, 8, "OOMKilled"), "OOMKilled"),
        (POD.failed(128, 8, "StartError", "exec: no such file"), "StartError"),
        (POD.failed(143, 8).killed("DeadlineExceeded"), "TimedOut"),
        (POD.succeeded(8).killed("DeadlineExceeded"), "TimedOut"),
        (POD.failed(137, 8).killed("Evicted", "low on memory"), "Evicted"),
        (POD.killed("Preempting"), "Preempted"),
        (POD.killed("Terminated", "node shutdown"), "NodeLost"),
        (POD.killed("NodeLost"), "NodeLost"),
        (disrupted("EvictionByEvictionAPI"), "Evicted"),
        (disrupted("TerminationByKubelet"), "Evicted"),
        (disrupted("PreemptionByScheduler"), "Preempted"),
        (disrupted("DeletionByTaintManager"), "NodeLost"),
        (disrupted("DeletionByPodGC"), "NodeLost"),
        (disrupted("SomethingNew"), "Evicted"),
        (POD.failed(143, 8).deleting(since=7, grace=30), "PodDeleted"),
        (POD.killed("", "who knows"), "Unknown"),
    ],
)
def test_why_a_failed_pod_failed(pod: PodBuilder, reason: str) -> None:
    """The pod's own word comes first, then a disruption, then a deletion, then its container."""
    assert end(JOB.failed(9), pod).reason == reason


def test_a_failed_job_without_a_pod() -> None:
    """The pod of a failed Job that is not there was deleted."""
    assert end(JOB.failed(9)).reason == "PodDeleted"


def test_a_jobs_own_deadline_is_a_timeout() -> None:
    """activeDeadlineSeconds of the Job ends its pod by deletion, and still it ran out of time."""
    pod = POD.failed(143, 8).deleting(since=7, grace=30)
    assert end(JOB.failed(9, "DeadlineExceeded", "was active too long"), pod).reason == "TimedOut"


def test_a_success_keeps_its_result() -> None:
    """The termination message is the result, the container's times are the attempt's."""
    found = end(JOB.complete(9), POD.succeeded(8, "42", since=2))
    assert found == outcome.Outcome("Succeeded", "", 0, POD.build().metadata.name, T0 + 2, T0 + 8, "42", "42")
    assert found.succeeded


def test_a_success_without_its_pod_is_a_success() -> None:
    """Somebody may have cleaned up the pod: the Job says enough."""
    found = end(JOB.complete(9))
    assert (found.reason, found.exit_code, found.ended) == ("Succeeded", None, T0 + 9)


def test_success_wins_over_a_late_stop() -> None:
    """A container that ended by itself has succeeded, though its Job was told to stop afterwards."""
    assert end(JOB.complete(9).stopping("Cancelled"), POD.succeeded(6)).reason == "Succeeded"


def test_ending_well_because_told_to_stop_is_no_success() -> None:
    """A container that exits with 0 on SIGTERM did not do its work."""
    told = POD.succeeded(8).deleting(since=7, grace=30)
    assert end(JOB.complete(9).stopping("Cancelled"), told).reason == "Cancelled"


@pytest.mark.parametrize("reason", ["TimedOut", "Cancelled"])
def test_a_stopped_attempt_ended_for_the_stops_reason(reason: str) -> None:
    """What the pod says comes second: it was told to stop."""
    found = end(JOB.stopped(reason, 9), POD.failed(143, 8).deleting(since=7, grace=30))
    assert (found.reason, found.exit_code) == (reason, 143)


def test_a_pending_timeout_says_what_was_in_the_way() -> None:
    """The image that could not be pulled is named in the attempt's message."""
    found = end(JOB.stopped("PendingTimeout", 9), POD.waiting("ErrImagePull", "no such image"))
    assert "no such image" in found.message
    assert "3 s" in found.message


def test_a_pending_timeout_remembers_what_was_in_the_way() -> None:
    """A pod that was told to go has an exit code and words that the kubelet made up: the status knew better."""
    pod = POD.failed(137, 8, "ContainerStatusUnknown", "could not be located").deleting(since=7, grace=30).build()
    found = outcome.of_attempt(JOB.stopped("PendingTimeout", 9).build(), [pod], LIMITS, T0 + 20, seen="no image x")
    assert found.message.endswith("(timeouts.pendingSeconds): no image x")
    assert (found.exit_code, found.started, found.pod_name) == (None, None, pod.metadata.name)


def test_the_failed_pod_tells_more_than_the_succeeded_one() -> None:
    """Of several pods the latest failed one decides."""
    job = JOB.build()
    pods = [
        make_pod(job, "a", created=1).failed(1, 3),
        make_pod(job, "b", created=2).failed(7, 5),
        make_pod(job, "c", created=3).succeeded(6),
    ]
    assert end(JOB.failed(9), *pods).exit_code == 7


def test_messages_are_bounded() -> None:
    """What a container writes is cut: ten attempts and a result stay small, and no character is cut in half."""
    assert len(end(JOB.failed(9), POD.failed(1, 8, message="x" * 9999)).message) == outcome.MESSAGE_MAX
    result = end(JOB.complete(9), POD.succeeded(8, "é" * 4000)).result
    assert len(result.encode()) <= RESULT_MAX_BYTES
    assert set(result) == {"é"}


def test_a_deleted_job_keeps_what_its_pod_said() -> None:
    """The attempt of a Job deleted by others names the pod if there was one."""
    found = outcome.job_deleted(None, [POD.failed(1, 8, since=2).build()], T0 + 9)
    assert (found.reason, found.pod_name, found.started) == ("JobDeleted", POD.build().metadata.name, T0 + 2)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (POD.waiting("ContainerCreating"), None),
        (POD.waiting("ErrImagePull"), "ImagePullFailed"),
        (POD.waiting("InvalidImageName"), "ImagePullFailed"),
        (POD.waiting("CreateContainerConfigError", 'secret "x" not found'), "ContainerConfigError"),
        (POD.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes"), "Unschedulable"),
        (POD.running(1), None),
    ],
)
def test_why_a_container_does_not_start(pod: PodBuilder, reason: str | None) -> None:
    """Only what a person should look at is a fault."""
    found = outcome.waiting_fault([pod.build()])
    assert (found[0] if found else None) == reason


def test_a_kubelets_back_off_does_not_change_the_message() -> None:
    """The message of a pull that fails again and again stays the same, so that it is written once."""
    first = outcome.waiting_fault([POD.waiting("ErrImagePull", 'failed to pull "x": not found').build()])
    again = outcome.waiting_fault(
        [POD.waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: failed to pull').build()]
    )
    once_more = outcome.waiting_fault(
        [POD.waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: timed out').build()]
    )
    assert first is not None
    assert again == once_more


@given(
    st.sampled_from(["complete", "failed", "stopped", "gone"]),
    st.lists(st.sampled_from(["ok", "bad", "evicted", "waiting", "running", "deleted"]), max_size=3),
)
def test_any_attempt_has_an_end_that_the_api_allows(state: str, shapes: list[str]) -> None:
    """Whatever Job and pods look like, the reason is one that retry rules may name, or a success or cancellation."""
    job: Job = {
        "complete": JOB.complete(9),
        "failed": JOB.failed(9),
        "stopped": JOB.stopped("Cancelled", 9),
        "gone": JOB,
    }[state].build()
    make = {
        "ok": lambda pod: pod.succeeded(8),
        "bad": lambda pod: pod.failed(2, 8),
        "evicted": lambda pod: pod.killed("Evicted"),
        "waiting": lambda pod: pod.waiting("ErrImagePull"),
        "running": lambda pod: pod.running(1),
        "deleted": lambda pod: pod.failed(2, 8).deleting(since=7, grace=30),
    }
    pods = [make[shape](make_pod(job, str(n))).build() for n, shape in enumerate(shapes)]
    now = T0 + 20
    found = outcome.job_deleted(job, pods, now) if state == "gone" else outcome.of_attempt(job, pods, LIMITS, now)
    assert found.reason in {*ATTEMPT_REASONS, "Succeeded", "Cancelled"}
    assert found.ended <= now


@pytest.mark.parametrize(
    ("job", "pod", "message"),
    [
        (
            JOB.failed(9),
            POD.succeeded(8, "saved\n").killed("DeadlineExceeded"),
            "Ran longer than allowed (timeouts.softSeconds 5, timeouts.hardSeconds 9): saved",
        ),
        (JOB.stopped("Cancelled", 9), POD.succeeded(8, "saved").deleting(since=7, grace=30), "saved"),
        (JOB.failed(9), POD.failed(3, 8, message="no such row\n"), "no such row"),
        (JOB.failed(9), POD.failed(3, 8), "Exit code 3"),
    ],
)
def test_what_a_container_said_is_kept_however_it_ended(job: JobBuilder, pod: PodBuilder, message: str) -> None:
    """One that cleans up when it is told to stop can say how far it came."""
    assert end(job, pod).message == message


def test_a_timeout_names_only_the_limits_that_were_given() -> None:
    """Also the one that stands in the Job template instead of timeouts."""
    pods = [POD.failed(143, 8).killed("DeadlineExceeded").build()]
    soft = outcome.of_attempt(JOB.failed(9).build(), pods, Timeouts(soft_seconds=5), T0 + 20)
    assert soft.message == "Ran longer than allowed (timeouts.softSeconds 5)"
    none = outcome.of_attempt(JOB.failed(9).build(), pods, Timeouts(), T0 + 20)
    assert none.message == "Ran longer than allowed (activeDeadlineSeconds in the Job template)"


def test_a_pod_last_seen_running_was_deleted() -> None:
    """Its Job ended without it, so somebody took it away at once."""
    found = end(JOB.failed(9), POD.running(2))
    assert (found.reason, found.pod_name) == ("PodDeleted", POD.build().metadata.name)
