"""How an attempt ended, read from its Job and pods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from taskq.domain import batch
from taskq.domain.containers import Terminated
from taskq.domain.items import Progress
from taskq.domain.model import Job, Pod, Timeouts, seconds
from taskq.domain.reasons import ATTEMPT_MESSAGES, Reason
from taskq.resources.common import RESULT_MAX_BYTES, STOP_REASON_ANNOTATION

MESSAGE_MAX = 1024
"""Characters of a failure message that are kept: enough for a stack's last lines, small enough for ten attempts."""

TOTAL_TIMEOUT_MESSAGE = "Stopped when all attempts together had taken {limit} s (timeouts.totalSeconds)"

_DISRUPTIONS = {
    "EvictionByEvictionAPI": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}
"""Reasons of a pod's condition DisruptionTarget, as Kubernetes documents them."""

_POD_REASONS = {
    "DeadlineExceeded": Reason.TIMED_OUT,
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.PREEMPTED,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "Terminated": Reason.NODE_LOST,
}
"""Reasons that a kubelet gives a pod that it ended itself; Terminated and NodeShutdown are a node's shutdown."""

_START_ERRORS = frozenset({"StartError", "ContainerCannotRun", "ContainerStatusUnknown"})

WAITING_REASONS = frozenset(
    {Reason.IMAGE_PULL_FAILED, Reason.CONTAINER_CONFIG_ERROR, Reason.UNSCHEDULABLE, Reason.NO_POD}
)
"""What can keep a pod that was created from running, until a person mends it."""

_WAITING_FAULTS = {
    "ErrImagePull": Reason.IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_ERROR,
    "CreateContainerError": Reason.CONTAINER_CONFIG_ERROR,
    "RunContainerError": Reason.CONTAINER_CONFIG_ERROR,
}


class Outcome(NamedTuple):
    """The end of one attempt; times are epoch seconds."""

    reason: str
    message: str
    exit_code: int | None
    pod_name: str
    started: float | None
    ended: float
    result: str = ""
    said: str = ""
    """The termination message, as the container wrote it."""
    progress: Progress | None = None
    """How far it came, if its Job had more than one item."""

    @property
    def succeeded(self) -> bool:
        """Whether the Task's work is done."""
        return self.reason == Reason.SUCCEEDED


def of_attempt(job: Job, pods: Iterable[Pod], limits: Timeouts, now: float, seen: str = "") -> Outcome:
    """The end of an attempt whose Job has finished, or was stopped and is still.

    ``pods`` are those that are there, or the last that was seen of the one that is gone. Success wins over a stop that
    came too late; a container that ended with 0 because it was told to stop did not succeed. ``seen`` is what the
    Task's status says keeps its containers from starting: a pod that was told to go says so no more.
    """
    if not job.has_items:
        return _of_pod(job, _telling_pod(pods), limits, now, seen)
    pod = batch.telling_pod(job, pods) if job.is_true("Failed") else None
    told = _of_pod(job, pod, limits, now, seen)
    text = told.message if told.succeeded else batch.failure(job, pod, told.message)
    began, ended = job.status.start_time, job.finished and job.finished.last_transition_time
    return told._replace(
        message=text[:MESSAGE_MAX],
        started=seconds(began) if began else job.metadata.created,
        ended=seconds(ended) if ended else now,
        progress=batch.progress_of(job),
    )


def _of_pod(job: Job, pod: Pod | None, limits: Timeouts, now: float, seen: str) -> Outcome:
    finished = job.finished
    ended = _end_time(job, pod, now)
    stopped = job.metadata.annotations.get(STOP_REASON_ANNOTATION)
    if finished and finished.type == "Complete" and not (stopped and pod and _ended_by_deletion(pod)):
        return _report(pod, Reason.SUCCEEDED, "", ended)
    if stopped:
        if stopped == Reason.PENDING_TIMEOUT:
            return _never_started(pod, limits, seen, ended)
        if stopped == Reason.TOTAL_TIMEOUT:
            text = TOTAL_TIMEOUT_MESSAGE.format(limit=limits.total_seconds)
            return _report(pod, Reason.TIMED_OUT, text, ended)
        return _report(pod, stopped, _stop_message(stopped, limits), ended)
    if pod is None:
        return _report(None, Reason.POD_DELETED, ATTEMPT_MESSAGES[Reason.POD_DELETED], ended)
    reason, message = _failure(pod, limits)
    if finished and finished.reason == "DeadlineExceeded":  # activeDeadlineSeconds of the Job itself
        reason, message = Reason.TIMED_OUT, finished.message
    return _report(pod, reason, message, ended)


