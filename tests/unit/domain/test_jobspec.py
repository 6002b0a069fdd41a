"""The Job of one attempt."""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import JOB_TEMPLATE, TaskBuilder, make_queue, make_task, make_template
from taskq.domain.jobspec import job_key, job_manifest, kubelet_limits
from taskq.domain.model import Timeouts

OPEN = make_queue().build().spec
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def manifest(task: TaskBuilder) -> dict[str, Any]:
    """The Job's document."""
    built = task.build()
    return dict(msgspec.json.decode(job_manifest(built, built.raw, OPEN)))


def template(**spec: Any) -> dict[str, Any]:
    """The builders' jobTemplate with more in its JobSpec."""
    made = copy.deepcopy(JOB_TEMPLATE)
    made["spec"].update(spec)
    return made


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){0,2}", fullmatch=True), st.uuids().map(str))
def test_a_job_name_is_a_label_value(name: str, uid: str) -> None:
    """Any Task name up to 63 characters gives a valid Job name, which its pods can carry as a label."""
    assert LABEL.fullmatch(job_key(make_task(name[:63].rstrip("-."), uid=uid).build()).name)


def test_a_job_name_is_a_function_of_task_and_attempt() -> None:
    """A restart computes the same name; another uid or attempt has another one."""
    task = make_task("build", uid="u1")
    names = {
        job_key(task.build()).name,
        job_key(make_task("build", uid="u2").build()).name,
        job_key(task.failed_once(ended=1, due=2).build()).name,
    }
    assert len(names) == 3
    assert job_key(task.spec(priority=9).running().build()) == job_key(task.build())


def test_the_longest_names_stay_apart() -> None:
    """Names that are cut keep their hash."""
    long = "a" * 63
    names = {job_key(make_task(long, uid=uid).build()).name for uid in ("u1", "u2")}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}


def test_what_the_operator_always_sets() -> None:
    """No retries of the Job's own, no restarts, not suspended, no ttl, whatever the template says."""
    spec = template(backoffLimit=6, suspend=True, ttlSecondsAfterFinished=5, completions=1)
    spec["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    job = manifest(make_task(jobTemplate=spec))
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["suspend"] is False
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert job["spec"]["completions"] == 1
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_the_task_owns_its_job() -> None:
    """The garbage collector takes the Job with its Task, and a user may delete the Task at any time."""
    job = manifest(make_task("build", uid="u1"))
    assert job["metadata"]["ownerReferences"] == [
        {"apiVersion": "taskq.dev/v1alpha1", "kind": "Task", "name": "build", "uid": "u1", "controller": True}
    ]


def test_labels_of_the_operator_win() -> None:
    """Job and pod carry queue, task and attempt beside the template's labels."""
    spec = template()
    spec["metadata"] = {"labels": {"team": "x", "taskq.dev/queue": "forged"}}
    job = manifest(make_task("build", queueName="nightly", jobTemplate=spec).failed_once(ended=1, due=2))
    ours = {"taskq.dev/queue": "nightly", "taskq.dev/task": "build", "taskq.dev/attempt": "2"}
    assert job["metadata"]["labels"] == {"team": "x", **ours}
    assert job["spec"]["template"]["metadata"]["labels"] == ours


def test_containers_learn_their_task() -> None:
    """Every container gets the Task's facts before its own variables, which win."""
    own = {"name": "main", "image": "i", "env": [{"name": "TASKQ_TASK_QUEUE", "value": "mine"}, {"name": "B"}]}
    spec = {"spec": {"template": {"spec": {"initContainers": [{"name": "init"}], "containers": [own]}}}}
    task = make_task("build", uid="u1", jobTemplate=spec, retryPolicy={"maxAttempts": 4})
    pod = manifest(task)["spec"]["template"]["spec"]
    facts = {variable["name"]: variable.get("value") for variable in pod["initContainers"][0]["env"]}
    assert facts == {
        "TASKQ_TASK_NAME": "build",
        "TASKQ_TASK_UID": "u1",
        "TASKQ_TASK_NAMESPACE": "shop",
        "TASKQ_TASK_QUEUE": "default",
        "TASKQ_TASK_ATTEMPT": "1",
        "TASKQ_TASK_MAX_ATTEMPTS": "4",
    }
    main = pod["containers"][0]["env"]
    assert main[-2:] == own["env"]
    assert [variable["name"] for variable in main].count("TASKQ_TASK_QUEUE") == 1


def test_a_templates_document_serves_as_well() -> None:
    """The Job of a Task with a templateRef comes from the TaskTemplate."""
    task = make_task(templateRef={"name": "t"}).build()
    job = msgspec.json.decode(job_manifest(task, make_template("t", template(parallelism=1)).json(), OPEN))
    assert job["spec"]["parallelism"] == 1
    assert job["metadata"]["name"] == job_key(task).name


def test_a_document_without_a_template_is_refused() -> None:
    """What can't be read raises, and does not become an empty Job."""
    with pytest.raises(msgspec.DecodeError):
        job_manifest(make_task().build(), b'{"spec":{"jobTemplate":7}}', OPEN)


@pytest.mark.parametrize(
    ("soft", "hard", "deadline", "grace"),
    [
        (None, None, None, None),
        (30, None, 30, None),
        (30, 40, 30, 10),
        (None, 60, 50, 10),
        (None, 12, 6, 6),
        (None, 3, 2, 1),
        (None, 2, 1, 1),
    ],
)
def test_the_kubelet_keeps_the_timeouts(
    soft: int | None, hard: int | None, deadline: int | None, grace: int | None
) -> None:
    """SIGTERM comes at the soft limit and SIGKILL at the hard one."""
    limits = kubelet_limits(Timeouts(soft_seconds=soft, hard_seconds=hard))
    assert limits.get("activeDeadlineSeconds") == deadline
    assert limits.get("terminationGracePeriodSeconds") == grace


@given(st.integers(2, 10**6))
def test_a_hard_timeout_alone_is_kept_to_the_second(hard: int) -> None:
    """Deadline and grace are at least a second each and add up to the hard limit."""
    limits = kubelet_limits(Timeouts(hard_seconds=hard))
    assert min(limits.values()) >= 1
    assert sum(limits.values()) == hard
