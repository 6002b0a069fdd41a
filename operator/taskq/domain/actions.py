"""What a decision asks the edge to do. Values only: who carries them out, and when, is not decided here."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from taskq.domain.model import Key
from taskq.domain.outcome import Outcome


class Note(msgspec.Struct, frozen=True):
    """What others are told once a status write has succeeded: an Event, and the figures for the metrics."""

    reason: str
    message: str
    warning: bool = False
    result: str = ""
    """succeeded, failed, cancelled or expired when the Task ended."""
    attempt_failed: str = ""
    """Reason of the failed attempt, if one failed."""
    retried: bool = False
    outcome: Outcome | None = None
    launched: float | None = None
    """When the attempt's Job was created, epoch seconds."""


class Launch(msgspec.Struct, frozen=True):
    """Create the Job of an attempt."""

    task: Key
    uid: str
    attempt: int
    job: Key
    queue: Key
    since: float = 0.0
    """When the Task could have started, epoch seconds."""


class WriteStatus(msgspec.Struct, frozen=True):
    """Patch a Task's status, provided that the Task still is what was decided on."""

    task: Key
    uid: str
    version: str
    status: dict[str, Any]
    note: Note | None = None


class StopJob(msgspec.Struct, frozen=True):
    """Suspend a Job, so that its controller ends its pods gracefully, and record why.

    ``kill`` are pods to delete before that with a grace of a second: a kubelet that has begun to stop a pod keeps to
    the grace period that it began with, so a shorter one has to come first.
    """

    job: Key
    job_uid: str
    task_uid: str
    reason: str
    kill: tuple[tuple[Key, str], ...] = ()


class KillPods(msgspec.Struct, frozen=True):
    """Shorten the grace of pods that already stop to a second: not to zero, which would only hide them."""

    pods: tuple[tuple[Key, str], ...]
    task_uid: str


class FetchPods(msgspec.Struct, frozen=True):
    """Read a Job's pods from the API server: the watch on pods may lag behind the one on Jobs.

    ``which`` spares reading ten thousand of them where only those that live, or that failed, matter.
    """

    job: Key
    job_uid: str
    task_uid: str
    which: Literal["all", "alive", "failed"] = "all"


class FetchJob(msgspec.Struct, frozen=True):
    """Read an attempt's Job from the API server: the Task's status says that it started, and no watch shows it."""

    job: Key
    task_uid: str


class FetchTask(msgspec.Struct, frozen=True):
    """Read a Task that others depend on, and that the watch, which leaves out what has ended, does not show."""

    task: Key


Action = Launch | WriteStatus | StopJob | KillPods | FetchPods | FetchJob | FetchTask


class Plan(NamedTuple):
    """What to do now, and when to ask again at the latest (epoch seconds)."""

    actions: list[Action]
    wake_at: float | None
    defects: list[tuple[Key, Exception]]
    """The Tasks that could not be decided on: a defect of TaskQ, which must not stop the others."""
