"""Every reason that TaskQ writes, and the words that go with it: users and tests read the same constants.

A message names the field to change and, where there is one, the other suspect.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase reasons in conditions, attempts and Events."""

    # How an attempt ended
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    TIMED_OUT = "TimedOut"
    PENDING_TIMEOUT = "PendingTimeout"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    PREEMPTED = "Preempted"
    POD_DELETED = "PodDeleted"
    JOB_DELETED = "JobDeleted"
    START_ERROR = "StartError"
    UNKNOWN = "Unknown"
    # How a Task ended
    SUCCEEDED = "Succeeded"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    NON_RETRIABLE = "NonRetriable"
    TOTAL_TIMEOUT = "TotalTimeoutExceeded"
    TOO_MANY_IGNORED = "TooManyIgnoredAttempts"
    CANCELLED = "Cancelled"
    PURGED = "Purged"
    STARTING_DEADLINE_EXCEEDED = "StartingDeadlineExceeded"
    DEPENDENCY_FAILED = "DependencyFailed"
    DUPLICATE = "Duplicate"
    REPLACED = "Replaced"
    # Where a Task stands
    STARTED = "Started"
    BACKING_OFF = "BackingOff"
    WAITING = "Waiting"
    # What it waits for when nothing is wrong: the queue's figures name these, no status does
    NOT_DUE = "NotDue"
    DEPENDENCY_UNFINISHED = "DependencyUnfinished"
    KEY_HELD = "DeduplicationKeyHeld"
    QUEUE_PAUSED = "QueuePaused"
    DRY_RUN = "DryRun"
    PENDING_LIMIT = "PendingLimit"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    CONCURRENCY_KEY_LIMIT = "ConcurrencyKeyLimit"
    PARENT_LIMIT = "ParentLimit"
    CLUSTER_LIMIT = "ClusterLimit"
    RATE_LIMIT = "RateLimit"
    STARTING = "Starting"
    # What only an answer to «why» says
    HEAD_BLOCKED = "HeadBlocked"
    LAUNCHING = "Launching"
    JOB_LEAVING = "JobLeaving"
    STOPPING = "Stopping"
    DELETED = "Deleted"
    QUEUE_STARTS = "QueueStarts"
    NOTHING_READY = "NothingReady"
    KEYS_TAKEN = "KeysTaken"
    # Why it can't start
    QUEUE_NOT_FOUND = "QueueNotFound"
    PRIORITY_LEVEL_NOT_FOUND = "PriorityLevelNotFound"
    QUEUE_CLOSED = "QueueClosed"
    QUEUE_DRAINING = "QueueDraining"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    RETRY_OF_NOT_FOUND = "RetryOfNotFound"
    RETRY_OF_DIFFERS = "RetryOfDiffers"
    INVALID_TEMPLATE = "InvalidTemplate"
    INVALID_PARAMETERS = "InvalidParameters"
    JOB_REFUSED = "JobRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    JOB_NAME_TAKEN = "JobNameTaken"
    JOB_NOT_CREATED = "JobNotCreated"
    INVALID_TASK = "InvalidTask"
    DEPENDENCY_NOT_FOUND = "DependencyNotFound"
    DEPENDENCY_CYCLE = "DependencyCycle"
    # Why a started one does not run
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    UNSCHEDULABLE = "Unschedulable"
    NO_POD = "PodNotCreated"
    # What does not get on
    RUNNING_LONG = "RunningLong"
    NO_PROGRESS = "NoProgress"
    QUEUE_STUCK = "QueueStuck"
    WAITS_FOR = "WaitsFor"
    NOT_STUCK = "NoLongerStuck"
    # Queues
    INVALID_QUEUE = "InvalidQueue"
    READY = "Ready"
    PARENT_NOT_FOUND = "ParentNotFound"
    PARENT_IS_CHILD = "ParentIsChild"
    ACCEPTING = "Accepting"
    # Schedules and TaskTemplates
    SUSPENDED = "Suspended"
    TASK_REFUSED = "TaskRefused"


