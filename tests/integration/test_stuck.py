"""Work that does not get on, as a user sees it: conditions, Events, metrics."""

from __future__ import annotations

import pytest

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def value(operator: OperatorProcess, desk: Desk, name: str, queue: str) -> float:
    """A gauge of a queue of this test."""
    return operator.metric(f'{name}{{namespace="{desk.namespace}",queue="{queue}"}}')


def told(desk: Desk, name: str) -> list[str]:
    """The reasons of an object's Events, of those that this page is about."""
    events = sorted(desk.events(name), key=lambda event: str(event["metadata"]["resourceVersion"]))
    return [event["reason"] for event in events if "Stuck" in event["reason"]]


def test_a_task_that_runs_for_too_long_is_stuck(desk: Desk, operator: OperatorProcess, kubelet: FakeKubelet) -> None:
    """It says so once, by a timed wake-up, and no more once it has ended; nothing is stopped for it."""
    desk.queue("watched", alerts={"stuckSeconds": 3})
    desk.task("slow", {"hold": True}, queueName="watched")
    desk.task("quick", queueName="watched")
    task = desk.wait_condition("slow", "Stuck", reason="RunningLong")
    assert "spec.alerts.stuckSeconds of queue watched" in conditions(task)["Stuck"]["message"]
    assert task["status"]["phase"] == "Running"
    until(lambda: value(operator, desk, "taskq_tasks_stuck", "watched") == 1, "one stuck Task")
    kubelet.finish(desk.namespace, "slow")
    ended = desk.wait_end("slow")
    assert ended["status"]["phase"] == "Succeeded"
    assert "Stuck" not in conditions(ended)
    assert "Stuck" not in conditions(desk.wait_end("quick"))
    assert value(operator, desk, "taskq_tasks_stuck", "watched") == 0
    until(lambda: told(desk, "slow") == ["Stuck"], "one Event")


def test_a_higher_threshold_takes_the_condition_away(desk: Desk) -> None:
    """It is judged anew when the queue's spec changes."""
    desk.queue("watched", alerts={"stuckSeconds": 2})
    desk.task("slow", {"hold": True}, queueName="watched")
    desk.wait_condition("slow", "Stuck")
    desk.change("watched", "TaskQueue", alerts={"stuckSeconds": 3600})
    desk.wait("slow", lambda task: "Stuck" not in conditions(task), "no condition Stuck")
    until(lambda: told(desk, "slow") == ["Stuck", "NoLongerStuck"], "two Events")


def test_a_batch_is_stuck_when_none_of_its_items_ends(desk: Desk) -> None:
    """It is not judged by its age."""
    desk.queue("watched", alerts={"stuckSeconds": 4})
    steps = {"seconds": 2, "byIndex": {"2": {"hold": True}}}
    desk.task("items", steps, queueName="watched", batch={"completions": 3})
    task = desk.wait_condition("items", "Stuck", reason="NoProgress")
    assert task["status"]["progress"]["completed"] == 2


def test_a_queue_that_starts_nothing_is_stuck(desk: Desk, operator: OperatorProcess) -> None:
    """Its condition names what holds it, and goes with it."""
    desk.queue("child", parent={"name": "comes-later"}, alerts={"stuckSeconds": 2})
    desk.task("waits", queueName="child")
    queue = desk.wait_condition("child", "Stuck", reason="ParentNotFound", of="TaskQueue")
    assert "comes-later" in conditions(queue)["Stuck"]["message"]
    until(lambda: value(operator, desk, "taskq_queue_stuck", "child") == 1, "the queue's metric")
    desk.queue("comes-later")
    desk.wait_end("waits")
    desk.wait("child", lambda queue: "Stuck" not in conditions(queue), "no condition Stuck", "TaskQueue")
    until(lambda: told(desk, "child") == ["Stuck", "NoLongerStuck"], "two Events")
    until(lambda: value(operator, desk, "taskq_queue_stuck", "child") == 0, "the queue's metric")


def test_a_paused_queue_is_not_stuck(desk: Desk) -> None:
    """Somebody wants it so: opened, its Tasks still can't start, and that is another matter."""
    desk.queue("held", state="Paused", alerts={"stuckSeconds": 1})
    desk.queue("open", alerts={"stuckSeconds": 1})
    desk.task("waits", queueName="held", templateRef={"name": "nobody"})
    desk.task("odd", queueName="open", templateRef={"name": "nobody"})
    desk.wait_condition("open", "Stuck", reason="TemplateNotFound", of="TaskQueue")
    assert "Stuck" not in conditions(desk.get("held", "TaskQueue"))
    desk.change("held", "TaskQueue", state="Open")
    desk.wait_condition("held", "Stuck", reason="TemplateNotFound", of="TaskQueue")


def test_nothing_is_written_again_while_it_lasts(desk: Desk) -> None:
    """At most: it runs, it is stuck, it has ended."""
    desk.queue("watched", alerts={"stuckSeconds": 2})
    desk.task("slow", {"seconds": 6}, queueName="watched")
    desk.wait_end("slow")
    writes = audit.requests(desk.audit(), "patch", "tasks/status", agent="taskq-operator")
    assert len([event for event in writes if event["objectRef"]["name"] == "slow"]) <= 3
