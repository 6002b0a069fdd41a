"""TaskQueue: the order in which Tasks start, and how many run at once."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import Count, LabelKey, LabelName, Model, Seconds, Status, Time, list_map, rule, rules
from taskq.resources.common import (
    CANCEL_ALL_ANNOTATION,
    DEFAULT_FAILURE_RATIO,
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_PRIORITY,
    DEFAULT_STUCK_SECONDS,
    LABEL_QUEUE,
    MAX_CONCURRENCY_LIMIT,
    MAX_KEPT,
    MAX_NAME_LENGTH,
    MAX_PENDING_LIMIT,
    MAX_PRIORITY_LEVELS,
    MAX_RATE,
    MAX_SECONDS,
    MAX_TOKEN_LENGTH,
    MIN_AGING_SECONDS,
    PRIORITY_MAX,
    PURGE_ANNOTATION,
    UNOBSERVED_GENERATION,
    Ordering,
    PriorityOrder,
    QueueingStrategy,
    QueueState,
)
from taskq.resources.policy import Priority, RetryPolicy, Timeouts, Ttl


class TaskDefaults(Model):
    """What applies to Tasks of the queue that do not say; never written into their spec.

    Nothing here has a default of its own in the CRD: unset must stay unset.
    """

    priority: Annotated[
        Priority | None,
        Field(description=f"Priority of Tasks that give none; {DEFAULT_PRIORITY} unless given."),
    ] = None
    starting_deadline_seconds: Annotated[
        Seconds | None,
        Field(
            description=("Seconds within which a Task must have started, else it ends as Expired. No limit by default.")
        ),
    ] = None
    timeouts: Annotated[
        Timeouts | None, Field(description="Limits of one attempt, for Tasks that give no timeouts.")
    ] = None
    retry_policy: Annotated[
        RetryPolicy | None,
        Field(description="How a failed Task is tried again, for Tasks that give no retryPolicy."),
    ] = None
    ttl: Annotated[Ttl | None, Field(description="How long a finished Task is kept, for Tasks that give no ttl.")] = (
        None
    )


class PriorityLevel(Model):
    """A name for a priority."""

    name: Annotated[LabelName, Field(description="What a Task's priorityLevel says.")]
    value: Annotated[Priority, Field(description="The priority that it stands for.")]


class PriorityAging(Model):
    """How the priority of a waiting Task grows, so that none waits for ever."""

    period_seconds: Annotated[
        int,
        Field(
            ge=MIN_AGING_SECONDS,
            le=MAX_SECONDS,
            description="Seconds of waiting after which the priority grows once, counted from when a Task is due.",
        ),
    ]
    increment: Annotated[
        int,
        Field(
            ge=1,
            le=PRIORITY_MAX,
            description="By how much it grows each time, towards the front of the queue; 1 by default.",
        ),
    ] = 1
    max_increase: Annotated[
        int | None,
        Field(ge=1, le=PRIORITY_MAX, description="By how much it grows at most. No limit by default."),
    ] = None


class RateLimit(Model):
    """At most so many starts in any period."""

    max_starts: Annotated[int, Field(ge=1, le=MAX_RATE, description="Attempts started in a period, at most.")]
    period_seconds: Annotated[Seconds, Field(description="Length of the period, which slides.")]


class RetentionLimits(Model):
    """How many finished Tasks are kept, and how long: the oldest beyond go, with their Jobs, before their time."""

    max_succeeded: Annotated[
        int | None, Field(ge=0, le=MAX_KEPT, description="Succeeded Tasks kept. No limit by default.")
    ] = None
    max_failed: Annotated[
        int | None,
        Field(ge=0, le=MAX_KEPT, description="Failed, Expired and Cancelled Tasks kept. No limit by default."),
    ] = None
    dead_letter_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "How long a Task that Failed is kept as a dead letter (status.deadLetter), at least: whatever its "
                "ttl and maxFailed say. None are unless given."
            )
        ),
    ] = None


class Alerts(Model):
    """From when on somebody should look at the queue. They change nothing in how it works.

    Each is exported as a metric, so that one alert rule serves every queue.
    """

    queue_depth: Annotated[
        int | None, Field(ge=1, le=MAX_PENDING_LIMIT, description="More pending Tasks than this. Never by default.")
    ] = None
    stuck_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "Seconds without a step forward: of the queue, in which Tasks wait and none runs or starts, and of an "
                "attempt that does not end, in a batch without any item that ends. Then they have the condition "
                f"Stuck. Unset: no condition; {DEFAULT_STUCK_SECONDS} in the rules that come with TaskQ."
            )
        ),
    ] = None
    failure_ratio: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description=(
                "A larger part than this of the Tasks that ended within the hour Failed, 0 to 1; "
                f"{DEFAULT_FAILURE_RATIO:g} in the rules that come with TaskQ."
            ),
        ),
    ] = None
    utilization: Annotated[
        float | None,
        Field(ge=0, le=1, description="A larger part than this of maxConcurrency is in use, 0 to 1. Never by default."),
    ] = None
    average_run_seconds: Annotated[
        Seconds | None,
        Field(description="Tasks that ended within the hour took longer than this on average. Never by default."),
    ] = None


class ParentRef(Model):
    """Another TaskQueue of the same namespace."""

    name: Annotated[LabelName, Field(description="Its name.")]


class TaskQueueSpec(Model):
    """How the queue works; everything is optional."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.priorityOrder != 'LowestFirst' || (has(self.taskDefaults) && has(self.taskDefaults.priority))",
                "taskDefaults.priority must be set with priorityOrder LowestFirst, else Tasks without a "
                f"priority ({DEFAULT_PRIORITY}) would go before all others",
                path=".taskDefaults.priority",
                reason="FieldValueRequired",
            ),
            rule(
                "!has(self.maxConcurrencyPerKey) || has(self.concurrencyLabelKey)",
                "concurrencyLabelKey must be set with maxConcurrencyPerKey: it names the label that is counted by",
                path=".concurrencyLabelKey",
                reason="FieldValueRequired",
            ),
        )
    )

    max_concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_CONCURRENCY_LIMIT,
            description=(
                f"Tasks running at once, {DEFAULT_MAX_CONCURRENCY} by default. Lowered, it stops nothing "
                "that runs. To start nothing, set state to Paused."
            ),
        ),
    ] = DEFAULT_MAX_CONCURRENCY
    state: Annotated[
        QueueState,
        Field(
            description=(
                "Open (the default) starts Tasks; Paused starts nothing; Draining works off what was "
                "created before and starts nothing newer; Closed starts and accepts nothing; DryRun orders "
                "and reports but starts nothing. None of them stops what runs."
            )
        ),
    ] = QueueState.OPEN
    max_pending: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_PENDING_LIMIT,
            description=(
                "Only the oldest so many of the Tasks that could start stand in the order; the others wait, "
                "whatever their priority. No limit by default."
            ),
        ),
    ] = None
    concurrency_label_key: Annotated[
        LabelKey | None,
        Field(
            description=(
                "A label of Tasks: of those with the same value, at most maxConcurrencyPerKey run at once. "
                "Tasks without it are not limited by it."
            )
        ),
    ] = None
    max_concurrency_per_key: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_CONCURRENCY_LIMIT,
            description="Tasks running at once for one value of concurrencyLabelKey; 1, a mutex, unless given.",
        ),
    ] = None
    parent: Annotated[
        ParentRef | None,
        Field(
            description=(
                "A TaskQueue of this namespace whose room this one shares with its other children and with the "
                "parent's own Tasks; the parent's state and rateLimit bind it, too. One level only."
            )
        ),
    ] = None
    priority: Annotated[
        Priority,
        Field(
            description=(
                "Among the queues that share a parent (itself included), the higher one starts first; equal ones "
                "take turns, fewest running first."
            )
        ),
    ] = 0
    priority_levels: Annotated[
        list[PriorityLevel] | None,
        Field(
            max_length=MAX_PRIORITY_LEVELS,
            description="Names that Tasks may use as priorityLevel instead of a number.",
            json_schema_extra=list_map("name"),
        ),
    ] = None
    priority_aging: Annotated[
        PriorityAging | None,
        Field(description="How the priority of a waiting Task grows. It does not by default."),
    ] = None
    queueing_strategy: Annotated[
        QueueingStrategy,
        Field(
            description=(
                "BestEffort (the default): a Task that can't start now, for a lack of room for its key or of quota, "
                "is overtaken. Strict: it holds up those behind it. What a person must mend is always overtaken."
            )
        ),
    ] = QueueingStrategy.BEST_EFFORT
    fair_share_label_key: Annotated[
        LabelKey | None,
        Field(
            description=(
                "A label of Tasks (a tenant, a team) whose values take turns inside one priority: fewest running "
                "first, then the least recent start."
            )
        ),
    ] = None
    rate_limit: Annotated[
        RateLimit | None,
        Field(description="At most so many starts in any period, a restart of the operator included."),
    ] = None
    retention: Annotated[
        RetentionLimits | None,
        Field(description="How many finished Tasks are kept, beside their ttl."),
    ] = None
    alerts: Annotated[
        Alerts | None,
        Field(description="From when on somebody should look at the queue; exported as metrics for alert rules."),
    ] = None
    ordering: Annotated[
        Ordering,
        Field(
            description=(
                "PriorityThenTime (the default): by priority, then by time. TimeThenPriority: first come, "
                "first served; priority decides between Tasks of the same second."
            )
        ),
    ] = Ordering.PRIORITY_THEN_TIME
    priority_order: Annotated[
        PriorityOrder,
        Field(
            description=(
                "HighestFirst (the default) or LowestFirst, for users whose 0 is the most urgent; the "
                "latter needs taskDefaults.priority."
            )
        ),
    ] = PriorityOrder.HIGHEST_FIRST
    task_defaults: Annotated[
        TaskDefaults | None,
        Field(description="What applies to Tasks that do not say; never written into their spec."),
    ] = None


