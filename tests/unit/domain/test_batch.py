"""Jobs of many items: progress, outcome, and limits that count for each item."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import JOB_TEMPLATE, T0, JobBuilder, PodBuilder, at, make_job, make_pod, make_task
from taskq.domain.actions import FetchPods, StopJob, WriteStatus
from taskq.domain.batch import PROGRESS_SECONDS
from taskq.domain.jobspec import job_manifest
from taskq.domain.lifecycle import Decision, View, decide
from taskq.domain.model import Job, Pod, QueueSpec, Task
from taskq.resources.common import MAX_INDEXES_LENGTH

BATCH = {"completions": 10, "parallelism": 2}


def indexed(task: Task, **status: Any) -> JobBuilder:
    """The Job of a batch of ten."""
    job = make_job(task)
    return JobBuilder(
        job.document | {"spec": {"completions": 10, "completionMode": "Indexed"}, "status": {"active": 1} | status}
    )


def item(job: Job, index: int, created: float = 0) -> PodBuilder:
    """A pod for one index."""
    pod = make_pod(job, str(index), created=created)
    labels = pod.document["metadata"]["labels"] | {"batch.kubernetes.io/job-completion-index": str(index)}
    return pod.meta(labels=labels)


def look(task: Task, job: Job, *pods: Pod, now: float = 10, **facts: Any) -> Decision:
    """Decide on a Task `now` seconds after T0."""
    return decide(View(task=task, queue=None, queue_exists=True, job=job, pods=pods, **facts), T0 + now)


def written(decision: Decision) -> dict[str, Any]:
    """The one status that is written."""
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    return action.status


def shown(task: Task, job: Job, now: float) -> Task:
    """The Task after the write that says how far it has come."""
    status = written(look(task, job, item(job, 9).running().build(), now=now))
    return after(task, status)


def after(task: Task, status: dict[str, Any]) -> Task:
    """The Task as the API server shows it after a write: what is null is taken away."""
    progress = {name: value for name, value in status["progress"].items() if value is not None}
    kept = {name: value for name, value in status.items() if value is not None} | {"progress": progress}
    return msgspec.convert(msgspec.to_builtins(task) | {"status": kept}, Task, strict=False)


# --- the Job ------------------------------------------------------------------------------------------------------


def manifest(batch: dict[str, Any], **template: Any) -> dict[str, Any]:
    """The spec of the Job that is created."""
    holder = {"spec": JOB_TEMPLATE["spec"] | template}
    task = make_task(batch=batch, jobTemplate=holder).build()
    spec: dict[str, Any] = msgspec.json.decode(job_manifest(task, task.raw, QueueSpec()))["spec"]
    return spec


def test_a_batch_is_an_indexed_job_in_which_one_item_fails_alone() -> None:
    """A backoffLimit of 0, as other Jobs have it, would end all at the first failure."""
    spec = manifest({"completions": 10, "parallelism": 4, "maxFailedIndexes": 3, "retriesPerIndex": 2})
    expected = {"completionMode": "Indexed", "completions": 10, "parallelism": 4, "backoffLimitPerIndex": 2}
    assert expected.items() <= spec.items()
    assert (spec["maxFailedIndexes"], spec["backoffLimit"]) == (3, 2**31 - 1)


def test_a_batch_overrides_what_a_template_elsewhere_says() -> None:
    """No more pods at once than there are items; without a limit for failures there is none."""
    spec = manifest({"completions": 2, "parallelism": 9}, completions=99, parallelism=99, completionMode="NonIndexed")
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (2, 2, "Indexed")
    assert "maxFailedIndexes" not in spec


def test_an_eviction_does_not_fail_an_item_unless_the_template_has_rules_of_its_own() -> None:
    """A podReplacementPolicy excludes ours, too: the API server takes only some pairs of them."""
    (rule,) = manifest(BATCH)["podFailurePolicy"]["rules"]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    own = {"rules": [{"action": "FailIndex"}]}
    assert manifest(BATCH, podFailurePolicy=own)["podFailurePolicy"] == own
    assert "podFailurePolicy" not in manifest(BATCH, podReplacementPolicy="TerminatingOrFailed")


# --- progress -----------------------------------------------------------------------------------------------------


def test_progress_comes_with_the_first_write() -> None:
    """As the Job's own status has it."""
    task = make_task(batch=BATCH).build()
    job = indexed(task, succeeded=3, failedIndexes="0,4-5").build()
    progress = written(look(task, job, item(job, 9).running().build()))["progress"]
    assert progress == {
        "total": 10,
        "completed": 3,
        "failed": 3,
        "percent": 30,
        "failedIndexes": "0,4-5",
        "lastChangeTime": at(10),
    }


