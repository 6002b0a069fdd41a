"""Schedules while operators die: what nobody saw is made up for as the policy says, and no tick has two Tasks."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess
from cluster_tools.waiting import until
from taskq.domain.schedules.catchup import ON_TIME_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kubelet")]

KEEP = {"successfulTasksHistoryLimit": 100, "failedTasksHistoryLimit": 100}
SETTINGS = {**PROMPT, **SHORT_LEASES}
EVERY = 3
TICKS = 4


def ticks(desk: Desk, schedule: str) -> list[int]:
    """The ticks that the Tasks of a Schedule are named by."""
    return sorted(int(task["metadata"]["name"].rpartition("-")[2]) for task in desk.tasks_of(schedule))


def assert_no_task_twice(desk: Desk) -> None:
    """By the record of the API server: each name was created once."""
    posts = audit.requests(desk.audit(), "create", "tasks", agent="taskq-operator")
    names = Counter(post["objectRef"]["name"] for post in posts)
    assert {name for name, number in names.items() if number > 1} == set()


def handled(desk: Desk, schedule: str) -> float:
    """Up to when a Schedule's ticks are dealt with."""
    found = desk.get(schedule, "Schedule")["status"].get("handledUntil")
    return datetime.fromisoformat(found).timestamp() if found else 0.0


def test_what_becomes_of_ticks_that_nobody_saw(cluster: localcluster.Cluster, desk: Desk, tmp_path: Path) -> None:
    """After a kill -9 over some ticks: none of them runs, the latest one does, or the latest two do."""
    policies = {
        "skip": {"missedRunPolicy": "Skip"},
        "once": {"missedRunPolicy": "RunOnce"},
        "all": {"missedRunPolicy": "RunAll", "maxCatchUpRuns": 2},
    }
    with OperatorProcess(cluster.kubeconfig, tmp_path / "first.log", **SETTINGS) as first:
        first.wait_leading()
        start = int(time.time()) + 2
        stamps = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (start, start + EVERY * TICKS)]
        for name, policy in policies.items():
            fields = {"startTime": stamps[0], "endTime": stamps[1], "concurrencyPolicy": "Allow", **policy, **KEEP}
            desk.schedule(name, everySeconds=EVERY, **fields)
        until(lambda: all(handled(desk, name) >= start for name in policies), "each ran once")
        first.kill()
    seen = {name: max(ticks(desk, name)) for name in policies}
    end = start + EVERY * TICKS
    until(lambda: time.time() > end + ON_TIME_SECONDS, "the other ticks were missed")
    with OperatorProcess(cluster.kubeconfig, tmp_path / "second.log", **SETTINGS) as second:
        second.wait_leading()
        until(lambda: all(handled(desk, name) >= end for name in policies), "all is dealt with")
        made = {name: [tick for tick in ticks(desk, name) if tick > seen[name]] for name in policies}
        missed = {name: desk.get(name, "Schedule")["status"].get("missedRuns", 0) for name in policies}
        assert made == {"skip": [], "once": [end], "all": [end - EVERY, end]}
        unseen = {name: (end - seen[name]) // EVERY for name in policies}
        assert missed == {"skip": unseen["skip"], "once": unseen["once"] - 1, "all": unseen["all"] - 2}
        assert_no_task_twice(desk)


def test_a_leader_that_dies_neither_drops_nor_doubles_a_tick(
    cluster: localcluster.Cluster, desk: Desk, tmp_path: Path
) -> None:
    """Whoever leads, every second has its Task, also those in which nobody led."""
    with (
        OperatorProcess(cluster.kubeconfig, tmp_path / "one.log", **SETTINGS) as one,
        OperatorProcess(cluster.kubeconfig, tmp_path / "two.log", **SETTINGS) as two,
    ):
        leader = until(lambda: next((p for p in (one, two) if "leading:" in p.output()), None), "one leads")
        other = two if leader is one else one
        desk.schedule("second", everySeconds=1, concurrencyPolicy="Allow", **KEEP)
        until(lambda: len(ticks(desk, "second")) >= 2, "it ticks")
        leader.kill()
        killed = int(time.time())
        other.wait_leading()
        until(lambda: max(ticks(desk, "second")) > killed + ON_TIME_SECONDS // 2, "it ticks again")
        leader.start()
        other.terminate()
        stopped = int(time.time())
        until(lambda: max(ticks(desk, "second")) > stopped + 2, "it ticks under the first one again")
        found = ticks(desk, "second")
        assert found == list(range(found[0], found[-1] + 1))
        assert_no_task_twice(desk)
