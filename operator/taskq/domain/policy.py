"""The policy in force for one Task: what it says itself, else what its queue says, else TaskQ's defaults.

A Task that gives an object (``timeouts``, ``retryPolicy``, ``ttl``) replaces its queue's whole object: two half
policies merged field by field would be a third one that nobody wrote.
"""

from __future__ import annotations

from taskq.domain.model import Lane, PriorityLevel, Queue, QueueSpec, RetryPolicy, Task, Timeouts, seconds
from taskq.resources.common import DEFAULT_PRIORITY, DEFAULT_TTL_SECONDS

_NO_TIMEOUTS = Timeouts()
_NO_RETRIES = RetryPolicy()
_ALL_DEFAULTS = QueueSpec()


def spec_of(queue: Queue | None) -> QueueSpec:
    """The rules of a queue; a queue that has no object has all defaults."""
    return queue.spec if queue else _ALL_DEFAULTS


def priority(task: Task, queue: QueueSpec) -> int:
    """The priority that a Task has by itself: its own number, its level's, its queue's default, else 0."""
    if task.spec.priority is not None:
        return task.spec.priority
    level = priority_level(task, queue)
    if level:
        return level.value
    default = queue.task_defaults.priority
    return DEFAULT_PRIORITY if default is None else default


def priority_level(task: Task, queue: QueueSpec) -> PriorityLevel | None:
    """The level that a Task names, if its queue has it."""
    return next((level for level in queue.priority_levels if level.name == task.spec.priority_level), None)


def effective_priority(task: Task, queue: QueueSpec, now: float) -> int:
    """The priority that the order uses: it grows by waiting (``priorityAging``, in whole periods) and by a failure."""
    boost = retry_policy(task, queue).priority_boost if task.settled_attempt else 0
    return priority(task, queue) + _towards_front(queue) * (boost + _aged(task, queue, now))


def next_aging_step(task: Task, queue: QueueSpec, now: float) -> float | None:
    """When the effective priority changes next, in epoch seconds; None when it does not."""
    aging = queue.priority_aging
    if aging is None or (aging.max_increase is not None and _aged(task, queue, now) >= aging.max_increase):
        return None
    due = due_time(task)
    return due + (max(0.0, now - due) // aging.period_seconds + 1) * aging.period_seconds


def _aged(task: Task, queue: QueueSpec, now: float) -> int:
    aging = queue.priority_aging
    if aging is None:
        return 0
    gained = int(max(0.0, now - due_time(task)) // aging.period_seconds) * aging.increment
    return gained if aging.max_increase is None else min(gained, aging.max_increase)


def _towards_front(queue: QueueSpec) -> int:
    return -1 if queue.priority_order == "LowestFirst" else 1


def timeouts(task: Task, queue: QueueSpec) -> Timeouts:
    """Limits of one attempt."""
    return task.spec.timeouts or queue.task_defaults.timeouts or _NO_TIMEOUTS


def retry_policy(task: Task, queue: QueueSpec) -> RetryPolicy:
    """How attempts are repeated."""
    return task.spec.retry_policy or queue.task_defaults.retry_policy or _NO_RETRIES


def due_time(task: Task) -> float:
    """Epoch seconds from which this Task stands in the order.

    That is its retry's time, else ``notBeforeTime``, but never before its creation.
    """
    start = task.status.next_attempt_time or task.spec.not_before_time
    created = task.metadata.created
    return max(seconds(start), created) if start else created


def expiry_time(task: Task, queue: QueueSpec) -> float | None:
    """Epoch seconds after which a Task that never started expires, or None.

    ``startingDeadlineSeconds`` counts from the creation or from ``notBeforeTime``, whichever is later.
    """
    if task.settled_attempt or task.status.attempt:
        return None
    limit = task.spec.starting_deadline_seconds
    if limit is None:
        limit = queue.task_defaults.starting_deadline_seconds
    return None if limit is None else due_time(task) + limit


def total_deadline(task: Task, queue: QueueSpec, started: float | None = None) -> float | None:
    """Epoch seconds until which all attempts together may last, or None.

    ``timeouts.totalSeconds`` counts from the first attempt's start; ``started`` is when this attempt did, in case that
    it is the first and its start does not stand in the status yet.
    """
    total = timeouts(task, queue).total_seconds
    first = seconds(task.status.start_time) if task.status.start_time else started
    return None if total is None or first is None else first + total


def ttl_seconds(task: Task, queue: QueueSpec, *, succeeded: bool) -> int:
    """How long the finished Task is kept, in seconds."""
    for ttl in (task.spec.ttl, queue.task_defaults.ttl):
        if ttl:
            value = ttl.after_success_seconds if succeeded else ttl.after_failure_seconds
            return DEFAULT_TTL_SECONDS if value is None else value
    return DEFAULT_TTL_SECONDS


def lane(task: Task, queue: QueueSpec) -> Lane:
    """What the Task shares with others of its queue."""
    return Lane(
        _label(task, queue.fair_share_label_key),
        _label(task, queue.concurrency_label_key),
    )


def _label(task: Task, key: str | None) -> str:
    value = task.metadata.labels.get(key) if key else None
    return "" if value is None else f"{key}={value}"


def result_ttl_seconds(task: Task, queue: QueueSpec) -> int | None:
    """How long the result of a finished Task is kept, in seconds; None for as long as the Task."""
    ttl = task.spec.ttl or queue.task_defaults.ttl
    return ttl.result_seconds if ttl else None