def test_a_change_is_written_so_long_after_the_last_one() -> None:
    """Between them it costs nothing, however many items end."""
    task = make_task(batch=BATCH).build()
    task = shown(task, indexed(task, succeeded=1).build(), now=10)
    job = indexed(task, succeeded=5).build()
    pod = item(job, 9).running().build()
    early = look(task, job, pod, now=12)
    assert (early.actions, early.wake_at) == ((), T0 + 10 + PROGRESS_SECONDS)
    later = written(look(task, job, pod, now=10 + PROGRESS_SECONDS))
    assert (later["progress"]["completed"], later["progress"]["lastChangeTime"]) == (5, at(20))


def test_a_batch_of_any_size_costs_so_many_writes_a_minute() -> None:
    """Ten items end every second, for a hundred seconds."""
    task, writes = make_task(batch={"completions": 1000}).build(), 0
    for now in range(3, 103):
        job = indexed(task, succeeded=now * 10).build()
        for action in look(task, job, item(job, 9).running().build(), now=now).actions:
            assert isinstance(action, WriteStatus)
            task, writes = after(task, action.status), writes + 1
    assert writes == 1 + 99 // PROGRESS_SECONDS


def test_what_has_not_changed_is_not_written() -> None:
    """And its time stays."""
    task = make_task(batch=BATCH).build()
    job = indexed(task, succeeded=1).build()
    task = shown(task, job, now=10)
    assert look(task, job, item(job, 9).running().build(), now=500).actions == ()


def test_the_last_write_always_has_the_final_progress() -> None:
    """However short before the last change was written."""
    task = make_task(batch=BATCH).build()
    task = shown(task, indexed(task, succeeded=9).build(), now=10)
    progress = written(look(task, indexed(task, succeeded=10).condition("Complete", since=11).build(), now=11))
    assert (progress["progress"]["completed"], progress["progress"]["percent"]) == (10, 100)
    assert progress["phase"] == "Succeeded"


def test_a_new_attempt_begins_anew() -> None:
    """Its first write says so at once."""
    task = make_task(batch=BATCH, retryPolicy={"maxAttempts": 2}).build()
    task = shown(task, indexed(task, succeeded=9, failedIndexes="1").build(), now=10)
    job = indexed(task, succeeded=9, failedIndexes="1").condition("Failed", since=11).build()
    retrying = written(look(task, job, item(job, 1).failed(1, 11).build(), now=11))
    again = after(task, retrying)
    job = indexed(again, succeeded=1).build()
    progress = written(look(again, job, item(job, 2).running().build(), now=14))["progress"]
    assert (progress["completed"], progress["failedIndexes"]) == (1, None)


def test_an_ordinary_job_has_none() -> None:
    """One item is no progress; a Job with completions of its own has some."""
    task = make_task().build()
    job = make_job(task).active().build()
    assert "progress" not in written(look(task, job, make_pod(job).running().build()))
    several = JobBuilder(
        make_job(task).document | {"spec": {"completions": 4}, "status": {"succeeded": 1, "failed": 2}}
    )
    job = several.build()
    progress = written(look(task, job, make_pod(job).running().build()))["progress"]
    assert (progress["total"], progress["completed"], progress["failed"]) == (4, 1, 2)


# --- how it ends --------------------------------------------------------------------------------------------------


def fails(task: Task, job: Job, *pods: Pod) -> dict[str, Any]:
    """The attempt that failed."""
    (attempt,) = written(look(task, job, *pods))["attempts"]
    found: dict[str, Any] = attempt
    return found


