"""What follows the end of a Task, on a real API server and with a real receiver, also after a crash in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, job_template
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess
from cluster_tools.receiver import Call, Receiver
from cluster_tools.waiting import until
from taskq.cluster.webhooks import signature

KEY = "a shared secret"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Who is called."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _content(receiver: Receiver) -> None:
    """Every test begins with a receiver that is content with everything."""
    receiver.answer = lambda _: 204


@pytest.fixture(scope="module")
def targets(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's own list of targets."""
    folder = tmp_path_factory.mktemp("webhooks")
    (folder / "key").write_text(f"{KEY}\n", encoding="utf-8")
    common = {"hmacKeyFile": "key", "allowHttp": True}
    listed = [
        {"name": "pager", "url": f"{receiver.url}/pager", **common},
        {"name": "slow", "url": f"{receiver.url}/slow", "timeoutSeconds": 1, **common},
        {"name": "private", "url": f"{receiver.url}/private", "namespaces": ["somebody-elses"], **common},
    ]
    path = folder / "targets.yaml"
    path.write_text(yaml.safe_dump({"targets": listed}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def replica(
    cluster: localcluster.Cluster, kubelet: FakeKubelet, targets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The operator of this module's tests, which may kill it."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    settings = {**PROMPT, **SHORT_LEASES, "webhooks_file": str(targets), "hook_backoff_seconds": 0.2}
    with OperatorProcess(cluster.kubeconfig, log, **settings) as process:
        yield process.wait_leading()


def settled(desk: Desk, name: str) -> dict[str, Any]:
    """The status of a Task, once nothing is left to do for it."""
    task = desk.wait(name, lambda task: task["status"].get("settled") == "True", "it is settled")
    status: dict[str, Any] = task["status"]
    return status


def hooks(status: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """State and tries of its hooks."""
    return {hook["hook"]: (hook["state"], hook["attempts"]) for hook in status.get("hooks", [])}


def followers(desk: Desk, parent: str) -> list[dict[str, Any]]:
    """The Tasks that hooks of a Task created."""
    return desk.list("Task", f"taskq.dev/parent={parent}")


def test_a_task_follows_a_failure(replica: OperatorProcess, desk: Desk) -> None:
    """From its template, in its own queue, told of what happened; a success does not call it."""
    desk.create("TaskTemplate", "mop-up", {"jobTemplate": job_template()})
    desk.queue("tidying")
    after = {"tasks": [{"templateRef": {"name": "mop-up"}, "queueName": "tidying", "priority": 7}]}
    desk.task("breaks", {"exitCode": 3, "message": "costs $(HOME) $5"}, onFailure=after)
    desk.task("works", onFailure=after)
    assert hooks(settled(desk, "breaks")) == {"onFailure.tasks[0]": ("Done", 1)}
    assert hooks(settled(desk, "works")) == {}
    (child,) = followers(desk, "breaks")
    assert followers(desk, "works") == []
    name = child["metadata"]["name"]
    assert name == desk.get("breaks")["status"]["hooks"][0]["name"]
    assert "ownerReferences" not in child["metadata"]
    assert (child["spec"]["queueName"], child["spec"]["priority"]) == ("tidying", 7)
    assert desk.wait_end(name)["status"]["phase"] == "Succeeded"
    (job,) = desk.jobs(name)
    told = {v["name"]: v.get("value", "") for v in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert told["TASKQ_PARENT_NAME"] == "breaks"
    assert told["TASKQ_PARENT_REASON"] == "RetriesExhausted"
    assert told["TASKQ_PARENT_EXIT_CODE"] == "3"
    assert "costs $$(HOME) $$5" in told["TASKQ_PARENT_MESSAGE"]
    desk.delete("Task", "breaks")
    desk.wait_gone("Task", "breaks")
    assert desk.find("Task", name)
    assert replica.running


def test_what_cant_be_created_is_told_and_holds_up_nothing(replica: OperatorProcess, desk: Desk) -> None:
    """A name that somebody took, a chain that is too long: each is recorded, and the Task is settled."""
    desk.create("TaskTemplate", "mop-up", {"jobTemplate": job_template()})
    after = {"tasks": [{"templateRef": {"name": "mop-up"}}]}
    last = {"name": "before", "uid": "some", "depth": 20}
    desk.task("end-of-chain", onSuccess=after, parent=last)
    status = settled(desk, "end-of-chain")
    assert hooks(status) == {"onSuccess.tasks[0]": ("Failed", 1)}
    assert "20 Tasks in a row" in status["hooks"][0]["message"]
    assert followers(desk, "end-of-chain") == []
    desk.task("expires", suspend=True, startingDeadlineSeconds=1, onFailure=after)
    assert hooks(settled(desk, "expires")) == {"onFailure.tasks[0]": ("Done", 1)}
    desk.task("cancelled", suspend=True, cancellation={}, onFailure=after, onSuccess=after)
    assert hooks(settled(desk, "cancelled")) == {}
    until(lambda: [e for e in desk.events("end-of-chain") if e["reason"] == "HookFailed"], "an Event")
    failed = f'taskq_hooks_total{{kind="Task",namespace="{desk.namespace}",queue="default",state="Failed"}}'
    assert replica.metric(failed) == 1


def test_a_webhook_is_called_and_signed(replica: OperatorProcess, desk: Desk, receiver: Receiver) -> None:
    """With what became of the Task; the receiver can check who calls."""
    calls = {"webhooks": [{"name": "pager"}]}
    desk.task("breaks", {"exitCode": 3}, onFailure=calls)
    desk.task("works", {"message": "42"}, onSuccess=calls)
    for name in ("breaks", "works"):
        assert set(hooks(settled(desk, name)).values()) == {("Done", 1)}
    (call,) = receiver.of("works")
    assert call.path == "/pager"
    assert (call.told["phase"], call.told["result"], call.told["exitCode"]) == ("Succeeded", "42", 0)
    assert call.told["task"]["namespace"] == desk.namespace
    expected = signature(KEY.encode(), call.headers["X-TaskQ-Timestamp"], call.body)
    assert call.headers["X-TaskQ-Signature"] == f"sha256={expected}"
    assert call.headers["X-TaskQ-Id"] == f"{desk.get('works')['metadata']['uid']}/onSuccess.webhooks[0]"
    assert receiver.of("breaks")[0].told["exitCode"] == 3
    assert replica.running


def test_a_webhook_is_tried_again_but_not_for_ever(replica: OperatorProcess, desk: Desk, receiver: Receiver) -> None:
    """Always with the same id; a redirect is a failure that is not followed."""
    answers = {"recovers": iter((503, 307, 204)), "broken": iter((500,) * 9)}
    receiver.answer = lambda call: next(answers[call.task])
    for name in answers:
        desk.task(name, onSuccess={"webhooks": [{"name": "pager"}]})
    assert hooks(settled(desk, "recovers")) == {"onSuccess.webhooks[0]": ("Done", 3)}
    status = settled(desk, "broken")
    assert hooks(status) == {"onSuccess.webhooks[0]": ("Failed", 5)}
    assert "answered 500" in status["hooks"][0]["message"]
    assert status["phase"] == "Succeeded"
    for name, tries in (("recovers", 3), ("broken", 5)):
        calls = receiver.of(name)
        assert len(calls) == tries
        assert len({call.headers["X-TaskQ-Id"] for call in calls}) == 1
        assert {call.path for call in calls} == {"/pager"}
    assert replica.running


def test_only_targets_of_the_operator_are_called(replica: OperatorProcess, desk: Desk, receiver: Receiver) -> None:
    """An unknown one, or one for other namespaces, is told with the field to change."""
    desk.task("asks", onSuccess={"webhooks": [{"name": "private"}, {"name": "unknown"}]})
    status = settled(desk, "asks")
    assert set(hooks(status).values()) == {("Failed", 1)}
    for number, name in enumerate(("private", "unknown")):
        assert f"spec.onSuccess.webhooks[{number}].name" in status["hooks"][number]["message"]
        assert f"no webhook target {name}" in status["hooks"][number]["message"]
    assert receiver.of("asks") == []
    assert replica.running


def test_a_target_that_hangs_holds_up_nobody_else(replica: OperatorProcess, desk: Desk, receiver: Receiver) -> None:
    """Not the queue, not other targets; the clean-up waits for it."""
    released = threading.Event()

    def answer(call: Call) -> int:
        if call.path == "/slow":
            released.wait(60)
        return 204

    receiver.answer = answer
    for number in range(8):
        desk.task(f"hangs-{number}", onSuccess={"webhooks": [{"name": "slow"}]}, ttl={"afterSuccessSeconds": 0})
    for number in range(8):
        desk.wait_phase(f"hangs-{number}", "Succeeded")
    desk.task("passes", onSuccess={"webhooks": [{"name": "pager"}]})
    assert hooks(settled(desk, "passes")) == {"onSuccess.webhooks[0]": ("Done", 1)}
    assert all(desk.find("Task", f"hangs-{number}") for number in range(8))
    released.set()
    for number in range(8):
        desk.wait_gone("Task", f"hangs-{number}")
    assert replica.running


def test_a_successor_goes_on_after_a_crash(replica: OperatorProcess, desk: Desk, receiver: Receiver) -> None:
    """Killed while it waits for a receiver, with a Task just created: that one is not created again."""
    desk.create("TaskTemplate", "mop-up", {"jobTemplate": job_template()})
    desk.queue("shut", state="Paused")
    released = threading.Event()

    def answer(_: Call) -> int:
        released.wait(60)
        return 204

    receiver.answer = answer
    tasks = [{"templateRef": {"name": "mop-up"}, "queueName": "shut"}] * 2
    desk.task("parent", onSuccess={"tasks": tasks, "webhooks": [{"name": "pager"}]})
    until(lambda: receiver.of("parent"), "the call")
    replica.kill()
    task = desk.get("parent")
    assert hooks(task["status"])["onSuccess.webhooks[0]"] == ("Pending", 0)
    assert "settled" not in task["status"]
    released.set()
    replica.start().wait_leading()
    assert set(hooks(settled(desk, "parent")).values()) == {("Done", 1)}
    assert len(followers(desk, "parent")) == 2
    assert len({call.headers["X-TaskQ-Id"] for call in receiver.of("parent")}) == 1
    assert len(receiver.of("parent")) == 2
    assert len(audit.requests(desk.audit(), "create", "tasks", agent="taskq-operator")) == 2
