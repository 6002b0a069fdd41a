"""Names, limits and defaults of the API, and the words that its enums allow.

A limit or a default is written here once. The models put it into the CRDs, so that the API server applies
it, and the domain imports it for what the API server cannot fill in (a value that is unset in a Task and in
its queue alike).
"""

from enum import StrEnum

GROUP = "taskq.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "taskq"

LABEL_QUEUE = f"{GROUP}/queue"
LABEL_TASK = f"{GROUP}/task"
LABEL_SCHEDULE = f"{GROUP}/schedule"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_PARENT = f"{GROUP}/parent"
"""On a Task that a hook created: the name of the Task whose end it followed."""

RUN_NOW_ANNOTATION = f"{GROUP}/run-now"
"""On a Schedule: any new value asks for one run now."""
PURGE_ANNOTATION = f"{GROUP}/purge"
CANCEL_ALL_ANNOTATION = f"{GROUP}/cancel-all"
"""On a TaskQueue: any new value cancels once what waits, or all that is unfinished."""
BACKFILL_ANNOTATION = f"{GROUP}/backfill"
"""On a Schedule: FROM/TO, an interval in the past whose ticks shall run."""

SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
INTEGER_PATTERN = r"^-?(0|[1-9][0-9]{0,17})$"
"""What every reader of JSON in 64 bits takes."""
NUMBER_PATTERN = r"^-?(0|[1-9][0-9]{0,17})([.][0-9]{1,18})?([eE][+-]?[0-9]{1,2})?$"
"""A number as JSON writes it, within the range of a double."""

DEFAULT_QUEUE = "default"
DEFAULT_MAX_CONCURRENCY = 10
DEFAULT_PRIORITY = 0
DEFAULT_MAX_ATTEMPTS = 1
DEFAULT_TTL_SECONDS = 86_400
DEFAULT_STUCK_SECONDS = 1_800
DEFAULT_FAILURE_RATIO = 0.1
"""These two stand in the alert rules, for queues that do not say."""
BACKOFF_BASE_SECONDS = 10
BACKOFF_MAX_SECONDS = 600
JITTER_PERCENT = 10

PRIORITY_MIN = -1_000_000
PRIORITY_MAX = 1_000_000
MAX_CONCURRENCY_LIMIT = 100_000
"""More Jobs than this no cluster runs; the bound keeps a typo from being taken at its word."""
MAX_SECONDS = 315_360_000
"""Ten years: the bound of every duration, far inside the int32 of a pod's activeDeadlineSeconds."""
MAX_BACKOFF_SECONDS = 604_800
MAX_ATTEMPTS_LIMIT = 1_000
MAX_RETRY_RULES = 20
MAX_PRIORITY_LEVELS = 32
MIN_AGING_SECONDS = 10
"""Each step of aging gives every waiting Task a new place: more often than this is work for nothing."""
MAX_PENDING_LIMIT = 1_000_000
MAX_RATE = 100_000
MAX_KEPT = 1_000_000
MAX_EXIT_CODES = 64
DEFAULT_BATCH_PARALLELISM = 1
MAX_BATCH_COMPLETIONS = 10_000
"""Every item is a pod, which stays as long as its Job: more of them belong into several Tasks."""
MAX_BATCH_PARALLELISM = 1_000
"""One place of a queue should not hold more than a small cluster does."""
MAX_RETRIES_PER_INDEX = 100
MAX_INDEXES_LENGTH = 1_024
"""Characters of a list of indexes that are kept."""
MAX_DEDUPLICATION_KEY = 253
"""Long enough for a name, a path or a digest; it is kept for every Task and stands in messages."""
MAX_DEPENDENCIES = 50
"""Of one Task; a Task that gathers more than these can wait for others that gather them."""
MIN_HARD_SECONDS = 2
"""A pod's deadline is whole seconds and at least one, and the grace after it is at least one more."""

MAX_NAME_LENGTH = 63
"""Names of queues and Tasks become label values, which end at 63 characters."""
MAX_SCHEDULE_NAME_LENGTH = 52
"""A Schedule's Tasks are named `<schedule>-<unix seconds>`: 63 less eleven."""
MAX_OBJECT_NAME_LENGTH = 253
MAX_TEXT_LENGTH = 1_024
MAX_MESSAGE_LENGTH = 32_768
MAX_LABELS = 64
MAX_CONDITIONS = 16

