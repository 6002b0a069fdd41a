"""TaskTemplate: a registered type of Task."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import LabelName, Model, Status, Text, rule, rules
from taskq.resources.common import MAX_NAME_LENGTH, UNOBSERVED_GENERATION
from taskq.resources.hooks import Hooks
from taskq.resources.job_template import JobTemplate
from taskq.resources.parameters import TemplateParameters
from taskq.resources.policy import Priority, RetryPolicy, Timeouts
from taskq.resources.task import LIMIT_RULES


class TaskTemplateSpec(Model):
    """What Tasks of this type run."""

    model_config = ConfigDict(json_schema_extra=rules(*LIMIT_RULES))

    description: Annotated[Text | None, Field(description="What Tasks of this type do, for people.")] = None
    queue_name: Annotated[
        LabelName | None,
        Field(
            description=(
                "TaskQueue, in the same namespace, of Tasks that name none. A change moves the Tasks that have "
                "never started."
            )
        ),
    ] = None
    priority: Annotated[
        Priority | None, Field(description="Priority of Tasks that give neither priority nor priorityLevel.")
    ] = None
    timeouts: Annotated[
        Timeouts | None,
        Field(
            description=(
                "Limits of one attempt of Tasks that give none; it replaces the queue's taskDefaults.timeouts "
                "as a whole."
            )
        ),
    ] = None
    retry_policy: Annotated[
        RetryPolicy | None,
        Field(
            description=(
                "How often and when failed Tasks that do not say are tried again; it replaces the queue's "
                "taskDefaults.retryPolicy as a whole."
            )
        ),
    ] = None
    on_success: Annotated[
        Hooks | None, Field(description="What follows when a Task that gives no onSuccess has Succeeded.")
    ] = None
    on_failure: Annotated[
        Hooks | None, Field(description="What follows when a Task that gives no onFailure has Failed or Expired.")
    ] = None
    parameters: TemplateParameters = None
    job_template: Annotated[
        JobTemplate,
        Field(
            description=(
                "The Job to run, a batch/v1 JobTemplateSpec as in a CronJob. A change takes effect with "
                "the next attempt of every Task that refers to this template."
            )
        ),
    ]


class TaskTemplateStatus(Status):
    """Whether the template can be used."""


class TaskTemplate(Model):
    """A registered type of Task: Tasks refer to it instead of carrying a Job template of their own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
                f"metadata.name must have at most {MAX_NAME_LENGTH} characters, as a Task's templateRef.name has",
            )
        )
    )

    spec: Annotated[TaskTemplateSpec, Field(description="What Tasks of this type run.")]
    status: Annotated[
        TaskTemplateStatus, Field(description="Whether the template can be used; written by the operator.")
    ] = TaskTemplateStatus(observed_generation=UNOBSERVED_GENERATION)
