"""Task: one piece of work that waits in a queue, runs as Jobs and keeps its outcome."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from taskq.resources.base import (
    Count,
    GivenTime,
    Int32,
    LabelName,
    Model,
    ObjectName,
    Seconds,
    Status,
    Text,
    Time,
    forbidden,
    list_map,
    rule,
    rules,
    unchanged,
)
from taskq.resources.batch import BATCH_RULES, Batch, Progress
from taskq.resources.common import (
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    LABEL_TASK,
    MAX_ATTEMPTS_KEPT,
    MAX_DEDUPLICATION_KEY,
    MAX_DEPENDENCIES,
    MAX_HOOK_TASKS,
    MAX_HOOK_WEBHOOKS,
    MAX_IGNORED_ATTEMPTS,
    MAX_MESSAGE_LENGTH,
    MAX_NAME_LENGTH,
    RESULT_MAX_BYTES,
    TERMINAL_PHASES,
    UNOBSERVED_GENERATION,
    CancellationMode,
    DeduplicationMode,
    DependencyCondition,
    DependencyFailure,
    Phase,
)
from taskq.resources.hooks import Hooks, HookStatus, ParentTask, RetryOf, TemplateRef
from taskq.resources.job_template import JobTemplate
from taskq.resources.parameters import RESULT_RULE, Parameters
from taskq.resources.policy import Priority, RetryPolicy, Timeouts, Ttl


def _not_beside_timeouts(path: str) -> JsonDict:
    """Refuse a limit in the Job template where `timeouts` computes that limit."""
    limited = "has(self.timeouts) && (has(self.timeouts.softSeconds) || has(self.timeouts.hardSeconds))"
    return forbidden(
        f"!({limited}) || !(has(self.jobTemplate) && has(self.{path}))",
        f"{path.rsplit('.', 1)[1]} must not be set beside timeouts.softSeconds or timeouts.hardSeconds, from "
        "which the operator computes it; remove one of the two",
        path=f".{path}",
    )


LIMIT_RULES = (
    _not_beside_timeouts("jobTemplate.spec.activeDeadlineSeconds"),
    _not_beside_timeouts("jobTemplate.spec.template.spec.activeDeadlineSeconds"),
    _not_beside_timeouts("jobTemplate.spec.template.spec.terminationGracePeriodSeconds"),
)
FIELD_RULES = (
    rule(
        "[has(self.jobTemplate), has(self.templateRef), has(self.retryOf)].filter(given, given).size() == 1",
        "exactly one of jobTemplate, templateRef and retryOf must be set",
        reason="FieldValueRequired",
    ),
    forbidden(
        "!has(self.priority) || !has(self.priorityLevel)",
        "priorityLevel must not be set beside priority: only one of them can say it",
        path=".priorityLevel",
    ),
    *LIMIT_RULES,
    *BATCH_RULES,
    forbidden(
        "!has(self.parameters) || has(self.templateRef) || has(self.retryOf)",
        "parameters must not be set without templateRef or retryOf: it is a TaskTemplate that says which there are",
        path=".parameters",
    ),
    RESULT_RULE,
    forbidden(
        "!has(self.onDependencyFailure) || has(self.dependsOn)",
        "onDependencyFailure means nothing without dependsOn; remove it, or name the Tasks to wait for in dependsOn",
        path=".onDependencyFailure",
    ),
)
TRANSITION_RULES = (
    unchanged("queueName", "queueName is immutable; create a new Task in the other queue"),
    unchanged("parent", "parent is set when a Task is created after another one, and immutable"),
    unchanged("templateRef", "templateRef is immutable; create a new Task from the other template"),
    unchanged("retryOf", "retryOf is immutable; create a new Task for another retry"),
    unchanged("batch", "batch is immutable; create a new Task with the other items"),
    unchanged("deduplication", "deduplication is immutable; create a new Task with the other key"),
    unchanged("dependsOn", "dependsOn is immutable; create a new Task with other dependencies"),
    forbidden(
        "!has(oldSelf.cancellation) || has(self.cancellation)",
        "cancellation cannot be withdrawn; create a new Task",
        path=".cancellation",
    ),
)
_ENDED = (
    "has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase in "
    f"[{', '.join(repr(phase.value) for phase in TERMINAL_PHASES)}]"
)
ROOT_RULES = (
    forbidden(
        "!has(self.spec.retryOf) || self.spec.retryOf.name != self.metadata.name",
        "retryOf must name another Task",
        path=".spec.retryOf.name",
    ),
    rule(
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters, as it becomes the label {LABEL_TASK}",
    ),
    forbidden(
        "!has(self.spec.dependsOn) || self.spec.dependsOn.all(one, one.name != self.metadata.name)",
        "a Task cannot wait for itself; name other Tasks in dependsOn",
        path=".spec.dependsOn",
    ),
    forbidden(
        f"!({_ENDED}) || self.spec == oldSelf.spec",
        "spec is immutable once the Task has ended; create a new Task",
        path=".spec",
    ),
    forbidden(
        f"!({_ENDED}) || (has(self.status) && has(self.status.phase) && self.status.phase == oldSelf.status.phase)",
        "phase cannot change once the Task has ended",
        path=".status.phase",
    ),
)


class Cancellation(Model):
    """A request to end the Task; its presence cancels."""

    mode: Annotated[
        CancellationMode,
        Field(
            description=(
                "IfPending cancels only a Task that has no Job; Graceful (the default) also stops a "
                "running attempt with SIGTERM and its grace period; Immediate gives it one second."
            )
        ),
    ] = CancellationMode.GRACEFUL
    reason: Annotated[Text | None, Field(description="Why, for people; it ends up in the Task's conditions.")] = None


class Deduplication(Model):
    """What work the Task stands for, so that it is not done twice at a time."""

    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_DEDUPLICATION_KEY,
            pattern=r"^\S(.*\S)?$",
            description=(
                f"Of the Tasks of a queue with the same key, one is unfinished; any text of at most "
                f"{MAX_DEDUPLICATION_KEY} characters."
            ),
        ),
    ]
    window_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "End this Task as a duplicate also when one with the same key ran and ended less than so many "
                "seconds before this one was created. No window by default."
            )
        ),
    ] = None
    mode: Annotated[
        DeduplicationMode,
        Field(
            description=(
                "Reject (the default): a newer Task ends as Cancelled, reason Duplicate. Replace: this Task "
                "takes the place of an older one that has not started, which ends as Cancelled, reason Replaced; "
                "if that one has started, this one is the duplicate."
            )
        ),
    ] = DeduplicationMode.REJECT


class Dependency(Model):
    """A Task of the same namespace to wait for."""

    name: Annotated[
        LabelName,
        Field(description="Name of a Task in the same namespace. It may be created later than the Task that waits."),
    ]
    condition: Annotated[
        DependencyCondition,
        Field(
            description=(
                "How it must end: Succeeded (the default); Failed, which includes Cancelled and Expired; or "
                "Finished, that is anyhow."
            )
        ),
    ] = DependencyCondition.SUCCEEDED


class TaskFields(Model):
    """What a Task can ask for, in its own spec or in a Schedule's template."""

    model_config = ConfigDict(json_schema_extra=rules(*FIELD_RULES))

    queue_name: Annotated[
        LabelName | None,
        Field(
            description=(
                f"TaskQueue in the same namespace; unset means the template's, else «{DEFAULT_QUEUE}». Immutable; "
                "status.queueName shows the queue in use."
            )
        ),
    ] = None
    priority: Annotated[
        Priority | None,
        Field(
            description=(
                "Higher goes first, unless the queue says LowestFirst. Unset means the template's, else the queue's "
                f"taskDefaults.priority, else {DEFAULT_PRIORITY}. A change takes effect with the next start."
            )
        ),
    ] = None
    priority_level: Annotated[
        LabelName | None,
        Field(
            description=(
                "One of the queue's priorityLevels instead of a number; not together with priority. "
                "A change takes effect with the next start."
            )
        ),
    ] = None
    job_template: Annotated[
        JobTemplate | None,
        Field(
            description=(
                "The Job to run, a batch/v1 JobTemplateSpec as in a CronJob. Exactly one of jobTemplate, "
                "templateRef and retryOf. A change takes effect with the next attempt."
            )
        ),
    ] = None
    template_ref: Annotated[
        TemplateRef | None,
        Field(
            description=(
                "A TaskTemplate to take the Job from. Exactly one of jobTemplate, templateRef and retryOf. Immutable."
            )
        ),
    ] = None
    retry_of: Annotated[
        RetryOf | None,
        Field(
            description=(
                "A Task that has ended, to run its Job again, with its parameters where this one gives no others. All "
                "else (queue, priority, timeouts, …) this one says itself. Exactly one of jobTemplate, templateRef "
                "and retryOf. Immutable."
            )
        ),
    ] = None
    parameters: Parameters = None
    suspend: Annotated[
        bool, Field(description="Hold the Task: no attempt starts while true. A running attempt goes on.")
    ] = False
    not_before_time: Annotated[
        GivenTime | None,
        Field(description="Do not start before this time (RFC 3339). Unset means at once."),
    ] = None
    starting_deadline_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "End the Task as Expired when no attempt has started within so many seconds of its "
                "creation or, when later, its notBeforeTime. No limit by default."
            )
        ),
    ] = None
    deduplication: Annotated[
        Deduplication | None,
        Field(
            description="Do the same work only once at a time: one unfinished Task for each queue and key. Immutable."
        ),
    ] = None
    depends_on: Annotated[
        list[Dependency] | None,
        Field(
            min_length=1,
            max_length=MAX_DEPENDENCIES,
            description=(
                f"Wait until these Tasks have ended, at most {MAX_DEPENDENCIES}. How each ended is recorded in "
                "status.dependencies; from then on, a new Task of the same name changes nothing. Immutable."
            ),
            json_schema_extra=list_map("name"),
        ),
    ] = None
    on_dependency_failure: Annotated[
        DependencyFailure | None,
        Field(
            description=(
                "What to do when a dependency ended so that its condition can't hold any more. Cancel (the "
                "default) ends this Task at once as Cancelled; Run starts it once all dependencies have ended."
            )
        ),
    ] = None
    timeouts: Annotated[
        Timeouts | None,
        Field(
            description=(
                "Limits of one attempt. Given, it replaces the template's, and the queue's taskDefaults.timeouts, "
                "as a whole."
            )
        ),
    ] = None
    retry_policy: Annotated[
        RetryPolicy | None,
        Field(
            description=(
                "How often and when a failed Task is tried again. Given, it replaces the template's, and the "
                "queue's taskDefaults.retryPolicy, as a whole."
            )
        ),
    ] = None
    batch: Annotated[
        Batch | None,
        Field(
            description=(
                "Many items in one Task: the Job becomes an Indexed one with a pod for each item, and "
                "status.progress counts them. Immutable."
            )
        ),
    ] = None
    cancellation: Annotated[
        Cancellation | None,
        Field(description="Present, it cancels the Task; it cannot be withdrawn. The record stays."),
    ] = None
    on_success: Annotated[Hooks | None, Field(description="What follows when the Task has Succeeded.")] = None
    on_failure: Annotated[
        Hooks | None,
        Field(description="What follows when the Task has Failed for good, or Expired; nothing when it was Cancelled."),
    ] = None
    parent: Annotated[
        ParentTask | None,
        Field(
            description=(
                "Set by the operator in Tasks that a hook creates: after which Task. Its words reach every container "
                "as TASKQ_PARENT_NAME, _REASON, _EXIT_CODE and _MESSAGE."
            )
        ),
    ] = None
    ttl: Annotated[
        Ttl | None,
        Field(
            description=(
                "How long the finished Task is kept, with its Job and logs. Given, it replaces the queue's "
                "taskDefaults.ttl as a whole."
            )
        ),
    ] = None


