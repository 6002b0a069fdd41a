"""Jobs of many items: what a batch sets in its Job, how far a Job has come, and which pod tells why it failed.

A retry of the Task is a new Job and runs all items again: a Job can't be told which of its indexes are done already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from taskq.domain.items import Batch, Progress
from taskq.domain.model import Job, Pod, Task, seconds, stamp
from taskq.resources.common import MAX_INDEXES_LENGTH

PROGRESS_SECONDS = 10.0
"""A change of progress is written so long after the last one: a batch of any size costs six writes a minute."""

_NO_LIMIT = 2**31 - 1
_OWN_RULES = {"podFailurePolicy", "podReplacementPolicy"}
_DISRUPTIONS_DO_NOT_COUNT = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


class Shown(NamedTuple):
    """What the status should say of the progress, and when it may say something newer (epoch seconds)."""

    progress: Progress | None
    again: float | None = None


def job_fields(batch: Batch, template: dict[str, Any]) -> dict[str, Any]:
    """What a batch sets in the Job's spec, given the one of its template.

    ``backoffLimit`` counts the failed pods of the whole Job, so the first one would end it: here the limit of each
    index takes its place. An eviction or a lost node is not the item's fault, so it does not count, unless the
    template has rules of its own.
    """
    fields: dict[str, Any] = {} if _OWN_RULES & template.keys() else {"podFailurePolicy": _DISRUPTIONS_DO_NOT_COUNT}
    fields |= {
        "completionMode": "Indexed",
        "completions": batch.completions,
        "parallelism": min(batch.parallelism, batch.completions),
        "backoffLimit": _NO_LIMIT,
        "backoffLimitPerIndex": batch.retries_per_index,
    }
    if batch.max_failed_indexes is not None:
        fields["maxFailedIndexes"] = batch.max_failed_indexes
    return fields


# --- progress -----------------------------------------------------------------------------------------------------


def progress_of(job: Job) -> Progress | None:
    """How far a Job has come, when it has more than one item: as far as its own status shows it."""
    if not job.has_items:
        return None
    total = job.spec.completions or 1
    failed = _count(job.status.failed_indexes) if job.spec.completion_mode == "Indexed" else job.status.failed
    return Progress(
        total=total,
        completed=job.status.succeeded,
        failed=failed,
        percent=min(100, job.status.succeeded * 100 // total),
        failed_indexes=_brief(job.status.failed_indexes),
    )


def to_show(task: Task, job: Job, now: float) -> Shown:
    """What is written now: the newest progress, unless the last change was written only just before."""
    newest, written = progress_of(job), task.status.progress
    if newest is None or written is None or task.status.attempt != task.current_attempt:
        return Shown(newest)
    if not is_news(written, newest):
        return Shown(written)
    again = seconds(written.last_change_time) + PROGRESS_SECONDS if written.last_change_time else now
    return Shown(newest) if now >= again else Shown(written, again)


def is_news(written: Progress, newest: Progress) -> bool:
    """Whether it says something else; the time does not count."""
    return _facts(written) != _facts(newest)


def patch(before: Progress | None, after: Progress, now: float) -> dict[str, Any]:
    """The field of the status; its time moves only with what it says."""
    changed = now
    if before and before.last_change_time and not is_news(before, after):
        changed = seconds(before.last_change_time)
    return _field(after, changed)


def standing(written: Progress | None) -> dict[str, Any] | None:
    """The field as it stands."""
    if written is None:
        return None
    return _field(written, seconds(written.last_change_time) if written.last_change_time else 0)


def _field(progress: Progress, changed: float) -> dict[str, Any]:
    return {
        "total": progress.total,
        "completed": progress.completed,
        "failed": progress.failed,
        "percent": progress.percent,
        "failedIndexes": progress.failed_indexes or None,
        "lastChangeTime": stamp(changed),
    }


def _facts(progress: Progress) -> tuple[int, int, int, str]:
    return progress.total, progress.completed, progress.failed, progress.failed_indexes


# --- failures -----------------------------------------------------------------------------------------------------


def lacks_witness(job: Job, pods: Iterable[Pod]) -> bool:
    """Whether a Job of many items failed, and no pod is known that says why."""
    return job.is_true("Failed") is not None and not any(pod.status.phase == "Failed" for pod in pods)


def telling_pod(job: Job, pods: Iterable[Pod]) -> Pod | None:
    """Of the items that failed for good, the pod that failed first; None when none is known."""
    lost = list(_ranges(job.status.failed_indexes))

    def order(pod: Pod) -> tuple[bool, bool, float, int]:
        is_lost = pod.index is not None and any(low <= pod.index <= high for low, high in lost)
        return not is_lost, pod.metadata.deletion_timestamp is not None, _ended(pod), pod.index or 0

    return min((pod for pod in pods if pod.status.phase == "Failed"), key=order, default=None)


def failure(job: Job, pod: Pod | None, message: str) -> str:
    """How many items failed, which, and what the first of them said."""
    progress = progress_of(job)
    if progress is None or not progress.failed:
        return message
    text = f"{progress.failed} of {progress.total} items failed"
    if progress.failed_indexes:
        text += f" (indexes {_brief(progress.failed_indexes, 200)})"
    first = f"index {pod.index}: " if pod and pod.index is not None else ""
    return f"{text}; {first}{message}"


def _ended(pod: Pod) -> float:
    ends = [status.state.terminated for status in pod.status.container_statuses]
    times = [seconds(end.finished_at) for end in ends if end and end.finished_at]
    return max(times, default=pod.metadata.created)


# --- lists of indexes, as the Job controller writes them: 1,3-5 ----------------------------------------------------


def _ranges(indexes: str) -> Iterator[tuple[int, int]]:
    for part in indexes.split(",") if indexes else ():
        low, _, high = part.partition("-")
        yield int(low), int(high or low)


def _count(indexes: str) -> int:
    return sum(high - low + 1 for low, high in _ranges(indexes))


def _brief(indexes: str, limit: int = MAX_INDEXES_LENGTH) -> str:
    """At most so many characters, cut between two parts."""
    if len(indexes) <= limit:
        return indexes
    return indexes[: limit - 1].rpartition(",")[0] + ",…"
