"""The runs of one Schedule during one pass: which start, wait, are skipped, or give way to others.

- ``Allow``: every run starts.
- ``Forbid``: a run is skipped while another one is unfinished. If that one only makes up for a missed or past tick, a
  regular run waits instead, and goes next, before all else that is made up for; one waits at most.
- ``Queue``: a run waits while another one is unfinished.
- ``Replace``: the unfinished run is cancelled, and the newest one starts when it has ended: there are never two.

Run-now obeys the same rules. Runs of a backfill always wait, after all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from taskq.domain.model import TERMINAL_PHASES
from taskq.domain.schedules.catchup import skipped_row
from taskq.domain.schedules.spec import LedgerEntry, Result, Run, ScheduleSpec, ScheduleStatus, Skip, Trigger, at, epoch
from taskq.resources.common import MAX_LEDGER, MAX_QUEUED, MAX_UNFINISHED

S = TypeVar("S", bound=msgspec.Struct)
MAKES_UP = (Trigger.CATCH_UP, Trigger.BACKFILL)


def replace(struct: S, **changes: object) -> S:
    """A copy with some fields changed."""
    return msgspec.structs.replace(struct, **changes)


class TaskFact(NamedTuple):
    """A Task of the Schedule that exists, finished or not; times in epoch seconds."""

    name: str
    uid: str
    phase: str
    completed: float | None = None
    cancelling: bool = False
    settled: bool = True
    """Whether nothing is left to do for it, once it has finished: its hooks are done, too."""

    @property
    def finished(self) -> bool:
        """Whether its end stands in its status."""
        return self.phase in TERMINAL_PHASES


class CreateTask(NamedTuple):
    """Create a Task under this name, owned by the Schedule. «It exists and is ours» is as good as created."""

    name: str
    scheduled: int
    trigger: str


class CancelTask(NamedTuple):
    """Set a Task's ``spec.cancellation``; the uid is a precondition."""

    name: str
    uid: str
    mode: str
    reason: str


class DeleteTask(NamedTuple):
    """Delete a finished Task whose result stands in the status; the uid is a precondition."""

    name: str
    uid: str


Action = CreateTask | CancelTask | DeleteTask


def tick_name(schedule: str, tick: int) -> str:
    """The name of a tick's Task: whoever creates it, however often, it is the same one."""
    return f"{schedule}-{tick}"


def run_now_name(schedule: str, token: str) -> str:
    """The name of the Task that a run-now asks for; no longer than that of a tick's."""
    return f"{schedule}-r{hashlib.sha256(token.encode()).hexdigest()[:9]}"


def tick_of(schedule: str, task: str) -> int | None:
    """The tick that a Task was created for, None when it was created for none."""
    prefix, _, suffix = task.rpartition("-")
    return int(suffix) if prefix == schedule and suffix.isdecimal() and len(suffix) <= 11 else None


