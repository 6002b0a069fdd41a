"""The CRDs on a real API server: what it accepts, what it fills in, and what it refuses with which words."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes

Manifest = dict[str, Any]

GROUP, VERSION = "taskq.dev", "v1alpha1"
GONE = object()
"""As a change: the field is taken away."""
TERMINAL = ("Succeeded", "Failed", "Cancelled", "Expired")
NOW = "2026-01-02T03:04:05Z"

CONTAINER = {"name": "main", "image": "busybox", "command": ["true"]}
JOB_TEMPLATE = {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}
BASES: dict[str, Manifest] = {
    "Task": {"spec": {"jobTemplate": JOB_TEMPLATE}},
    "TaskQueue": {"spec": {}},
    "Schedule": {"spec": {"everySeconds": 60, "taskTemplate": {"spec": {"jobTemplate": JOB_TEMPLATE}}}},
    "TaskTemplate": {"spec": {"jobTemplate": JOB_TEMPLATE}},
}
POD = "spec.jobTemplate.spec.template.spec"
SCHEDULED = "spec.taskTemplate.spec"


class Case(NamedTuple):
    """A change to the smallest valid object of a kind, and what the API server makes of it."""

    id: str
    kind: str
    change: Mapping[str, Any]
    field: str
    """The path that a refusal must name."""
    says: str
    """A regular expression for the rest of its message."""
    given: Mapping[str, Any]
    """For a change to an existing object: what that object has beyond the smallest."""


def refused(
    id_: str, kind: str, change: Mapping[str, Any], field: str, says: str, given: Mapping[str, Any] | None = None
) -> Case:
    """An object that must not come into being; or, with `given`, a change to it that must not."""
    return Case(id_, kind, change, field, says, given or {})


# --- What is refused ------------------------------------------------------------------------------------

AT_LEAST = "should be greater than or equal to {}"
AT_MOST = "should be less than or equal to {}"
REQUIRED = "Required value"
TOO_LONG = "may not be more than {} bytes"

OF_A_TASK = (
    refused("task-name-too-long", "Task", {"metadata.name": "n" * 64}, "metadata.name", "at most 63 characters"),
    refused("task-without-spec", "Task", {"spec": GONE}, "spec", REQUIRED),
    refused("task-spec-unknown-field", "Task", {"spec.prioritty": 1}, "spec.prioritty", "unknown field"),
    refused("queue-name-uppercase", "Task", {"spec.queueName": "Mail"}, "spec.queueName", "should match"),
    refused("queue-name-empty", "Task", {"spec.queueName": ""}, "spec.queueName", "at least 1 chars|should match"),
    refused("queue-name-too-long", "Task", {"spec.queueName": "q" * 64}, "spec.queueName", TOO_LONG.format(63)),
    refused("queue-name-number", "Task", {"spec.queueName": 7}, "spec.queueName", "must be of type string"),
    refused("priority-too-low", "Task", {"spec.priority": -1_000_001}, "spec.priority", AT_LEAST.format(-1_000_000)),
    refused("priority-too-high", "Task", {"spec.priority": 1_000_001}, "spec.priority", AT_MOST.format(1_000_000)),
    refused("priority-word", "Task", {"spec.priority": "high"}, "spec.priority", "must be of type integer"),
    refused("priority-fraction", "Task", {"spec.priority": 1.5}, "spec.priority", "must be of type integer"),
    refused("suspend-word", "Task", {"spec.suspend": "yes"}, "spec.suspend", "must be of type boolean"),
    refused("no-job", "Task", {"spec.jobTemplate": GONE}, "spec", "exactly one of jobTemplate, templateRef"),
    refused("two-jobs", "Task", {"spec.templateRef": {"name": "t"}}, "spec", "exactly one of jobTemplate, templateRef"),
    refused(
        "template-ref-without-name",
        "Task",
        {"spec.jobTemplate": GONE, "spec.templateRef": {}},
        "spec.templateRef.name",
        REQUIRED,
    ),
    refused(
        "template-ref-name-with-slash",
        "Task",
        {"spec.jobTemplate": GONE, "spec.templateRef": {"name": "other/train"}},
        "spec.templateRef.name",
        "should match",
    ),
    refused(
        "template-ref-namespace",
        "Task",
        {"spec.jobTemplate": GONE, "spec.templateRef": {"name": "t", "namespace": "other"}},
        "spec.templateRef.namespace",
        "unknown field",
    ),
)
OF_DEDUPLICATION = (
    refused("deduplication-without-key", "Task", {"spec.deduplication": {}}, "spec.deduplication.key", REQUIRED),
    refused(
        "deduplication-key-empty", "Task", {"spec.deduplication": {"key": ""}}, "spec.deduplication.key", "at least 1"
    ),
    refused(
        "deduplication-key-spaces",
        "Task",
        {"spec.deduplication": {"key": " a"}},
        "spec.deduplication.key",
        "should match",
    ),
    refused(
        "deduplication-key-too-long",
        "Task",
        {"spec.deduplication": {"key": "k" * 254}},
        "spec.deduplication.key",
        TOO_LONG.format(253),
    ),
    refused(
        "deduplication-window-zero",
        "Task",
        {"spec.deduplication": {"key": "k", "windowSeconds": 0}},
        "spec.deduplication.windowSeconds",
        AT_LEAST.format(1),
    ),
    refused(
        "deduplication-mode-word",
        "Task",
        {"spec.deduplication": {"key": "k", "mode": "Drop"}},
        "spec.deduplication.mode",
        "Unsupported value",
    ),
)
OF_DEPENDENCIES = (
    refused("depends-on-nothing", "Task", {"spec.dependsOn": []}, "spec.dependsOn", "at least 1 items"),
    refused(
        "depends-on-too-many",
        "Task",
        {"spec.dependsOn": [{"name": f"n{number}"} for number in range(51)]},
        "spec.dependsOn",
        "at most 50 items",
    ),
    refused("depends-on-no-name", "Task", {"spec.dependsOn": [{}]}, "spec.dependsOn[0].name", REQUIRED),
    refused(
        "depends-on-other-namespace",
        "Task",
        {"spec.dependsOn": [{"name": "other/one"}]},
        "spec.dependsOn[0].name",
        "should match",
    ),
    refused("depends-on-itself", "Task", {"spec.dependsOn": [{"name": "wrong"}]}, "spec.dependsOn", "wait for itself"),
    refused(
        "depends-on-twice",
        "Task",
        {"spec.dependsOn": [{"name": "n"}, {"name": "n", "condition": "Failed"}]},
        "spec.dependsOn[1]",
        "Duplicate value",
    ),
    refused(
        "dependency-condition-word",
        "Task",
        {"spec.dependsOn": [{"name": "n", "condition": "Done"}]},
        "spec.dependsOn[0].condition",
        "Unsupported value",
    ),
    refused(
        "dependency-failure-word",
        "Task",
        {"spec.dependsOn": [{"name": "n"}], "spec.onDependencyFailure": "Ignore"},
        "spec.onDependencyFailure",
        "Unsupported value",
    ),
    refused(
        "dependency-failure-without-dependencies",
        "Task",
        {"spec.onDependencyFailure": "Run"},
        "spec.onDependencyFailure",
        "means nothing without dependsOn",
    ),
)
OF_TIMES = (
    refused("not-before-word", "Task", {"spec.notBeforeTime": "tomorrow"}, "spec.notBeforeTime", "should match"),
    refused(
        "not-before-without-zone",
        "Task",
        {"spec.notBeforeTime": "2026-01-02T03:04:05"},
        "spec.notBeforeTime",
        "should match",
    ),
    refused(
        "not-before-impossible-offset",
        "Task",
        {"spec.notBeforeTime": "2026-01-02T03:04:05+99:99"},
        "spec.notBeforeTime",
        "should match",
    ),
    refused(
        "not-before-trailing-words",
        "Task",
        {"spec.notBeforeTime": "2026-01-02T03:04:05Zthen"},
        "spec.notBeforeTime",
        "should match",
    ),
    refused(
        "not-before-impossible-day",
        "Task",
        {"spec.notBeforeTime": "2026-02-30T03:04:05Z"},
        "spec.notBeforeTime",
        "must be of type date-time",
    ),
    refused(
        "not-before-long-ago",
        "Task",
        {"spec.notBeforeTime": "0000-01-01T00:00:00Z"},
        "spec.notBeforeTime",
        "must lie in the years 2000 to 2999|date-time",
    ),
    refused(
        "not-before-end-of-time",
        "Task",
        {"spec.notBeforeTime": "9999-12-31T23:59:59-23:59"},
        "spec.notBeforeTime",
        "must lie in the years 2000 to 2999|date-time",
    ),
    refused(
        "starting-deadline-zero",
        "Task",
        {"spec.startingDeadlineSeconds": 0},
        "spec.startingDeadlineSeconds",
        AT_LEAST.format(1),
    ),
    refused(
        "starting-deadline-too-long",
        "Task",
        {"spec.startingDeadlineSeconds": 315_360_001},
        "spec.startingDeadlineSeconds",
        AT_MOST.format(315_360_000),
    ),
    refused(
        "timeouts-unknown-field", "Task", {"spec.timeouts": {"seconds": 9}}, "spec.timeouts.seconds", "unknown field"
    ),
    refused(
        "soft-zero", "Task", {"spec.timeouts": {"softSeconds": 0}}, "spec.timeouts.softSeconds", AT_LEAST.format(1)
    ),
    refused(
        "soft-with-unit",
        "Task",
        {"spec.timeouts": {"softSeconds": "30s"}},
        "spec.timeouts.softSeconds",
        "must be of type integer",
    ),
    refused("hard-one", "Task", {"spec.timeouts": {"hardSeconds": 1}}, "spec.timeouts.hardSeconds", AT_LEAST.format(2)),
    refused(
        "hard-not-above-soft",
        "Task",
        {"spec.timeouts": {"softSeconds": 30, "hardSeconds": 30}},
        "spec.timeouts.hardSeconds",
        "hardSeconds must be greater than softSeconds",
    ),
    refused(
        "pending-zero",
        "Task",
        {"spec.timeouts": {"pendingSeconds": 0}},
        "spec.timeouts.pendingSeconds",
        AT_LEAST.format(1),
    ),
    refused("ttl-unknown-field", "Task", {"spec.ttl": {"afterSeconds": 1}}, "spec.ttl.afterSeconds", "unknown field"),
    refused(
        "ttl-success-negative",
        "Task",
        {"spec.ttl": {"afterSuccessSeconds": -1}},
        "spec.ttl.afterSuccessSeconds",
        AT_LEAST.format(0),
    ),
    refused(
        "ttl-failure-negative",
        "Task",
        {"spec.ttl": {"afterFailureSeconds": -1}},
        "spec.ttl.afterFailureSeconds",
        AT_LEAST.format(0),
    ),
)


def retrying(id_: str, policy: Mapping[str, Any], field: str, says: str) -> Case:
    """A Task with a retryPolicy that must not come into being."""
    return refused(id_, "Task", {"spec.retryPolicy": policy}, f"spec.retryPolicy{field}", says)


OF_RETRIES = (
    retrying("retry-unknown-field", {"retries": 3}, ".retries", "unknown field"),
    retrying("max-attempts-zero", {"maxAttempts": 0}, ".maxAttempts", AT_LEAST.format(1)),
    retrying("max-attempts-too-many", {"maxAttempts": 1001}, ".maxAttempts", AT_MOST.format(1000)),
    retrying("backoff-number", {"backoff": 10}, ".backoff", "must be of type object"),
    retrying("backoff-type-unknown", {"backoff": {"type": "Random"}}, ".backoff.type", "supported values:.*Fixed"),
    retrying("backoff-base-negative", {"backoff": {"baseSeconds": -1}}, ".backoff.baseSeconds", AT_LEAST.format(0)),
    retrying(
        "backoff-max-too-long", {"backoff": {"maxSeconds": 604_801}}, ".backoff.maxSeconds", AT_MOST.format(604_800)
    ),
    retrying(
        "backoff-base-above-default-max",
        {"backoff": {"baseSeconds": 601}},
        ".backoff.maxSeconds",
        "600 unless given.*must not be less than baseSeconds",
    ),
    retrying(
        "backoff-base-above-max",
        {"backoff": {"baseSeconds": 9, "maxSeconds": 8}},
        ".backoff.maxSeconds",
        "must not be less than baseSeconds",
    ),
    retrying(
        "jitter-above-hundred", {"backoff": {"jitterPercent": 101}}, ".backoff.jitterPercent", AT_MOST.format(100)
    ),
    retrying("priority-boost-negative", {"priorityBoost": -1}, ".priorityBoost", AT_LEAST.format(0)),
    retrying(
        "rules-too-many",
        {"rules": [{"exitCodes": [1], "action": "Fail"}] * 21},
        ".rules",
        "must have at most 20 items",
    ),
    retrying("rule-matches-nothing", {"rules": [{"action": "Fail"}]}, ".rules[0]", "exactly one of exitCodes and"),
    retrying(
        "rule-matches-both",
        {"rules": [{"exitCodes": [1], "reasons": ["Error"], "action": "Fail"}]},
        ".rules[0]",
        "exactly one of exitCodes and reasons",
    ),
    retrying("rule-without-action", {"rules": [{"exitCodes": [1]}]}, ".rules[0].action", REQUIRED),
    retrying(
        "rule-action-unknown",
        {"rules": [{"exitCodes": [1], "action": "Restart"}]},
        ".rules[0].action",
        "supported values:.*Ignore",
    ),
    retrying(
        "exit-code-zero",
        {"rules": [{"exitCodes": [0], "action": "Fail"}]},
        ".rules[0].exitCodes[0]",
        AT_LEAST.format(1),
    ),
    retrying(
        "exit-code-too-high",
        {"rules": [{"exitCodes": [256], "action": "Fail"}]},
        ".rules[0].exitCodes[0]",
        AT_MOST.format(255),
    ),
    retrying(
        "exit-codes-empty",
        {"rules": [{"exitCodes": [], "action": "Fail"}]},
        ".rules[0].exitCodes",
        "should have at least 1 items",
    ),
    retrying(
        "exit-code-twice",
        {"rules": [{"exitCodes": [3, 3], "action": "Fail"}]},
        ".rules[0].exitCodes[1]",
        "Duplicate value",
    ),
    retrying(
        "reason-unknown",
        {"rules": [{"reasons": ["OutOfMemory"], "action": "Fail"}]},
        ".rules[0].reasons[0]",
        "supported values:.*OOMKilled",
    ),
    retrying(
        "reasons-empty",
        {"rules": [{"reasons": [], "action": "Fail"}]},
        ".rules[0].reasons",
        "should have at least 1 items",
    ),
)
OF_A_JOB_TEMPLATE = (
    refused("job-without-spec", "Task", {"spec.jobTemplate": {}}, "spec.jobTemplate.spec", REQUIRED),
    refused(
        "job-name", "Task", {"spec.jobTemplate.metadata": {"name": "x"}}, "spec.jobTemplate.metadata.name", "unknown"
    ),
    refused(
        "job-label-of-ours",
        "Task",
        {"spec.jobTemplate.metadata": {"labels": {"taskq.dev/task": "x"}}},
        "spec.jobTemplate.metadata.labels",
        "labels under taskq.dev/ are set by the operator",
    ),
    refused(
        "job-label-with-space",
        "Task",
        {"spec.jobTemplate.metadata": {"labels": {"team": "a b"}}},
        "spec.jobTemplate.metadata.labels.team",
        "should match",
    ),
    refused(
        "job-annotation-too-long",
        "Task",
        {"spec.jobTemplate.metadata": {"annotations": {"note": "x" * 65_537}}},
        "spec.jobTemplate.metadata.annotations.note",
        TOO_LONG.format(65_536),
    ),
    refused("job-without-template", "Task", {"spec.jobTemplate.spec": {}}, "spec.jobTemplate.spec.template", REQUIRED),
    refused(
        "job-deadline-beside-timeouts",
        "Task",
        {"spec.timeouts": {"softSeconds": 9}, "spec.jobTemplate.spec.activeDeadlineSeconds": 9},
        "spec.jobTemplate.spec.activeDeadlineSeconds",
        "must not be set beside timeouts",
    ),
    refused(
        "job-manual-selector",
        "Task",
        {"spec.jobTemplate.spec.manualSelector": True},
        "spec.jobTemplate.spec.manualSelector",
        "must not be true",
    ),
    refused(
        "job-selector",
        "Task",
        {"spec.jobTemplate.spec.selector": {"matchLabels": {"a": "b"}}},
        "spec.jobTemplate.spec.selector",
        "must not be set",
    ),
    refused(
        "job-managed-by",
        "Task",
        {"spec.jobTemplate.spec.managedBy": "example.com/other"},
        "spec.jobTemplate.spec.managedBy",
        "must not be set",
    ),
    refused(
        "job-failure-policy-word",
        "Task",
        {"spec.jobTemplate.spec.podFailurePolicy": "Ignore"},
        "spec.jobTemplate.spec.podFailurePolicy",
        "must be of type object",
    ),
    refused(
        "job-failure-rules-too-many",
        "Task",
        {"spec.jobTemplate.spec.podFailurePolicy": {"rules": [{"action": "FailJob"}] * 21}},
        "spec.jobTemplate.spec.podFailurePolicy.rules",
        "must have at most 20 items",
    ),
    refused(
        "job-failure-rule-ignore",
        "Task",
        {"spec.jobTemplate.spec.podFailurePolicy": {"rules": [{"action": "FailJob"}, {"action": "Ignore"}]}},
        "spec.jobTemplate.spec.podFailurePolicy.rules[1].action",
        "use retryPolicy.rules",
    ),
    refused("pod-without-spec", "Task", {"spec.jobTemplate.spec.template": {}}, POD, REQUIRED),
    refused("pod-restart-on-failure", "Task", {f"{POD}.restartPolicy": "OnFailure"}, f"{POD}.restartPolicy", "Never"),
    refused(
        "pod-restart-always",
        "Task",
        {f"{POD}.restartPolicy": "Always"},
        f"{POD}.restartPolicy",
        "set retryPolicy.maxAttempts",
    ),
    refused(
        "pod-deadline-beside-timeouts",
        "Task",
        {"spec.timeouts": {"hardSeconds": 9}, f"{POD}.activeDeadlineSeconds": 9},
        f"{POD}.activeDeadlineSeconds",
        "must not be set beside timeouts",
    ),
    refused(
        "pod-grace-beside-timeouts",
        "Task",
        {"spec.timeouts": {"softSeconds": 9}, f"{POD}.terminationGracePeriodSeconds": 9},
        f"{POD}.terminationGracePeriodSeconds",
        "must not be set beside timeouts",
    ),
    refused("pod-without-containers", "Task", {f"{POD}.containers": GONE}, f"{POD}.containers", REQUIRED),
    refused("pod-no-container", "Task", {f"{POD}.containers": []}, f"{POD}.containers", "should have at least 1 items"),
    refused(
        "container-without-name",
        "Task",
        {f"{POD}.containers": [{"image": "busybox"}]},
        f"{POD}.containers[0].name",
        REQUIRED,
    ),
    refused(
        "container-twice", "Task", {f"{POD}.containers": [CONTAINER, CONTAINER]}, f"{POD}.containers[1]", "Duplicate"
    ),
)
OF_A_CANCELLATION = (
    refused(
        "cancellation-unknown-field",
        "Task",
        {"spec.cancellation": {"force": True}},
        "spec.cancellation.force",
        "unknown field",
    ),
    refused(
        "cancellation-mode-unknown",
        "Task",
        {"spec.cancellation": {"mode": "Hard"}},
        "spec.cancellation.mode",
        "supported values:.*Graceful",
    ),
    refused(
        "cancellation-reason-too-long",
        "Task",
        {"spec.cancellation": {"reason": "x" * 1025}},
        "spec.cancellation.reason",
        TOO_LONG.format(1024),
    ),
)
OF_A_QUEUE = (
    refused("queue-own-name-too-long", "TaskQueue", {"metadata.name": "n" * 64}, "metadata.name", "at most 63"),
    refused("queue-spec-unknown-field", "TaskQueue", {"spec.maxWaiting": 1}, "spec.maxWaiting", "unknown field"),
    refused("max-concurrency-zero", "TaskQueue", {"spec.maxConcurrency": 0}, "spec.maxConcurrency", AT_LEAST.format(1)),
    refused(
        "max-concurrency-too-high",
        "TaskQueue",
        {"spec.maxConcurrency": 100_001},
        "spec.maxConcurrency",
        AT_MOST.format(100_000),
    ),
    refused("state-unknown", "TaskQueue", {"spec.state": "Stopped"}, "spec.state", "supported values:.*Paused"),
    refused("ordering-unknown", "TaskQueue", {"spec.ordering": "FIFO"}, "spec.ordering", "supported values"),
    refused(
        "priority-order-unknown", "TaskQueue", {"spec.priorityOrder": "Ascending"}, "spec.priorityOrder", "supported"
    ),
    refused(
        "lowest-first-without-priority",
        "TaskQueue",
        {"spec.priorityOrder": "LowestFirst"},
        "spec.taskDefaults.priority",
        "must be set with priorityOrder LowestFirst",
    ),
    refused(
        "lowest-first-with-other-defaults",
        "TaskQueue",
        {"spec.priorityOrder": "LowestFirst", "spec.taskDefaults": {"ttl": {}}},
        "spec.taskDefaults.priority",
        "must be set with priorityOrder LowestFirst",
    ),
    refused(
        "defaults-unknown-field",
        "TaskQueue",
        {"spec.taskDefaults": {"queueName": "q"}},
        "spec.taskDefaults.queueName",
        "unknown field",
    ),
    refused(
        "defaults-priority-too-high",
        "TaskQueue",
        {"spec.taskDefaults": {"priority": 1_000_001}},
        "spec.taskDefaults.priority",
        AT_MOST.format(1_000_000),
    ),
    refused(
        "defaults-starting-deadline-zero",
        "TaskQueue",
        {"spec.taskDefaults": {"startingDeadlineSeconds": 0}},
        "spec.taskDefaults.startingDeadlineSeconds",
        AT_LEAST.format(1),
    ),
    refused(
        "defaults-hard-not-above-soft",
        "TaskQueue",
        {"spec.taskDefaults": {"timeouts": {"softSeconds": 9, "hardSeconds": 8}}},
        "spec.taskDefaults.timeouts.hardSeconds",
        "must be greater than softSeconds",
    ),
    refused(
        "defaults-rule-without-action",
        "TaskQueue",
        {"spec.taskDefaults": {"retryPolicy": {"rules": [{"exitCodes": [1]}]}}},
        "spec.taskDefaults.retryPolicy.rules[0].action",
        REQUIRED,
    ),
    refused(
        "defaults-ttl-negative",
        "TaskQueue",
        {"spec.taskDefaults": {"ttl": {"afterSuccessSeconds": -1}}},
        "spec.taskDefaults.ttl.afterSuccessSeconds",
        AT_LEAST.format(0),
    ),
)
OF_A_SCHEDULE = (
    refused("schedule-name-too-long", "Schedule", {"metadata.name": "n" * 53}, "metadata.name", "at most 52"),
    refused("schedule-unknown-field", "Schedule", {"spec.schedule": "@hourly"}, "spec.schedule", "unknown field"),
    refused("no-times", "Schedule", {"spec.everySeconds": GONE}, "spec", "exactly one of schedules"),
    refused("two-kinds-of-times", "Schedule", {"spec.dailyTimes": ["03:00"]}, "spec", "exactly one of schedules"),
    refused(
        "cron-out-of-all-reason",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["0 0 1-100000000 * *"]},
        "spec.schedules[0]",
        "5 fields",
    ),
    refused(
        "cron-four-fields",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["* * * *"]},
        "spec.schedules[0]",
        "5 fields",
    ),
    refused(
        "cron-seven-fields",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["* * * * * * *"]},
        "spec.schedules[0]",
        "5 fields",
    ),
    refused(
        "cron-empty", "Schedule", {"spec.everySeconds": GONE, "spec.schedules": [""]}, "spec.schedules[0]", "5 fields"
    ),
    refused(
        "cron-zone-inside",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["TZ=UTC 0 3 * * *"]},
        "spec.schedules[0]",
        "5 fields",
    ),
    refused(
        "cron-too-long",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["0 0 * * " + "1," * 256 + "1"]},
        "spec.schedules[0]",
        TOO_LONG.format(512),
    ),
    refused(
        "no-schedules",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": []},
        "spec.schedules",
        "at least 1 items",
    ),
    refused(
        "too-many-schedules",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.schedules": ["@daily"] * 17},
        "spec.schedules",
        "at most 16 items",
    ),
    refused(
        "daily-times-no-time",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.dailyTimes": ["24:00"]},
        "spec.dailyTimes[0]",
        "should match",
    ),
    refused(
        "too-many-daily-times",
        "Schedule",
        {"spec.everySeconds": GONE, "spec.dailyTimes": ["03:00"] * 97},
        "spec.dailyTimes",
        "at most 96 items",
    ),
    refused("time-zone-no-name", "Schedule", {"spec.timeZone": "../etc/passwd"}, "spec.timeZone", "should match"),
    refused("dst-no-object", "Schedule", {"spec.dst": "Skip"}, "spec.dst", "must be of type object"),
    refused("dst-gap-word", "Schedule", {"spec.dst": {"gap": "Twice"}}, "spec.dst.gap", "Unsupported value"),
    refused(
        "dst-overlap-word", "Schedule", {"spec.dst": {"overlap": "RunAfter"}}, "spec.dst.overlap", "Unsupported value"
    ),
    refused(
        "schedule-start-no-time", "Schedule", {"spec.startTime": "tomorrow"}, "spec.startTime", "date-time|should match"
    ),
    refused(
        "schedule-end-before-start",
        "Schedule",
        {"spec.startTime": "2026-01-02T00:00:00Z", "spec.endTime": "2026-01-01T00:00:00Z"},
        "spec.endTime",
        "must be after startTime",
    ),
    refused(
        "start-delay-negative", "Schedule", {"spec.startDelaySeconds": -1}, "spec.startDelaySeconds", AT_LEAST.format(0)
    ),
    refused(
        "jitter-over-a-day", "Schedule", {"spec.jitterSeconds": 86_401}, "spec.jitterSeconds", AT_MOST.format(86_400)
    ),
    refused(
        "schedule-deadline-zero",
        "Schedule",
        {"spec.startingDeadlineSeconds": 0},
        "spec.startingDeadlineSeconds",
        AT_LEAST.format(1),
    ),
    refused(
        "missed-run-policy-word",
        "Schedule",
        {"spec.missedRunPolicy": "Run"},
        "spec.missedRunPolicy",
        "Unsupported value",
    ),
    refused("catch-up-runs-zero", "Schedule", {"spec.maxCatchUpRuns": 0}, "spec.maxCatchUpRuns", AT_LEAST.format(1)),
    refused(
        "catch-up-runs-over-limit", "Schedule", {"spec.maxCatchUpRuns": 101}, "spec.maxCatchUpRuns", AT_MOST.format(100)
    ),
    refused(
        "concurrency-policy-word",
        "Schedule",
        {"spec.concurrencyPolicy": "allow"},
        "spec.concurrencyPolicy",
        "Unsupported value",
    ),
    refused(
        "skip-if-succeeded-zero",
        "Schedule",
        {"spec.skipIfSucceededWithinSeconds": 0},
        "spec.skipIfSucceededWithinSeconds",
        AT_LEAST.format(1),
    ),
    refused("on-suspend-word", "Schedule", {"spec.onSuspend": "Drop"}, "spec.onSuspend", "Unsupported value"),
    refused(
        "suspend-after-no-failure",
        "Schedule",
        {"spec.suspendAfterConsecutiveFailures": 0},
        "spec.suspendAfterConsecutiveFailures",
        AT_LEAST.format(1),
    ),
    refused(
        "lookahead-over-a-month",
        "Schedule",
        {"spec.lookaheadSeconds": 2_678_401},
        "spec.lookaheadSeconds",
        AT_MOST.format(2_678_400),
    ),
    refused(
        "successful-history-over-limit",
        "Schedule",
        {"spec.successfulTasksHistoryLimit": 101},
        "spec.successfulTasksHistoryLimit",
        AT_MOST.format(100),
    ),
    refused(
        "failed-history-negative",
        "Schedule",
        {"spec.failedTasksHistoryLimit": -1},
        "spec.failedTasksHistoryLimit",
        AT_LEAST.format(0),
    ),
    refused("every-zero", "Schedule", {"spec.everySeconds": 0}, "spec.everySeconds", AT_LEAST.format(1)),
    refused(
        "every-too-long",
        "Schedule",
        {"spec.everySeconds": 315_360_001},
        "spec.everySeconds",
        AT_MOST.format(315_360_000),
    ),
    refused("schedule-suspend-word", "Schedule", {"spec.suspend": "yes"}, "spec.suspend", "must be of type boolean"),
    refused("schedule-without-task", "Schedule", {"spec.taskTemplate": GONE}, "spec.taskTemplate", REQUIRED),
    refused("schedule-without-task-spec", "Schedule", {"spec.taskTemplate": {}}, SCHEDULED, REQUIRED),
    refused(
        "scheduled-label-of-ours",
        "Schedule",
        {"spec.taskTemplate.metadata": {"labels": {"taskq.dev/schedule": "x"}}},
        "spec.taskTemplate.metadata.labels",
        "labels under taskq.dev/ are set by the operator",
    ),
    refused(
        "scheduled-annotation-too-long",
        "Schedule",
        {"spec.taskTemplate.metadata": {"annotations": {"note": "x" * 65_537}}},
        "spec.taskTemplate.metadata.annotations.note",
        TOO_LONG.format(65_536),
    ),
    refused(
        "scheduled-task-name",
        "Schedule",
        {"spec.taskTemplate.metadata": {"name": "x"}},
        "spec.taskTemplate.metadata.name",
        "unknown field",
    ),
    refused(
        "scheduled-no-job", "Schedule", {f"{SCHEDULED}.jobTemplate": GONE}, SCHEDULED, "exactly one of jobTemplate"
    ),
    refused(
        "scheduled-restart-on-failure",
        "Schedule",
        {f"{SCHEDULED}.jobTemplate.spec.template.spec.restartPolicy": "OnFailure"},
        f"{SCHEDULED}.jobTemplate.spec.template.spec.restartPolicy",
        "must be Never or unset",
    ),
    refused(
        "scheduled-not-before",
        "Schedule",
        {f"{SCHEDULED}.notBeforeTime": NOW},
        f"{SCHEDULED}.notBeforeTime",
        "must not be set in a Schedule",
    ),
    refused(
        "scheduled-cancellation",
        "Schedule",
        {f"{SCHEDULED}.cancellation": {}},
        f"{SCHEDULED}.cancellation",
        "must not be set in a Schedule",
    ),
)
OF_A_TEMPLATE = (
    refused("template-name-too-long", "TaskTemplate", {"metadata.name": "n" * 64}, "metadata.name", "at most 63"),
    refused("template-unknown-field", "TaskTemplate", {"spec.queue": "q"}, "spec.queue", "unknown field"),
    refused(
        "description-too-long",
        "TaskTemplate",
        {"spec.description": "x" * 1025},
        "spec.description",
        TOO_LONG.format(1024),
    ),
    refused("template-without-job", "TaskTemplate", {"spec.jobTemplate": GONE}, "spec.jobTemplate", REQUIRED),
    refused(
        "template-restart-on-failure",
        "TaskTemplate",
        {f"{POD}.restartPolicy": "OnFailure"},
        f"{POD}.restartPolicy",
        "must be Never or unset",
    ),
)
REF = {"spec.jobTemplate": GONE, "spec.templateRef": {"name": "one"}}


def _given(*parameters: Manifest) -> Mapping[str, Any]:
    """A Task that gives parameters to a template."""
    return {**REF, "spec.parameters": list(parameters)}


def _declared(*parameters: Manifest) -> Mapping[str, Any]:
    """A template that declares parameters."""
    return {"spec.parameters": list(parameters)}


FROM_SECRET = {"secretKeyRef": {"name": "database", "key": "password"}}
OF_PARAMETERS = (
    refused("parameters-without-template", "Task", {"spec.parameters": []}, "spec.parameters", "without templateRef"),
    refused(
        "parameters-too-many",
        "Task",
        _given(*({"name": f"p{n}", "value": ""} for n in range(65))),
        "spec.parameters",
        "must have at most 64 items",
    ),
    refused(
        "parameter-twice",
        "Task",
        _given({"name": "day", "value": "1"}, {"name": "day", "value": "2"}),
        "spec.parameters[1]",
        "Duplicate value",
    ),
    refused("parameter-without-name", "Task", _given({"value": "1"}), "spec.parameters[0].name", REQUIRED),
    refused("parameter-name-dot", "Task", _given({"name": "a.b", "value": ""}), "spec.parameters[0].name", "match"),
    refused(
        "parameter-number", "Task", _given({"name": "n", "value": 5}), "spec.parameters[0].value", "of type string"
    ),
    refused(
        "parameter-too-long",
        "Task",
        _given({"name": "n", "value": "x" * 4097}),
        "spec.parameters[0].value",
        TOO_LONG.format(4096),
    ),
    refused("parameter-without-value", "Task", _given({"name": "n"}), "spec.parameters[0]", "exactly one of value and"),
    refused(
        "parameter-two-values",
        "Task",
        _given({"name": "n", "value": "", "valueFrom": FROM_SECRET}),
        "spec.parameters[0]",
        "exactly one of value and valueFrom",
    ),
    refused(
        "parameter-from-nowhere",
        "Task",
        _given({"name": "n", "valueFrom": {}}),
        "spec.parameters[0].valueFrom",
        "exactly one of",
    ),
    refused(
        "parameter-from-two",
        "Task",
        _given({"name": "n", "valueFrom": {**FROM_SECRET, "configMapKeyRef": FROM_SECRET["secretKeyRef"]}}),
        "spec.parameters[0].valueFrom",
        "exactly one of",
    ),
    *(
        refused(f"{id_}-{field}", "Task", _given({"name": "n", "valueFrom": {ref: change}}), path, says)
        for id_, ref in (("secret", "secretKeyRef"), ("config-map", "configMapKeyRef"))
        for field, change, says in (
            ("without-name", {"key": "k"}, REQUIRED),
            ("elsewhere", {"name": "other/s", "key": "k"}, "should match"),
            ("without-key", {"name": "s"}, REQUIRED),
            ("key-slash", {"name": "s", "key": "a/b"}, "should match"),
        )
        for path in [f"spec.parameters[0].valueFrom.{ref}.{'key' if 'key' in field else 'name'}"]
    ),
    refused(
        "parameter-result-without-name",
        "Task",
        _given({"name": "n", "valueFrom": {"taskResult": {}}}),
        "spec.parameters[0].valueFrom.taskResult.name",
        REQUIRED,
    ),
    refused(
        "parameter-result-of-another",
        "Task",
        {
            **_given({"name": "n", "valueFrom": {"taskResult": {"name": "before"}}}),
            "spec.dependsOn": [{"name": "another"}],
        },
        "spec.parameters",
        "must name a Task in dependsOn",
    ),
    refused(
        "parameter-result-of-none",
        "Task",
        _given({"name": "n", "valueFrom": {"taskResult": {"name": "before"}}}),
        "spec.parameters",
        "must name a Task in dependsOn",
    ),
    refused(
        "scheduled-parameters-without-template",
        "Schedule",
        {f"{SCHEDULED}.parameters": []},
        f"{SCHEDULED}.parameters",
        "without templateRef",
    ),
    refused("template-queue-uppercase", "TaskTemplate", {"spec.queueName": "Mail"}, "spec.queueName", "should match"),
    refused(
        "template-priority-too-high",
        "TaskTemplate",
        {"spec.priority": 1_000_001},
        "spec.priority",
        AT_MOST.format(1_000_000),
    ),
    refused(
        "template-hard-not-above-soft",
        "TaskTemplate",
        {"spec.timeouts": {"softSeconds": 30, "hardSeconds": 30}},
        "spec.timeouts.hardSeconds",
        "must be greater than softSeconds",
    ),
    *(
        refused(
            f"template-{id_}-beside-timeouts",
            "TaskTemplate",
            {"spec.timeouts": {"softSeconds": 30}, path: 5},
            path,
            "must not be set beside timeouts",
        )
        for id_, path in (
            ("job-deadline", "spec.jobTemplate.spec.activeDeadlineSeconds"),
            ("pod-deadline", f"{POD}.activeDeadlineSeconds"),
            ("pod-grace", f"{POD}.terminationGracePeriodSeconds"),
        )
    ),
    refused(
        "template-max-attempts-zero",
        "TaskTemplate",
        {"spec.retryPolicy": {"maxAttempts": 0}},
        "spec.retryPolicy.maxAttempts",
        AT_LEAST.format(1),
    ),
    refused(
        "declared-too-many",
        "TaskTemplate",
        _declared(*({"name": f"p{n}"} for n in range(65))),
        "spec.parameters",
        "must have at most 64 items",
    ),
    refused(
        "declared-same-variable",
        "TaskTemplate",
        _declared({"name": "top-n"}, {"name": "TOP_N"}),
        "spec.parameters",
        "same environment variable",
    ),
    *(
        refused(f"declared-{id_}", "TaskTemplate", _declared({"name": "it", **what}), f"spec.parameters[0]{at}", says)
        for id_, what, at, says in (
            ("name-dot", {"name": "a.b"}, ".name", "should match"),
            ("type-unknown", {"type": "Date"}, ".type", "Unsupported value"),
            ("default-number", {"default": 5}, ".default", "must be of type string"),
            ("default-beside-required", {"default": "", "required": True}, ".default", "never be used"),
            ("default-no-whole-number", {"type": "Integer", "default": "1.5"}, ".default", "must be a whole number"),
            ("default-no-number", {"type": "Number", "default": "1,5"}, ".default", "must be a number"),
            ("default-no-boolean", {"type": "Boolean", "default": "yes"}, ".default", "must be 'true' or 'false'"),
            ("default-no-choice", {"type": "Enum", "enum": ["a"], "default": "b"}, ".default", "one of enum"),
            ("default-matches-partly", {"pattern": "[a-z]+", "default": "aB"}, ".default", "must match pattern"),
            ("default-below", {"type": "Integer", "minimum": 3, "default": "2"}, ".default", "less than minimum"),
            ("default-above", {"type": "Number", "maximum": 3, "default": "3.5"}, ".default", "greater than maximum"),
            ("required-word", {"required": "yes"}, ".required", "must be of type boolean"),
            ("pattern-broken", {"pattern": "("}, ".pattern", "RE2 syntax"),
            ("pattern-of-number", {"type": "Integer", "pattern": "1+"}, ".pattern", "only for parameters of type"),
            ("minimum-of-text", {"minimum": 1}, ".minimum", "only for parameters of type Integer and Number"),
            ("maximum-of-text", {"maximum": 1}, ".maximum", "only for parameters of type Integer and Number"),
            ("maximum-below", {"type": "Integer", "minimum": 2, "maximum": 1}, ".maximum", "less than minimum"),
            ("enum-of-text", {"enum": ["a"]}, ".enum", "only for parameters of type Enum"),
            ("enum-missing", {"type": "Enum"}, "", "needs enum"),
            ("enum-empty", {"type": "Enum", "enum": []}, ".enum", "at least 1 items"),
            ("sensitive-word", {"sensitive": "yes"}, ".sensitive", "must be of type boolean"),
            ("sensitive-number", {"type": "Integer", "sensitive": True}, ".type", "type must be String beside"),
            ("sensitive-default", {"default": "x", "sensitive": True}, ".default", "must not be set beside sensitive"),
            ("sensitive-pattern", {"pattern": "x", "sensitive": True}, ".pattern", "must not be set beside sensitive"),
        )
    ),
)
OF_SHARING = (
    refused(
        "level-beside-priority", "Task", {"spec.priority": 1, "spec.priorityLevel": "l"}, "spec.priorityLevel", "beside"
    ),
    refused("level-uppercase", "Task", {"spec.priorityLevel": "High"}, "spec.priorityLevel", "should match"),
    refused("max-pending-zero", "TaskQueue", {"spec.maxPending": 0}, "spec.maxPending", AT_LEAST.format(1)),
    refused(
        "label-key-spaces", "TaskQueue", {"spec.concurrencyLabelKey": "a b"}, "spec.concurrencyLabelKey", "should match"
    ),
    refused(
        "fair-key-slashes", "TaskQueue", {"spec.fairShareLabelKey": "a/b/c"}, "spec.fairShareLabelKey", "should match"
    ),
    refused(
        "per-key-zero",
        "TaskQueue",
        {"spec.concurrencyLabelKey": "db", "spec.maxConcurrencyPerKey": 0},
        "spec.maxConcurrencyPerKey",
        AT_LEAST.format(1),
    ),
    refused("per-key-without-key", "TaskQueue", {"spec.maxConcurrencyPerKey": 2}, "spec.concurrencyLabelKey", REQUIRED),
    refused("parent-without-name", "TaskQueue", {"spec.parent": {}}, "spec.parent.name", REQUIRED),
    refused(
        "parent-of-itself",
        "TaskQueue",
        {"metadata.name": "me", "spec.parent": {"name": "me"}},
        "spec.parent.name",
        "another queue's",
    ),
    refused(
        "queue-priority-too-high", "TaskQueue", {"spec.priority": 1_000_001}, "spec.priority", AT_MOST.format(1_000_000)
    ),
    refused(
        "levels-without-value",
        "TaskQueue",
        {"spec.priorityLevels": [{"name": "a"}]},
        "spec.priorityLevels[0].value",
        REQUIRED,
    ),
    refused(
        "levels-without-name",
        "TaskQueue",
        {"spec.priorityLevels": [{"value": 1}]},
        "spec.priorityLevels[0].name",
        REQUIRED,
    ),
    refused(
        "levels-twice",
        "TaskQueue",
        {"spec.priorityLevels": [{"name": "a", "value": 1}, {"name": "a", "value": 2}]},
        "spec.priorityLevels",
        "Duplicate value",
    ),
    refused(
        "levels-value-too-high",
        "TaskQueue",
        {"spec.priorityLevels": [{"name": "a", "value": 1_000_001}]},
        "spec.priorityLevels[0].value",
        AT_MOST.format(1_000_000),
    ),
    refused(
        "aging-without-period", "TaskQueue", {"spec.priorityAging": {}}, "spec.priorityAging.periodSeconds", REQUIRED
    ),
    refused(
        "aging-too-often",
        "TaskQueue",
        {"spec.priorityAging": {"periodSeconds": 9}},
        "spec.priorityAging.periodSeconds",
        AT_LEAST.format(10),
    ),
    refused(
        "aging-backwards",
        "TaskQueue",
        {"spec.priorityAging": {"periodSeconds": 60, "increment": -1}},
        "spec.priorityAging.increment",
        AT_LEAST.format(1),
    ),
    refused(
        "aging-by-nothing",
        "TaskQueue",
        {"spec.priorityAging": {"periodSeconds": 60, "maxIncrease": 0}},
        "spec.priorityAging.maxIncrease",
        AT_LEAST.format(1),
    ),
    refused(
        "strategy-word", "TaskQueue", {"spec.queueingStrategy": "strict"}, "spec.queueingStrategy", "Unsupported value"
    ),
    refused(
        "rate-without-period",
        "TaskQueue",
        {"spec.rateLimit": {"maxStarts": 1}},
        "spec.rateLimit.periodSeconds",
        REQUIRED,
    ),
    refused(
        "rate-without-starts",
        "TaskQueue",
        {"spec.rateLimit": {"periodSeconds": 1}},
        "spec.rateLimit.maxStarts",
        REQUIRED,
    ),
    refused(
        "rate-of-nothing",
        "TaskQueue",
        {"spec.rateLimit": {"maxStarts": 0, "periodSeconds": 1}},
        "spec.rateLimit.maxStarts",
        AT_LEAST.format(1),
    ),
    refused(
        "retention-negative",
        "TaskQueue",
        {"spec.retention.maxSucceeded": -1},
        "spec.retention.maxSucceeded",
        AT_LEAST.format(0),
    ),
    refused(
        "retention-word",
        "TaskQueue",
        {"spec.retention.maxFailed": "few"},
        "spec.retention.maxFailed",
        "must be of type integer",
    ),
    refused(
        "dead-letters-for-no-time",
        "TaskQueue",
        {"spec.retention.deadLetterSeconds": 0},
        "spec.retention.deadLetterSeconds",
        AT_LEAST.format(1),
    ),
    refused("alerts-unknown", "TaskQueue", {"spec.alerts.depth": 1}, "spec.alerts.depth", "unknown field"),
    refused(
        "alerts-depth-zero", "TaskQueue", {"spec.alerts.queueDepth": 0}, "spec.alerts.queueDepth", AT_LEAST.format(1)
    ),
    refused(
        "alerts-stuck-zero",
        "TaskQueue",
        {"spec.alerts.stuckSeconds": 0},
        "spec.alerts.stuckSeconds",
        AT_LEAST.format(1),
    ),
    refused(
        "alerts-failure-percent",
        "TaskQueue",
        {"spec.alerts.failureRatio": 10},
        "spec.alerts.failureRatio",
        "less than or equal to 1",
    ),
    refused(
        "alerts-utilization-negative",
        "TaskQueue",
        {"spec.alerts.utilization": -0.5},
        "spec.alerts.utilization",
        AT_LEAST.format(0),
    ),
    refused(
        "alerts-average-duration",
        "TaskQueue",
        {"spec.alerts.averageRunSeconds": "5m"},
        "spec.alerts.averageRunSeconds",
        "must be of type integer",
    ),
    refused("retention-unknown", "TaskQueue", {"spec.retention.max": 1}, "spec.retention.max", "unknown field"),
    refused(
        "total-below-soft",
        "Task",
        {"spec.timeouts": {"softSeconds": 10, "totalSeconds": 9}},
        "spec.timeouts.totalSeconds",
        "less than softSeconds",
    ),
    refused(
        "total-below-hard",
        "Task",
        {"spec.timeouts": {"hardSeconds": 10, "totalSeconds": 9}},
        "spec.timeouts.totalSeconds",
        "less than hardSeconds",
    ),
    refused(
        "result-ttl-negative", "Task", {"spec.ttl.resultSeconds": -1}, "spec.ttl.resultSeconds", AT_LEAST.format(0)
    ),
    refused(
        "rate-in-no-time",
        "TaskQueue",
        {"spec.rateLimit": {"maxStarts": 1, "periodSeconds": 0}},
        "spec.rateLimit.periodSeconds",
        AT_LEAST.format(1),
    ),
)
OF_A_BATCH = (
    refused("batch-without-completions", "Task", {"spec.batch": {}}, "spec.batch.completions", REQUIRED),
    refused("batch-of-none", "Task", {"spec.batch.completions": 0}, "spec.batch.completions", AT_LEAST.format(1)),
    refused(
        "batch-too-large",
        "Task",
        {"spec.batch.completions": 10_001},
        "spec.batch.completions",
        AT_MOST.format(10_000),
    ),
    refused(
        "batch-too-parallel",
        "Task",
        {"spec.batch": {"completions": 9, "parallelism": 1_001}},
        "spec.batch.parallelism",
        AT_MOST.format(1_000),
    ),
    refused(
        "batch-fails-more-than-all",
        "Task",
        {"spec.batch": {"completions": 9, "maxFailedIndexes": 10}},
        "spec.batch.maxFailedIndexes",
        "not be greater than completions",
    ),
    refused(
        "batch-retries-too-often",
        "Task",
        {"spec.batch": {"completions": 9, "retriesPerIndex": 101}},
        "spec.batch.retriesPerIndex",
        AT_MOST.format(100),
    ),
    *(
        refused(
            f"batch-beside-{field}",
            "Task",
            {"spec.batch": {"completions": 9}, f"spec.jobTemplate.spec.{field}": value},
            f"spec.jobTemplate.spec.{field}",
            "must not be set beside batch",
        )
        for field, value in {
            "completions": 3,
            "parallelism": 3,
            "completionMode": "NonIndexed",
            "backoffLimitPerIndex": 1,
            "maxFailedIndexes": 1,
        }.items()
    ),
)
PARENT = {"name": "before", "uid": "1234"}
OF_HOOKS = (
    refused(
        "retry-of-beside-a-job",
        "Task",
        {"spec.retryOf": {"name": "dead"}},
        "spec",
        "exactly one of jobTemplate, templateRef and retryOf",
    ),
    refused(
        "retry-of-itself",
        "Task",
        {"spec.jobTemplate": GONE, "spec.retryOf": {"name": "wrong"}},
        "spec.retryOf.name",
        "must name another Task",
    ),
    refused(
        "scheduled-retry-of",
        "Schedule",
        {f"{SCHEDULED}.jobTemplate": GONE, f"{SCHEDULED}.retryOf": {"name": "dead"}},
        f"{SCHEDULED}.retryOf",
        "must not be set in a Schedule",
    ),
    refused(
        "template-hooks-unknown-field",
        "TaskTemplate",
        {"spec.onSuccess": {"jobs": []}},
        "spec.onSuccess.jobs",
        "unknown",
    ),
    refused("template-hooks-after-a-word", "TaskTemplate", {"spec.onFailure": "mail"}, "spec.onFailure", "object"),
    refused(
        "hook-task-parameter-twice",
        "Task",
        {
            "spec.onSuccess": {
                "tasks": [{"templateRef": {"name": "t"}, "parameters": [{"name": "a", "value": "1"}] * 2}],
            }
        },
        "spec.onSuccess.tasks[0].parameters[1]",
        "Duplicate",
    ),
    refused("hooks-unknown-field", "Task", {"spec.onSuccess": {"jobs": []}}, "spec.onSuccess.jobs", "unknown field"),
    refused("hooks-after-a-word", "Task", {"spec.onFailure": "mail"}, "spec.onFailure", "must be of type object"),
    refused(
        "hook-tasks-too-many",
        "Task",
        {"spec.onSuccess": {"tasks": [{"templateRef": {"name": "t"}}] * 11}},
        "spec.onSuccess.tasks",
        "must have at most 10 items",
    ),
    refused(
        "hook-task-without-template",
        "Task",
        {"spec.onSuccess": {"tasks": [{"queueName": "q"}]}},
        "spec.onSuccess.tasks[0].templateRef",
        REQUIRED,
    ),
    refused(
        "hook-task-template-without-name",
        "Task",
        {"spec.onSuccess": {"tasks": [{"templateRef": {}}]}},
        "spec.onSuccess.tasks[0].templateRef.name",
        REQUIRED,
    ),
    refused(
        "hook-task-result",
        "Task",
        {
            "spec.onSuccess": {
                "tasks": [
                    {
                        "templateRef": {"name": "t"},
                        "parameters": [{"name": "n", "valueFrom": {"taskResult": {"name": "before"}}}],
                    }
                ]
            }
        },
        "spec.onSuccess.tasks[0].parameters",
        "the Task that is created waits for no other",
    ),
    refused(
        "hook-task-job",
        "Task",
        {"spec.onSuccess": {"tasks": [{"templateRef": {"name": "t"}, "jobTemplate": JOB_TEMPLATE}]}},
        "spec.onSuccess.tasks[0].jobTemplate",
        "unknown field",
    ),
    refused(
        "hook-task-queue-uppercase",
        "Task",
        {"spec.onSuccess": {"tasks": [{"templateRef": {"name": "t"}, "queueName": "Q"}]}},
        "spec.onSuccess.tasks[0].queueName",
        "should match",
    ),
    refused(
        "hook-task-priority-too-high",
        "Task",
        {"spec.onSuccess": {"tasks": [{"templateRef": {"name": "t"}, "priority": 1_000_001}]}},
        "spec.onSuccess.tasks[0].priority",
        AT_MOST.format(1_000_000),
    ),
    refused(
        "hook-webhook-twice",
        "Task",
        {"spec.onSuccess": {"webhooks": [{"name": "pager"}] * 2}},
        "spec.onSuccess.webhooks[1]",
        "Duplicate",
    ),
    refused(
        "hook-webhook-address",
        "Task",
        {"spec.onSuccess": {"webhooks": [{"name": "https://example.com"}]}},
        "spec.onSuccess.webhooks[0].name",
        "should match",
    ),
    refused("parent-task-without-uid", "Task", {"spec.parent": {"name": "before"}}, "spec.parent.uid", REQUIRED),
    refused("parent-task-without-name", "Task", {"spec.parent": {"uid": "1234"}}, "spec.parent.name", REQUIRED),
    refused(
        "parent-reason-too-long",
        "Task",
        {"spec.parent": {**PARENT, "reason": "r" * 1025}},
        "spec.parent.reason",
        "1024",
    ),
    refused(
        "parent-message-too-long",
        "Task",
        {"spec.parent": {**PARENT, "message": "m" * 1025}},
        "spec.parent.message",
        "1024",
    ),
    refused(
        "parent-exit-code-word", "Task", {"spec.parent": {**PARENT, "exitCode": "1"}}, "spec.parent.exitCode", "integer"
    ),
    refused(
        "parent-chain-too-long",
        "Task",
        {"spec.parent": {**PARENT, "depth": 21}},
        "spec.parent.depth",
        AT_MOST.format(20),
    ),
    refused(
        "scheduled-parent",
        "Schedule",
        {f"{SCHEDULED}.parent": PARENT},
        f"{SCHEDULED}.parent",
        "must not be set in a Schedule",
    ),
)

OF_A_CHANGE = (
    refused(
        "retry-of-changed",
        "Task",
        {"spec.retryOf": {"name": "two"}},
        "spec.retryOf",
        "immutable",
        {"spec.jobTemplate": GONE, "spec.retryOf": {"name": "one"}},
    ),
    refused(
        "parent-forgotten",
        "Task",
        {"spec.parent": {**PARENT, "depth": 1}},
        "spec.parent",
        "immutable",
        {"spec.parent": {**PARENT, "depth": 9}},
    ),
    refused(
        "batch-changed", "Task", {"spec.batch.completions": 8}, "spec.batch", "imm", {"spec.batch": {"completions": 9}}
    ),
    refused("batch-added", "Task", {"spec.batch.completions": 8}, "spec.batch", "immutable", {"spec.priority": 1}),
    refused(
        "deduplication-changed",
        "Task",
        {"spec.deduplication.key": "b"},
        "spec.deduplication",
        "immutable",
        {"spec.deduplication": {"key": "a"}},
    ),
    refused(
        "depends-on-changed",
        "Task",
        {"spec.dependsOn": [{"name": "a", "condition": "Failed"}]},
        "spec.dependsOn",
        "immutable",
        {"spec.dependsOn": [{"name": "a"}]},
    ),
    refused(
        "depends-on-added", "Task", {"spec.dependsOn": [{"name": "a"}]}, "spec.dependsOn", "imm", {"spec.priority": 1}
    ),
    refused("queue-name-changed", "Task", {"spec.queueName": "b"}, "spec.queueName", "imm", {"spec.queueName": "a"}),
    refused("queue-name-removed", "Task", {"spec.queueName": GONE}, "spec.queueName", "imm", {"spec.queueName": "a"}),
    refused("queue-name-added", "Task", {"spec.queueName": "b"}, "spec.queueName", "immutable", {"spec.priority": 1}),
    refused("template-ref-changed", "Task", {"spec.templateRef": {"name": "two"}}, "spec.templateRef", "imm", REF),
    refused(
        "template-ref-replaced",
        "Task",
        {"spec.templateRef": GONE, "spec.jobTemplate": JOB_TEMPLATE},
        "spec.templateRef",
        "immutable",
        REF,
    ),
    refused("template-ref-replaces", "Task", REF, "spec.templateRef", "immutable", {"spec.jobTemplate": JOB_TEMPLATE}),
    refused(
        "cancellation-withdrawn",
        "Task",
        {"spec.cancellation": GONE},
        "spec.cancellation",
        "cannot be withdrawn",
        {"spec.cancellation": {}},
    ),
)
CREATIONS = (
    *(*OF_DEDUPLICATION, *OF_DEPENDENCIES),
    *(*OF_A_TASK, *OF_A_BATCH, *OF_TIMES, *OF_RETRIES, *OF_A_JOB_TEMPLATE, *OF_A_CANCELLATION),
    *(*OF_HOOKS, *OF_A_QUEUE, *OF_PARAMETERS, *OF_SHARING, *OF_A_SCHEDULE, *OF_A_TEMPLATE),
)


# --- What is accepted -----------------------------------------------------------------------------------

POLICY_DEFAULTS = {
    "maxAttempts": 1,
    "backoff": {"type": "Exponential", "baseSeconds": 10, "maxSeconds": 600, "jitterPercent": 10},
    "priorityBoost": 0,
}
QUEUE_DEFAULTS = {
    "maxConcurrency": 10,
    "priority": 0,
    "queueingStrategy": "BestEffort",
    "state": "Open",
    "ordering": "PriorityThenTime",
    "priorityOrder": "HighestFirst",
}
SCHEDULE_DEFAULTS = {
    "timeZone": "Etc/UTC",
    "dst": {"gap": "RunAfter", "overlap": "Once"},
    "startDelaySeconds": 0,
    "jitterSeconds": 0,
    "missedRunPolicy": "RunOnce",
    "maxCatchUpRuns": 10,
    "concurrencyPolicy": "Forbid",
    "suspend": False,
    "onSuspend": "DropPending",
    "lookaheadSeconds": 7200,
    "successfulTasksHistoryLimit": 3,
    "failedTasksHistoryLimit": 1,
}


class Accepted(NamedTuple):
    """A change to the smallest valid object of a kind, and what the API server makes of parts of it."""

    id: str
    kind: str
    change: Mapping[str, Any]
    becomes: Mapping[str, Any]


ACCEPTED = (
    Accepted("smallest-task", "Task", {}, {"spec": {**BASES["Task"]["spec"], "suspend": False}}),
    Accepted("smallest-queue", "TaskQueue", {}, {"spec": QUEUE_DEFAULTS}),
    Accepted("queue-without-spec", "TaskQueue", {"spec": GONE}, {"spec": QUEUE_DEFAULTS}),
    Accepted("smallest-schedule", "Schedule", {}, {f"spec.{name}": value for name, value in SCHEDULE_DEFAULTS.items()}),
    Accepted(
        "cron-of-every-sort",
        "Schedule",
        {
            "spec.everySeconds": GONE,
            "spec.schedules": ["*/5 0-30/10 3,15 L jan-MAR ?", "0 0 * * fri#2", "0 0 15W * *", "@hourly"],
        },
        {},
    ),
    Accepted("smallest-template", "TaskTemplate", {}, {"spec": BASES["TaskTemplate"]["spec"]}),
    Accepted("task-name-at-limit", "Task", {"metadata.name": "n" * 63}, {}),
    Accepted("task-name-with-dots", "Task", {"metadata.name": "report.2026-01.eu"}, {}),
    Accepted("queue-name-at-limit", "Task", {"spec.queueName": "q" * 63}, {}),
    Accepted("queue-name-with-dots", "Task", {"spec.queueName": "mail.eu"}, {}),
    Accepted("schedule-name-at-limit", "Schedule", {"metadata.name": "n" * 52}, {}),
    Accepted("priority-lowest", "Task", {"spec.priority": -1_000_000}, {}),
    Accepted("priority-highest", "Task", {"spec.priority": 1_000_000}, {}),
    Accepted("time-with-offset", "Task", {"spec.notBeforeTime": "2026-01-02T03:04:05.123456+05:30"}, {}),
    Accepted("time-in-utc", "Task", {"spec.notBeforeTime": NOW}, {}),
    Accepted("all-timeouts", "Task", {"spec.timeouts": {"softSeconds": 1, "hardSeconds": 2, "pendingSeconds": 1}}, {}),
    Accepted("policy-filled", "Task", {"spec.retryPolicy": {}}, {"spec.retryPolicy": POLICY_DEFAULTS}),
    Accepted(
        "policy-filled-around",
        "Task",
        {"spec.retryPolicy": {"maxAttempts": 5, "backoff": {"type": "Fixed"}}},
        {
            "spec.retryPolicy": {
                **POLICY_DEFAULTS,
                "maxAttempts": 5,
                "backoff": {**POLICY_DEFAULTS["backoff"], "type": "Fixed"},  # type: ignore[dict-item]
            }
        },
    ),
    Accepted(
        "policy-rules",
        "Task",
        {
            "spec.retryPolicy": {
                "rules": [
                    {"exitCodes": [2, 255], "action": "Fail"},
                    {"reasons": ["OOMKilled", "Evicted"], "action": "Ignore"},
                    {"reasons": ["TimedOut"], "action": "Retry"},
                ]
            }
        },
        {},
    ),
    Accepted("cancelled-from-the-start", "Task", {"spec.cancellation": {}}, {"spec.cancellation.mode": "Graceful"}),
    Accepted("ttl-zero", "Task", {"spec.ttl": {"afterSuccessSeconds": 0, "afterFailureSeconds": 0}}, {}),
    Accepted("ttl-left-open", "Task", {"spec.ttl": {}}, {"spec.ttl": {}}),
    Accepted("batch-at-least", "Task", {"spec.batch": {"completions": 1}}, {"spec.batch.parallelism": 1}),
    Accepted("completions-without-batch", "Task", {"spec.jobTemplate.spec.completions": 3}, {}),
    Accepted("restart-never", "Task", {f"{POD}.restartPolicy": "Never"}, {}),
    Accepted("deadline-without-timeouts", "Task", {f"{POD}.activeDeadlineSeconds": 9}, {}),
    Accepted(
        "deadline-beside-pending-only",
        "Task",
        {"spec.timeouts": {"pendingSeconds": 9}, f"{POD}.activeDeadlineSeconds": 9},
        {},
    ),
    Accepted("manual-selector-false", "Task", {"spec.jobTemplate.spec.manualSelector": False}, {}),
    Accepted(
        "rest-of-the-job-passes",
        "Task",
        {
            "spec.jobTemplate.spec.backoffLimit": 4,
            "spec.jobTemplate.spec.podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"x": [1]}}]},
            "spec.jobTemplate.spec.template.metadata": {"labels": {"a": "b"}},
            f"{POD}.nodeSelector": {"disk": "ssd"},
            f"{POD}.initContainers": [CONTAINER],
        },
        {},
    ),
    Accepted(
        "defaults-stay-unset",
        "TaskQueue",
        {"spec.taskDefaults": {"timeouts": {}, "ttl": {}}},
        {"spec.taskDefaults": {"timeouts": {}, "ttl": {}}},
    ),
    Accepted(
        "defaults-policy-filled",
        "TaskQueue",
        {"spec.taskDefaults": {"retryPolicy": {"maxAttempts": 3}}},
        {"spec.taskDefaults.retryPolicy": {**POLICY_DEFAULTS, "maxAttempts": 3}},
    ),
    Accepted(
        "lowest-first", "TaskQueue", {"spec.priorityOrder": "LowestFirst", "spec.taskDefaults": {"priority": 5}}, {}
    ),
    Accepted(
        "scheduled-task-whole",
        "Schedule",
        {"spec.taskTemplate.metadata": {"labels": {"team": "a"}}, f"{SCHEDULED}.priority": 3},
        {},
    ),
)


class Change(NamedTuple):
    """A change to a Task that must go through."""

    id: str
    given: Mapping[str, Any]
    change: Mapping[str, Any]


CHANGES = (
    Change("priority", {"spec.priority": 1}, {"spec.priority": 2}),
    Change("job-template-mended", {}, {f"{POD}.containers": [{**CONTAINER, "image": "busybox:1"}]}),
    Change("cancelled", {}, {"spec.cancellation": {"mode": "IfPending"}}),
    Change("cancelled-harder", {"spec.cancellation": {}}, {"spec.cancellation": {"mode": "Immediate"}}),
    Change("runs-anyway", {"spec.dependsOn": [{"name": "a"}]}, {"spec.onDependencyFailure": "Run"}),
    Change("resumed", {"spec.suspend": True}, {"spec.suspend": False}),
    Change("timeouts", {}, {"spec.timeouts": {"softSeconds": 5}}),
)


# --- The tests ------------------------------------------------------------------------------------------


class Objects:
    """Creates and changes objects in one namespace as kubectl does: with strict validation."""

    def __init__(self, client: kubernetes.ApiClient, namespace: str) -> None:
        self._api: Any = kubernetes.CustomObjectsApi(client)
        self._namespace = namespace

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        created = self._api.create_namespaced_custom_object(*self._where(manifest), manifest, field_validation="Strict")
        return self.read(created)

    def read(self, manifest: Manifest) -> Manifest:
        """Read an object as it stands."""
        found: Manifest = self._api.get_namespaced_custom_object(*self._where(manifest), manifest["metadata"]["name"])
        return found

    def replace(self, manifest: Manifest) -> Manifest:
        """Change an object."""
        changed: Manifest = self._api.replace_namespaced_custom_object(
            *self._where(manifest), manifest["metadata"]["name"], manifest, field_validation="Strict"
        )
        return changed

    def replace_status(self, manifest: Manifest) -> Manifest:
        """Change the status of an object."""
        changed: Manifest = self._api.replace_namespaced_custom_object_status(
            *self._where(manifest), manifest["metadata"]["name"], manifest, field_validation="Strict"
        )
        return changed

    def names(self, plural: str, selector: str) -> list[str]:
        """List the names of the objects that a field selector selects."""
        found = self._api.list_namespaced_custom_object(
            GROUP, VERSION, self._namespace, plural, field_selector=selector
        )
        return sorted(item["metadata"]["name"] for item in found["items"])

    def _where(self, manifest: Manifest) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self._namespace, f"{manifest['kind'].lower()}s"


@pytest.fixture
def objects(client: kubernetes.ApiClient, namespace: str) -> Objects:
    """Creates and changes objects in the test's own namespace."""
    return Objects(client, namespace)


