"""The models read what users write and keep what they do not know."""

from typing import Any

import pytest
from pydantic import ValidationError

from taskq.resources.common import TERMINAL_PHASES, AttemptReason, BackoffType, Phase
from taskq.resources.job_template import JobTemplate
from taskq.resources.schedule import Schedule
from taskq.resources.task import Task, TaskSpec
from taskq.resources.task_queue import TaskQueue

JOB_TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "backoffLimit": 4,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"values": [3]}}]},
        "template": {
            "metadata": {"annotations": {"a": "b"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "containers": [{"name": "main", "image": "busybox", "env": [{"name": "A", "value": "1"}]}],
            },
        },
    },
}


def test_a_job_template_goes_through_unchanged() -> None:
    """Declaring a few of its fields must not lose the others, nor add any."""
    read = JobTemplate.model_validate(JOB_TEMPLATE)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == JOB_TEMPLATE


def test_a_queue_needs_no_spec() -> None:
    """All of it has defaults."""
    queue = TaskQueue.model_validate({})
    assert queue.spec.max_concurrency == 10
    assert queue.spec.task_defaults is None


def test_a_given_policy_is_filled_with_the_global_defaults() -> None:
    """As the API server does it, so that Python and the cluster agree."""
    spec = TaskSpec.model_validate({"templateRef": {"name": "t"}, "retryPolicy": {"maxAttempts": 3}})
    assert spec.retry_policy is not None
    assert spec.retry_policy.max_attempts == 3
    assert spec.retry_policy.backoff.type is BackoffType.EXPONENTIAL
    assert (spec.retry_policy.backoff.base_seconds, spec.retry_policy.backoff.max_seconds) == (10, 600)


def test_a_new_task_is_pending_and_not_yet_seen() -> None:
    """What the CRD's default says, the model says."""
    status = Task.model_validate({"spec": {"templateRef": {"name": "t"}}}).status
    assert (status.observed_generation, status.phase) == (-1, Phase.PENDING)


def test_a_field_of_a_later_version_is_ignored() -> None:
    """An old operator beside new CRDs goes on."""
    assert TaskSpec.model_validate({"templateRef": {"name": "t"}, "fromTheFuture": 1}).template_ref is not None


def test_an_invalid_value_names_its_field() -> None:
    """For tools that read manifests without a cluster."""
    with pytest.raises(ValidationError, match=r"retryPolicy\.maxAttempts"):
        TaskSpec.model_validate({"retryPolicy": {"maxAttempts": 0}})


def test_a_scheduled_task_is_a_task() -> None:
    """What a Schedule creates is what its template says."""
    given = {"everySeconds": 60, "taskTemplate": {"spec": {"priority": 3, "jobTemplate": JOB_TEMPLATE}}}
    spec = Schedule.model_validate({"spec": given}).spec.task_template.spec
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert TaskSpec.model_validate(dumped).priority == 3


def test_phases_are_plain_words() -> None:
    """Enums compare and print as the strings that the API knows."""
    assert f"{Phase.RUNNING}" == "Running"
    assert Phase.PENDING not in TERMINAL_PHASES
    assert AttemptReason("OOMKilled") is AttemptReason.OOM_KILLED
