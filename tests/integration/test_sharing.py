"""How queues share and order: levels, aging, turns, keys, parents, rates, on a real API server with real Jobs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import localcluster
from cluster_tools.desk import Desk, conditions, job_template
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, OperatorProcess
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def labelled(desk: Desk, name: str, labels: dict[str, str], *steps: dict[str, Any], **spec: Any) -> None:
    """Create a Task with labels."""
    desk.create("Task", name, {"jobTemplate": job_template(*steps), **spec}, labels=labels)


def open_and_wait(desk: Desk, queue: str, *tasks: str) -> list[str]:
    """Let a paused queue go, and say in which order its Tasks were started."""
    desk.change(queue, "TaskQueue", state="Open")
    for task in tasks:
        desk.wait_phase(task, "Succeeded")
    return desk.started()


def test_a_level_is_a_name_for_a_priority(desk: Desk) -> None:
    """And a level that the queue does not have is said to be the trouble, until it has it."""
    levels = [{"name": "urgent", "value": 100}, {"name": "bulk", "value": -100}]
    desk.queue("line", state="Paused", maxConcurrency=1, priorityLevels=levels)
    desk.task("bulk", queueName="line", priorityLevel="bulk")
    desk.task("plain", queueName="line")
    desk.task("urgent", queueName="line", priorityLevel="urgent")
    desk.task("lost", queueName="line", priorityLevel="sometime")
    stalled = desk.wait_condition("lost", "Stalled", reason="PriorityLevelNotFound")
    assert "spec.priorityLevel" in conditions(stalled)["Stalled"]["message"]
    assert open_and_wait(desk, "line", "urgent", "plain", "bulk") == ["urgent", "plain", "bulk"]
    desk.change("line", "TaskQueue", priorityLevels=[*levels, {"name": "sometime", "value": 1}])
    assert desk.wait_phase("lost", "Succeeded")["status"]["effectivePriority"] == 1


def test_waiting_raises_a_priority(desk: Desk, kubelet: FakeKubelet) -> None:
    """A Task of low priority that has waited goes before a new one of higher priority."""
    aging = {"periodSeconds": 10, "increment": 100, "maxIncrease": 100}
    desk.queue("line", maxConcurrency=1, priorityAging=aging)
    desk.task("first", {"hold": True}, queueName="line", priority=1000)
    desk.wait_pod("first")
    old = desk.task("old", queueName="line", priority=1)
    made = datetime.fromisoformat(old["metadata"]["creationTimestamp"])
    until(lambda: datetime.now(made.tzinfo) > made + timedelta(seconds=10), "one period of aging is over")
    desk.task("new", queueName="line", priority=50)
    desk.task("newest", queueName="line", priority=500)
    kubelet.finish(desk.namespace, "first")
    for name in ("old", "new", "newest"):
        desk.wait_phase(name, "Succeeded")
    assert desk.started() == ["first", "newest", "old", "new"]
    assert desk.get("old")["status"]["effectivePriority"] == 101


def test_values_of_a_label_take_turns(desk: Desk) -> None:
    """A tenant with many Tasks does not shut out one with few; a higher priority still goes first."""
    desk.queue("line", state="Paused", maxConcurrency=1, fairShareLabelKey="team")
    for name in ("a1", "a2", "a3", "b1"):
        labelled(desk, name, {"team": name[0]}, queueName="line")
    labelled(desk, "urgent", {"team": "a"}, queueName="line", priority=5)
    started = open_and_wait(desk, "line", "a3", "b1")
    assert started[0] == "urgent"
    assert started[1] == "b1"
    assert sorted(started[2:]) == ["a1", "a2", "a3"]


def test_a_label_can_be_a_mutex(desk: Desk, kubelet: FakeKubelet) -> None:
    """Of Tasks with one value only one runs; others pass by, and those without the label are not limited."""
    desk.queue("line", concurrencyLabelKey="db")
    labelled(desk, "one", {"db": "main"}, {"hold": True}, queueName="line", priority=3)
    desk.wait_pod("one")
    labelled(desk, "two", {"db": "main"}, queueName="line", priority=2)
    labelled(desk, "other", {"db": "copy"}, queueName="line")
    desk.task("free", queueName="line")
    for name in ("other", "free"):
        desk.wait_phase(name, "Succeeded")
    assert desk.jobs("two") == []
    kubelet.finish(desk.namespace, "one")
    desk.wait_phase("two", "Succeeded")


def test_a_label_can_allow_several(desk: Desk, kubelet: FakeKubelet) -> None:
    """maxConcurrencyPerKey of one value run, and not one more."""
    desk.queue("line", concurrencyLabelKey="db", maxConcurrencyPerKey=2)
    for name in ("one", "two", "three"):
        labelled(desk, name, {"db": "main"}, {"hold": True}, queueName="line")
    until(lambda: len(desk.started()) == 2, "two have started")
    desk.task("free", queueName="line")
    desk.wait_phase("free", "Succeeded")
    running = [name for name in ("one", "two", "three") if desk.jobs(name)]
    assert len(running) == 2
    kubelet.finish(desk.namespace, running[0])
    (last,) = {"one", "two", "three"} - set(running)
    desk.wait_pod(last)


def test_a_strict_queue_waits_for_its_head(desk: Desk, kubelet: FakeKubelet) -> None:
    """What stands behind a blocked Task waits with it; BestEffort lets it pass."""
    desk.queue("line", concurrencyLabelKey="db", queueingStrategy="Strict")
    labelled(desk, "one", {"db": "main"}, {"hold": True}, queueName="line", priority=3)
    desk.wait_pod("one")
    labelled(desk, "two", {"db": "main"}, queueName="line", priority=2)
    desk.task("behind", queueName="line", priority=1)
    desk.task("elsewhere")
    desk.wait_phase("elsewhere", "Succeeded")
    assert desk.jobs("behind") == []
    desk.change("line", "TaskQueue", queueingStrategy="BestEffort")
    desk.wait_phase("behind", "Succeeded")
    assert desk.jobs("two") == []
    kubelet.finish(desk.namespace, "one")
    desk.wait_phase("two", "Succeeded")


def test_children_share_the_room_of_their_parent(desk: Desk) -> None:
    """The queue of higher priority first, equal ones in turn, the parent's own Tasks among them."""
    desk.queue("parent", state="Paused", maxConcurrency=1)
    for name, priority in (("high", 5), ("left", 0), ("right", 0)):
        desk.queue(name, parent={"name": "parent"}, priority=priority)
    for queue in ("left", "right", "high", "parent"):
        for number in (1, 2):
            desk.task(f"{queue}-{number}", queueName=queue)
    started = open_and_wait(desk, "parent", *(f"{q}-{n}" for q in ("left", "right", "high", "parent") for n in (1, 2)))
    assert started[:2] == ["high-1", "high-2"]
    assert sorted(started[2:5]) == ["left-1", "parent-1", "right-1"]
    assert sorted(started[5:]) == ["left-2", "parent-2", "right-2"]