def smallest(kind: str, change: Mapping[str, Any] | None = None) -> Manifest:
    """The smallest valid object of a kind, with a change."""
    identity = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": "it"}}
    return changed({**identity, **BASES[kind]}, change or {})


def changed(manifest: Manifest, change: Mapping[str, Any]) -> Manifest:
    """A copy of an object with fields set, by their dotted paths, or taken away."""
    copied = copy.deepcopy(manifest)
    for path, value in change.items():
        *parents, last = path.split(".")
        inner = copied
        for step in parents:
            inner = inner.setdefault(step, {})
        if value is GONE:
            inner.pop(last, None)
        else:
            inner[last] = copy.deepcopy(value)
    return copied


def at(manifest: Manifest, path: str) -> Any:
    """The value at a dotted path."""
    value: Any = manifest
    for step in path.split("."):
        value = value[step]
    return value


def assert_refused(refusal: kubernetes.ApiException, field: str, says: str) -> None:
    """Assert that the API server refused the object and not something else, with the field's path and the words."""
    assert refusal.status in {400, 422}, refusal
    answer = json.loads(refusal.body or "{}")
    causes = (answer.get("details") or {}).get("causes") or []
    named = [f"{cause.get('field')}: {cause['message']}" for cause in causes] or [answer["message"]]
    assert any(field in line and re.search(says, line) for line in named), named
    assert field in answer["message"], answer["message"]


