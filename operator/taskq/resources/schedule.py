"""Schedule: creates Tasks at fixed intervals."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import (
    GivenTime,
    Metadata,
    Model,
    ObjectName,
    Seconds,
    Status,
    Time,
    forbidden,
    rule,
    rules,
)
from taskq.resources.common import MAX_SCHEDULE_NAME_LENGTH, UNOBSERVED_GENERATION
from taskq.resources.task import FIELD_RULES, Cancellation, TaskFields


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
        )
    )

    not_before_time: Annotated[GivenTime | None, Field(description="Must not be set in a Schedule.")] = None
    cancellation: Annotated[Cancellation | None, Field(description="Must not be set in a Schedule.")] = None


class TaskTemplateOfSchedule(Model):
    """The Task to create."""

    metadata: Annotated[Metadata | None, Field(description="Labels and annotations for the Tasks.")] = None
    spec: Annotated[
        ScheduledTaskSpec,
        Field(description="The spec of the Tasks; as in a Task, without notBeforeTime and cancellation."),
    ]


class ScheduleSpec(Model):
    """When Tasks are created, and which."""

    every_seconds: Annotated[
        Seconds,
        Field(description="Seconds from one Task to the next, counted from the creation of the Schedule."),
    ]
    suspend: Annotated[bool, Field(description="Create no Tasks while true; those that exist go on.")] = False
    task_template: Annotated[TaskTemplateOfSchedule, Field(description="The Task to create each time.")]


class ScheduleStatus(Status):
    """What the Schedule has done and does next."""

    last_schedule_time: Annotated[Time | None, Field(description="The latest tick that was dealt with.")] = None
    next_schedule_time: Annotated[Time | None, Field(description="The next tick.")] = None
    last_task_name: Annotated[ObjectName | None, Field(description="The Task that was created for it.")] = None


class Schedule(Model):
    """Creates a Task every so many seconds."""

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