def test_a_failure_says_how_many_and_which_and_what_the_first_one_said() -> None:
    """Of the items that failed for good, the one that ended first; retry rules read its code."""
    task = make_task(batch=BATCH).build()
    job = indexed(task, succeeded=8, failedIndexes="3,7").condition("Failed", since=9).build()
    attempt = fails(
        task,
        job,
        item(job, 1).failed(9, 1, message="tried again, with success").build(),
        item(job, 7).failed(4, 5, message="second").build(),
        item(job, 3).failed(3, 4, message="first").build(),
        item(job, 2).succeeded(2).build(),
    )
    assert attempt["message"] == "2 of 10 items failed (indexes 3,7); index 3: first"
    assert (attempt["exitCode"], attempt["reason"]) == (3, "Error")
    assert (attempt["startTime"], attempt["completionTime"]) == (at(0), at(9))


def test_a_long_list_of_failures_is_cut() -> None:
    """Between two indexes, in the message sooner than in the field."""
    task = make_task(batch=BATCH).build()
    many = ",".join(str(index) for index in range(0, 2000, 2))
    job = indexed(task, failedIndexes=many).condition("Failed", since=9).build()
    pod = item(job, 0).failed(1, 5).build()
    status = written(look(task, job, pod))
    listed = status["progress"]["failedIndexes"]
    assert len(listed) <= MAX_INDEXES_LENGTH
    assert listed.endswith(",…")
    assert all(part in many.split(",") for part in listed.split(",")[:-1])
    assert status["progress"]["failed"] == 1000
    assert len(status["attempts"][0]["message"]) < 300


def test_only_failed_pods_are_read_for_a_failure_that_no_watch_has_explained() -> None:
    """Ten thousand that succeeded tell nothing; without any that failed, somebody deleted them."""
    task = make_task(batch=BATCH).build()
    job = indexed(task, failedIndexes="3").condition("Failed", since=9).build()
    done = item(job, 2).succeeded(2).build()
    (action,) = look(task, job, done).actions
    assert isinstance(action, FetchPods)
    assert action.which == "failed"
    (attempt,) = written(look(task, job, done, pods_fetched=True))["attempts"]
    assert attempt["reason"] == "PodDeleted"
    assert attempt["message"].startswith("1 of 10 items failed (indexes 3); ")


def test_a_success_needs_no_pods() -> None:
    """A batch has no result: its items' own messages stay in their pods."""
    task = make_task(batch=BATCH).build()
    status = written(look(task, indexed(task, succeeded=10).condition("Complete", since=9).build()))
    assert status["phase"] == "Succeeded"
    assert "result" not in status


# --- limits that count for each item ------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "stops"), [(139, False), (141, True)])
def test_an_overdue_item_stops_the_batch_only_when_no_other_has_time_left(now: float, stops: bool) -> None:
    """Its node may be lost: hard limit and slack count from the last pod that was accepted, not from the first."""
    task = make_task(batch=BATCH, timeouts={"hardSeconds": 10}).build()
    job = indexed(task).build()
    pods = (item(job, 0).running(since=0).build(), item(job, 5, created=100).running(since=100).build())
    assert any(isinstance(action, StopJob) for action in look(task, job, *pods, now=now).actions) is stops


def test_an_item_that_is_not_accepted_yet_counts_from_its_creation() -> None:
    """A pod of the next wave was just made beside an overdue one."""
    task = make_task(batch=BATCH, timeouts={"hardSeconds": 10}).build()
    job = indexed(task).build()
    pods = (item(job, 0).running(since=0).build(), item(job, 5, created=99).build())
    assert not any(isinstance(action, StopJob) for action in look(task, job, *pods, now=100).actions)


def test_a_batch_waits_too_long_when_none_of_its_pods_runs() -> None:
    """pendingSeconds counts in every wave anew, from the oldest pod that waits."""
    task = make_task(batch=BATCH, timeouts={"pendingSeconds": 20}).build()
    job = indexed(task, succeeded=4).build()
    waits = item(job, 5, created=100).waiting("ImagePullBackOff").build()
    running = item(job, 6, created=100).running(since=101).build()
    assert not any(isinstance(action, StopJob) for action in look(task, job, waits, running, now=500).actions)
    assert not any(isinstance(action, StopJob) for action in look(task, job, waits, now=119).actions)
    (action,) = look(task, job, waits, now=120).actions
    assert isinstance(action, StopJob)
    assert action.reason == "PendingTimeout"
