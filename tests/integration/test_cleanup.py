"""Finished Tasks go when their time to live is over, and nothing else does."""

from __future__ import annotations

import pytest

from cluster_tools import audit
from cluster_tools.desk import Desk
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def test_a_finished_task_goes_when_its_time_is_over(desk: Desk) -> None:
    """With its Jobs and pods."""
    desk.task("brief", ttl={"afterSuccessSeconds": 0})
    desk.task("kept")
    desk.wait_end("kept")
    desk.wait_gone("Task", "brief")
    until(lambda: not desk.jobs("brief") and not desk.pods("brief"), "its Job and pods are gone, too")
    assert [end.phase for end in audit.ends(desk.audit()) if end.task == "brief"] == ["Succeeded"]
    assert desk.find("Task", "kept")
    assert len(desk.jobs("kept")) == 1


def test_a_failed_task_is_kept_for_its_own_time(desk: Desk) -> None:
    """Cancelled and expired ones as well."""
    desk.queue("shut", state="Paused")
    both = {"afterSuccessSeconds": 0, "afterFailureSeconds": 3600}
    desk.task("kept", {"exitCode": 1}, ttl=both)
    desk.task("failed", {"exitCode": 1}, ttl={"afterFailureSeconds": 1})
    desk.task("expired", queueName="shut", startingDeadlineSeconds=1, ttl={"afterFailureSeconds": 1})
    desk.task("cancelled", queueName="shut", cancellation={}, ttl={"afterFailureSeconds": 1})
    for name in ("failed", "expired", "cancelled"):
        desk.wait_gone("Task", name)
    ended = {end.task: end.phase for end in audit.ends(desk.audit())}
    assert ended == {"kept": "Failed", "failed": "Failed", "expired": "Expired", "cancelled": "Cancelled"}
    assert desk.find("Task", "kept")


def test_a_new_task_under_the_name_of_a_cleaned_one_is_left_alone(desk: Desk) -> None:
    """Deletions ask for the very Task that ended."""
    desk.task("name", ttl={"afterSuccessSeconds": 0})
    first = desk.get("name")["metadata"]["uid"]
    desk.wait_gone("Task", "name")
    desk.task("name")
    task = desk.wait_end("name")
    assert task["status"]["phase"] == "Succeeded"
    deleted = audit.requests(desk.audit(), "delete", "tasks", agent="taskq-operator")
    assert len(deleted) == 1
    assert desk.get("name")["metadata"]["uid"] != first


def test_a_result_goes_before_its_task(desk: Desk) -> None:
    """The Task, its history and its logs stay."""
    desk.task("secretive", {"message": "42"}, ttl={"resultSeconds": 8})
    assert desk.wait_end("secretive")["status"]["result"] == "42"
    task = desk.wait("secretive", lambda task: "result" not in task["status"], "its result is gone")
    assert task["status"]["phase"] == "Succeeded"
    assert task["status"]["attempts"]


def test_only_so_many_finished_tasks_are_kept(desk: Desk) -> None:
    """The oldest succeeded and the oldest failed ones go, with their Jobs; the queue's counts follow."""
    desk.queue("tidy", maxConcurrency=1, retention={"maxSucceeded": 2, "maxFailed": 1})
    names = ["s1", "s2", "s3", "f1", "f2"]
    for rank, name in enumerate(names):
        desk.task(name, {"exitCode": 1 if name[0] == "f" else 0}, queueName="tidy", priority=-rank)
    for name in ("s1", "f1"):
        desk.wait_gone("Task", name)
        until(lambda name=name: desk.jobs(name) == [], f"the Jobs of {name} are gone")
    assert {task["metadata"]["name"] for task in desk.list("Task")} == {"s2", "s3", "f2"}
    counted = {"succeeded": 2, "failed": 1}
    desk.wait("tidy", lambda queue: counted.items() <= queue["status"].items(), "it counts what is kept", "TaskQueue")
    desk.wait_condition("tidy", "Idle", of="TaskQueue")
