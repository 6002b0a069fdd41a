"""What has happened, told to metrics, Events and clean-up: always after the write that made it true."""

from __future__ import annotations

import logging
from collections.abc import Callable

from taskq.clock import Clock
from taskq.cluster.events import Events
from taskq.domain.actions import Launch, Note, WriteStatus
from taskq.domain.following import HookStatus
from taskq.domain.model import Job, Key, Queue, Task, seconds
from taskq.domain.reasons import Reason
from taskq.domain.schedules.objects import Schedule
from taskq.domain.schedules.spec import SKIP_MEANINGS, LedgerEntry, Skip
from taskq.observability.metrics import Metrics

logger = logging.getLogger(__name__)

WORTH_AN_EVENT = (Skip.MISSED, Skip.DEADLINE, Skip.QUEUE_FULL, Skip.TOO_MANY, Skip.NAME_TAKEN, Skip.BAD_BACKFILL)
"""Skips that somebody may have to act on; the others are what the Schedule asks for, and stand in its ledger."""


class Observer:
    """Implements what the effects want to tell."""

    def __init__(self, metrics: Metrics, events: Events, clock: Clock, on_end: Callable[[Task], None]) -> None:
        """Pass everything on; ``on_end`` is told of each Task once its end stands."""
        self._metrics = metrics
        self._events = events
        self._clock = clock
        self._on_end = on_end
        self._freed: dict[Key, float] = {}

    def slot_freed(self, queue: Key) -> None:
        """A Job has finished while others of its queue wait."""
        self._freed.setdefault(queue, self._clock.uptime())

    def posting(self, launch: Launch) -> None:
        """A Job is about to be created."""
        freed = self._freed.pop(launch.queue, None)
        if freed is not None:
            self._metrics.operator.completion_to_launch.observe(self._clock.uptime() - freed)

    def launched(self, task: Task, job: Job, launch: Launch) -> None:
        """A Job was created."""
        if task.settled_attempt:
            self._metrics.queues.task_retried(launch.queue)
        else:
            self._metrics.queues.task_started(launch.queue, self._clock.now() - launch.since, task.metadata.name)
        logger.debug(
            "started attempt %d of Task %s as Job %s", task.current_attempt, task.metadata.key, job.metadata.name
        )

    def refused(self, queue: Key, reason: str) -> None:
        """The API server refused a Job."""
        self._metrics.queues.launch_refused(queue, reason)

    def written(self, task: Task, write: WriteStatus) -> None:
        """A status stands."""
        note = write.note
        if task.is_terminal:
            self._on_end(task)
        if note is None:
            return
        if note.reason != Reason.SUCCEEDED:  # a plain success needs no Event: its status says it
            self._events.emit(task, note.reason, note.message, warning=note.warning)
        logger.info("Task %s: %s: %s", task.metadata.key, note.reason, note.message)
        self._measure(task, note)

    def _measure(self, task: Task, note: Note) -> None:
        outcome, queue, name = note.outcome, task.queue, task.metadata.name
        if note.attempt_failed:
            self._metrics.queues.attempt_failed(queue, note.attempt_failed)
        if outcome and outcome.started and note.launched:
            self._metrics.queues.attempt_running(queue, outcome.started - note.launched, name)
        if note.result:
            ran = outcome.ended - (_first_start(task) or outcome.started or outcome.ended) if outcome else None
            self._metrics.queues.task_finished(queue, note.result, ran, name)

    def schedule_known(self, schedule: Key) -> None:
        """There is such a Schedule."""
        self._metrics.schedules.add(schedule)

    def schedule_gone(self, schedule: Key) -> None:
        """There is no such Schedule any more."""
        self._metrics.schedules.remove(schedule)

    def queue_told(self, queue: Queue, note: Note) -> None:
        """The status of a TaskQueue says something that somebody may have to act on, or that it is over."""
        self._events.emit(queue, note.reason, note.message, warning=note.warning, kind="TaskQueue")
        logger.info("TaskQueue %s: %s: %s", queue.metadata.key, note.reason, note.message)

    def schedule_ran(self, schedule: Schedule, entry: LedgerEntry) -> None:
        """A run of a Schedule was started, or ticks were skipped."""
        self._metrics.schedules.ran(schedule.metadata.key, entry.reason or entry.result, entry.count)
        if entry.reason in WORTH_AN_EVENT:
            meaning = entry.message or SKIP_MEANINGS[entry.reason]
            text = f"{entry.count} from {entry.scheduled_time:%Y-%m-%dT%H:%M:%SZ} skipped: {meaning}"
            self._events.emit(schedule, entry.reason, text, warning=True, kind="Schedule")

    def schedule_missed(self, schedule: Schedule, count: int) -> None:
        """Ticks were missed, or given up, and are not made up for."""
        self._metrics.schedules.missed(schedule.metadata.key, count)

    def schedule_lagged(self, seconds: float) -> None:
        """The Task of a tick was created so long after its moment."""
        self._metrics.schedules.lagged(seconds)

    def hook_ran(self, task: Task, hook: HookStatus) -> None:
        """A hook is Done, or has Failed for good."""
        self._metrics.queues.hook_ran(task.queue, hook.kind, hook.state)
        if hook.state == "Failed":
            self._events.emit(task, "HookFailed", f"spec.{hook.hook} ({hook.name}): {hook.message}", warning=True)
        logger.info("Task %s: %s %s: %s %s", task.metadata.key, hook.hook, hook.name, hook.state, hook.message)

    def conflicted(self) -> None:
        """A status write met a newer version of its Task."""
        self._metrics.operator.status_write_conflicts.inc()

    def late_post(self) -> None:
        """A request of a leader that had lost its lease was stopped at the last moment."""
        self._metrics.operator.stale_leader_posts.inc()


def _first_start(task: Task) -> float | None:
    attempts = task.status.attempts
    return seconds(attempts[0].start_time) if attempts and attempts[0].start_time else None