def job_deleted(job: Job | None, pods: Iterable[Pod], now: float) -> Outcome:
    """The end of an attempt whose Job was deleted by somebody else."""
    started = job.metadata.created if job else None
    pod = _telling_pod(pods)
    if pod:
        started = _started(pod)
    name = pod.metadata.name if pod else ""
    return Outcome(Reason.JOB_DELETED, ATTEMPT_MESSAGES[Reason.JOB_DELETED], None, name, started, now)


def waiting_fault(pods: Iterable[Pod]) -> tuple[str, str] | None:
    """Why a pod's containers don't start, as (reason, message from Kubernetes), when a person should look."""
    for pod in pods:
        for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            waiting = container.state.waiting
            if waiting and waiting.reason in _WAITING_FAULTS:
                return _WAITING_FAULTS[waiting.reason], _steady(waiting.message or waiting.reason)
        for condition in pod.status.conditions:
            if condition.type == "PodScheduled" and condition.reason == "Unschedulable":
                return Reason.UNSCHEDULABLE, condition.message
    return None


def pending_since(job: Job, pods: tuple[Pod, ...]) -> float | None:
    """Since when the attempt waits for a container to start, in epoch seconds; None when it does not.

    That is the Job's creation. A Job of many items waits whenever none of its pods runs, each time since the oldest of
    them was made.
    """
    if not job.has_items:
        return None if any(map(_container_started, pods)) else job.metadata.created
    living = [pod for pod in pods if pod.alive]
    if any(map(_container_started, living)):
        return None
    if job.status.succeeded or job.status.failed or len(living) < len(pods):
        return min((pod.metadata.created for pod in living), default=None)
    return job.metadata.created


def _container_started(pod: Pod) -> bool:
    """Whether any container of it has run at all, init containers included."""
    return any(
        container.state.running or container.state.terminated
        for container in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )


def last_pod_start(pods: Iterable[Pod]) -> float | None:
    """When the kubelet accepted the last of the pods that live, in epoch seconds; None when it has accepted none.

    The kubelet's own deadline counts from it, for each pod; one that is not accepted yet counts from its creation.
    Where items run in waves, an overdue one (its node may be lost) holds up nothing while others still have time.
    """
    living = [pod for pod in pods if pod.alive]
    if not any(pod.status.start_time for pod in living):
        return None
    return max(seconds(pod.status.start_time) if pod.status.start_time else pod.metadata.created for pod in living)


def _telling_pod(pods: Iterable[Pod]) -> Pod | None:
    """The pod that tells most about the end: a failed one before a succeeded one, the latest of them."""
    order = {"Failed": 2, "Succeeded": 1}
    return max(pods, key=lambda pod: (order.get(pod.status.phase, 0), pod.metadata.created), default=None)


def _failure(pod: Pod, limits: Timeouts) -> tuple[str, str]:
    own = _POD_REASONS.get(pod.status.reason)
    if own == Reason.TIMED_OUT:
        return own, _stop_message(own, limits)
    disruption = next((c for c in pod.status.conditions if c.type == "DisruptionTarget" and c.status == "True"), None)
    reason = own or (_DISRUPTIONS.get(disruption.reason, Reason.EVICTED) if disruption else None)
    if reason:
        cause = pod.status.message or (disruption.message if disruption else "") or pod.status.reason
        return reason, ATTEMPT_MESSAGES[reason].format(cause=cause)
    if pod.metadata.deletion_timestamp or pod.alive:  # alive though its Job has ended: nobody saw it go
        return Reason.POD_DELETED, ATTEMPT_MESSAGES[Reason.POD_DELETED]
    ended = _failed_container(pod)
    if ended is None:
        return Reason.UNKNOWN, pod.status.message or pod.status.reason or "The pod failed and says no more"
    if ended.reason == "OOMKilled":
        return Reason.OOM_KILLED, "The container used more memory than resources.limits.memory allows"
    if ended.reason in _START_ERRORS:
        return Reason.START_ERROR, "" if ended.message else ended.reason
    return Reason.ERROR, "" if ended.message else f"Exit code {ended.exit_code}"


