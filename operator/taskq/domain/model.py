"""The facts that decisions read: the few fields of each object that matter, decoded straight from the API's JSON.

Tasks, Jobs and Pods come by the ten thousand. A struct that leaves out what no decision needs costs a tenth of the
memory of a parsed document, and ``gc=False`` keeps the garbage collector from walking it.

Times are aware datetimes, as the API gives them; :func:`seconds` turns one into epoch seconds, the unit of every
calculation. Durations are seconds. Field names follow the API (camelCase there, snake_case here).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from taskq.domain.containers import ContainerStatus
from taskq.domain.facts import Facts as _Facts
from taskq.domain.facts import Value as _Value
from taskq.domain.following import Hooks, HookStatus, ParentTask, RetryOf, TemplateRef
from taskq.domain.items import Batch, Progress
from taskq.domain.parameters import Parameter
from taskq.domain.queue_facts import ManagedFields, QueueRequest, Totals
from taskq.domain.ties import Deduplication, Dependency, DependencyOutcome
from taskq.resources.common import (
    BACKOFF_BASE_SECONDS,
    BACKOFF_MAX_SECONDS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_QUEUE,
    JITTER_PERCENT,
)

Phase = Literal["Pending", "Running", "Retrying", "Succeeded", "Failed", "Cancelled", "Expired"]
JOB_LABEL = "batch.kubernetes.io/job-name"
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
"""What the Job controller writes on a pod; the second one on those of an Indexed Job only."""

TERMINAL_PHASES = frozenset({"Succeeded", "Failed", "Cancelled", "Expired"})


class Key(NamedTuple):
    """The name of an object, or of a queue, within the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl's users do."""
        return f"{self.namespace}/{self.name}"


class Lane(NamedTuple):
    """What a Task shares with others of its queue: the value it takes turns by, and the one that bounds how many run.

    Each is ``label key=label value``, so that a queue's label keys can be changed while Jobs run; empty means none.
    """

    fair: str = ""
    key: str = ""


NO_LANE = Lane()


def seconds(time: datetime) -> float:
    """Epoch seconds of a time."""
    return time.timestamp()


def stamp(now: float) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes times."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_stamp(now: float) -> str:
    """RFC 3339 in milliseconds, for a time that spreads a burst: whole seconds would gather it again."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class OwnerReference(_Facts):
    """Who an object belongs to."""

    uid: str = ""
    kind: str = ""
    name: str = ""
    controller: bool = False


class SlimMetadata(_Facts):
    """Metadata of a Task: no owners and no annotations, since no decision about a Task reads them."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    generation: int = 0
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return Key(self.namespace, self.name)

    @property
    def version(self) -> int:
        """The resourceVersion as a number: larger is newer within one resource."""
        return int(self.resource_version)

    @property
    def created(self) -> float:
        """Creation time in epoch seconds."""
        return seconds(self.creation_timestamp)


class Metadata(SlimMetadata):
    """The part of ObjectMeta that decisions read of everything else."""

    deletion_grace_period_seconds: int | None = None
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def controller_uid(self) -> str:
        """The uid of the controlling owner, or an empty string."""
        return next((owner.uid for owner in self.owner_references if owner.controller), "")


class Condition(_Facts):
    """One condition as it stands in a status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int = 0


# --- Task ---------------------------------------------------------------------------------------------------------


class Timeouts(_Value, frozen=True):
    """Limits of one attempt, in seconds."""

    soft_seconds: int | None = None
    hard_seconds: int | None = None
    pending_seconds: int | None = None
    total_seconds: int | None = None


class Backoff(_Value, frozen=True):
    """How long to wait before the next attempt."""

    type: Literal["Exponential", "Linear", "Fixed"] = "Exponential"
    base_seconds: int = BACKOFF_BASE_SECONDS
    max_seconds: int = BACKOFF_MAX_SECONDS
    jitter_percent: int = JITTER_PERCENT


class RetryRule(_Value, frozen=True):
    """What to do with an attempt that ended so."""

    action: Literal["Retry", "Fail", "Ignore"]
    exit_codes: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


class RetryPolicy(_Value, frozen=True):
    """How often, how fast and after what an attempt is repeated."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff: Backoff = Backoff()
    priority_boost: int = 0
    rules: tuple[RetryRule, ...] = ()


class Ttl(_Value, frozen=True):
    """How long a finished Task is kept, in seconds."""

    after_success_seconds: int | None = None
    after_failure_seconds: int | None = None
    result_seconds: int | None = None


class Cancellation(_Value, frozen=True):
    """A wish to cancel; it cannot be withdrawn."""

    mode: Literal["IfPending", "Graceful", "Immediate"] = "Graceful"
    reason: str = ""