STALLING = frozenset(
    {
        Reason.QUEUE_NOT_FOUND,
        Reason.INVALID_QUEUE,
        Reason.PRIORITY_LEVEL_NOT_FOUND,
        Reason.TEMPLATE_NOT_FOUND,
        Reason.RETRY_OF_NOT_FOUND,
        Reason.RETRY_OF_DIFFERS,
        Reason.INVALID_TEMPLATE,
        Reason.INVALID_PARAMETERS,
        Reason.JOB_REFUSED,
        Reason.FORBIDDEN,
        Reason.JOB_NAME_TAKEN,
        Reason.INVALID_TASK,
        Reason.DEPENDENCY_CYCLE,
    }
)
"""Faults that wait for a person: they set ``Stalled`` beside ``Admitted=False``, so that GitOps tools report them."""

DUPLICATE_IN_WINDOW = "DuplicateInWindow"
"""Other words for the same reason."""

_ENDS_SHOWN = 6
_NAMES_SHOWN = 10


def enumerated(names: list[str]) -> str:
    """Names one after the other; of many, the first."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def shortened(path: tuple[str, ...]) -> str:
    """A way from name to name; of a long one, its ends."""
    if len(path) > 2 * _ENDS_SHOWN:
        path = (*path[:_ENDS_SHOWN], f"({len(path) - 2 * _ENDS_SHOWN} more)", *path[-_ENDS_SHOWN:])
    return " → ".join(path)


RESULT_GONE = "ResultGone"
"""A message of its own for InvalidParameters."""

MESSAGES: dict[str, str] = {
    Reason.SUCCEEDED: "Attempt {attempt} succeeded",
    Reason.RETRIES_EXHAUSTED: "Attempt {attempt} ended as {reason} and spec.retryPolicy.maxAttempts ({limit}) is used up: {message}",
    Reason.NON_RETRIABLE: "Attempt {attempt} ended as {reason}, which a rule of spec.retryPolicy.rules makes final: {message}",
    Reason.TOO_MANY_IGNORED: "{limit} attempts ended without fault of the Task (the last as {reason}); the node or the cluster is the likely cause: {message}",
    Reason.TOTAL_TIMEOUT: "All attempts together took longer than timeouts.totalSeconds ({limit}); the last one, {attempt}, ended as {reason}: {message}",
    Reason.CANCELLED: "Cancelled by {who}",
    Reason.PURGED: "Waited in queue {queue} when it was purged (annotation taskq.dev/purge of the TaskQueue, {time})",
    Reason.STARTING_DEADLINE_EXCEEDED: "Not started within {limit} s of {since} (spec.startingDeadlineSeconds): {cause}",
    Reason.STARTED: "Attempt {attempt} runs as Job {job}",
    Reason.BACKING_OFF: "Attempt {attempt} ended as {reason}; the next one is due at {due}",
    Reason.WAITING: "Waits in queue {queue}",
    Reason.QUEUE_NOT_FOUND: "spec.queueName: this namespace has no TaskQueue named {queue}; create it, or delete this Task and create it with another queueName",
    Reason.INVALID_QUEUE: "TaskQueue {queue} can't be read, probably it was written for another version of TaskQ; its Tasks wait until it is mended: {message}",
    Reason.QUEUE_CLOSED: "spec.queueName: queue {queue} is Closed; this Task waits until the queue's spec.state is Open",
    Reason.QUEUE_DRAINING: "spec.queueName: queue {queue} is Draining and takes no Task created from {since} on; this one waits until spec.state is Open",
    Reason.PRIORITY_LEVEL_NOT_FOUND: "spec.priorityLevel: queue {queue} has no level {level} in its spec.priorityLevels",
    Reason.PARENT_NOT_FOUND: "spec.parent.name: this namespace has no TaskQueue named {parent}; its children start nothing until there is one",
    Reason.PARENT_IS_CHILD: "spec.parent.name: {parent} has a parent itself; one level is the limit",
    Reason.TEMPLATE_NOT_FOUND: "spec.templateRef.name: this namespace has no TaskTemplate named {template}",
    Reason.INVALID_TEMPLATE: "spec.templateRef.name: TaskTemplate {template} can't be used until it is mended: {message}",
    Reason.INVALID_PARAMETERS: "{message}",
    Reason.DUPLICATE: "spec.deduplication: Task {holder} of queue {queue} has the same key ({key}) and has not ended",
    DUPLICATE_IN_WINDOW: "spec.deduplication: Task {holder} of queue {queue} with the same key ({key}) ended at {ended}, and this one was created within windowSeconds ({window}) of that",
    Reason.REPLACED: "spec.deduplication: Task {holder} of queue {queue} has the same key ({key}), is newer and takes the place of this one (its deduplication.mode is Replace)",
    Reason.KEY_HELD: "spec.deduplication: waits until {what}, which may have the same key ({key})",
    RESULT_GONE: "spec.parameters: Task {task}, whose result is needed (valueFrom.taskResult), has been deleted since it ended; give the parameter a value instead",
    Reason.DEPENDENCY_FAILED: "spec.dependsOn: Task {name} ended as {phase}, and this one waited for it to end as {condition} (spec.onDependencyFailure: Run would start it anyway)",
    Reason.DEPENDENCY_UNFINISHED: "spec.dependsOn: waits until {names}",
    Reason.DEPENDENCY_NOT_FOUND: "spec.dependsOn: this namespace has no Task named {names}; this one waits until there is (not created yet, deleted before it ended, or misspelt)",
    Reason.DEPENDENCY_CYCLE: "spec.dependsOn: these Tasks wait for each other: {path}; delete one of them and create it anew without that dependency",
    Reason.RETRY_OF_NOT_FOUND: "spec.retryOf.name: this namespace has no Task {original} that has ended (it may have been cleaned up, see its queue's retention.deadLetterSeconds); create this Task anew with jobTemplate or templateRef",
    Reason.RETRY_OF_DIFFERS: "spec.batch: Task {original} has another batch; create the retry anew with the same spec.batch",
    Reason.JOB_REFUSED: "{field}: the Job is refused: {message}",
    Reason.QUOTA_EXCEEDED: "The Job is refused by a ResourceQuota of this namespace and is tried again: {message}",
    Reason.FORBIDDEN: "The Job is refused, by an admission policy or by missing rights of the operator, and is tried again: {message}",
    Reason.JOB_NAME_TAKEN: "A Job named {job} exists and does not belong to this Task; delete it or rename it",
    Reason.JOB_NOT_CREATED: "The API server could not create the Job within {limit} s (the operator's --create-timeout-seconds), and it is tried again, in its place in the queue; an admission webhook that is slow or away, or a template with very many containers, is the likely cause: {message}",
    Reason.INVALID_TASK: "The Task can't be read, probably it was written for another version of TaskQ: {message}",
    Reason.IMAGE_PULL_FAILED: "spec.jobTemplate: the image can't be pulled (name, tag, or pull secret): {message}",
    Reason.CONTAINER_CONFIG_ERROR: "spec.jobTemplate: the container can't be made (a missing Secret, ConfigMap, key or command): {message}",
    Reason.NO_POD: "The Job controller has made no pod within {limit} s: a ResourceQuota on pods, an admission policy, or the controller itself is the likely cause; `kubectl describe job {job}` tells",
    Reason.RUNNING_LONG: "Attempt {attempt} has not ended within {limit} s (spec.alerts.stuckSeconds of queue {queue}); `kubectl logs job/{job}` may tell why, and timeouts.hardSeconds would end it",
    Reason.NO_PROGRESS: "No item of attempt {attempt} has ended for {limit} s (spec.alerts.stuckSeconds of queue {queue}); `kubectl describe job {job}` may tell why, and timeouts.hardSeconds would end an item",
    Reason.QUEUE_STUCK: "Tasks wait, and for {limit} s (spec.alerts.stuckSeconds) none has run or started: {why}",
    Reason.WAITS_FOR: "most of them wait for {reason}; their own conditions tell more",
    Reason.NOT_STUCK: "It gets on again, or has ended",
    Reason.UNSCHEDULABLE: "spec.jobTemplate: no node takes the pod (resources, selectors or taints): {message}",
    Reason.SUSPENDED: "spec.suspend is true: it waits until that is false",
    Reason.NOT_DUE: "spec.notBeforeTime: not due before {due}",
    Reason.QUEUE_PAUSED: "Queue {queue} is Paused and starts nothing until its spec.state is Open",
    Reason.DRY_RUN: "Queue {queue} is in DryRun: it orders its Tasks and starts none until its spec.state is Open",
    Reason.PENDING_LIMIT: "Queue {queue} orders only its oldest {limit} waiting Tasks (spec.maxPending), and this is none of them, whatever its priority",
    Reason.CONCURRENCY_LIMIT: "Queue {queue} runs {running} of {limit} (spec.maxConcurrency){holders}",
    Reason.CONCURRENCY_KEY_LIMIT: "Of the Tasks with {key}, {running} of {limit} run (spec.maxConcurrencyPerKey of queue {queue}){holders}",
    Reason.PARENT_LIMIT: "Queue {queue} shares the room of its parent: {parent} and its children run {running} of {limit} (spec.maxConcurrency of {parent}){holders}",
    Reason.CLUSTER_LIMIT: "In all namespaces together {running} of {limit} run (the operator's --cluster-max-concurrency)",
    Reason.RATE_LIMIT: "Queue {queue} has made its {limit} starts within {period} s (spec.rateLimit); the next is allowed at {time}",
    Reason.HEAD_BLOCKED: "Queue {queue} is Strict (spec.queueingStrategy): nothing overtakes its first Task, {head}, which can't start: {why}",
    Reason.LAUNCHING: "Its Job is being created",
    Reason.JOB_LEAVING: "Its Job is gone; the attempt ends once none of its pods is alive",
    Reason.STOPPING: "Job {job} is being stopped ({reason}); the attempt ends once none of its pods is alive",
    Reason.DELETED: "It was deleted",
    Reason.QUEUE_STARTS: "Nothing holds it: it starts Tasks as fast as the operator can ask for their Jobs",
    Reason.KEYS_TAKEN: "All {count} Tasks that are ready wait for one with the same label value to end (spec.maxConcurrencyPerKey)",
    Reason.NOTHING_READY: "No Task of this queue is ready to start",
    Reason.STARTING: "Nothing holds it: its turn comes as soon as the operator has asked for the Jobs before it",
    Reason.TASK_REFUSED: "spec.taskTemplate: the API server refuses the Task: {message}",
}

ATTEMPT_MESSAGES: dict[str, str] = {
    Reason.PENDING_TIMEOUT: "No container started within {limit} s of the Job's creation (timeouts.pendingSeconds){cause}",
    Reason.TIMED_OUT: "Ran longer than allowed ({limits})",
    Reason.POD_DELETED: "The pod was deleted from outside",
    Reason.JOB_DELETED: "The Job was deleted from outside",
    Reason.EVICTED: "The pod was evicted: {cause}",
    Reason.NODE_LOST: "The node was lost: {cause}",
    Reason.PREEMPTED: "The pod was preempted: {cause}",
}


def message(key: str, /, **facts: object) -> str:
    """The sentence for a reason, filled with facts; each is cut to 1,024 characters, whoever chose it."""
    filled = {name: str(value)[:1024] for name, value in facts.items()}
    return MESSAGES[key].format(**filled)
