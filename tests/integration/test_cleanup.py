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