def test_a_missing_parent_is_said_at_its_child(desk: Desk) -> None:
    """The child is Stalled and its Tasks wait; they go on once the parent is there."""
    desk.queue("child", parent={"name": "parent"})
    desk.task("waits", queueName="child")
    stalled = desk.wait_condition("child", "Stalled", reason="ParentNotFound", of="TaskQueue")
    assert "spec.parent.name" in conditions(stalled)["Stalled"]["message"]
    desk.task("neighbour")
    desk.wait_phase("neighbour", "Succeeded")
    assert desk.jobs("waits") == []
    desk.queue("parent")
    desk.wait_phase("waits", "Succeeded")
    desk.wait_condition("child", "Ready", of="TaskQueue")


def test_a_rate_limit_spreads_starts(desk: Desk) -> None:
    """In no period of that length are there more starts, by the Jobs' own creation times."""
    desk.queue("line", rateLimit={"maxStarts": 2, "periodSeconds": 4})
    for number in range(5):
        desk.task(f"t{number}", queueName="line")
    for number in range(5):
        desk.wait_phase(f"t{number}", "Succeeded")
    assert_rate([desk.jobs(f"t{number}")[0] for number in range(5)], most=2, period=4)


def test_a_rate_limit_survives_a_restart(
    desk: Desk, operator: OperatorProcess, cluster: localcluster.Cluster, tmp_path: Any
) -> None:
    """An operator that is killed and started again makes no burst."""
    desk.queue("line", rateLimit={"maxStarts": 2, "periodSeconds": 6})
    for number in range(4):
        desk.task(f"t{number}", queueName="line")
    until(lambda: len(desk.started()) == 2, "the period is used up")
    with OperatorProcess(cluster.kubeconfig, tmp_path / "second.log", **PROMPT) as second:
        operator.kill()
        second.wait_leading()
        for number in range(4):
            desk.wait_phase(f"t{number}", "Succeeded")
        operator.start()
        assert second.terminate() == 0
    operator.wait_leading()
    assert_rate([desk.jobs(f"t{number}")[0] for number in range(4)], most=2, period=6)


def assert_rate(jobs: list[dict[str, Any]], *, most: int, period: int) -> None:
    """At most so many were created in any period; creation times have whole seconds, so one is in doubt."""
    times = sorted(datetime.fromisoformat(job["metadata"]["creationTimestamp"]) for job in jobs)
    for earlier, later in zip(times, times[most:], strict=False):
        assert later - earlier >= timedelta(seconds=period - 1), times


def test_only_the_oldest_so_many_stand_in_the_order(desk: Desk, kubelet: FakeKubelet) -> None:
    """A newer Task of any priority waits until there is room among the oldest."""
    desk.queue("line", maxConcurrency=1, maxPending=1)
    desk.task("first", {"hold": True}, queueName="line")
    desk.wait_pod("first")
    old = desk.task("old", queueName="line", priority=1)
    made = datetime.fromisoformat(old["metadata"]["creationTimestamp"])
    until(lambda: datetime.now(made.tzinfo) > made + timedelta(seconds=1), "the next one is younger by a second")
    desk.task("young", queueName="line", priority=100)
    kubelet.finish(desk.namespace, "first")
    for name in ("old", "young"):
        desk.wait_phase(name, "Succeeded")
    assert desk.started() == ["first", "old", "young"]
