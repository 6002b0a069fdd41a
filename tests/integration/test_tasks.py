"""What a Task can say, each field at work on a real API server; only the kubelet is a fake."""

from __future__ import annotations

import pytest

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions

pytestmark = pytest.mark.usefixtures("operator")


def test_a_task_runs_and_succeeds(desk: Desk) -> None:
    """From nothing but a jobTemplate to an outcome, in a namespace without any TaskQueue."""
    desk.task("hello", {"message": "the answer is 42"})
    task = desk.wait_end("hello")
    assert task["status"]["phase"] == "Succeeded"
    assert task["status"]["result"] == "the answer is 42"
    assert task["status"]["queueName"] == "default"
    assert [start.attempt for start in audit.starts(desk.audit())] == [1]
    assert conditions(task)["Complete"]["status"] == "True"
