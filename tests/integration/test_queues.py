"""What a TaskQueue can say, each field at work on a real API server and Job controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.usefixtures("operator")


def counts(desk: Desk, queue: str, **wanted: int) -> dict[str, Any]:
    """The queue, as soon as its status counts so."""
    return desk.wait(queue, lambda found: found.get("status", {}).items() >= wanted.items(), str(wanted), "TaskQueue")


def test_no_more_tasks_run_than_the_queue_allows(desk: Desk, kubelet: FakeKubelet) -> None:
    """One that ends makes room for one; a higher limit takes effect at once, a lower one stops nothing."""
    desk.queue("few", maxConcurrency=2)
    names = [f"t{number}" for number in range(6)]
    for name in names:
        desk.task(name, {"hold": True}, queueName="few", priority=-int(name[1]))
    for name in names[:2]:
        desk.wait_pod(name)
    counts(desk, "few", running=2, pending=4)
    kubelet.finish(desk.namespace, "t0")
    desk.wait_pod("t2")
    desk.change("few", "TaskQueue", maxConcurrency=3)
    desk.wait_pod("t3")
    desk.change("few", "TaskQueue", maxConcurrency=4)
    desk.wait_pod("t4")
    desk.change("few", "TaskQueue", maxConcurrency=1)
    kubelet.finish(desk.namespace, "t1")
    counts(desk, "few", running=3, pending=1)
    for name in names[2:]:
        kubelet.finish(desk.namespace, name)
    desk.wait_end("t5")
    started = desk.started()
    assert (set(started[:2]), started[2:]) == (set(names[:2]), names[2:])
    events = desk.audit()
    assert audit.overruns(events, {(desk.namespace, "few"): 4}) == []
    assert audit.overruns(events, {(desk.namespace, "few"): 3}) != [], "the limit of 4 was never used"


def test_the_default_limit_is_ten(desk: Desk, kubelet: FakeKubelet) -> None:
    """Also of the queue that nobody created."""
    names = [f"t{number:02}" for number in range(12)]
    for name in names:
        desk.task(name, {"hold": True})
    until(lambda: len(desk.list("Job")) == 10, "ten Jobs")
    for name in names:
        kubelet.finish(desk.namespace, name)
    for name in names:
        desk.wait_phase(name, "Succeeded")
    assert audit.overruns(desk.audit(), {(desk.namespace, "default"): 10}) == []


def test_the_state_of_a_queue_decides_what_starts(desk: Desk) -> None:
    """Paused and DryRun start nothing; Closed says that it does not accept; Open starts all."""
    for state in ("Paused", "DryRun", "Closed"):
        desk.queue(state.lower(), state=state)
        desk.task(f"in-{state.lower()}", queueName=state.lower())
    closed = desk.wait_condition("in-closed", "Admitted", "False", "QueueClosed")
    assert "closed" in conditions(closed)["Admitted"]["message"]
    accepting = {
        state: conditions(desk.wait_condition(state.lower(), "Accepting", status, of="TaskQueue"))["Accepting"][
            "reason"
        ]
        for state, status in {"Paused": "True", "DryRun": "True", "Closed": "False"}.items()
    }
    assert accepting == {"Paused": "Paused", "DryRun": "DryRun", "Closed": "Closed"}
    desk.task("elsewhere")
    desk.wait_phase("elsewhere", "Succeeded")
    assert desk.started() == ["elsewhere"]
    for state in ("Paused", "DryRun", "Closed"):
        desk.change(state.lower(), "TaskQueue", state="Open")
        task = desk.wait_end(f"in-{state.lower()}")
        assert task["status"]["phase"] == "Succeeded"


def test_what_runs_goes_on_when_its_queue_is_closed(desk: Desk, kubelet: FakeKubelet) -> None:
    """But its next attempt waits."""
    desk.queue("late", maxConcurrency=2)
    desk.task("runs", {"hold": True}, queueName="late")
    desk.task("fails", {"hold": True}, {}, queueName="late", retryPolicy=retries(2))
    for name in ("runs", "fails"):
        desk.wait_pod(name)
    desk.change("late", "TaskQueue", state="Closed")
    desk.wait_condition("late", "Accepting", "False", of="TaskQueue")
    kubelet.finish(desk.namespace, "fails", exit_code=1)
    kubelet.finish(desk.namespace, "runs")
    assert desk.wait_end("runs")["status"]["phase"] == "Succeeded"
    desk.wait_phase("fails", "Retrying")
    counts(desk, "late", retrying=1, running=0)
    desk.change("late", "TaskQueue", state="Open")
    assert desk.wait_end("fails")["status"]["attempt"] == 2


def test_a_draining_queue_works_off_what_it_has(desk: Desk, kubelet: FakeKubelet) -> None:
    """Retries included; what came later waits and says so, until the queue is open again."""
    desk.queue("drained", maxConcurrency=1)
    desk.task("runs", {"hold": True}, {}, queueName="drained", retryPolicy=retries(2))
    desk.task("waits", queueName="drained")
    desk.wait_pod("runs")
    desk.change("drained", "TaskQueue", state="Draining")
    queue = desk.wait_condition("drained", "Accepting", "False", "Draining", of="TaskQueue")
    since = conditions(queue)["Accepting"]["lastTransitionTime"]
    desk.task("later", queueName="drained")  # at once, in the same second
    told = desk.wait_condition("later", "Admitted", "False", "QueueDraining")
    assert since in conditions(told)["Admitted"]["message"]
    kubelet.finish(desk.namespace, "runs", exit_code=1)
    for name in ("runs", "waits"):
        assert desk.wait_end(name)["status"]["phase"] == "Succeeded"
    assert desk.jobs("later") == []
    desk.change("drained", "TaskQueue", state="Open")
    assert desk.wait_end("later")["status"]["phase"] == "Succeeded"


def test_time_then_priority_serves_the_first_comer(desk: Desk) -> None:
    """Whatever the priorities of Tasks of different seconds."""
    desk.queue("fifo", maxConcurrency=1, state="Paused", ordering="TimeThenPriority")
    first = desk.task("first", queueName="fifo", priority=1)["metadata"]["creationTimestamp"]

    def made_later() -> bool:
        made = desk.task("second", queueName="fifo", priority=9)
        if made["metadata"]["creationTimestamp"] > first:
            return True
        desk.delete("Task", "second")
        desk.wait_gone("Task", "second")
        return False

    until(made_later, "a Task made in a later second")
    desk.change("fifo", "TaskQueue", state="Open")
    desk.wait_end("second")
    assert desk.started() == ["first", "second"]


def test_the_priorities_example_starts_in_one_order(desk: Desk, operator: OperatorProcess) -> None:
    """As its comment says, also when the operator hears of the queue after all of its Tasks."""
    operator.kill()
    for document in yaml.safe_load_all((EXAMPLES / "priorities.yaml").read_text(encoding="utf-8")):
        desk.create(document["kind"], document["metadata"]["name"], document["spec"])
    operator.start().wait_leading()
    counts(desk, "one-at-a-time", pending=5)
    desk.change("one-at-a-time", "TaskQueue", state="Open")
    counts(desk, "one-at-a-time", pending=0, succeeded=5)
    assert desk.started() == ["urgent", "hourly", "daily", "batch", "someday"]


def test_lowest_first_turns_priorities_around(desk: Desk) -> None:
    """A Task that gives none has that of the queue's defaults."""
    defaults = {"priority": 5}
    desk.queue("unix", maxConcurrency=1, state="Paused", priorityOrder="LowestFirst", taskDefaults=defaults)
    for name, priority in {"nine": 9, "none": None, "zero": 0}.items():
        desk.task(name, queueName="unix", **({} if priority is None else {"priority": priority}))
    desk.change("unix", "TaskQueue", state="Open")
    desk.wait_end("nine")
    assert desk.started() == ["zero", "none", "nine"]


