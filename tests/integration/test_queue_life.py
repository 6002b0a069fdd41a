"""A queue emptied, stopped, counted, deleted: on a real API server, by an operator that is killed in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess
from cluster_tools.waiting import until

SLOWLY = {"maxAttempts": 2, "backoff": {"type": "Fixed", "baseSeconds": 600}}


@pytest.fixture(scope="module")
def replica(
    cluster: localcluster.Cluster, kubelet: FakeKubelet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The operator of this module's tests, which may kill it."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with OperatorProcess(cluster.kubeconfig, log, **PROMPT, **SHORT_LEASES) as process:
        yield process.wait_leading()


def ask(desk: Desk, queue: str, what: str, nonce: str) -> None:
    """Annotate a queue."""
    desk.patch("TaskQueue", queue, {"metadata": {"annotations": {f"taskq.dev/{what}": nonce}}})


def taken_up(desk: Desk, queue: str, field: str, nonce: str) -> str:
    """The time of a request, as soon as the queue's status has it."""
    found = desk.wait(
        queue, lambda obj: obj["status"].get(field, {}).get("nonce") == nonce, f"{field} {nonce}", "TaskQueue"
    )
    return str(found["status"][field]["time"])


def task_after(desk: Desk, name: str, time: str, **spec: Any) -> None:
    """Create a Task in a later second than this one."""

    def made() -> bool:
        task = desk.task(name, **spec)
        if task["metadata"]["creationTimestamp"] > time:
            return True
        desk.delete("Task", name)
        desk.wait_gone("Task", name, task["metadata"]["uid"])
        return False

    until(made, f"a Task made after {time}")


def ends(desk: Desk, *names: str) -> dict[str, tuple[str, str]]:
    """Phase and reason of Tasks, once they have ended."""
    found = {name: desk.wait_end(name)["status"] for name in names}
    return {name: (status["phase"], status["reason"]) for name, status in found.items()}


def test_a_purge_ends_what_waits(replica: OperatorProcess, desk: Desk, kubelet: FakeKubelet) -> None:
    """Held and retrying ones, too; not what runs, and not what comes later."""
    desk.queue("busy", maxConcurrency=1)
    desk.task("retries", {"exitCode": 1}, queueName="busy", retryPolicy=SLOWLY)
    desk.wait_phase("retries", "Retrying")
    desk.task("runs", {"hold": True}, queueName="busy")
    desk.wait_pod("runs")
    desk.task("waits", queueName="busy")
    desk.task("held", queueName="busy", suspend=True)
    desk.task("elsewhere", suspend=True)
    ask(desk, "busy", "purge", "one")
    time = taken_up(desk, "busy", "purge", "one")
    purged = ("Cancelled", "Purged")
    assert ends(desk, "retries", "waits", "held") == {"retries": purged, "waits": purged, "held": purged}
    assert "taskq.dev/purge" in desk.get("waits")["status"]["message"]
    task_after(desk, "later", time, queueName="busy")
    kubelet.finish(desk.namespace, "runs")
    assert ends(desk, "runs", "later") == dict.fromkeys(("runs", "later"), ("Succeeded", "Succeeded"))
    assert desk.get("elsewhere")["status"]["phase"] == "Pending"
    ask(desk, "busy", "purge", "two")
    assert taken_up(desk, "busy", "purge", "two") >= time
    assert replica.running


@pytest.mark.parametrize("what", ["purge", "cancel-all"])
def test_a_request_parts_what_was_there_from_what_comes_after_it(
    replica: OperatorProcess, desk: Desk, what: str
) -> None:
    """All that was created before the annotation ends; nothing that is created once the status tells of it."""
    field = {"purge": "purge", "cancel-all": "cancelAll"}[what]
    for queue in ("first", "second", "third"):
        before, after = f"{queue}-before", f"{queue}-after"
        desk.queue(queue, state="Paused")
        desk.task(before, queueName=queue)
        ask(desk, queue, what, "now")
        taken_up(desk, queue, field, "now")
        desk.task(after, queueName=queue)
        assert ends(desk, before)[before][0] == "Cancelled"
        desk.change(queue, "TaskQueue", state="Open")
        assert ends(desk, after) == {after: ("Succeeded", "Succeeded")}
    assert replica.running


