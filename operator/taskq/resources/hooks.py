"""What follows when a Task has ended: Tasks that are created, and webhooks that are called."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import Int32, LabelName, Model, ObjectName, Text, Time, list_map, list_type, rules
from taskq.resources.common import (
    MAX_CHAIN_DEPTH,
    MAX_HOOK_TASKS,
    MAX_HOOK_TRIES,
    MAX_HOOK_WEBHOOKS,
    MAX_TEXT_LENGTH,
    HookKind,
    HookState,
)
from taskq.resources.parameters import NO_RESULT_RULE, Parameters
from taskq.resources.policy import Priority


class TemplateRef(Model):
    """A TaskTemplate in the same namespace."""

    name: Annotated[LabelName, Field(description="Name of a TaskTemplate in the same namespace.")]


class RetryOf(Model):
    """A Task of the same namespace that has ended."""

    name: Annotated[LabelName, Field(description="Its name.")]


class HookTask(Model):
    """A Task to create."""

    model_config = ConfigDict(json_schema_extra=rules(NO_RESULT_RULE))

    template_ref: Annotated[TemplateRef, Field(description="The TaskTemplate that it takes its Job from.")]
    queue_name: Annotated[
        LabelName | None, Field(description="Its queue; as that of any Task with this template unless given.")
    ] = None
    priority: Annotated[
        Priority | None, Field(description="Its priority; as that of any Task with this template unless given.")
    ] = None
    parameters: Parameters = None


class HookWebhook(Model):
    """A webhook to call."""

    name: Annotated[
        LabelName,
        Field(
            description=(
                "One of the targets that the operator's own configuration has for this namespace: who writes a Task "
                "chooses among them, and never an address."
            )
        ),
    ]


class Hooks(Model):
    """What follows."""

    tasks: Annotated[
        list[HookTask] | None,
        Field(
            max_length=MAX_HOOK_TASKS,
            description=(
                "Tasks to create, each once. They are told of this one in TASKQ_PARENT_NAME, _REASON, _EXIT_CODE and "
                "_MESSAGE, have none of its labels, and stay when it goes."
            ),
            json_schema_extra=list_type("atomic"),
        ),
    ] = None
    webhooks: Annotated[
        list[HookWebhook] | None,
        Field(
            max_length=MAX_HOOK_WEBHOOKS,
            description=f"Webhooks to call, each until it answers with 2xx, at most {MAX_HOOK_TRIES} times.",
            json_schema_extra=list_map("name"),
        ),
    ] = None


class ParentTask(Model):
    """The Task after whose end this one was created; nothing but words for this one's containers."""

    name: Annotated[ObjectName, Field(description="Its name, in TASKQ_PARENT_NAME.")]
    uid: Annotated[ObjectName, Field(description="Its uid.")]
    reason: Annotated[Text, Field(description="Why it ended, as one word, in TASKQ_PARENT_REASON.")] = ""
    exit_code: Annotated[
        Int32 | None, Field(description="Exit code of its last attempt, in TASKQ_PARENT_EXIT_CODE.")
    ] = None
    message: Annotated[Text, Field(description="Why it ended, as a sentence, in TASKQ_PARENT_MESSAGE.")] = ""
    depth: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_CHAIN_DEPTH,
            description=f"How many Tasks in a row came before; a chain ends at {MAX_CHAIN_DEPTH}.",
        ),
    ] = 1


class HookStatus(Model):
    """How far one hook is."""

    hook: Annotated[
        str,
        Field(
            min_length=1, max_length=64, description="Its field in the spec, such as onFailure.webhooks[0] or retryOf."
        ),
    ]
    kind: Annotated[
        HookKind, Field(description="Task, Webhook, or DeadLetter: the Task of retryOf is told that a retry succeeded.")
    ]
    name: Annotated[ObjectName, Field(description="Name of the Task to create or to tell, or of the webhook's target.")]
    state: Annotated[
        HookState, Field(description="Pending, Done, or Failed when it was refused for good or tried too often.")
    ]
    attempts: Annotated[int, Field(ge=0, le=MAX_HOOK_TRIES, description="How often it was tried.")] = 0
    message: Annotated[str, Field(max_length=MAX_TEXT_LENGTH, description="Why the last try failed, or nothing.")] = ""
    time: Annotated[Time | None, Field(description="When it was last tried.")] = None
