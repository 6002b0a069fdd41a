"""What the board keeps of one unfinished Task, and of a Job that is gone while pods of it may live."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag, auto
from math import inf
from typing import NamedTuple

from taskq.domain import policy
from taskq.domain.actions import FetchJob, FetchPods, KillPods, StopJob
from taskq.domain.admission import Fault, Refusal
from taskq.domain.bounds import Limits
from taskq.domain.lifecycle import Stage
from taskq.domain.model import JOB_LABEL, Job, Key, Lane, Pod, Task
from taskq.domain.reasons import Reason
from taskq.resources.common import LABEL_QUEUE

_POLL_SECONDS = 5.0
"""Between two looks at the pods of a Job that is gone."""

NOT_YET = frozenset({Reason.SUSPENDED, Reason.DEPENDENCY_UNFINISHED, Reason.DEPENDENCY_NOT_FOUND})
"""What keeps a Task from starting because its user wants it so: that time is not time in the queue."""


class Busy(IntFlag):
    """Requests under way for one Task."""

    LAUNCH = auto()
    WRITE = auto()
    STOP = auto()
    KILL = auto()
    FETCH_PODS = auto()
    FETCH_JOB = auto()


BUSY_WITH: dict[type, Busy] = {
    StopJob: Busy.STOP,
    KillPods: Busy.KILL,
    FetchPods: Busy.FETCH_PODS,
    FetchJob: Busy.FETCH_JOB,
}


class Entry:
    """One unfinished Task and what is under way for it."""

    __slots__ = (
        "busy",
        "free_since",
        "gone_job",
        "last_pod",
        "own",
        "pods_fetched_for",
        "refusal",
        "refusals",
        "stage",
        "state",
        "task",
        "template_fault",
        "waits_for",
        "wake_at",
    )

    def __init__(self, task: Task) -> None:
        """Nothing is known of it but its object."""
        self.own = task
        """The Task as the API server shows it; :attr:`task` has what its template gives it beside that."""
        self.task = task
        self.template_fault: Fault | None = None
        self.stage = Stage.WAITING
        self.state = ""
        self.waits_for = ""
        self.free_since = 0.0
        """Since when its user has not kept it from starting, epoch seconds; infinity while he does."""
        self.busy = Busy(0)
        self.wake_at: float | None = None
        self.refusal: Refusal | None = None
        self.refusals = 0
        self.gone_job: Key | None = None
        self.last_pod: Pod | None = None
        """The latest pod that went, as it was seen last: what it said may not be written down yet."""
        self.pods_fetched_for = ""

    @property
    def could_start_since(self) -> float:
        """From when on its wait counts, epoch seconds: it is due, not held, and waits for no other Task."""
        return max(policy.due_time(self.task), self.free_since)

    def back_off(self, why: Fault, now: float, limits: Limits) -> float:
        """Its Job was not created; returns when to ask for it again, each time later."""
        self.refusals += 1
        until = now + min(limits.refusal_base * 2.0 ** min(self.refusals - 1, 16), limits.refusal_max)
        self.refusal = Refusal(*why, until=until)
        return until

    def pardon(self) -> None:
        """Its Job was created, or may be now: something was edited."""
        self.refusal = None
        self.refusals = 0

    def waits(self, reason: str, now: float) -> None:
        """Note what keeps it from starting or running, empty for nothing."""
        self.waits_for = reason
        if reason in NOT_YET:
            self.free_since = inf
        elif self.free_since == inf:
            self.free_since = now


class Ghost:
    """A Job that is gone, or never seen, while pods of it may live: it holds its slot until they are gone, too."""

    __slots__ = ("asked", "confirmed", "job_uid", "queue", "task_uid", "told_gone")

    def __init__(self, queue: Key | None, task_uid: str, job_uid: str, *, told_gone: bool) -> None:
        """``told_gone``: the API server said so, so that the attempt may be settled as JobDeleted."""
        self.queue = queue
        self.task_uid = task_uid
        self.job_uid = job_uid
        self.told_gone = told_gone
        self.asked = False
        self.confirmed = False


class Ghosts(dict[Key, Ghost]):
    """All of them, by their Jobs; what lives of their pods is asked for from time to time."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self.poll_at: float | None = None
        """When to ask again, epoch seconds."""

    def ask(self, now: float) -> Iterator[FetchPods]:
        """What to read now."""
        if self.poll_at is not None and now >= self.poll_at:
            self.poll_at = None
            for ghost in self.values():
                ghost.asked = False
        for key, ghost in self.items():
            if not ghost.asked:
                ghost.asked = True
                yield FetchPods(key, ghost.job_uid, ghost.task_uid, which="alive")
        if self and self.poll_at is None:
            self.poll_at = now + _POLL_SECONDS


class Holder(NamedTuple):
    """Who holds a slot."""

    queue: Key
    job: Key
    lane: Lane
    since: float
    """Epoch seconds; 0 for a Job of which only pods are left, infinite for one that is being asked for."""
    task: str
    """Its name; empty when it is not known."""


def queue_of(job: Job) -> Key | None:
    """The queue in which a Job holds a place."""
    name = job.metadata.labels.get(LABEL_QUEUE)
    return Key(job.metadata.namespace, name) if name else None


def job_of(pod: Pod) -> Key:
    """The Job that a pod belongs to."""
    return Key(pod.metadata.namespace, pod.metadata.labels.get(JOB_LABEL, ""))


def state_of(task: Task, stage: Stage) -> str:
    """What a Task counts as in its queue's figures; empty once it has ended."""
    if stage is Stage.ENDED:
        return ""
    if stage in (Stage.LAUNCHING, Stage.RUNNING):
        return "running"
    if task.settled_attempt:
        return "retrying"
    return "held" if task.spec.suspend else "pending"
