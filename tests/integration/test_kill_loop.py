"""Operators are killed and frozen at any moment while hundreds of Tasks run; the API server's audit log judges.

Every attempt started exactly once, no Task lost, no cap exceeded: read from the log, in the order of the writes. The
same check must convict operators with a defect put in on purpose.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, retries
from cluster_tools.killing import kill_and_restart, replica, revive, wait_to_lead
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kubelet")]

SEED = int(os.environ.get("KILL_LOOP_SEED", "20"))
KILLS = 15
FREEZES = 5
CAPS = {"wide": 13, "narrow": 6, "single": 1}
SHARES = {"wide": 20, "narrow": 9, "single": 1}
MUTANTS = Path(__file__).parents[1] / "cluster_tools" / "mutants.py"

OUTCOMES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "Succeeded": ([{}], {}),
    "slow": ([{"seconds": 1.5}], {}),
    "brief": ([{}], {"ttl": {"afterSuccessSeconds": 1}}),
    "third-time": ([{"exitCode": 1}, {"reason": "OOMKilled"}, {}], {"retryPolicy": retries(3)}),
    "Failed": ([{"exitCode": 3}], {"retryPolicy": retries(2)}),
    "final": ([{"exitCode": 4}], {"retryPolicy": retries(5, rules=[{"exitCodes": [4], "action": "Fail"}])}),
    "batch": ([{"seconds": 0.5}], {"batch": {"completions": 4, "parallelism": 2}}),
    "partly": (
        [{"byIndex": {"1": {"exitCode": 5}}}, {}],
        {"batch": {"completions": 3, "parallelism": 3}, "retryPolicy": retries(2)},
    ),
}
OFTEN = {"Succeeded": 10, "slow": 5, "brief": 2, "third-time": 2, "Failed": 2, "final": 1, "batch": 1, "partly": 1}


@dataclass
class Run:
    """The Tasks of one test, and what was done to them."""

    desk: Desk
    dice: random.Random
    tasks: dict[str, str] = field(default_factory=dict)
    """Names by uid."""
    kinds: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def fill(self, many: int) -> None:
        """Queues with caps, and Tasks of every kind in them."""
        for name, cap in CAPS.items():
            self.desk.queue(name, maxConcurrency=cap)
        for number in range(many):
            kind = self.dice.choices(list(OFTEN), weights=list(OFTEN.values()))[0]
            queue = self.dice.choices(list(SHARES), weights=list(SHARES.values()))[0]
            steps, spec = OUTCOMES[kind]
            name = f"t{number:03}-{kind.lower()}"
            made = self.desk.task(name, *steps, queueName=queue, priority=self.dice.randrange(5), **spec)
            self.tasks[made["metadata"]["uid"]] = name
            self.kinds[made["metadata"]["uid"]] = kind

    def meddle(self) -> None:
        """What users do meanwhile: cancel one, and now and then delete one."""
        open_tasks = [task for task in self.unsettled() if task["metadata"]["uid"] not in self.cancelled]
        if not open_tasks:
            return
        task = self.dice.choice(open_tasks)
        uid, name = task["metadata"]["uid"], task["metadata"]["name"]
        if self.dice.random() < 0.3:
            self.deleted.add(uid)
            self.desk.delete("Task", name)
        else:
            mode = self.dice.choice(["IfPending", "Graceful", "Immediate"])
            self.cancelled.add(uid)
            try:
                self.desk.change(name, cancellation={"mode": mode, "reason": "a whim"})
            except kubernetes.ApiException as error:
                if error.status not in (404, 422):  # it ended at this moment, and may have been cleaned up
                    raise

    def unsettled(self) -> list[dict[str, Any]]:
        """The Tasks that have not ended."""
        return [task for task in self.desk.list("Task") if task["status"].get("settled") != "True"]

    def wait_all(self, replicas: list[OperatorProcess]) -> None:
        """Until every Task has ended."""

        def done() -> bool:
            revive(replicas)
            return not self.unsettled()

        until(done, lambda: f"all Tasks end; open: {[t['metadata']['name'] for t in self.unsettled()]}", seconds=240,
              every=0.5)  # fmt: skip

    def complaints(self) -> list[str]:
        """The verdict so far."""
        caps = {(self.desk.namespace, name): cap for name, cap in CAPS.items()}
        phases = {task["metadata"]["uid"]: task["status"]["phase"] for task in self.desk.list("Task")}
        events = self.desk.audit()
        return audit.verdict(events, caps=caps, tasks=self.tasks, deleted=self.deleted, phases=phases)

    def interrupted(self) -> int:
        """Writes whose answer no operator lived to read."""
        unanswered = range(500, 600)
        found = [
            *audit.requests(self.desk.audit(), "create", "jobs", agent="taskq-operator", codes=unanswered),
            *audit.requests(self.desk.audit(), "patch", "tasks/status", agent="taskq-operator", codes=unanswered),
        ]
        return len(found)

    def wrong_ends(self) -> list[str]:
        """Tasks that nobody meddled with, and whose end is not what their script leads to."""
        wanted = dict.fromkeys(("slow", "brief", "third-time", "batch", "partly"), "Succeeded") | {"final": "Failed"}
        return [
            f"{end.task}: {end.phase}"
            for end in audit.ends(self.desk.audit())
            if end.uid not in self.cancelled | self.deleted
            and end.phase != wanted.get(self.kinds[end.uid], self.kinds[end.uid])
        ]


@pytest.fixture
def run(desk: Desk) -> Run:
    """A run whose dice fall the same each time."""
    print(f"seed {SEED}")
    return Run(desk, random.Random(SEED))


def test_no_kill_of_the_operator_doubles_or_loses_anything(
    cluster: localcluster.Cluster, run: Run, tmp_path: Path
) -> None:
    """300 Tasks, at least 15 times SIGKILL."""
    run.fill(300)
    with replica(cluster, run.desk, tmp_path / "operator.log") as operator:
        kills = 0
        while kills < KILLS:
            kill_and_restart(operator, run.dice)
            kills += 1
            run.meddle()
        left = len(run.unsettled())
        caught = run.interrupted()
        print(f"{kills} kills, {caught} writes interrupted by them, {left} Tasks left")
        run.wait_all([operator])
    assert run.complaints() == []
    assert run.wrong_ends() == []
    assert left, "all had ended before the last kill: give it more Tasks"
    assert caught, "no kill hit a request on its way: kill more often, or in greater bustle"


def test_a_frozen_leader_that_wakes_up_does_no_harm(cluster: localcluster.Cluster, run: Run, tmp_path: Path) -> None:
    """Two replicas; the leader is stopped for longer than its lease lasts, and goes on when another leads."""
    run.fill(120)
    replicas = [replica(cluster, run.desk, tmp_path / f"{name}.log") for name in ("one", "two")]
    with replicas[0], replicas[1]:

        def leader() -> OperatorProcess | None:
            revive(replicas)
            return next((one for one in replicas if one.metric("taskq_leader") == 1), None)

        for _ in range(FREEZES):
            first = until(leader, "somebody leads")
            time.sleep(run.dice.uniform(0.0, 0.6))
            first.freeze()
            wait_to_lead(replicas[1 - replicas.index(first)])
            time.sleep(run.dice.uniform(0.0, 0.4))
            first.thaw()
            assert first.wait() == 1, "who lost the lease ends, so that nothing of its term goes on"
            run.meddle()
        run.wait_all(replicas)
    assert run.complaints() == []
    assert run.wrong_ends() == []


def test_random_job_names_are_convicted(cluster: localcluster.Cluster, run: Run, tmp_path: Path) -> None:
    """A mutant whose Job names a restart does not find again."""
    run.fill(60)
    with replica(cluster, run.desk, tmp_path / "mutant.log", str(MUTANTS), "random-job-names") as operator:
        for _ in range(8):
            kill_and_restart(operator, run.dice)
            if any("started 2 times" in text for text in run.complaints()):
                return
    pytest.fail("8 kills, and no attempt was seen to be started twice")


def test_a_cap_that_ignores_its_own_creates_is_convicted(
    cluster: localcluster.Cluster, run: Run, tmp_path: Path
) -> None:
    """A mutant that counts what the watch shows, and not what it has just asked for."""
    run.fill(60)
    with replica(cluster, run.desk, tmp_path / "mutant.log", str(MUTANTS), "cap-without-own-creates") as operator:
        operator.wait_leading()
        until(lambda: [text for text in run.complaints() if "at most" in text], "the cap is seen to be exceeded")