class TaskSpec(_Facts):
    """What the user asked for, but for the Job itself, which is read from the raw manifest at launch."""

    queue_name: str | None = None
    priority: int | None = None
    priority_level: str | None = None
    suspend: bool = False
    not_before_time: datetime | None = None
    starting_deadline_seconds: int | None = None
    template_ref: TemplateRef | None = None
    retry_of: RetryOf | None = None
    timeouts: Timeouts | None = None
    retry_policy: RetryPolicy | None = None
    batch: Batch | None = None
    ttl: Ttl | None = None
    cancellation: Cancellation | None = None
    deduplication: Deduplication | None = None
    depends_on: tuple[Dependency, ...] = ()
    on_dependency_failure: Literal["Cancel", "Run"] = "Cancel"
    on_success: Hooks | None = None
    on_failure: Hooks | None = None
    parent: ParentTask | None = None


class Attempt(_Facts):
    """One finished attempt."""

    number: int
    job_name: str = ""
    pod_name: str = ""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


class TaskStatus(_Facts):
    """What TaskQ wrote."""

    observed_generation: int = -1
    queue_name: str = ""
    phase: str = "Pending"
    reason: str = ""
    attempt: int = 0
    failed_attempts: int = 0
    ignored_attempts: int = 0
    start_time: datetime | None = None
    queued_time: datetime | None = None
    next_attempt_time: datetime | None = None
    completion_time: datetime | None = None
    result: str = ""
    settled: str = ""
    dead_letter: str = ""
    progress: Progress | None = None
    hooks: tuple[HookStatus, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    dependencies: tuple[DependencyOutcome, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Task(_Facts):
    """A Task as the API server last showed it."""

    metadata: SlimMetadata
    spec: TaskSpec = msgspec.field(default_factory=TaskSpec)
    status: TaskStatus = msgspec.field(default_factory=TaskStatus)
    raw: bytes = b""
    """The manifest as received, or empty when it is too large to keep: it is fetched at launch then."""
    defect: str = ""
    """Why the manifest could not be read, else empty."""

    @property
    def queue(self) -> Key:
        """The queue this Task waits in; once it has started or ended, that of its status, where a template named it."""
        name = self.spec.queue_name
        if name is None and (self.status.attempt or self.is_terminal):
            name = self.status.queue_name
        return Key(self.metadata.namespace, name or DEFAULT_QUEUE)

    @property
    def is_terminal(self) -> bool:
        """Whether its end stands in its status."""
        return self.status.phase in TERMINAL_PHASES

    @property
    def settled_attempt(self) -> int:
        """The number of the last attempt whose end stands in the status, 0 before the first."""
        return self.status.attempts[-1].number if self.status.attempts else 0

    @property
    def current_attempt(self) -> int:
        """The number of the attempt that runs or comes next."""
        return self.settled_attempt + 1

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type, if it is there."""
        return next((c for c in self.status.conditions if c.type == kind), None)


# --- TaskQueue ----------------------------------------------------------------------------------------------------


class TaskDefaults(_Value, frozen=True):
    """What applies to a Task that does not say."""

    priority: int | None = None
    starting_deadline_seconds: int | None = None
    timeouts: Timeouts | None = None
    retry_policy: RetryPolicy | None = None
    ttl: Ttl | None = None


class PriorityLevel(_Value, frozen=True):
    """A name for a priority."""

    name: str
    value: int


class PriorityAging(_Value, frozen=True):
    """How a waiting Task's priority grows."""

    period_seconds: int
    increment: int = 1
    max_increase: int | None = None


class RateLimit(_Value, frozen=True):
    """At most so many starts in any period of so many seconds."""

    max_starts: int
    period_seconds: int


class ParentRef(_Value, frozen=True):
    """The queue whose room is shared."""

    name: str


class RetentionLimits(_Value, frozen=True):
    """How many finished Tasks are kept."""

    max_succeeded: int | None = None
    max_failed: int | None = None
    dead_letter_seconds: int | None = None


class Alerts(_Value, frozen=True):
    """From when on somebody should look at a queue; ratios are 0 to 1."""

    queue_depth: int | None = None
    stuck_seconds: int | None = None
    failure_ratio: float | None = None
    utilization: float | None = None
    average_run_seconds: int | None = None


class QueueSpec(_Facts):
    """The rules of a queue."""

    max_concurrency: int = DEFAULT_MAX_CONCURRENCY
    max_pending: int | None = None
    concurrency_label_key: str | None = None
    max_concurrency_per_key: int = 1
    parent: ParentRef | None = None
    priority: int = 0
    priority_levels: tuple[PriorityLevel, ...] = ()
    priority_aging: PriorityAging | None = None
    queueing_strategy: Literal["BestEffort", "Strict"] = "BestEffort"
    fair_share_label_key: str | None = None
    rate_limit: RateLimit | None = None
    retention: RetentionLimits | None = None
    alerts: Alerts | None = None
    state: Literal["Open", "Paused", "Draining", "Closed", "DryRun"] = "Open"
    ordering: Literal["PriorityThenTime", "TimeThenPriority"] = "PriorityThenTime"
    priority_order: Literal["HighestFirst", "LowestFirst"] = "HighestFirst"
    task_defaults: TaskDefaults = TaskDefaults()


class QueueStatus(_Facts):
    """What TaskQ wrote about a queue."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    pending: int = 0
    running: int = 0
    retrying: int = 0
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    totals: Totals | None = None
    purge: QueueRequest | None = None
    cancel_all: QueueRequest | None = None
    oldest_pending_time: datetime | None = None
    last_start_time: datetime | None = None


class QueueMetadata(Metadata):
    """Metadata of a TaskQueue: a request by annotation counts from when it was written."""

    managed_fields: tuple[ManagedFields, ...] = ()

    def annotated(self, name: str) -> float | None:
        """The second in which an annotation got its value or a later one, by the API server's clock; None: unknown.

        Who repeats a value owns it as well, from later on; and an owner may have written something else since.
        """
        written = (entry.time for entry in self.managed_fields if entry.has_annotation(name))
        return min((seconds(time) for time in written if time), default=None)


class Queue(_Facts):
    """A TaskQueue."""

    metadata: QueueMetadata
    spec: QueueSpec = msgspec.field(default_factory=QueueSpec)
    status: QueueStatus = msgspec.field(default_factory=QueueStatus)
    defect: str = ""
    """Why the manifest could not be read, else empty."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type, if it is there."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def accepting_since(self) -> Condition | None:
        """The condition Accepting: its last change is what Draining counts from."""
        return self.condition("Accepting")


class TemplateStatus(_Facts):
    """What TaskQ wrote about a TaskTemplate."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()


class TemplateSpec(_Value, frozen=True):
    """What a TaskTemplate says for its Tasks, but for the Job itself, which is read from the raw manifest at launch."""

    description: str = ""
    queue_name: str | None = None
    priority: int | None = None
    timeouts: Timeouts | None = None
    retry_policy: RetryPolicy | None = None
    on_success: Hooks | None = None
    on_failure: Hooks | None = None
    parameters: tuple[Parameter, ...] = ()


class Template(_Facts):
    """A TaskTemplate."""

    metadata: Metadata
    spec: TemplateSpec = TemplateSpec()
    status: TemplateStatus = msgspec.field(default_factory=TemplateStatus)
    raw: bytes = b""
    defect: str = ""
    """Why the manifest could not be read, else empty."""


# --- Job and Pod --------------------------------------------------------------------------------------------------


class JobSpec(_Facts):
    """The only switch of a Job that TaskQ turns after creation, and what says how many items it has."""

    suspend: bool = False
    completions: int | None = None
    completion_mode: Literal["NonIndexed", "Indexed"] = "NonIndexed"


class JobStatus(_Facts):
    """Counts and conditions of a Job."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    ready: int = 0
    failed_indexes: str = ""
    """As the Job controller writes them: 1,3-5."""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()


class Job(_Facts):
    """The Job of one attempt."""

    metadata: Metadata
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)

    def is_true(self, kind: str) -> Condition | None:
        """The condition of this type if it is True."""
        return next((c for c in self.status.conditions if c.type == kind and c.status == "True"), None)

    @property
    def has_items(self) -> bool:
        """Whether it consists of pods that are counted, one for each item."""
        return self.spec.completion_mode == "Indexed" or (self.spec.completions or 1) > 1

    @property
    def finished(self) -> Condition | None:
        """Complete or Failed, which the Job controller sets only after the last pod ended.

        FailureTarget and SuccessCriteriaMet announce these while pods still terminate; they end nothing.
        """
        return self.is_true("Complete") or self.is_true("Failed")


class PodStatus(_Facts):
    """Phase, reason and containers of a pod."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(_Facts):
    """A pod of an attempt's Job."""

    metadata: Metadata
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def index(self) -> int | None:
        """Which item of an Indexed Job it works on."""
        given = self.metadata.labels.get(INDEX_LABEL, "")
        return int(given) if given.isdecimal() else None

    @property
    def alive(self) -> bool:
        """Whether a container of it may still run."""
        return self.status.phase not in ("Succeeded", "Failed")
