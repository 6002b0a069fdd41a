"""Many items in one Task, on a real API server and Job controller; only the kubelet is a fake."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from cluster_tools.desk import Desk, conditions, job_template, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def test_a_batch_runs_every_item_and_holds_one_place(desk: Desk) -> None:
    """Four pods at once beside another Task, in a queue that runs two; the status counts the items."""
    desk.queue("two", maxConcurrency=2)
    desk.task("items", {"seconds": 2}, queueName="two", batch={"completions": 8, "parallelism": 4})
    desk.task("other", queueName="two")
    desk.wait_phase("other", "Succeeded")
    assert desk.get("items")["status"]["phase"] != "Succeeded"
    task = desk.wait_end("items")
    assert task["status"]["phase"] == "Succeeded"
    progress = task["status"]["progress"]
    assert progress == {
        "total": 8,
        "completed": 8,
        "failed": 0,
        "percent": 100,
        "lastChangeTime": progress["lastChangeTime"],
    }
    (job,) = desk.jobs("items")
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 8, 4)
    assert job["status"]["completedIndexes"] == "0-7"


def test_progress_is_shown_while_a_batch_runs(desk: Desk) -> None:
    """With its first write, and then from time to time, never for each item."""
    steps = {"seconds": 0, "byIndex": {"5": {"hold": True}}}
    desk.task("items", steps, batch={"completions": 6, "parallelism": 6})
    desk.wait("items", lambda task: task["status"].get("progress", {}).get("completed") == 5, "five of six are done")
    task = desk.get("items")
    assert task["status"]["phase"] == "Running"
    assert (task["status"]["progress"]["percent"], task["status"]["progress"]["total"]) == (83, 6)
    desk.change("items", cancellation={"mode": "Immediate"})
    ended = desk.wait_end("items")["status"]
    assert (ended["phase"], ended["progress"]["completed"]) == ("Cancelled", 5)


def test_items_that_fail_stop_no_others(desk: Desk) -> None:
    """The attempt fails, and says how many failed, which, and what the first of them said."""
    bad = {"exitCode": 7, "message": "no such file"}
    steps = {"byIndex": {"1": bad, "3": bad, "4": bad, "5": bad}}
    desk.task("items", steps, batch={"completions": 7, "parallelism": 1})
    task = desk.wait_end("items")
    progress = task["status"]["progress"]
    assert task["status"]["phase"] == "Failed"
    assert (progress["completed"], progress["failed"], progress["failedIndexes"]) == (3, 4, "1,3-5")
    (attempt,) = task["status"]["attempts"]
    assert (attempt["reason"], attempt["exitCode"]) == ("Error", 7)
    assert attempt["message"] == "4 of 7 items failed (indexes 1,3-5); index 1: no such file"
    assert attempt["message"] in conditions(task)["Failed"]["message"]


def test_a_batch_gives_up_when_too_many_items_fail(desk: Desk) -> None:
    """maxFailedIndexes 0: with the first one, and what runs is stopped."""
    steps = {"hold": True, "byIndex": {"0": {"hold": False, "exitCode": 1}}}
    desk.task("items", steps, batch={"completions": 50, "parallelism": 2, "maxFailedIndexes": 0})
    task = desk.wait_end("items")
    assert (task["status"]["phase"], task["status"]["progress"]["failedIndexes"]) == ("Failed", "0")
    assert desk.jobs("items")[0]["status"].get("active", 0) == 0


def test_an_item_is_tried_again_by_itself(desk: Desk) -> None:
    """retriesPerIndex: only that item's pod is made anew, inside the attempt."""
    desk.task(
        "items", {"byIndex": {"1": {"exitCode": 1}}}, batch={"completions": 2, "parallelism": 2, "retriesPerIndex": 1}
    )
    task = desk.wait_end("items")
    assert (task["status"]["attempt"], task["status"]["progress"]["failedIndexes"]) == (1, "1")
    indexes = [pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in desk.pods("items")]
    assert sorted(indexes) == ["0", "1", "1"]


def test_an_evicted_item_is_made_anew(desk: Desk, kubelet: FakeKubelet) -> None:
    """An eviction by the API is not the item's fault, and does not fail it."""
    desk.task("items", {"hold": True}, batch={"completions": 1})
    pod = desk.wait_pod("items")["metadata"]["name"]
    eviction: Any = {"metadata": {"name": pod, "namespace": desk.namespace}}
    desk.core.create_namespaced_pod_eviction(pod, desk.namespace, eviction)
    until(lambda: [p for p in desk.pods("items") if p["metadata"]["name"] != pod], "another pod takes its place")
    kubelet.finish(desk.namespace, "items")
    assert desk.wait_end("items")["status"]["phase"] == "Succeeded"


def test_a_retry_of_a_batch_runs_all_items_again(desk: Desk) -> None:
    """As a new Job, whose progress begins anew; the first attempt's failures stay in its message."""
    steps = [{"byIndex": {"1": {"exitCode": 1}}}, {}]
    desk.task("items", *steps, batch={"completions": 3, "parallelism": 3}, retryPolicy=retries(2))
    task = desk.wait_end("items")
    assert (task["status"]["phase"], task["status"]["attempt"]) == ("Succeeded", 2)
    assert task["status"]["progress"]["completed"] == 3
    assert "failedIndexes" not in task["status"]["progress"]
    assert task["status"]["attempts"][0]["message"].startswith("1 of 3 items failed (indexes 1)")
    assert [job["status"]["succeeded"] for job in desk.jobs("items")] == [2, 3]


def test_each_wave_of_a_batch_has_its_own_time(desk: Desk) -> None:
    """Timeouts bound an item: five of a second each, one after the other, are no overrun of three seconds."""
    desk.task("items", {"seconds": 1}, batch={"completions": 5}, timeouts={"softSeconds": 3, "pendingSeconds": 3})
    task = desk.wait_end("items")
    assert task["status"]["phase"] == "Succeeded"
    status = desk.jobs("items")[0]["status"]
    took = datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(status["startTime"])
    assert took.total_seconds() >= 4


def test_an_item_that_overruns_fails_alone(desk: Desk) -> None:
    """The kubelet ends it at the soft limit; the others are done."""
    desk.task(
        "items",
        {"byIndex": {"0": {"hold": True}}},
        batch={"completions": 3, "parallelism": 3},
        timeouts={"softSeconds": 2},
    )
    task = desk.wait_end("items")
    (attempt,) = task["status"]["attempts"]
    assert attempt["reason"] == "TimedOut"
    assert attempt["message"].startswith("1 of 3 items failed (indexes 0); index 0: Ran longer than allowed")
    assert task["status"]["progress"]["completed"] == 2


def test_a_batch_whose_template_is_shared(desk: Desk) -> None:
    """With templateRef the batch overrides what the template says of items."""
    template = job_template({})
    template["spec"] |= {"completions": 99, "parallelism": 9}
    desk.create("TaskTemplate", "work", {"jobTemplate": template})
    desk.task("items", templateRef={"name": "work"}, batch={"completions": 2})
    assert desk.wait_end("items")["status"]["progress"]["total"] == 2


def test_a_job_with_completions_of_its_own_shows_its_progress(desk: Desk) -> None:
    """What a Job's own status counts is shown, batch or not; its first failure ends it, as always."""
    template = job_template({})
    template["spec"] |= {"completions": 3, "parallelism": 3}
    desk.task("own", jobTemplate=template)
    progress = desk.wait_end("own")["status"]["progress"]
    assert (progress["completed"], progress["total"], progress["percent"]) == (3, 3, 100)
    desk.task("plain")
    assert "progress" not in desk.wait_end("plain")["status"]