def _never_started(pod: Pod | None, limits: Timeouts, seen: str, ended: float) -> Outcome:
    """Without exit code and words: those of a container that never was are the kubelet's invention."""
    fault = waiting_fault((pod,)) if pod else None
    cause = seen or (f"{fault[0]}: {fault[1]}" if fault else "")
    text = ATTEMPT_MESSAGES[Reason.PENDING_TIMEOUT].format(limit=limits.pending_seconds, cause=cause and f": {cause}")
    name = pod.metadata.name if pod else ""
    return Outcome(Reason.PENDING_TIMEOUT, text[:MESSAGE_MAX], None, name, None, ended)


def _stop_message(reason: str, limits: Timeouts) -> str:
    if reason == Reason.TIMED_OUT:
        given = {"timeouts.softSeconds": limits.soft_seconds, "timeouts.hardSeconds": limits.hard_seconds}
        names = [f"{name} {value}" for name, value in given.items() if value is not None]
        return ATTEMPT_MESSAGES[reason].format(limits=", ".join(names) or "activeDeadlineSeconds in the Job template")
    return ""


def _report(pod: Pod | None, reason: str, message: str, ended: float) -> Outcome:
    if pod is None:
        return Outcome(reason, message, None, "", None, ended)
    container = _failed_container(pod) or _first_terminated(pod)
    text = container.message if container else ""
    own_words = "" if reason == Reason.SUCCEEDED else text.strip()
    return Outcome(
        reason=reason,
        message=": ".join(part for part in (message, own_words) if part)[:MESSAGE_MAX],
        exit_code=container.exit_code if container else None,
        pod_name=pod.metadata.name,
        started=_started(pod),
        ended=ended,
        result=text.encode()[:RESULT_MAX_BYTES].decode(errors="ignore") if reason == Reason.SUCCEEDED else "",
        said=text,
    )


def _terminated(pod: Pod) -> list[Terminated]:
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    return [status.state.terminated for status in statuses if status.state.terminated]


def _failed_container(pod: Pod) -> Terminated | None:
    return next((ended for ended in _terminated(pod) if ended.exit_code), None)


def _first_terminated(pod: Pod) -> Terminated | None:
    return next(iter(_terminated(pod)), None)


def _started(pod: Pod) -> float | None:
    times = [seconds(ended.started_at) for ended in _terminated(pod) if ended.started_at]
    times += [
        seconds(status.state.running.started_at)
        for status in pod.status.container_statuses
        if status.state.running and status.state.running.started_at
    ]
    return min(times, default=None)


def _end_time(job: Job, pod: Pod | None, now: float) -> float:
    times = [seconds(ended.finished_at) for ended in (_terminated(pod) if pod else []) if ended.finished_at]
    if times:
        return max(times)
    finished = job.finished
    return seconds(finished.last_transition_time) if finished and finished.last_transition_time else now


def _ended_by_deletion(pod: Pod) -> bool:
    """Whether the pod's last container ended after somebody asked the pod to go."""
    if pod.metadata.deletion_timestamp is None:
        return False
    asked = seconds(pod.metadata.deletion_timestamp) - (pod.metadata.deletion_grace_period_seconds or 0)
    ends = [seconds(ended.finished_at) for ended in _terminated(pod) if ended.finished_at]
    return bool(ends) and max(ends) >= asked


def _steady(message: str) -> str:
    """A kubelet's message without the parts that change from try to try, so that it is written once."""
    return message.removeprefix("Back-off pulling image ").split(": ErrImagePull", 1)[0]
