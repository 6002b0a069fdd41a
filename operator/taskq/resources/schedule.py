"""Schedule: creates Tasks by the clock."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from taskq.resources.base import (
    Count,
    Generation,
    GivenTime,
    Metadata,
    Model,
    ObjectName,
    Seconds,
    SecondsOrZero,
    Status,
    Text,
    Time,
    forbidden,
    list_type,
    rule,
    rules,
)
from taskq.resources.common import (
    DEFAULT_CATCH_UP_RUNS,
    DEFAULT_FAILED_HISTORY,
    DEFAULT_LOOKAHEAD_SECONDS,
    DEFAULT_SUCCESSFUL_HISTORY,
    DEFAULT_TIME_ZONE,
    MAX_CATCH_UP_RUNS,
    MAX_DAILY_TIMES,
    MAX_EXPRESSION_LENGTH,
    MAX_FAILURES,
    MAX_HISTORY,
    MAX_JITTER_SECONDS,
    MAX_LEDGER,
    MAX_LOOKAHEAD_SECONDS,
    MAX_QUEUED,
    MAX_SCHEDULE_NAME_LENGTH,
    MAX_SCHEDULES,
    MAX_TOKEN_LENGTH,
    MAX_UNFINISHED,
    MAX_UPCOMING,
    MAX_ZONE_LENGTH,
    UNOBSERVED_GENERATION,
    Concurrency,
    DstGap,
    DstOverlap,
    MissedRuns,
    OnSuspend,
)
from taskq.resources.hooks import ParentTask, RetryOf
from taskq.resources.task import FIELD_RULES, Cancellation, TaskFields

_FIELD = "([0-9]{1,2}([A-Za-z*?,/#-]+[0-9]{0,2})*|([A-Za-z*?,/#-]+[0-9]{0,2})+)"
CRON_PATTERN = f"^({_FIELD}([ \\t]+{_FIELD}){{4,5}}|@[A-Za-z]+)$"
"""Refuses what is absurd before anybody expands it; what an expression means, only the operator says."""
ZONE_PATTERN = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
TIME_OF_DAY_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"

Expression = Annotated[
    str,
    Field(
        max_length=MAX_EXPRESSION_LENGTH,
        json_schema_extra=rules(
            rule(
                f"self.matches('{CRON_PATTERN}')",
                "must be 5 fields (minute hour day-of-month month day-of-week), 6 with the second first, or a macro "
                "such as @daily; its numbers have at most two digits",
            )
        ),
    ),
]
TimeOfDay = Annotated[str, Field(max_length=8, pattern=TIME_OF_DAY_PATTERN)]


class ScheduledTaskSpec(TaskFields):
    """The spec of the Tasks to create.

    What belongs to one Task alone is declared only to be refused: left out of the schema, it would be dropped
    without a word by every client that does not ask for strict validation.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            *FIELD_RULES,
            forbidden(
                "!has(self.notBeforeTime)",
                "notBeforeTime must not be set in a Schedule: the Schedule says when its Tasks start",
                path=".notBeforeTime",
            ),
            forbidden(
                "!has(self.cancellation)",
                "cancellation must not be set in a Schedule: every Task would be cancelled; set spec.suspend",
                path=".cancellation",
            ),
            forbidden(
                "!has(self.retryOf)",
                "retryOf must not be set in a Schedule: it is for one more run of one Task",
                path=".retryOf",
            ),
            forbidden(
                "!has(self.parent)",
                "parent must not be set in a Schedule: it is for Tasks that follow another one",
                path=".parent",
            ),
        )
    )

    not_before_time: Annotated[GivenTime | None, Field(description="Must not be set in a Schedule.")] = None
    cancellation: Annotated[Cancellation | None, Field(description="Must not be set in a Schedule.")] = None
    retry_of: Annotated[RetryOf | None, Field(description="Must not be set in a Schedule.")] = None
    parent: Annotated[ParentTask | None, Field(description="Must not be set in a Schedule.")] = None


class TaskTemplateOfSchedule(Model):
    """The Task to create."""

    metadata: Annotated[Metadata | None, Field(description="Labels and annotations for the Tasks.")] = None
    spec: Annotated[
        ScheduledTaskSpec,
        Field(
            description="The spec of the Tasks; as in a Task, without notBeforeTime, cancellation, retryOf and parent."
        ),
    ]


class Dst(Model):
    """What happens to a time of day that a change of clocks leaves out or shows twice."""

    gap: Annotated[
        DstGap,
        Field(description="A time that is left out: RunAfter runs once as the gap ends; Skip does not run that day."),
    ] = DstGap.RUN_AFTER
    overlap: Annotated[
        DstOverlap, Field(description="A time that is shown twice: Once runs the first time; Twice both times.")
    ] = DstOverlap.ONCE