@pytest.mark.parametrize("case", CREATIONS, ids=lambda case: case.id)
def test_an_invalid_object_is_refused_with_the_path_of_its_field(case: Case, objects: Objects) -> None:
    """Whatever is wrong, the answer names the field and says what it should be."""
    objects.create(smallest(case.kind))
    wrong = smallest(case.kind, {"metadata.name": "wrong", **case.change})
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.create(wrong)
    assert_refused(refusal.value, case.field, case.says)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_a_valid_object_is_accepted_and_filled_in(case: Accepted, objects: Objects) -> None:
    """Nothing that was given is lost, and defaults stand where they were promised and nowhere else."""
    given = smallest(case.kind, case.change)
    kept = objects.create(given)
    for path, value in case.becomes.items():
        assert at(kept, path) == value
    if "spec" in given and "spec" not in case.becomes:
        assert _contains(kept["spec"], given["spec"]), kept["spec"]


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and _contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(_contains(*pair) for pair in zip(whole, part, strict=True))
    return bool(whole == part)


@pytest.mark.parametrize("kind", BASES)
def test_a_new_object_counts_as_not_yet_seen(kind: str, objects: Objects) -> None:
    """Generation -1 keeps GitOps tools from taking a brand-new object for a ready one."""
    expected = {"observedGeneration": -1} | ({"phase": "Pending"} if kind == "Task" else {})
    assert objects.create(smallest(kind))["status"] == expected


