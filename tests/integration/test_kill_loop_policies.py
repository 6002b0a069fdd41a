"""The operator is killed again and again while every policy is at work; what each of them promises is judged after.

Siblings share a room, labels bound and take turns, starts are rated, Tasks wait for others, are followed by others,
come as batches and in doubles: judged by the API server's audit log and the Tasks' own statuses.
"""

from __future__ import annotations

import os
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, job_template, retries
from cluster_tools.killing import kill_and_restart, replica, revive
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("kubelet")]

SEED = int(os.environ.get("KILL_LOOP_SEED", "20"))
KILLS = 8
FAMILY, NORTH, ACCOUNTS = 8, 5, 6
CHAINS, LINKS = 5, 4
FOLLOWED, DOUBLES, BATCHES = 8, 6, 2


def fill(desk: Desk, dice: random.Random) -> None:
    """Queues, a template, and about a hundred Tasks."""
    desk.queue("family", maxConcurrency=FAMILY)
    desk.queue("north", parent={"name": "family"}, maxConcurrency=NORTH, priority=1)
    desk.queue(
        "south",
        parent={"name": "family"},
        fairShareLabelKey="tenant",
        concurrencyLabelKey="account",
        rateLimit={"maxStarts": 60, "periodSeconds": 10},
        priorityAging={"periodSeconds": 10, "increment": 1},
    )
    desk.create("TaskTemplate", "after", {"queueName": "north", "jobTemplate": job_template({})})
    plain: dict[str, Any] = {"jobTemplate": job_template({"seconds": 0.5})}
    for number in range(40):
        labels = {"tenant": f"t{number % 3}", "account": f"a{number % ACCOUNTS}"}
        steps = [{"exitCode": 1}, {}] if dice.random() < 0.3 else [{"seconds": 0.5}]
        spec = {"jobTemplate": job_template(*steps), "retryPolicy": retries(2, priorityBoost=3)}
        desk.create("Task", f"shared-{number:02}", {"queueName": "south", **spec}, labels=labels)
    for chain in range(CHAINS):
        for link in reversed(range(LINKS)):  # those that wait are there first
            spec = {"queueName": "north", **plain}
            if link:
                spec["dependsOn"] = [{"name": f"chain-{chain}-{link - 1}"}]
            desk.create("Task", f"chain-{chain}-{link}", spec)
    for number in range(FOLLOWED):
        hooks = {"tasks": [{"templateRef": {"name": "after"}}]}
        desk.create("Task", f"followed-{number}", {"queueName": "north", **plain, "onSuccess": hooks})
    for number in range(BATCHES):
        desk.create("Task", f"batch-{number}", {"queueName": "north", **plain, "batch": {"completions": 3}})
    for number in range(DOUBLES):
        for copy in ("a", "b"):
            spec = {"queueName": "north", **plain, "deduplication": {"key": f"k{number}"}}
            desk.create("Task", f"double-{number}-{copy}", spec)


def unsettled(desk: Desk) -> list[str]:
    """The Tasks for which something is left to do."""
    return [task["metadata"]["name"] for task in desk.list("Task") if task["status"].get("settled") != "True"]


def test_every_policy_holds_however_often_the_operator_dies(
    cluster: localcluster.Cluster, desk: Desk, tmp_path: Path
) -> None:
    """No cap, key, chain, follower or double is got wrong."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    fill(desk, dice)
    with replica(cluster, desk, tmp_path / "operator.log") as operator:
        for _ in range(KILLS):
            kill_and_restart(operator, dice)
        left = unsettled(desk)
        _wait_all(desk, operator)
    tasks = {task["metadata"]["name"]: task for task in desk.list("Task")}
    events = desk.audit()
    assert left, "all had ended before the last kill: give it more Tasks"
    assert _complaints(desk, events, tasks) == []
    assert _out_of_turn(tasks) == []
    assert _wrong_ends(tasks) == []
    followers = [task for task in tasks.values() if task["spec"].get("templateRef", {}).get("name") == "after"]
    assert len(followers) == FOLLOWED


def _wait_all(desk: Desk, operator: OperatorProcess) -> None:
    def done() -> bool:
        revive([operator])
        return not unsettled(desk)

    until(done, lambda: f"all Tasks end; open: {unsettled(desk)}", seconds=240, every=0.5)


def _complaints(desk: Desk, events: list[audit.Event], tasks: dict[str, Any]) -> list[str]:
    """The audit log's verdict: attempts and ends, the room of the family, and one of each account."""
    space = desk.namespace

    def account(start: audit.Start) -> audit.QueueName | None:
        label = tasks[start.task]["metadata"].get("labels", {}).get("account")
        return (space, label) if label else None

    return [
        *audit.verdict(
            events,
            caps={(space, "north"): NORTH},
            tasks={task["metadata"]["uid"]: name for name, task in tasks.items()},
            phases={task["metadata"]["uid"]: task["status"]["phase"] for task in tasks.values()},
        ),
        *audit.overruns(events, {(space, "family"): FAMILY}, lambda _: (space, "family")),
        *audit.overruns(events, {(space, f"a{number}"): 1 for number in range(ACCOUNTS)}, account),
    ]


def _out_of_turn(tasks: dict[str, Any]) -> list[str]:
    """Links that started before the one that they depend on had ended."""
    found = []
    for name, task in tasks.items():
        for dependency in task["spec"].get("dependsOn", ()):
            ended = tasks[dependency["name"]]["status"]["completionTime"]
            started = task["status"]["startTime"]
            if datetime.fromisoformat(started) < datetime.fromisoformat(ended):
                found.append(f"{name} started at {started}, {dependency['name']} ended at {ended}")
    return found


def _wrong_ends(tasks: dict[str, Any]) -> list[str]:
    """All succeed, but for one of each pair of doubles, which never ran."""
    wrong = [
        f"{name}: {task['status']['phase']}"
        for name, task in tasks.items()
        if task["status"]["phase"] != "Succeeded" and not name.startswith("double")
    ]
    for number in range(DOUBLES):
        pair = sorted(tasks[f"double-{number}-{copy}"]["status"]["phase"] for copy in ("a", "b"))
        if pair != ["Cancelled", "Succeeded"]:
            wrong.append(f"double-{number}: {pair}")
    return wrong