def test_cancel_all_stops_what_runs(replica: OperatorProcess, desk: Desk) -> None:
    """Gracefully; one operator begins it and another one, after a crash, ends it."""
    desk.queue("busy", maxConcurrency=1)
    desk.task("runs", {"hold": True}, queueName="busy", retryPolicy=retries(3))
    desk.task("waits", queueName="busy")
    desk.wait_pod("runs")
    ask(desk, "busy", "cancel-all", "stop")
    taken_up(desk, "busy", "cancelAll", "stop")
    replica.kill()
    replica.start().wait_leading()
    cancelled = ("Cancelled", "Cancelled")
    assert ends(desk, "runs", "waits") == {"runs": cancelled, "waits": cancelled}
    task = desk.get("runs")
    assert "taskq.dev/cancel-all" in task["status"]["message"]
    assert task["status"]["attempt"] == 1
    assert len(desk.jobs("runs")) == 1
    assert desk.jobs("waits") == []


def test_a_request_that_is_a_time_holds_for_that_time(replica: OperatorProcess, desk: Desk) -> None:
    """Asked for while no operator is there, it leaves alone what was created after it was asked."""
    desk.queue("shut", state="Paused")
    before = desk.task("before", queueName="shut")["metadata"]["creationTimestamp"]
    replica.kill()
    ask(desk, "shut", "purge", before)
    task_after(desk, "after", before, queueName="shut")
    replica.start().wait_leading()
    assert taken_up(desk, "shut", "purge", before) == before
    assert ends(desk, "before") == {"before": ("Cancelled", "Purged")}
    desk.change("shut", "TaskQueue", state="Open")
    assert ends(desk, "after") == {"after": ("Succeeded", "Succeeded")}


def test_totals_outlive_the_tasks_and_the_operator(replica: OperatorProcess, desk: Desk) -> None:
    """An orderly stop right after an end loses none; a crash none that was written down; nothing counts twice."""

    def totals(**wanted: int) -> None:
        every = {"succeeded": 0, "failed": 0, "expired": 0, "cancelled": 0} | wanted
        desk.wait("brief", lambda queue: queue["status"].get("totals") == every, str(every), "TaskQueue")

    at_once = {"afterSuccessSeconds": 0, "afterFailureSeconds": 0}
    desk.queue("brief", taskDefaults={"ttl": at_once})
    for name in ("s1", "s2"):
        desk.task(name, queueName="brief")
    desk.task("f1", {"exitCode": 1}, queueName="brief")
    for name in ("s1", "s2", "f1"):
        desk.wait_gone("Task", name)
    totals(succeeded=2, failed=1)
    replica.kill()
    replica.start().wait_leading()
    desk.task("c1", queueName="brief", cancellation={})
    desk.wait_gone("Task", "c1")
    assert replica.terminate() == 0
    totals(succeeded=2, failed=1, cancelled=1)
    replica.start().wait_leading()
    desk.task("s3", queueName="brief")
    desk.wait_gone("Task", "s3")
    totals(succeeded=3, failed=1, cancelled=1)


def test_a_dead_letter_is_kept_and_listed(replica: OperatorProcess, desk: Desk) -> None:
    """Whatever ttl and maxFailed say, but not for ever."""
    desk.queue(
        "post",
        retention={"maxFailed": 0, "deadLetterSeconds": 6},
        taskDefaults={"ttl": {"afterFailureSeconds": 0}},
    )
    desk.task("dead", {"exitCode": 1}, queueName="post")
    assert desk.wait_end("dead")["status"]["deadLetter"] == "True"
    desk.task("withdrawn", queueName="post", cancellation={})
    desk.wait_gone("Task", "withdrawn")
    listed = desk.list("Task", fields="status.deadLetter=True")
    assert [task["metadata"]["name"] for task in listed] == ["dead"]
    desk.wait_gone("Task", "dead")
    assert replica.running


def test_a_queue_that_is_deleted_loses_nothing(replica: OperatorProcess, desk: Desk, kubelet: FakeKubelet) -> None:
    """What runs ends as it would have; what waits says why, and goes on when the queue is there again."""
    desk.queue("gone", maxConcurrency=1)
    desk.task("runs", {"hold": True}, queueName="gone")
    desk.wait_pod("runs")
    desk.task("waits", queueName="gone")
    desk.delete("TaskQueue", "gone")
    told = desk.wait_condition("waits", "Admitted", "False", "QueueNotFound")
    assert "spec.queueName" in conditions(told)["Admitted"]["message"]
    kubelet.finish(desk.namespace, "runs")
    assert ends(desk, "runs") == {"runs": ("Succeeded", "Succeeded")}
    assert desk.jobs("waits") == []
    desk.queue("gone")
    assert ends(desk, "waits") == {"waits": ("Succeeded", "Succeeded")}
    assert [start.task for start in audit.starts(desk.audit())] == ["runs", "waits"]
    assert replica.running