@pytest.mark.parametrize("case", OF_A_CHANGE, ids=lambda case: case.id)
def test_a_forbidden_change_is_refused_with_the_path_of_its_field(case: Case, objects: Objects) -> None:
    """What may not change may not be added or removed either."""
    before = objects.create(smallest(case.kind, case.given))
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.replace(changed(before, case.change))
    assert_refused(refusal.value, case.field, case.says)


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.id)
def test_a_task_can_be_changed_until_it_has_ended(case: Change, objects: Objects) -> None:
    """A refused template can be mended, a priority raised, a cancellation added or made harder."""
    before = objects.create(smallest("Task", case.given))
    running = objects.replace_status(changed(before, {"status.phase": "Running"}))
    after = objects.replace(changed(running, case.change))
    assert after["metadata"]["generation"] == 2


@pytest.mark.parametrize("phase", TERMINAL)
@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.id)
def test_the_spec_of_a_task_that_has_ended_is_immutable(case: Change, phase: str, objects: Objects) -> None:
    """A finished Task is a record, also in the parts of its Job template that the schema does not declare."""
    before = objects.create(smallest("Task", case.given))
    ended = objects.replace_status(changed(before, {"status.phase": phase}))
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.replace(changed(ended, case.change))
    assert_refused(refusal.value, "spec", "immutable once the Task has ended")