class Runs:
    """What the status says about runs, changed step by step; :meth:`into` writes it back."""

    def __init__(
        self,
        schedule: str,
        spec: ScheduleSpec,
        status: ScheduleStatus,
        tasks: Iterable[TaskFact],
        taken: frozenset[str],
        now: float,
    ) -> None:
        """Begin with what the status says."""
        self._schedule = schedule
        self._spec = spec
        self._taken = taken
        self._now = now
        self.tasks: Mapping[str, TaskFact] = {task.name: task for task in tasks}
        self.status = status
        self.active = list(status.active)
        self.queued = list(status.queued)
        self.ledger = list(status.runs)
        self.news: list[LedgerEntry] = []
        self.actions: list[Action] = []
        self.missed = 0
        self.adopted_finished = False
        self.made_up = any(run.trigger in MAKES_UP for run in status.active)

    # --- what happened meanwhile

    def settle(self) -> None:
        """Take over the results of runs that ended, the earliest first. A Task that is gone without one was deleted."""
        ended = [run for run in self.active if (task := self.tasks.get(run.task_name)) is None or task.finished]
        self.active = [run for run in self.active if run not in ended]
        for run in sorted(ended, key=self._ended_at):
            task = self.tasks.get(run.task_name)
            self._settle(run, Result.DELETED if task is None else Result(task.phase), self._ended_at(run)[0])

    def _ended_at(self, run: Run) -> tuple[float, str]:
        task = self.tasks.get(run.task_name)
        completed = task.completed if task else None
        return (self._now if completed is None else completed, run.task_name)

    def _settle(self, run: Run, result: Result, ended: float) -> None:
        for index, entry in enumerate(self.ledger):
            if entry.task_name == run.task_name:
                self.ledger[index] = replace(entry, result=str(result))
        present, moment = self.status, at(ended)
        changes: dict[str, object] = {"last_result": str(result)}
        if result is not Result.DELETED:
            changes["last_completion_time"] = max(present.last_completion_time or moment, moment)
        if result is Result.SUCCEEDED:
            changes |= {"last_successful_time": moment, "consecutive_failures": 0}
        if result is Result.FAILED:
            changes["consecutive_failures"] = present.consecutive_failures + 1
        self.status = replace(present, **changes)

    def adopt(self, handled: int) -> frozenset[int]:
        """Take over Tasks that were created by a pass whose status was never written; their ticks are returned."""
        known = {run.task_name for run in self.status.active}
        waiting = {run.task_name: run for run in self.queued}
        ticks = set()
        for task in sorted(self.tasks.values()):
            tick = tick_of(self._schedule, task.name)
            is_news = task.name in waiting or (tick is not None and tick > handled)
            if task.name in known or (task.finished and not is_news):
                continue
            run = waiting.get(task.name) or Run(task.name, at(tick or self._now), self._trigger(tick))
            self.queued = [other for other in self.queued if other != run]
            self.take(run)
            if tick is not None and tick > handled:
                ticks.add(tick)
        return frozenset(ticks)

    def _trigger(self, tick: int | None) -> Trigger:
        return Trigger.RUN_NOW if tick is None else Trigger.TICK

    # --- what is wanted

    def want(self, runs: list[Run]) -> None:
        """Runs that are due now, the oldest first."""
        if self._spec.concurrency_policy == "Replace":
            for run in runs[:-1]:
                self.skip(run, Skip.SUPERSEDED)
            for run in runs[-1:]:
                self._supersede(run)
            return
        for run in runs:
            self._want(run)

    def _want(self, run: Run) -> None:
        behind = run.trigger in MAKES_UP or self._spec.concurrency_policy == "Queue"
        others = self.active or (behind and self.queued and self.status.suspension is None)
        if self._spec.concurrency_policy == "Allow" or not others:
            self._start(run)
        elif self._may_wait(run):
            self.enqueue(run)
        else:
            self.skip(run, Skip.FORBIDDEN)

    def _supersede(self, run: Run) -> None:
        for other in self.active:
            task = self.tasks.get(other.task_name)
            if task and not task.cancelling:
                why = f"replaced by {run.task_name} (spec.concurrencyPolicy of Schedule {self._schedule})"
                self.actions.append(CancelTask(task.name, task.uid, "Graceful", why))
        for other in [other for other in self.queued if other.trigger != Trigger.BACKFILL]:
            self.queued.remove(other)
            self.skip(other, Skip.SUPERSEDED)
        if self.active:
            self.enqueue(run)
        else:
            self._start(run)

    def _may_wait(self, run: Run) -> bool:
        if self._spec.concurrency_policy == "Queue":
            return True
        if self.keeps_others_out:
            return False
        return run.trigger in MAKES_UP or all(other.trigger in MAKES_UP for other in self.queued)

    @property
    def keeps_others_out(self) -> bool:
        """Whether a regular run is unfinished: under Forbid, nothing waits for its end."""
        return any(run.trigger not in MAKES_UP for run in self.active)

    def was_busy_at(self, moment: float) -> bool:
        """Whether a run that has ended since was unfinished then: under Forbid, a tick of then does not run."""
        busy_until = epoch(self.status.last_completion_time, 0.0)
        return self._spec.concurrency_policy == "Forbid" and not self.made_up and moment < busy_until

    def enqueue(self, run: Run) -> None:
        """Let it wait, in the order of ticks: a backfill after all others, under Forbid what is regular before them."""
        if len(self.queued) >= MAX_QUEUED:
            self.skip(run, Skip.QUEUE_FULL)
            return
        self.queued.append(run)
        self.queued.sort(key=lambda run: (self._rank(run), run.scheduled_time, run.task_name))

    def _rank(self, run: Run) -> int:
        if run.trigger == Trigger.BACKFILL:
            return 2
        return int(run.trigger == Trigger.CATCH_UP and self._spec.concurrency_policy == "Forbid")

    def work_off(self) -> None:
        """Start what waits, as far as there is room."""
        while self.queued and self._has_room:
            run = self.queued.pop(0)
            if self._is_too_late(run):
                self.skip(run, Skip.DEADLINE)
                self.missed += 1
            else:
                self._start(run)

    @property
    def _has_room(self) -> bool:
        return not self.active or (self._spec.concurrency_policy == "Allow" and len(self.active) < MAX_UNFINISHED)

    def _is_too_late(self, run: Run) -> bool:
        deadline = self._spec.starting_deadline_seconds
        if deadline is None or run.trigger not in (Trigger.TICK, Trigger.CATCH_UP):
            return False
        return self._now - run.tick > deadline + self._spec.jitter_seconds

    def _start(self, run: Run) -> None:
        if run.task_name in self._taken:
            self.skip(run, Skip.NAME_TAKEN)
        elif len(self.active) >= MAX_UNFINISHED:
            self.skip(run, Skip.TOO_MANY)
        elif self._succeeded_recently(run):
            self.skip(run, Skip.SUCCEEDED_RECENTLY)
        else:
            self.take(run)

    def _succeeded_recently(self, run: Run) -> bool:
        within, last = self._spec.skip_if_succeeded_within_seconds, self.status.last_successful_time
        regular = run.trigger in (Trigger.TICK, Trigger.CATCH_UP)
        return bool(regular and within and last and self._now - last.timestamp() < within)

    def take(self, run: Run) -> None:
        """Count it as started; its Task is created unless it is there."""
        task = self.tasks.get(run.task_name)
        if task is None:
            self.actions.append(CreateTask(run.task_name, run.tick, run.trigger))
        elif task.finished:
            self.adopted_finished = True
        if any(other.task_name == run.task_name for other in self.active):
            return
        self.active.append(run)
        if not any(entry.task_name == run.task_name for entry in self.ledger):
            self.note(LedgerEntry(run.scheduled_time, run.trigger, Result.STARTED, task_name=run.task_name))
        last = self.status.last_schedule_time
        if run.trigger in (Trigger.TICK, Trigger.CATCH_UP) and (last is None or run.scheduled_time > last):
            self.status = replace(self.status, last_schedule_time=run.scheduled_time)
        self.status = replace(self.status, last_task_name=run.task_name)

    # --- suspension and history

    def drop_waiting(self) -> None:
        """Forget what waits, and cancel Tasks that have not started."""
        for run in self.queued:
            self.skip(run, Skip.SUSPENDED)
        self.queued = []
        for run in self.active:
            task = self.tasks.get(run.task_name)
            if task and task.phase == "Pending" and not task.cancelling:
                why = f"Schedule {self._schedule} is suspended (spec.onSuspend is DropPending)"
                self.actions.append(CancelTask(task.name, task.uid, "IfPending", why))

    def clean_up(self, unrecorded: frozenset[str]) -> None:
        """Delete finished Tasks beyond the history limits, the oldest; only those whose result is written down."""
        busy = {run.task_name for run in (*self.active, *self.queued)}
        busy |= unrecorded
        over = [task for task in self.tasks.values() if task.finished and task.settled and task.name not in busy]
        over.sort(key=lambda task: (task.completed or 0.0, task.name), reverse=True)
        good = [task for task in over if task.phase == "Succeeded"][self._spec.successful_tasks_history_limit :]
        bad = [task for task in over if task.phase != "Succeeded"][self._spec.failed_tasks_history_limit :]
        self.actions += [DeleteTask(task.name, task.uid) for task in (*good, *bad)]

    # --- the ledger

    def skip(self, run: Run, reason: Skip) -> None:
        """Write down that a run does not happen, and why."""
        self.note(skipped_row(reason, run.trigger, run.tick, run.tick, 1))

    def note(self, entry: LedgerEntry) -> None:
        """Add a row. What was skipped again for the same reason lengthens its row, so a busy hour is one row."""
        self.news.append(entry)
        last = self.ledger[-1] if self.ledger else None
        same = last and (last.result, last.reason, last.trigger) == (entry.result, entry.reason, entry.trigger)
        if last and same and entry.result == Result.SKIPPED and entry.scheduled_time >= last.scheduled_time:
            end = entry.last_scheduled_time or entry.scheduled_time
            entry = replace(last, last_scheduled_time=end, count=last.count + entry.count, message=entry.message)
            self.ledger.pop()
        self.ledger = [*self.ledger, entry][-MAX_LEDGER:]

    def into(self, **others: object) -> ScheduleStatus:
        """The status as it stands after this pass, with other fields set besides."""
        return replace(
            self.status,
            active=tuple(self.active),
            queued=tuple(self.queued),
            runs=tuple(self.ledger),
            missed_runs=self.status.missed_runs + self.missed,
            **others,
        )