MAX_ATTEMPTS_KEPT = 10
MAX_IGNORED_ATTEMPTS = 20
RESULT_MAX_BYTES = 4_096
"""What the kubelet keeps of a termination message."""
# Parameters
MAX_PARAMETERS = 64
MAX_VALUE_LENGTH = 4_096
"""As long as a result, which may become a value."""
MAX_PATTERN_LENGTH = 256
"""With a default of at most four times as much, the API server can still afford to match one with the other."""
MAX_DEFAULT_LENGTH = 1_024
MAX_CHOICES = 64
MAX_CHOICE_LENGTH = 256
MAX_PARAMETERS_BYTES = 131_072
"""They become one annotation of a pod, of which all together may have 256 KiB."""
PARAMETER_ENV_PREFIX = "TASKQ_PARAM_"
PARAMETERS_FILE = "/etc/taskq/params.json"
PARAMETERS_ANNOTATION = f"{GROUP}/parameters"
"""On a pod: the values that its file of parameters holds."""
# Hooks
MAX_HOOK_TASKS = 10
MAX_HOOK_WEBHOOKS = 5
MAX_HOOK_TRIES = 5
MAX_RETRY_CHAIN = 5
"""Retries of retries that are followed to the Job that they run."""
MAX_CHAIN_DEPTH = 20
"""Tasks that create each other when they end: a mistake in two templates must not go on for ever."""
# Schedules
MAX_SCHEDULES = 16
"""Cron expressions in one Schedule: each costs a look at every tick."""
MAX_DAILY_TIMES = 96
"""One for each quarter of an hour; who needs more has an interval."""
MAX_EXPRESSION_LENGTH = 512
"""Longer than every minute and every second written out one by one."""
MAX_ZONE_LENGTH = 64
MAX_CATCH_UP_RUNS = 100
DEFAULT_CATCH_UP_RUNS = 10
DEFAULT_LOOKAHEAD_SECONDS = 7_200
MAX_LOOKAHEAD_SECONDS = 2_678_400
"""31 days: what is counted at every tick must stay cheap."""
MAX_JITTER_SECONDS = 86_400
MAX_HISTORY = 100
MAX_FAILURES = 1_000
DEFAULT_TIME_ZONE = "Etc/UTC"
MAX_UPCOMING = 20
MAX_LEDGER = 20
MAX_UNFINISHED = 100
"""Unfinished runs of one Schedule under ``Allow``: with a hundred of them, another one mends nothing, and etcd is
spared a Schedule that fires every second Tasks that never end."""
MAX_QUEUED = 100
"""Runs that wait for their turn: those of ``Queue``, of catching up, and of a backfill."""
MAX_TOKEN_LENGTH = 128
DEFAULT_SUCCESSFUL_HISTORY = 3
DEFAULT_FAILED_HISTORY = 1

UNOBSERVED_GENERATION = -1
"""Written as the default, so that a brand-new object counts as in progress and not as ready (kstatus)."""


class Phase(StrEnum):
    """Where a Task stands, for display and selectors; conditions are the API."""

    PENDING = "Pending"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"


PHASES = tuple(Phase)
TERMINAL_PHASES = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED)


class AttemptReason(StrEnum):
    """Why an attempt ended without success; what `retryPolicy.rules[].reasons` may name."""

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


ATTEMPT_REASONS = tuple(AttemptReason)


class RuleAction(StrEnum):
    """What a retry rule does with an attempt that it matches."""

    RETRY = "Retry"
    FAIL = "Fail"
    IGNORE = "Ignore"


class BackoffType(StrEnum):
    """How the wait before the next attempt grows with the number of failed ones."""

    EXPONENTIAL = "Exponential"
    LINEAR = "Linear"
    FIXED = "Fixed"


class ParameterType(StrEnum):
    """What the values of a parameter look like."""

    STRING = "String"
    INTEGER = "Integer"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    ENUM = "Enum"


class CancellationMode(StrEnum):
    """How far a cancellation goes."""

    IF_PENDING = "IfPending"
    GRACEFUL = "Graceful"
    IMMEDIATE = "Immediate"


class DeduplicationMode(StrEnum):
    """Which of two waiting Tasks with one key stays."""

    REJECT = "Reject"
    REPLACE = "Replace"


class DependencyCondition(StrEnum):
    """How a dependency must end."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    FINISHED = "Finished"


class DependencyFailure(StrEnum):
    """What becomes of a Task when a dependency did not end as asked."""

    CANCEL = "Cancel"
    RUN = "Run"


class QueueState(StrEnum):
    """What a TaskQueue does with its Tasks."""

    OPEN = "Open"
    PAUSED = "Paused"
    DRAINING = "Draining"
    CLOSED = "Closed"
    DRY_RUN = "DryRun"


class Ordering(StrEnum):
    """Which of the two facts that order a queue comes first."""

    PRIORITY_THEN_TIME = "PriorityThenTime"
    TIME_THEN_PRIORITY = "TimeThenPriority"


class QueueingStrategy(StrEnum):
    """Whether a Task that can't start may be overtaken."""

    BEST_EFFORT = "BestEffort"
    STRICT = "Strict"


class PriorityOrder(StrEnum):
    """Which end of the priorities goes first."""

    HIGHEST_FIRST = "HighestFirst"
    LOWEST_FIRST = "LowestFirst"


class HookKind(StrEnum):
    """What a hook does."""

    TASK = "Task"
    WEBHOOK = "Webhook"
    DEAD_LETTER = "DeadLetter"


class HookState(StrEnum):
    """How far a hook is."""

    PENDING = "Pending"
    DONE = "Done"
    FAILED = "Failed"


class Concurrency(StrEnum):
    """What a run does when another one of the same Schedule is unfinished."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"
    QUEUE = "Queue"


class MissedRuns(StrEnum):
    """What becomes of ticks at which no operator was there to act."""

    SKIP = "Skip"
    RUN_ONCE = "RunOnce"
    RUN_ALL = "RunAll"


class DstGap(StrEnum):
    """What becomes of a time of day that a change of clocks leaves out."""

    RUN_AFTER = "RunAfter"
    SKIP = "Skip"


class DstOverlap(StrEnum):
    """What becomes of a time of day that a change of clocks shows twice."""

    ONCE = "Once"
    TWICE = "Twice"


class OnSuspend(StrEnum):
    """What a suspension does to what has not started."""

    DROP_PENDING = "DropPending"
    KEEP = "Keep"


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


STOP_REASON_ANNOTATION = f"{GROUP}/stop-reason"
"""On a Job that the operator suspends: why. It survives a crash between the stop and the status write."""

DEDUPLICATION_ANNOTATION = f"{GROUP}/deduplication-key"
"""On a Job: the key of its Task, which may be deleted while its Job still ends."""

FAIR_SHARE_ANNOTATION = f"{GROUP}/fair-share"
CONCURRENCY_ANNOTATION = f"{GROUP}/concurrency-key"
"""On a Job: the label (key=value) by which its Task took turns, and the one that bounds how many run at once."""
