"""Tasks that wait for others, on a real API server with real Jobs: chains, fans, failures, circles, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import localcluster
from cluster_tools.desk import Desk, conditions
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, OperatorProcess
from cluster_tools.waiting import until


def on(*names: str, condition: str = "Succeeded") -> list[dict[str, Any]]:
    """What a Task waits for."""
    return [{"name": name, "condition": condition} for name in names]


def outcomes(task: dict[str, Any]) -> dict[str, str]:
    """What stands in the status about its dependencies."""
    return {one["name"]: one["phase"] for one in task["status"].get("dependencies", ())}


def test_a_restart_forgets_nothing(
    desk: Desk, cluster: localcluster.Cluster, kubelet: FakeKubelet, tmp_path: Path
) -> None:
    """What ended before is read anew, once for all who wait for it; what was recorded stays."""
    with OperatorProcess(cluster.kubeconfig, tmp_path / "first.log", **PROMPT) as operator:
        operator.wait_leading()
        desk.task("ended")
        desk.wait_phase("ended", "Succeeded")
        desk.task("gate", {"hold": True})
        desk.wait_pod("gate")
        operator.kill()
    for number in range(20):
        desk.task(f"fan-{number}", dependsOn=on("ended", "gate"))
    kubelet.finish(desk.namespace, "gate")
    until(lambda: desk.jobs("gate")[0]["status"].get("succeeded"), "the gate's Job is complete")
    with OperatorProcess(cluster.kubeconfig, tmp_path / "second.log", **PROMPT) as operator:
        operator.wait_leading()
        for number in range(20):
            desk.wait_phase(f"fan-{number}", "Succeeded")
    assert sorted(desk.started()) == sorted(["ended", "gate", *(f"fan-{number}" for number in range(20))])


@pytest.mark.usefixtures("operator")
class TestWithAnOperator:
    """While one serves the cluster."""

    def test_a_chain_runs_link_by_link_in_whatever_order_it_is_created(self, desk: Desk) -> None:
        """The last one first: it waits without a word, and each outcome is recorded with its uid."""
        desk.task("third", dependsOn=on("second"))
        desk.task("second", dependsOn=on("first"))
        desk.task("first")
        done = desk.wait_phase("third", "Succeeded")
        assert desk.started() == ["first", "second", "third"]
        (recorded,) = done["status"]["dependencies"]
        assert recorded == {"name": "second", "uid": desk.get("second")["metadata"]["uid"], "phase": "Succeeded"}

    def test_many_wait_for_one_and_one_for_many(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """None of the fan starts before its source has ended, nor the gatherer before the last of the fan."""
        desk.task("source", {"hold": True})
        fan = [f"fan-{number}" for number in range(4)]
        for name in fan:
            desk.task(name, dependsOn=on("source"))
        desk.task("gatherer", dependsOn=on(*fan))
        desk.task("other")
        desk.wait_phase("other", "Succeeded")
        desk.wait_pod("source")
        assert set(desk.started()) == {"source", "other"}
        kubelet.finish(desk.namespace, "source")
        done = desk.wait_phase("gatherer", "Succeeded")
        assert desk.started()[-1] == "gatherer"
        assert outcomes(done) == dict.fromkeys(fan, "Succeeded")

    def test_a_dependency_that_fails_cancels_who_waits_for_its_success(self, desk: Desk) -> None:
        """All the way down the chain, each naming the one before; who waits for a failure runs."""
        desk.task("breaks", {"exitCode": 1})
        desk.task("follows", dependsOn=on("breaks"))
        desk.task("last", dependsOn=on("follows"))
        desk.task("cleans-up", dependsOn=on("breaks", "follows", condition="Failed"))
        desk.task("reports", dependsOn=on("breaks", "last", condition="Finished"))
        follows = desk.wait_phase("follows", "Cancelled")
        assert follows["status"]["reason"] == "DependencyFailed"
        assert "Task breaks ended as Failed" in follows["status"]["message"]
        assert outcomes(follows) == {"breaks": "Failed"}
        last = desk.wait_phase("last", "Cancelled")
        assert "Task follows ended as Cancelled" in last["status"]["message"]
        assert outcomes(desk.wait_phase("cleans-up", "Succeeded")) == {"breaks": "Failed", "follows": "Cancelled"}
        desk.wait_phase("reports", "Succeeded")

    def test_a_task_can_run_although_a_dependency_failed(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """Once all of them have ended."""
        desk.task("breaks", {"exitCode": 1})
        desk.task("slow", {"hold": True})
        desk.task("runs-anyway", dependsOn=on("breaks", "slow"), onDependencyFailure="Run")
        waits = desk.wait("runs-anyway", outcomes, "the failure is recorded")
        assert outcomes(waits) == {"breaks": "Failed"}
        assert waits["status"]["phase"] == "Pending"
        desk.wait_pod("slow")
        kubelet.finish(desk.namespace, "slow")
        assert outcomes(desk.wait_phase("runs-anyway", "Succeeded")) == {"breaks": "Failed", "slow": "Succeeded"}

    def test_a_dependency_that_is_not_there_is_named_and_may_still_come(self, desk: Desk) -> None:
        """A misspelt name should be seen; it is no fault that stops a GitOps tool."""
        desk.task("waits", dependsOn=on("comes-late"))
        told = desk.wait_condition("waits", "Admitted", "False", "DependencyNotFound")
        assert "no Task named comes-late" in conditions(told)["Admitted"]["message"]
        assert "Stalled" not in conditions(told)
        desk.task("comes-late")
        desk.wait_phase("waits", "Succeeded")

    def test_a_dependency_deleted_before_its_end_counts_as_not_there(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """A new one of its name takes its place; once an outcome is recorded, a new one changes nothing."""
        desk.task("source", {"hold": True})
        desk.task("waits", dependsOn=on("source", "gate"))
        desk.wait_pod("source")
        desk.delete("Task", "source")
        desk.wait_gone("Task", "source")
        second = desk.task("source")
        recorded = desk.wait("waits", outcomes, "the new one's end is recorded")
        assert recorded["status"]["dependencies"][0]["uid"] == second["metadata"]["uid"]
        desk.delete("Task", "source")
        desk.wait_gone("Task", "source")
        desk.task("source", {"hold": True})
        desk.task("gate")
        desk.wait_phase("waits", "Succeeded")
        kubelet.finish(desk.namespace, "source")

    def test_tasks_that_wait_for_each_other_are_told_so(self, desk: Desk) -> None:
        """With the way round, on each; who only waits for one of them waits; a deletion opens the circle."""
        desk.task("a", dependsOn=on("b"))
        desk.task("b", dependsOn=on("c"))
        desk.task("outside", dependsOn=on("a"))
        desk.task("c", dependsOn=on("a"))
        for name in ("a", "b", "c"):
            stalled = desk.wait_condition(name, "Stalled", reason="DependencyCycle")
            assert "a → b → c → a" in conditions(stalled)["Stalled"]["message"]
        assert "Stalled" not in conditions(desk.get("outside"))
        desk.delete("Task", "c")
        desk.wait_gone("Task", "c")
        desk.task("c")
        assert outcomes(desk.wait_phase("outside", "Succeeded")) == {"a": "Succeeded"}
        assert "Stalled" not in conditions(desk.get("a"))

    def test_who_waits_too_long_expires(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """And says what it waited for; suspended and cancelled Tasks behave as without dependencies."""
        desk.task("source", {"hold": True})
        desk.task("late", dependsOn=on("source"), startingDeadlineSeconds=1)
        desk.task("given-up", dependsOn=on("source"))
        desk.task("held", dependsOn=on("source"), suspend=True)
        late = desk.wait_phase("late", "Expired")
        assert "it waited for source (spec.dependsOn)" in late["status"]["message"]
        desk.change("given-up", cancellation={"reason": "no need"})
        desk.wait_phase("given-up", "Cancelled")
        desk.wait_pod("source")
        kubelet.finish(desk.namespace, "source")
        desk.wait("held", outcomes, "the outcome is recorded")
        assert desk.jobs("held") == []
        desk.change("held", suspend=False)
        desk.wait_phase("held", "Succeeded")

    def test_who_waits_for_others_blocks_nobody_in_a_strict_queue(self, desk: Desk, kubelet: FakeKubelet) -> None:
        """It is not in the order before its time."""
        desk.queue("line", queueingStrategy="Strict", maxConcurrency=2)
        desk.task("source", {"hold": True}, queueName="line")
        desk.task("first-in-line", queueName="line", priority=100, dependsOn=on("source"))
        desk.task("behind", queueName="line")
        desk.wait_phase("behind", "Succeeded")
        desk.wait_pod("source")
        kubelet.finish(desk.namespace, "source")
        desk.wait_phase("first-in-line", "Succeeded")

    def test_a_finished_task_stays_while_an_unfinished_one_depends_on_it(
        self, desk: Desk, kubelet: FakeKubelet
    ) -> None:
        """Its time to live is over long before; it goes when the last dependent has ended."""
        desk.task("source", ttl={"afterSuccessSeconds": 0})
        desk.task("loner", ttl={"afterSuccessSeconds": 0})
        desk.task("waits", {"hold": True}, dependsOn=on("source"))
        desk.wait_gone("Task", "loner")
        desk.wait_pod("waits")
        assert desk.find("Task", "source")
        kubelet.finish(desk.namespace, "waits")
        desk.wait_gone("Task", "source")
