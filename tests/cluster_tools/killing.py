"""Replicas that are killed at random moments, and started again as a Deployment does."""

from __future__ import annotations

import random
import time
from pathlib import Path

import localcluster
from cluster_tools.desk import Desk
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess
from cluster_tools.waiting import until


def replica(cluster: localcluster.Cluster, desk: Desk, log: Path, *program: str) -> OperatorProcess:
    """A replica that serves only the namespace of the test, with a lease of its own."""
    settings: dict[str, object] = {**SHORT_LEASES, **PROMPT, "namespaces": desk.namespace, "lease_name": desk.namespace}
    if program:
        return OperatorProcess(cluster.kubeconfig, log, program=program, **settings)
    return OperatorProcess(cluster.kubeconfig, log, **settings)


def revive(replicas: list[OperatorProcess]) -> None:
    """Start again what has ended, as a Deployment does."""
    for one in replicas:
        if not one.running:
            one.start()


def wait_to_lead(one: OperatorProcess) -> None:
    """Until it leads; when it gave up because the machine was too slow for short leases, it tries again."""

    def leads() -> bool:
        revive([one])
        return one.metric("taskq_leader") == 1

    until(leads, "the other takes over")


def kill_and_restart(operator: OperatorProcess, dice: random.Random) -> None:
    """SIGKILL at a random moment: mostly in the bustle after it became leader, sometimes before."""
    if dice.random() < 0.8:
        until(lambda: not operator.running or "leading:" in operator.output(), "it leads, or gave up")
        time.sleep(dice.uniform(0.0, 1.2))  # a random moment is the point
    else:
        time.sleep(dice.uniform(0.0, 3.0))
    operator.kill()
    operator.start()