class TaskSpec(TaskFields):
    """What the user asks for."""

    model_config = ConfigDict(json_schema_extra=rules(*FIELD_RULES, *TRANSITION_RULES))


class Attempt(Model):
    """One attempt, that is one Job."""

    number: Annotated[int, Field(ge=1, le=2**31 - 1, description="Number of the attempt, from 1.")]
    job_name: Annotated[ObjectName | None, Field(description="Its Job.")] = None
    pod_name: Annotated[ObjectName | None, Field(description="The pod that decided its outcome.")] = None
    start_time: Annotated[Time | None, Field(description="When its Job was created.")] = None
    completion_time: Annotated[Time | None, Field(description="When it ended.")] = None
    exit_code: Annotated[Int32 | None, Field(description="Exit code of the container that decided.")] = None
    reason: Annotated[Text | None, Field(description="Why it ended, as one word.")] = None
    message: Annotated[
        str | None,
        Field(max_length=RESULT_MAX_BYTES, description="Why it ended, in the container's own words."),
    ] = None


class DependencyOutcome(Model):
    """A dependency that has ended."""

    name: Annotated[ObjectName, Field(description="Its name.")]
    uid: Annotated[ObjectName, Field(description="Its uid: which Task of that name it was.")]
    phase: Annotated[Phase, Field(description="How it ended.")]


