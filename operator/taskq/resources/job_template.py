"""The Job that a Task runs: a batch/v1 JobTemplateSpec that passes through, with a few refusals.

Only what CEL must see is declared; a whole PodTemplateSpec would cost 600 KB a CRD and follow every
Kubernetes release. What the operator sets itself needs no declaration: it simply overrides the template.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import (
    INT32_MAX,
    AnyObject,
    Metadata,
    Model,
    OpenModel,
    forbidden,
    list_map,
    list_type,
    rules,
)
from taskq.resources.common import MAX_NAME_LENGTH

MAX_CONTAINERS = 64
MAX_FAILURE_RULES = 20
"""As many as batch/v1 takes."""
MAX_DECLARED_STRING = 253

Deadline = Annotated[int, Field(ge=1, le=INT32_MAX)]
SetByBatch = Annotated[
    int | None, Field(ge=0, le=INT32_MAX, description="As in batch/v1. Not beside the Task's batch, which sets it.")
]


class Container(OpenModel):
    """A container, as in a Pod."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=MAX_NAME_LENGTH, description="Name of the container, unique in the pod."),
    ]


class PodSpec(OpenModel):
    """A PodSpec, as in core/v1; fields that are not listed here pass through."""

    restart_policy: Annotated[
        str | None,
        Field(
            max_length=MAX_DECLARED_STRING,
            description="Never or unset: a failed attempt is tried again by retryPolicy, as a new Job.",
            json_schema_extra=rules(
                forbidden(
                    "self == 'Never'",
                    "restartPolicy must be Never or unset: the kubelet would restart the container behind "
                    "the queue's back; set retryPolicy.maxAttempts of the Task instead",
                )
            ),
        ),
    ] = None
    active_deadline_seconds: Annotated[
        Deadline | None,
        Field(
            description=(
                "Seconds that a pod may run, as in core/v1. Not beside timeouts.softSeconds or "
                "hardSeconds, which set it."
            )
        ),
    ] = None
    termination_grace_period_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            le=INT32_MAX,
            description=(
                "Seconds between SIGTERM and SIGKILL, as in core/v1. Not beside timeouts.softSeconds or "
                "hardSeconds, which set it."
            ),
        ),
    ] = None
    containers: Annotated[
        list[Container],
        Field(
            min_length=1,
            max_length=MAX_CONTAINERS,
            description="The containers of the pod, as in core/v1; at least one.",
            json_schema_extra=list_map("name"),
        ),
    ]


class PodTemplate(OpenModel):
    """A PodTemplateSpec, as in core/v1; fields that are not listed here pass through."""

    spec: Annotated[PodSpec, Field(description="The PodSpec; fields that are not listed here pass through.")]


class PodFailureRule(OpenModel):
    """A rule of a podFailurePolicy, as in batch/v1."""

    action: Annotated[
        str | None,
        Field(
            max_length=MAX_DECLARED_STRING,
            description="As in batch/v1, but not Ignore.",
            json_schema_extra=rules(
                forbidden(
                    "self != 'Ignore'",
                    "action must not be Ignore: the Job would start pods that the queue does not count; use "
                    "retryPolicy.rules with action Ignore in the Task instead",
                )
            ),
        ),
    ] = None


class PodFailurePolicy(OpenModel):
    """A podFailurePolicy, as in batch/v1."""

    rules: Annotated[
        list[PodFailureRule] | None,
        Field(
            max_length=MAX_FAILURE_RULES,
            description="The rules, as in batch/v1.",
            json_schema_extra=list_type("atomic"),
        ),
    ] = None


class JobSpec(OpenModel):
    """A JobSpec, as in batch/v1; fields that are not listed here pass through."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            forbidden(
                "!has(self.manualSelector) || !self.manualSelector",
                "manualSelector must not be true: pods of other Jobs would be counted as this attempt's",
                path=".manualSelector",
            ),
            forbidden(
                "!has(self.selector)",
                "selector must not be set: Kubernetes makes one for every Job; remove it",
                path=".selector",
            ),
            forbidden(
                "!has(self.managedBy)",
                "managedBy must not be set: the queue only follows Jobs that Kubernetes itself runs; remove it",
                path=".managedBy",
            ),
        )
    )

    active_deadline_seconds: Annotated[
        Deadline | None,
        Field(
            description=(
                "Seconds that a Job may run, as in batch/v1. Not beside timeouts.softSeconds or "
                "hardSeconds, which know of the time to clean up."
            )
        ),
    ] = None
    completions: SetByBatch = None
    parallelism: SetByBatch = None
    backoff_limit_per_index: SetByBatch = None
    max_failed_indexes: SetByBatch = None
    completion_mode: Annotated[
        str | None,
        Field(
            max_length=MAX_DECLARED_STRING,
            description="As in batch/v1. Not beside the Task's batch, which sets it.",
        ),
    ] = None
    manual_selector: Annotated[bool | None, Field(description="Must not be true.")] = None
    selector: Annotated[AnyObject | None, Field(description="Must not be set.")] = None
    managed_by: Annotated[str | None, Field(max_length=MAX_DECLARED_STRING, description="Must not be set.")] = None
    pod_failure_policy: Annotated[
        PodFailurePolicy | None, Field(description="As in batch/v1, but without the action Ignore.")
    ] = None
    template: Annotated[PodTemplate, Field(description="The pod, as in core/v1.")]


class JobTemplate(Model):
    """A JobTemplateSpec, as in batch/v1."""

    metadata: Annotated[Metadata | None, Field(description="Labels and annotations for the Jobs.")] = None
    spec: Annotated[
        JobSpec,
        Field(
            description=(
                "A JobSpec, as in batch/v1; fields that are not listed here pass through. Whatever it "
                "says, the operator sets backoffLimit 0, restartPolicy Never and suspend false, and "
                "removes ttlSecondsAfterFinished; beside a Task's batch it also sets what a batch says."
            )
        ),
    ]
