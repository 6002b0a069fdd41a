"""One unfinished Task for each queue and key, on a real API server with real Jobs, and through a restart."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import localcluster
from cluster_tools.desk import Desk, conditions
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, OperatorProcess
from cluster_tools.waiting import until


def keyed(desk: Desk, name: str, *steps: dict[str, Any], queue: str | None = None, **asked: Any) -> dict[str, Any]:
    """Create a Task with the key «import»."""
    spec = {"queueName": queue} if queue else {}
    return desk.task(name, *steps, deduplication={"key": "import", **asked}, **spec)


def test_a_key_and_its_window_outlast_the_operator(
    desk: Desk, cluster: localcluster.Cluster, kubelet: FakeKubelet, tmp_path: Path
) -> None:
    """One that ran while another process served is found again, in the Job that runs or in the list of what ended."""
    with OperatorProcess(cluster.kubeconfig, tmp_path / "first.log", **PROMPT) as operator:
        operator.wait_leading()
        keyed(desk, "ended", windowSeconds=3600)
        desk.wait_phase("ended", "Succeeded")
        desk.queue("line")
        keyed(desk, "runs", {"hold": True}, queue="line")
        desk.wait_pod("runs")
        operator.kill()
    keyed(desk, "too-soon", windowSeconds=3600)
    keyed(desk, "beside", queue="line", mode="Replace")
    with OperatorProcess(cluster.kubeconfig, tmp_path / "second.log", **PROMPT) as operator:
        operator.wait_leading()
        assert "with the same key (import) ended" in desk.wait_phase("too-soon", "Cancelled")["status"]["message"]
        beside = desk.wait_phase("beside", "Cancelled")
        assert beside["status"]["reason"] == "Duplicate"
        assert "Task runs of queue line" in beside["status"]["message"]
        kubelet.finish(desk.namespace, "runs")
        desk.wait_phase("runs", "Succeeded")
    assert sorted(desk.started()) == ["ended", "runs"]


@pytest.mark.usefixtures("operator")
class TestWithAnOperator:
    """While one serves the cluster."""

    def test_of_two_with_one_key_the_one_that_runs_stays(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """The other one ends as Duplicate and names it; another queue, and a time after its end, are free."""
        keyed(desk, "first", {"hold": True})
        desk.wait_pod("first")
        keyed(desk, "second")
        second = desk.wait_phase("second", "Cancelled")
        assert second["status"]["reason"] == "Duplicate"
        assert "Task first of queue default has the same key (import)" in second["status"]["message"]
        assert conditions(second)["Finished"]["reason"] == "Duplicate"
        desk.queue("other")
        keyed(desk, "elsewhere", queue="other")
        desk.wait_phase("elsewhere", "Succeeded")
        kubelet.finish(desk.namespace, "first")
        desk.wait_phase("first", "Succeeded")
        keyed(desk, "third")
        desk.wait_phase("third", "Succeeded")

    def test_the_newest_can_take_the_place_of_one_that_waits(self, desk: Desk) -> None:
        """Mode Replace: for work of which only the newest version matters."""
        desk.queue("line", state="Paused")
        keyed(desk, "old", queue="line", mode="Replace")
        until(lambda: desk.get("line", "TaskQueue").get("status", {}).get("pending"), "the first one waits")
        made = datetime.fromisoformat(desk.get("old")["metadata"]["creationTimestamp"])
        until(lambda: datetime.now(made.tzinfo) > made + timedelta(seconds=1), "another second has begun")
        keyed(desk, "new", queue="line", mode="Replace")
        old = desk.wait_phase("old", "Cancelled")
        assert old["status"]["reason"] == "Replaced"
        assert "Task new" in old["status"]["message"]
        desk.change("line", "TaskQueue", state="Open")
        desk.wait_phase("new", "Succeeded")
        assert desk.started() == ["new"]

    def test_a_window_keeps_a_key_for_a_while_after_the_end(self, desk: Desk) -> None:
        """And the Task that it counts from, whatever its time to live says; one that never ran counts for nothing."""
        desk.task("never-ran", deduplication={"key": "import"}, suspend=True, cancellation={})
        desk.wait_phase("never-ran", "Cancelled")
        window = {"key": "import", "windowSeconds": 3}
        desk.task("first", deduplication=window, ttl={"afterSuccessSeconds": 0})
        desk.wait_phase("first", "Succeeded")
        keyed(desk, "too-soon", windowSeconds=3600)
        too_soon = desk.wait_phase("too-soon", "Cancelled")
        assert too_soon["status"]["reason"] == "Duplicate"
        assert "Task first of queue default" in too_soon["status"]["message"]
        assert desk.find("Task", "first")
        desk.wait_gone("Task", "first")
        keyed(desk, "without-window")
        desk.wait_phase("without-window", "Succeeded")

    def test_many_at_once_run_one_at_a_time_and_the_others_end(self, desk: Desk) -> None:
        """Whatever they were created in; all end, and no two Jobs of the key ran at a time."""
        names = [f"t{number}" for number in range(30)]
        for name in names:
            keyed(desk, name, {"seconds": 0.2})
        ends = [desk.wait_end(name)["status"] for name in names]
        assert {status["reason"] for status in ends} == {"Succeeded", "Duplicate"}
        jobs = [job["status"] for name in names for job in desk.jobs(name)]
        ran = sorted((job["startTime"], job["completionTime"]) for job in jobs)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(ran))