class TaskStatus(Status):
    """What became of the Task."""

    queue_name: Annotated[ObjectName | None, Field(description="The queue in use.")] = None
    phase: Annotated[
        Phase | None,
        Field(description=("Where the Task stands, for display and selectors; programs should read the conditions.")),
    ] = None
    reason: Annotated[Text | None, Field(description="Why it stands there, as one word.")] = None
    message: Annotated[
        str | None, Field(max_length=MAX_MESSAGE_LENGTH, description="Why it stands there, as a sentence.")
    ] = None
    effective_priority: Annotated[Int32 | None, Field(description="The priority in use.")] = None
    attempt: Annotated[Count | None, Field(description="Number of the latest attempt; Jobs started.")] = None
    failed_attempts: Annotated[
        Count | None, Field(description="Attempts that count against retryPolicy.maxAttempts.")
    ] = None
    ignored_attempts: Annotated[
        Count | None,
        Field(description=f"Attempts that do not count; more than {MAX_IGNORED_ATTEMPTS} fail the Task."),
    ] = None
    job_name: Annotated[ObjectName | None, Field(description="Job of the latest attempt.")] = None
    queued_time: Annotated[Time | None, Field(description="Since when the latest attempt could have started.")] = None
    start_time: Annotated[Time | None, Field(description="When the Job of the latest attempt was created.")] = None
    completion_time: Annotated[Time | None, Field(description="When the Task ended.")] = None
    next_attempt_time: Annotated[Time | None, Field(description="The earliest time of the next attempt.")] = None
    result: Annotated[
        str | None,
        Field(
            max_length=RESULT_MAX_BYTES,
            description=f"Termination message of the last attempt, at most {RESULT_MAX_BYTES} bytes.",
        ),
    ] = None
    dead_letter: Annotated[
        Literal["True"] | None,
        Field(
            description=(
                "True when the Task Failed in a queue that keeps dead letters (retention.deadLetterSeconds); "
                "`kubectl get tasks.taskq.dev --field-selector status.deadLetter=True` lists them."
            )
        ),
    ] = None
    retried_by: Annotated[
        ObjectName | None,
        Field(description="A Task that ran this one's Job again and Succeeded; it is a dead letter no longer."),
    ] = None
    hooks: Annotated[
        list[HookStatus] | None,
        Field(
            max_length=MAX_HOOK_TASKS + MAX_HOOK_WEBHOOKS + 1,
            description="What follows its end (onSuccess, onFailure, retryOf), and how far it is.",
            json_schema_extra=list_map("hook"),
        ),
    ] = None
    settled: Annotated[
        Literal["True"] | None,
        Field(description="True once the Task has ended, no Job of it runs and nothing is left to do."),
    ] = None
    progress: Annotated[
        Progress | None,
        Field(description="How far the latest attempt has come, when its Job has more than one item."),
    ] = None
    attempts: Annotated[
        list[Attempt] | None,
        Field(
            max_length=MAX_ATTEMPTS_KEPT,
            description=f"The latest {MAX_ATTEMPTS_KEPT} attempts that ended, oldest first.",
            json_schema_extra=list_map("number"),
        ),
    ] = None
    dependencies: Annotated[
        list[DependencyOutcome] | None,
        Field(
            max_length=MAX_DEPENDENCIES,
            description="The dependencies that have ended, and how.",
            json_schema_extra=list_map("name"),
        ),
    ] = None


class Task(Model):
    """One piece of work: waits in a TaskQueue, runs as a Job per attempt, and keeps its outcome."""

    model_config = ConfigDict(json_schema_extra=rules(*ROOT_RULES))

    spec: Annotated[TaskSpec, Field(description="What the Task runs, when, and how often it is tried.")]
    status: Annotated[TaskStatus, Field(description="What became of the Task; written by the operator.")] = TaskStatus(
        observed_generation=UNOBSERVED_GENERATION, phase=Phase.PENDING
    )