def test_defaults_apply_to_tasks_that_do_not_say(desk: Desk) -> None:
    """Each of them; nothing is written into the Task's spec."""
    defaults = {
        "priority": 7,
        "timeouts": {"softSeconds": 50, "hardSeconds": 60},
        "retryPolicy": retries(2),
        "ttl": {"afterSuccessSeconds": 1, "afterFailureSeconds": 3600},
    }
    desk.queue("rich", taskDefaults=defaults)
    desk.queue("hasty", state="Paused", taskDefaults={"startingDeadlineSeconds": 1})
    desk.task("fails", {"exitCode": 1}, queueName="rich")
    spec = desk.get("fails")["spec"]
    assert set(spec) == {"queueName", "jobTemplate", "suspend"}
    desk.task("expires", queueName="hasty")
    desk.task("stays", queueName="hasty", startingDeadlineSeconds=3600)
    task = desk.wait_end("fails")
    assert (task["status"]["effectivePriority"], task["status"]["attempt"]) == (7, 2)
    assert task["spec"] == spec
    pod = desk.jobs("fails")[0]["spec"]["template"]["spec"]
    assert (pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"]) == (50, 10)
    desk.task("goes", queueName="rich")
    desk.wait_gone("Task", "goes")
    assert desk.find("Task", "fails"), "it is kept for an hour"
    expired = desk.wait_end("expires")
    assert expired["status"]["phase"] == "Expired"
    assert desk.get("stays")["status"]["phase"] == "Pending"


def test_the_status_of_a_queue_counts_its_tasks(desk: Desk, kubelet: FakeKubelet) -> None:
    """In every state, and says since when the oldest waits."""
    desk.queue("counted", maxConcurrency=3)
    slow = {"maxAttempts": 2, "backoff": {"type": "Fixed", "baseSeconds": 600}}
    desk.task("good", queueName="counted")
    desk.task("bad", {"exitCode": 1}, queueName="counted")
    desk.task("again", {"exitCode": 1}, queueName="counted", retryPolicy=slow)
    for name in ("good", "bad"):
        desk.wait_end(name)
    desk.wait_phase("again", "Retrying")
    desk.task("runs", {"hold": True}, queueName="counted")
    desk.wait_pod("runs")
    desk.change("counted", "TaskQueue", maxConcurrency=1)
    oldest = desk.task("waits", queueName="counted")["metadata"]["creationTimestamp"]
    desk.task("stale", queueName="counted", startingDeadlineSeconds=1)
    desk.task("dropped", queueName="counted", suspend=True)
    desk.change("dropped", cancellation={})
    queue = counts(
        desk, "counted", pending=1, running=1, retrying=1, succeeded=1, failed=1, expired=1, cancelled=1,
        oldestPendingTime=oldest,
    )  # fmt: skip
    assert conditions(queue)["Ready"]["status"] == "True"
    assert queue["status"]["observedGeneration"] == queue["metadata"]["generation"]
    assert queue["status"]["lastStartTime"] >= desk.jobs("good")[0]["metadata"]["creationTimestamp"]
    kubelet.finish(desk.namespace, "runs")
    queue = counts(desk, "counted", pending=0, running=0, succeeded=3)
    assert "oldestPendingTime" not in queue["status"]


def test_queues_do_not_stand_in_each_others_way(desk: Desk) -> None:
    """One is full, the other goes on."""
    desk.queue("full", maxConcurrency=1)
    desk.task("holds", {"hold": True}, queueName="full")
    desk.wait_pod("holds")
    desk.task("blocked", queueName="full", priority=100)
    desk.queue("free", maxConcurrency=1)
    desk.task("passes", queueName="free")
    assert desk.wait_end("passes")["status"]["phase"] == "Succeeded"
    assert desk.jobs("blocked") == []