@pytest.mark.parametrize("phase", TERMINAL)
def test_metadata_of_a_task_that_has_ended_can_change(phase: str, objects: Objects) -> None:
    """Labels, and what the operator still has to write, are no part of the record."""
    before = objects.create(smallest("Task"))
    ended = objects.replace_status(changed(before, {"status.phase": phase}))
    labelled = objects.replace(changed(ended, {"metadata.labels": {"seen": "yes"}}))
    settled = objects.replace_status(changed(labelled, {"status.settled": "True"}))
    assert settled["status"]["settled"] == "True"


@pytest.mark.parametrize("phase", TERMINAL)
def test_an_unchanged_manifest_can_be_applied_to_a_task_that_has_ended(phase: str, objects: Objects) -> None:
    """GitOps applies everything again and again; the fields that the server filled in are not in the manifest."""
    manifest = smallest("Task", {"spec.retryPolicy": {"maxAttempts": 2}, "spec.cancellation": {}})
    before = objects.create(manifest)
    ended = objects.replace_status(changed(before, {"status.phase": phase}))
    again = changed(manifest, {"metadata.resourceVersion": ended["metadata"]["resourceVersion"]})
    assert objects.replace(again)["metadata"]["generation"] == ended["metadata"]["generation"]


def test_a_task_of_a_megabyte_is_checked_within_the_cost_limit(objects: Objects) -> None:
    """The rules that compare old and new specs still answer when the Job template is as large as etcd allows."""
    large = [{"name": f"V{n}", "value": "x" * 1000} for n in range(900)]
    before = objects.create(smallest("Task", {f"{POD}.containers": [{**CONTAINER, "env": large}]}))
    ended = objects.replace_status(changed(before, {"status.phase": "Succeeded"}))
    ended = objects.replace(changed(ended, {"metadata.labels": {"seen": "yes"}}))
    large[0]["value"] = "y"
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.replace(changed(ended, {f"{POD}.containers": [{**CONTAINER, "env": large}]}))
    assert_refused(refusal.value, "spec", "immutable once the Task has ended")