class ScheduleSpec(Model):
    """When Tasks are created, and which."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.schedules), has(self.everySeconds), has(self.dailyTimes)].filter(given, given).size() == 1",
                "exactly one of schedules, everySeconds and dailyTimes must be set",
                reason="FieldValueRequired",
            ),
            rule(
                "!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime",
                "must be after startTime",
                path=".endTime",
            ),
        )
    )

    schedules: Annotated[
        list[Expression] | None,
        Field(
            min_length=1,
            max_length=MAX_SCHEDULES,
            description=(
                "Cron expressions: five fields (minute, hour, day of month, month, day of week), or six with the "
                "second first; lists, ranges, steps, names, L, #, W, and macros such as @daily. A tick that several "
                "of them have is one. Exactly one of schedules, everySeconds and dailyTimes must be set."
            ),
            json_schema_extra=list_type("atomic"),
        ),
    ] = None
    every_seconds: Annotated[
        Seconds | None,
        Field(
            description="Seconds from one Task to the next, counted from startTime, else from the Schedule's creation."
        ),
    ] = None
    daily_times: Annotated[
        list[TimeOfDay] | None,
        Field(
            min_length=1,
            max_length=MAX_DAILY_TIMES,
            description="Times of day, HH:MM or HH:MM:SS, at which a Task is created every day.",
            json_schema_extra=list_type("atomic"),
        ),
    ] = None
    time_zone: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_ZONE_LENGTH,
            pattern=ZONE_PATTERN,
            description="The IANA time zone that schedules and dailyTimes are read in, such as Europe/Madrid.",
        ),
    ] = DEFAULT_TIME_ZONE
    dst: Annotated[Dst, Field(description="What happens when the clocks of the zone change.")] = Dst()
    start_time: Annotated[
        GivenTime | None, Field(description="No tick lies before this; everySeconds is counted from it.")
    ] = None
    end_time: Annotated[GivenTime | None, Field(description="No tick lies after this.")] = None
    start_delay_seconds: Annotated[
        SecondsOrZero,
        Field(description="The first tick comes so much later than startTime, or the creation, would have it."),
    ] = 0
    jitter_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_JITTER_SECONDS,
            description=(
                "Each Task is created up to so many seconds after its tick, and before the next one; how many is "
                "computed from the Schedule and the tick, so every replica says the same."
            ),
        ),
    ] = 0
    starting_deadline_seconds: Annotated[
        Seconds | None,
        Field(description="A tick that could not start a Task within so many seconds is given up; unset: never."),
    ] = None
    missed_run_policy: Annotated[
        MissedRuns,
        Field(
            description=(
                "What becomes of ticks at which no operator ran: Skip none of them runs; RunOnce the latest one does; "
                "RunAll the latest maxCatchUpRuns do, the oldest of them first."
            )
        ),
    ] = MissedRuns.RUN_ONCE
    max_catch_up_runs: Annotated[
        int,
        Field(
            ge=1, le=MAX_CATCH_UP_RUNS, description="How many missed ticks run at most, with missedRunPolicy RunAll."
        ),
    ] = DEFAULT_CATCH_UP_RUNS
    concurrency_policy: Annotated[
        Concurrency,
        Field(
            description=(
                "What a tick, or a run-now, does while a Task of this Schedule is unfinished: Allow starts another "
                "one; Forbid skips the tick; Replace cancels the unfinished one and starts when it has ended; Queue "
                "waits for it."
            )
        ),
    ] = Concurrency.FORBID
    skip_if_succeeded_within_seconds: Annotated[
        Seconds | None,
        Field(description="A tick is skipped when a Task of this Schedule succeeded less than so many seconds ago."),
    ] = None
    suspend: Annotated[
        bool, Field(description="Create no Tasks by the clock while true; ticks of that time are not made up for.")
    ] = False
    on_suspend: Annotated[
        OnSuspend,
        Field(
            description=(
                "What a suspension does to Tasks that have not started and to runs that wait: DropPending cancels "
                "them; Keep keeps them."
            )
        ),
    ] = OnSuspend.DROP_PENDING
    suspend_after_consecutive_failures: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_FAILURES,
            description=(
                "After so many failures without a success between them no Task is created until the spec is edited "
                "or a run-now succeeds. It is kept in status; the spec is not changed."
            ),
        ),
    ] = None
    lookahead_seconds: Annotated[
        int,
        Field(ge=0, le=MAX_LOOKAHEAD_SECONDS, description="How far ahead status.upcoming looks."),
    ] = DEFAULT_LOOKAHEAD_SECONDS
    successful_tasks_history_limit: Annotated[
        int, Field(ge=0, le=MAX_HISTORY, description="How many Tasks that succeeded are kept, the latest.")
    ] = DEFAULT_SUCCESSFUL_HISTORY
    failed_tasks_history_limit: Annotated[
        int,
        Field(ge=0, le=MAX_HISTORY, description="How many Tasks that ended otherwise are kept, the latest."),
    ] = DEFAULT_FAILED_HISTORY
    task_template: Annotated[TaskTemplateOfSchedule, Field(description="The Task to create each time.")]


Word = Annotated[str, Field(max_length=64)]


class ScheduledRun(Model):
    """A run that was started and is unfinished, or one that waits."""

    task_name: Annotated[ObjectName, Field(description="Its Task; of a run that waits, the one that there will be.")]
    scheduled_time: Annotated[Time, Field(description="Its tick; of a run-now, when it was seen.")]
    trigger: Annotated[
        Word | None, Field(description="Tick (also when unset), CatchUp, RunNow or Backfill: why there is a run.")
    ] = None


class LedgerEntry(Model):
    """One run, or ticks skipped one after another for the same reason."""

    scheduled_time: Annotated[Time, Field(description="Its tick; the first of them, when there are several.")]
    last_scheduled_time: Annotated[Time | None, Field(description="The last of several ticks.")] = None
    count: Annotated[Count | None, Field(description="How many ticks; unset: one.")] = None
    trigger: Annotated[Word, Field(description="Tick, CatchUp, RunNow or Backfill: why there is a run.")]
    result: Annotated[Word, Field(description="Started, the phase in which its Task ended, Deleted, or Skipped.")]
    task_name: Annotated[ObjectName | None, Field(description="The Task that was created.")] = None
    reason: Annotated[Word | None, Field(description="Why it was skipped.")] = None
    message: Annotated[Text | None, Field(description="More about why, in words.")] = None


class Suspension(Model):
    """Why no Tasks are created, and since when."""

    reason: Annotated[
        Literal["Spec", "ConsecutiveFailures"], Field(description="Spec (spec.suspend), or ConsecutiveFailures.")
    ]
    since: Annotated[Time, Field(description="Since when.")]
    generation: Annotated[Generation | None, Field(description="The metadata.generation that was suspended.")] = None


class ScheduleStatus(Status):
    """What the Schedule has done and does next."""

    description: Annotated[Text | None, Field(description="The times of the Schedule in plain words.")] = None
    handled_until: Annotated[
        Time | None, Field(description="Ticks up to this instant are dealt with, and never start a Task again.")
    ] = None
    schedule_hash: Annotated[Word | None, Field(description="A hash of the fields that say when.")] = None
    last_schedule_time: Annotated[Time | None, Field(description="The latest tick that started a Task.")] = None
    last_task_name: Annotated[ObjectName | None, Field(description="The Task that was created last.")] = None
    last_result: Annotated[Word | None, Field(description="How the run that ended last ended.")] = None
    last_completion_time: Annotated[Time | None, Field(description="When a Task last ended.")] = None
    last_successful_time: Annotated[Time | None, Field(description="When a Task last succeeded.")] = None
    next_schedule_time: Annotated[Time | None, Field(description="The next tick.")] = None
    consecutive_failures: Annotated[
        Count | None, Field(description="How many Tasks failed since the last one that succeeded.")
    ] = None
    missed_runs: Annotated[
        Count | None, Field(description="How many ticks were missed or given up, and not made up for.")
    ] = None
    upcoming: Annotated[
        list[Time] | None,
        Field(max_length=MAX_UPCOMING, description="The next ticks within spec.lookaheadSeconds, the first of them."),
    ] = None
    upcoming_count: Annotated[Count | None, Field(description="How many ticks lie within spec.lookaheadSeconds.")] = (
        None
    )
    active: Annotated[
        list[ScheduledRun] | None,
        Field(max_length=MAX_UNFINISHED, description="Runs that were started and are unfinished."),
    ] = None
    queued: Annotated[
        list[ScheduledRun] | None,
        Field(max_length=MAX_QUEUED, description="Runs that wait for their turn; they have no Task yet."),
    ] = None
    runs: Annotated[
        list[LedgerEntry] | None,
        Field(max_length=MAX_LEDGER, description="The latest runs and skipped ticks, the oldest first."),
    ] = None
    suspension: Annotated[Suspension | None, Field(description="Why no Tasks are created by the clock.")] = None
    last_run_now: Annotated[
        str | None,
        Field(max_length=MAX_TOKEN_LENGTH, description="The annotation taskq.dev/run-now that was last followed."),
    ] = None
    last_backfill: Annotated[
        str | None,
        Field(max_length=MAX_TOKEN_LENGTH, description="The annotation taskq.dev/backfill that was last followed."),
    ] = None


class Schedule(Model):
    """Creates Tasks by the clock."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"size(self.metadata.name) <= {MAX_SCHEDULE_NAME_LENGTH}",
                f"metadata.name must have at most {MAX_SCHEDULE_NAME_LENGTH} characters, as the unix time is "
                "appended to name its Tasks",
            )
        )
    )

    spec: Annotated[ScheduleSpec, Field(description="When Tasks are created, and which.")]
    status: Annotated[
        ScheduleStatus, Field(description="What was created and what is next; written by the operator.")
    ] = ScheduleStatus(observed_generation=UNOBSERVED_GENERATION)
