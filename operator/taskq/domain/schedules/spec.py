"""What a Schedule says, and what stands in its status, as decisions read and write them.

Field names follow the API (camelCase there). Ticks are whole epoch seconds everywhere but here, where the API's times
are aware datetimes; durations are seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

import msgspec

from taskq.domain.model import Condition
from taskq.resources.common import (
    DEFAULT_CATCH_UP_RUNS,
    DEFAULT_FAILED_HISTORY,
    DEFAULT_LOOKAHEAD_SECONDS,
    DEFAULT_SUCCESSFUL_HISTORY,
    DEFAULT_TIME_ZONE,
    MAX_QUEUED,
    MAX_UNFINISHED,
)


class Trigger(StrEnum):
    """Why there is a run."""

    TICK = "Tick"
    CATCH_UP = "CatchUp"
    RUN_NOW = "RunNow"
    BACKFILL = "Backfill"


class Result(StrEnum):
    """How a run stands in the ledger."""

    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    DELETED = "Deleted"
    SKIPPED = "Skipped"


class Skip(StrEnum):
    """Why a tick made no Task; the reason of an entry whose result is ``Skipped``."""

    MISSED = "Missed"
    DEADLINE = "StartingDeadlineExceeded"
    FORBIDDEN = "ConcurrencyForbidden"
    SUPERSEDED = "Superseded"
    QUEUE_FULL = "QueueFull"
    TOO_MANY = "TooManyUnfinished"
    SUCCEEDED_RECENTLY = "SucceededRecently"
    SUSPENDED = "Suspended"
    NAME_TAKEN = "NameTaken"
    TASK_EXISTS = "TaskExists"
    BAD_BACKFILL = "InvalidBackfill"


SKIP_MEANINGS: dict[str, str] = {
    Skip.MISSED: "no operator ran at that time, and spec.missedRunPolicy does not make up for it",
    Skip.DEADLINE: "it could not start within spec.startingDeadlineSeconds",
    Skip.FORBIDDEN: "another run was unfinished and spec.concurrencyPolicy is Forbid",
    Skip.SUPERSEDED: "a later run took its place before it could start, as spec.concurrencyPolicy is Replace",
    Skip.QUEUE_FULL: f"{MAX_QUEUED} runs waited already",
    Skip.TOO_MANY: f"{MAX_UNFINISHED} runs were unfinished already",
    Skip.SUCCEEDED_RECENTLY: "a run succeeded within spec.skipIfSucceededWithinSeconds",
    Skip.SUSPENDED: "the Schedule was suspended",
    Skip.NAME_TAKEN: "a Task of that name exists and does not belong to this Schedule",
    Skip.TASK_EXISTS: "a Task of that tick exists; delete it to run the tick once more",
    Skip.BAD_BACKFILL: "the annotation taskq.dev/backfill can't be followed",
}
"""Each reason in words; the docs print this table."""


class _Value(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, gc=False):
    """What is compared and shared."""


# --- spec ---------------------------------------------------------------------------------------------------------


class Dst(_Value, frozen=True):
    """What happens to a wall-clock time that a change of clocks leaves out or repeats."""

    gap: Literal["RunAfter", "Skip"] = "RunAfter"
    overlap: Literal["Once", "Twice"] = "Once"


class ScheduleSpec(_Value, frozen=True):
    """When Tasks are created. The Task itself is read from the raw manifest by whoever creates it."""

    schedules: tuple[str, ...] = ()
    every_seconds: int | None = None
    daily_times: tuple[str, ...] = ()
    time_zone: str = DEFAULT_TIME_ZONE
    dst: Dst = Dst()
    start_delay_seconds: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    jitter_seconds: int = 0
    skip_if_succeeded_within_seconds: int | None = None
    starting_deadline_seconds: int | None = None
    missed_run_policy: Literal["Skip", "RunOnce", "RunAll"] = "RunOnce"
    max_catch_up_runs: int = DEFAULT_CATCH_UP_RUNS
    concurrency_policy: Literal["Allow", "Forbid", "Replace", "Queue"] = "Forbid"
    suspend: bool = False
    on_suspend: Literal["DropPending", "Keep"] = "DropPending"
    suspend_after_consecutive_failures: int | None = None
    lookahead_seconds: int = DEFAULT_LOOKAHEAD_SECONDS
    successful_tasks_history_limit: int = DEFAULT_SUCCESSFUL_HISTORY
    failed_tasks_history_limit: int = DEFAULT_FAILED_HISTORY


# --- status -------------------------------------------------------------------------------------------------------


class Run(_Value, frozen=True):
    """A run that was started and is unfinished, or one that waits for its turn (then without a Task yet)."""

    task_name: str
    scheduled_time: datetime
    trigger: str = Trigger.TICK

    @property
    def tick(self) -> int:
        """Epoch seconds of the nominal tick; of the request, for a run-now."""
        return int(self.scheduled_time.timestamp())


class LedgerEntry(_Value, frozen=True):
    """One run, or a row of ticks that were skipped for the same reason."""

    scheduled_time: datetime
    trigger: str
    result: str
    task_name: str = ""
    reason: str = ""
    last_scheduled_time: datetime | None = None
    count: int = 1
    message: str = ""


class Suspension(_Value, frozen=True):
    """Since when and why no ticks are followed. ``generation`` is the spec's that was given up on."""

    reason: Literal["Spec", "ConsecutiveFailures"]
    since: datetime
    generation: int = 0


class ScheduleStatus(_Value, frozen=True):
    """What TaskQ wrote.

    ``handled_until``: ticks up to this instant are dealt with and never start again, whatever becomes of their Tasks,
    of the spec, or of the clock. ``schedule_hash`` is that of the fields that say when, so that an edit of the others
    moves nothing.
    """

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    description: str = ""
    handled_until: datetime | None = None
    schedule_hash: str = ""
    last_schedule_time: datetime | None = None
    last_task_name: str = ""
    last_result: str = ""
    last_completion_time: datetime | None = None
    last_successful_time: datetime | None = None
    next_schedule_time: datetime | None = None
    consecutive_failures: int = 0
    missed_runs: int = 0
    upcoming: tuple[datetime, ...] = ()
    upcoming_count: int = 0
    active: tuple[Run, ...] = ()
    queued: tuple[Run, ...] = ()
    runs: tuple[LedgerEntry, ...] = ()
    suspension: Suspension | None = None
    last_run_now: str = ""
    last_backfill: str = ""


def at(instant: float) -> datetime:
    """The time of an instant, in whole seconds, as the API writes it."""
    return datetime.fromtimestamp(int(instant), UTC)


def epoch(time: datetime | None, default: float) -> float:
    """Epoch seconds of a time, or the default where there is none."""
    return default if time is None else time.timestamp()