@pytest.mark.parametrize("phase", TERMINAL)
@pytest.mark.parametrize("change", [{"status.phase": "Running"}, {"status.phase": GONE}, {"status": GONE}], ids=str)
def test_a_task_cannot_leave_the_phase_in_which_it_ended(
    phase: str, change: Mapping[str, Any], objects: Objects
) -> None:
    """Not even its operator can bring a Task back: a stale one would run it twice."""
    before = objects.create(smallest("Task"))
    ended = objects.replace_status(changed(before, {"status.phase": phase}))
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.replace_status(changed(ended, change))
    assert_refused(refusal.value, "status.phase", "cannot change once the Task has ended")


ATTEMPT = {"number": 1, "jobName": "it-1", "startTime": NOW, "exitCode": 137, "reason": "OOMKilled"}
CONDITION = {"type": "Complete", "status": "True", "lastTransitionTime": NOW, "reason": "Succeeded", "message": ""}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status.phase": "Held"}, "status.phase"),
        ({"status.settled": "False"}, "status.settled"),
        ({"status.result": "x" * 4097}, "status.result"),
        ({"status.attempts": [{**ATTEMPT, "number": n + 1} for n in range(11)]}, "status.attempts"),
        ({"status.attempts": [ATTEMPT, ATTEMPT]}, "status.attempts[1]"),
        ({"status.conditions": [{**CONDITION, "reason": ""}]}, "status.conditions[0].reason"),
        ({"status.conditions": [CONDITION, CONDITION]}, "status.conditions[1]"),
        ({"status.attempt": -1}, "status.attempt"),
        ({"status.progress": 1}, "status.progress"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_status_that_no_client_could_read_is_refused(change: Mapping[str, Any], field: str, objects: Objects) -> None:
    """The operator is held to its own schema."""
    before = objects.create(smallest("Task"))
    with pytest.raises(kubernetes.ApiException) as refusal:
        objects.replace_status(changed(before, change))
    assert_refused(refusal.value, field, "")


def test_a_full_status_is_kept_as_written(objects: Objects) -> None:
    """Every status field that the operator writes is in the schema: nothing is pruned."""
    status = {
        "observedGeneration": 1,
        "queueName": "default",
        "phase": "Failed",
        "reason": "RetriesExhausted",
        "message": "attempt 1 ended with exit code 137",
        "effectivePriority": -3,
        "attempt": 1,
        "failedAttempts": 1,
        "ignoredAttempts": 0,
        "jobName": "it-1",
        "queuedTime": NOW,
        "startTime": NOW,
        "completionTime": NOW,
        "nextAttemptTime": "2026-01-02T03:04:05.250Z",
        "result": "x" * 4096,
        "settled": "True",
        "conditions": [CONDITION],
        "attempts": [{**ATTEMPT, "podName": "p", "message": "m"}],
    }
    before = objects.create(smallest("Task"))
    assert objects.replace_status({**before, "status": status})["status"] == status


def test_tasks_are_selected_by_queue_phase_and_settledness(objects: Objects) -> None:
    """A field that a Task does not have selects as the empty string, so that new Tasks are not missed."""
    objects.create(smallest("Task", {"metadata.name": "new"}))
    queued = objects.create(smallest("Task", {"metadata.name": "queued", "spec.queueName": "mail"}))
    done = objects.create(smallest("Task", {"metadata.name": "done", "spec.queueName": "mail"}))
    objects.replace_status(changed(queued, {"status.queueName": "mail"}))
    objects.replace_status(changed(done, {"status.phase": "Succeeded", "status.settled": "True"}))
    assert objects.names("tasks", "status.settled!=True") == ["new", "queued"]
    assert objects.names("tasks", "status.phase=Pending") == ["new", "queued"]
    assert objects.names("tasks", "spec.queueName=mail") == ["done", "queued"]
    assert objects.names("tasks", "spec.queueName=") == ["new"]
    assert objects.names("tasks", "status.queueName=mail") == ["queued"]


def test_the_crds_are_established_and_structural(client: kubernetes.ApiClient, cluster: object) -> None:
    """All four kinds are served under the names that the docs use."""
    api: Any = kubernetes.ApiextensionsV1Api(client)
    found = api.list_custom_resource_definition().items
    short_names = {crd.spec.names.kind: crd.spec.names.short_names for crd in found if crd.spec.group == GROUP}
    assert short_names == {"Task": ["tqt"], "TaskQueue": ["tq"], "Schedule": ["tqs"], "TaskTemplate": ["tqtt"]}
    for crd in found:
        conditions = {condition.type: condition.status for condition in crd.status.conditions}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def table(client: kubernetes.ApiClient, namespace: str, plural: str) -> dict[str, dict[str, Any]]:
    """What `kubectl get` shows by default: the cells of each row by their column, by the row's name."""
    api: Any = kubernetes.CustomObjectsApi(client)
    answer = api.list_namespaced_custom_object(
        *(GROUP, VERSION, namespace, plural),
        _headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    )
    shown = [n for n, column in enumerate(answer["columnDefinitions"]) if column["priority"] == 0]
    names = [answer["columnDefinitions"][n]["name"] for n in shown]
    rows = [dict(zip(names, (row["cells"][n] for n in shown), strict=True)) for row in answer["rows"]]
    return {row["Name"]: row for row in rows}


def test_the_table_of_tasks_shows_queue_and_priority_before_and_after_the_operator_wrote(
    objects: Objects, client: kubernetes.ApiClient, namespace: str
) -> None:
    """A waiting Task has no status of its own: the columns fall back to what its spec says."""
    wants = {"spec.queueName": "mail", "spec.priority": 7}
    objects.create(smallest("Task", {"metadata.name": "waits", **wants}))
    runs = objects.create(smallest("Task", {"metadata.name": "runs"}))
    says = {"phase": "Running", "queueName": "default", "effectivePriority": 3, "attempt": 2}
    objects.replace_status({**runs, "status": says})
    rows = table(client, namespace, "tasks")
    ages = {row.pop("Age") for row in rows.values()}
    assert all(ages)
    assert rows == {
        "waits": {"Name": "waits", "Queue": "mail", "Pri": 7, "Status": "Pending", "Attempt": None, "Reason": None},
        "runs": {"Name": "runs", "Queue": "default", "Pri": 3, "Status": "Running", "Attempt": 2, "Reason": None},
    }


def test_the_table_of_queues_shows_how_they_stand(
    objects: Objects, client: kubernetes.ApiClient, namespace: str
) -> None:
    """One line tells whether a queue works, how much waits and runs, and what its cap is."""
    queue = objects.create(smallest("TaskQueue"))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": NOW, "reason": "Ready", "message": ""}
    objects.replace_status({**queue, "status": {"conditions": [ready], "pending": 4, "running": 2}})
    row = table(client, namespace, "taskqueues")["it"]
    assert list(row) == ["Name", "Ready", "State", "Pending", "Running", "Max", "Oldest", "Age"]
    assert list(row.values())[1:7] == ["True", "Open", 4, 2, 10, None]


def test_the_table_of_templates_shows_what_they_are_for(
    objects: Objects, client: kubernetes.ApiClient, namespace: str
) -> None:
    """The description is for the person who looks for the right template."""
    objects.create(smallest("TaskTemplate", {"spec.description": "Trains a model"}))
    row = table(client, namespace, "tasktemplates")["it"]
    assert list(row) == ["Name", "Ready", "Description", "Age"]
    assert row["Description"] == "Trains a model"
