"""What fails beside the operator, or all of it at once: the API server, etcd, both replicas; the audit log judges.

Kills and freezes of one replica are in test_kill_loop.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, retries
from cluster_tools.killing import replica, wait_to_lead
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kubelet")]

CAP = 4
BATCH = 20


class Work:
    """Tasks of a queue with a cap, some of which need a second attempt."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.queue("work", maxConcurrency=CAP)
        self.names: dict[str, str] = {}

    def get_under_way(self) -> None:
        """New Tasks, until some of them have ended; the rest takes a few seconds more."""
        before = self.ended()
        for number in range(len(self.names), len(self.names) + BATCH):
            steps = [{"exitCode": 1}, {}] if number % 5 == 4 else [{"seconds": 1}]
            made = self.desk.task(f"t{number:02}", *steps, queueName="work", retryPolicy=retries(2))
            self.names[made["metadata"]["uid"]] = made["metadata"]["name"]
        until(lambda: self.ended() >= before + CAP, f"{CAP} more Tasks end")

    def ended(self) -> int:
        """How many have succeeded."""
        return sum(task["status"]["phase"] == "Succeeded" for task in self.desk.list("Task"))

    def assert_whole(self) -> None:
        """All succeed, each attempt was started once, and the cap held."""
        until(lambda: self.ended() == len(self.names), lambda: f"all end, {self.ended()} have", seconds=180, every=0.5)
        phases = {task["metadata"]["uid"]: task["status"]["phase"] for task in self.desk.list("Task")}
        caps = {(self.desk.namespace, "work"): CAP}
        assert audit.verdict(self.desk.audit(), caps=caps, tasks=self.names, phases=phases) == []


@pytest.fixture
def work(desk: Desk) -> Work:
    """Tasks of the test's own namespace."""
    return Work(desk)


@pytest.fixture
def pair(cluster: localcluster.Cluster, desk: Desk, tmp_path: Path) -> Iterator[list[OperatorProcess]]:
    """A leader and a standby with warm caches, in this order."""
    replicas = [replica(cluster, desk, tmp_path / f"{name}.log") for name in ("one", "two")]

    def leads() -> OperatorProcess | None:
        return next((one for one in replicas if one.metric("taskq_leader") == 1), None)

    with replicas[0], replicas[1]:
        leader = until(leads, "one leads")
        standby = next(one for one in replicas if one is not leader)
        until(lambda: standby.get("/readyz")[0] == 200, "the other knows all")
        yield [leader, standby]


def test_an_api_server_that_is_killed_and_comes_back_costs_no_restart(
    cluster: localcluster.Cluster, work: Work, tmp_path: Path
) -> None:
    """While Tasks run, twice: the same process goes on with its caches, and nothing is doubled or lost."""
    with replica(cluster, work.desk, tmp_path / "operator.log") as operator:
        operator.wait_leading()
        for _ in range(2):
            work.get_under_way()
            cluster.stop_apiserver(kill=True)
            until(lambda: "renewing the lease failed" in operator.output(), "the operator notices")
            assert operator.get("/healthz")[0] == 200, "an API server that is away is no reason to restart the operator"
            cluster.start_apiserver()
        work.assert_whole()
        assert operator.running
        assert operator.output().count("leading:") == 1


def test_a_database_that_hangs_is_waited_for(cluster: localcluster.Cluster, work: Work, tmp_path: Path) -> None:
    """etcd is frozen until renewals fail: writes under way are found out about, never repeated blindly."""
    with replica(cluster, work.desk, tmp_path / "operator.log") as operator:
        operator.wait_leading()
        work.get_under_way()
        cluster.signal("etcd", signal.SIGSTOP)
        try:
            until(lambda: "renewing the lease failed" in operator.output(), "the operator notices")
        finally:
            cluster.signal("etcd", signal.SIGCONT)
        wait_to_lead(operator)
        work.assert_whole()


def test_both_replicas_die_at_once(work: Work, pair: list[OperatorProcess]) -> None:
    """Nothing of what they knew is needed: what they left in the cluster is enough."""
    work.get_under_way()
    for one in pair:
        one.kill()
    for one in pair:
        one.start()
    work.assert_whole()


def test_an_orderly_stop_and_then_a_crash_leave_the_work_whole(work: Work, pair: list[OperatorProcess]) -> None:
    """The standby takes over, the first comes back as the standby, and takes over again."""
    leader, standby = pair
    work.get_under_way()
    assert leader.terminate() == 0
    standby.wait_leading()
    leader.start()
    until(lambda: leader.get("/readyz")[0] == 200, "the other knows all")
    work.get_under_way()
    standby.kill()
    leader.wait_leading()
    work.assert_whole()