class QueueRequest(Model):
    """A request by annotation that was taken up."""

    nonce: Annotated[str, Field(max_length=MAX_TOKEN_LENGTH, description="The annotation's value.")]
    time: Annotated[
        Time,
        Field(
            description=(
                "It concerns Tasks created up to this second, by the API server's clock: the one in which the "
                "annotation was written, or the value itself if it is an earlier time (RFC 3339). It never moves back."
            )
        ),
    ]


class Totals(Model):
    """Tasks of the queue that ended, cleaned up or not."""

    succeeded: Annotated[Count, Field(description="Tasks that Succeeded.")] = 0
    failed: Annotated[Count, Field(description="Tasks that Failed.")] = 0
    expired: Annotated[Count, Field(description="Tasks that Expired.")] = 0
    cancelled: Annotated[Count, Field(description="Tasks that were Cancelled.")] = 0


class TaskQueueStatus(Status):
    """How the queue stands."""

    pending: Annotated[
        Count | None, Field(description="Tasks waiting for their first attempt, held ones included.")
    ] = None
    running: Annotated[Count | None, Field(description="Tasks whose attempt holds a place.")] = None
    retrying: Annotated[Count | None, Field(description="Tasks waiting for a further attempt.")] = None
    succeeded: Annotated[Count | None, Field(description="Tasks kept that Succeeded.")] = None
    failed: Annotated[Count | None, Field(description="Tasks kept that Failed.")] = None
    expired: Annotated[Count | None, Field(description="Tasks kept that Expired.")] = None
    cancelled: Annotated[Count | None, Field(description="Tasks kept that were Cancelled.")] = None
    totals: Annotated[
        Totals | None,
        Field(
            description=(
                "Tasks that ended since the queue was created, also those that are gone; what was there before TaskQ "
                "counted is in it if it is kept. Each is counted once. An orderly stop of the operator loses none; a "
                "crash forgets those that ended since the last write of this status (2 s unless set otherwise), but "
                "never counts less than are kept."
            )
        ),
    ] = None
    purge: Annotated[
        QueueRequest | None, Field(description=f"The last {PURGE_ANNOTATION}: waiting Tasks were cancelled.")
    ] = None
    cancel_all: Annotated[
        QueueRequest | None, Field(description=f"The last {CANCEL_ALL_ANNOTATION}: unfinished Tasks were cancelled.")
    ] = None
    oldest_pending_time: Annotated[
        Time | None, Field(description="Since when the oldest pending Task could have started.")
    ] = None
    last_start_time: Annotated[Time | None, Field(description="When an attempt of this queue last started.")] = None


class TaskQueue(Model):
    """A priority queue of Tasks with a cap on how many run at once."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
                f"metadata.name must have at most {MAX_NAME_LENGTH} characters, as it becomes the label {LABEL_QUEUE}",
            ),
            rule(
                "!has(self.spec) || !has(self.spec.parent) || self.spec.parent.name != self.metadata.name",
                "parent.name must be another queue's",
                path=".spec.parent.name",
            ),
        )
    )

    spec: Annotated[TaskQueueSpec, Field(description="How the queue works; everything in it is optional.")] = (
        TaskQueueSpec()
    )
    status: Annotated[TaskQueueStatus, Field(description="How the queue stands; written by the operator.")] = (
        TaskQueueStatus(observed_generation=UNOBSERVED_GENERATION)
    )
