"""TaskQueue: the order in which Tasks start, and how many run at once."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import Count, Model, Seconds, Status, Time, rule, rules
from taskq.resources.common import (
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_PRIORITY,
    LABEL_QUEUE,
    MAX_CONCURRENCY_LIMIT,
    MAX_NAME_LENGTH,
    UNOBSERVED_GENERATION,
    Ordering,
    PriorityOrder,
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
            )
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
            )
        )
    )

    spec: Annotated[TaskQueueSpec, Field(description="How the queue works; everything in it is optional.")] = (
        TaskQueueSpec()
    )
    status: Annotated[TaskQueueStatus, Field(description="How the queue stands; written by the operator.")] = (
        TaskQueueStatus(observed_generation=UNOBSERVED_GENERATION)
    )
