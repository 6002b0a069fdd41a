"""Tasks that failed for good are kept, listed and run again; so is any Task that has ended."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_tools.desk import Desk, conditions, job_template
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")

AT_ONCE = {"afterSuccessSeconds": 0, "afterFailureSeconds": 0}


def container(desk: Desk, task: str) -> dict[str, Any]:
    """The container of a Task's Job."""
    (job,) = desk.jobs(task)
    found: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(desk: Desk, task: str) -> dict[str, str]:
    """The variables of a Task's container."""
    return {variable["name"]: variable.get("value", "") for variable in container(desk, task)["env"]}


def dead_letters(desk: Desk) -> list[str]:
    """The names that the field selector lists."""
    return [task["metadata"]["name"] for task in desk.list("Task", fields="status.deadLetter=True")]


def test_a_dead_letter_is_replayed(desk: Desk) -> None:
    """With its parameters, or others; once a retry succeeds it is no dead letter any more, nor are those before it."""
    schema = [{"name": "file", "required": True}, {"name": "mode", "default": "strict"}]
    fails, works = job_template({"exitCode": 1}), job_template()
    desk.create("TaskTemplate", "import", {"parameters": schema, "jobTemplate": fails})
    desk.queue("imports", retention={"deadLetterSeconds": 3600})
    values = [{"name": "file", "value": "a.csv"}, {"name": "mode", "value": "lax"}]
    desk.task("first", templateRef={"name": "import"}, parameters=values, queueName="imports", ttl=AT_ONCE)
    assert desk.wait_end("first")["status"]["deadLetter"] == "True"
    desk.task("second", retryOf={"name": "first"}, queueName="imports", ttl=AT_ONCE)
    assert desk.wait_end("second")["status"]["phase"] == "Failed"
    assert sorted(dead_letters(desk)) == ["first", "second"]
    desk.patch("TaskTemplate", "import", {"spec": {"jobTemplate": works}})
    changed = [{"name": "mode", "value": "none"}]
    desk.task("third", retryOf={"name": "second"}, parameters=changed, queueName="imports")
    desk.wait("third", lambda task: task["status"].get("settled") == "True", "it is settled")
    told = {name: environment(desk, name) for name in ("second", "third")}
    assert [told["second"][f"TASKQ_PARAM_{name}"] for name in ("FILE", "MODE")] == ["a.csv", "lax"]
    assert [told["third"][f"TASKQ_PARAM_{name}"] for name in ("FILE", "MODE")] == ["a.csv", "none"]
    assert dead_letters(desk) == []
    for name in ("first", "second"):
        status = desk.get(name)["status"]
        assert (status["retriedBy"], status["phase"]) == ("third", "Failed")


def test_any_task_that_has_ended_can_run_again(desk: Desk) -> None:
    """Its own Job; all else is said anew."""
    desk.task("done", priority=9, timeouts={"softSeconds": 60})
    desk.wait_end("done")
    desk.task("again", retryOf={"name": "done"}, priority=3)
    status = desk.wait_end("again")["status"]
    assert (status["phase"], status["effectivePriority"]) == ("Succeeded", 3)
    assert container(desk, "again")["image"] == container(desk, "done")["image"]
    (job,) = desk.jobs("again")
    assert "activeDeadlineSeconds" not in job["spec"]["template"]["spec"]


def test_what_cant_run_again_says_why(desk: Desk, kubelet: FakeKubelet) -> None:
    """No such Task, one that runs still, another batch, parameters for a Job without any."""
    desk.task("lost", retryOf={"name": "nobody"})
    told = desk.wait_condition("lost", "Stalled", "True", "RetryOfNotFound")
    assert "spec.retryOf.name" in conditions(told)["Stalled"]["message"]
    desk.task("runs", {"hold": True})
    desk.wait_pod("runs")
    desk.task("early", retryOf={"name": "runs"})
    desk.wait_condition("early", "Stalled", "True", "RetryOfNotFound")
    kubelet.finish(desk.namespace, "runs")
    desk.wait_pod("early")
    kubelet.finish(desk.namespace, "early")
    assert desk.wait_end("early")["status"]["phase"] == "Succeeded"
    desk.task("many", retryOf={"name": "early"}, batch={"completions": 2})
    told = desk.wait_condition("many", "Stalled", "True", "RetryOfDiffers")
    assert "spec.batch" in conditions(told)["Stalled"]["message"]
    desk.task("wordy", retryOf={"name": "runs"}, parameters=[{"name": "a", "value": "1"}])
    told = desk.wait_condition("wordy", "Stalled", "True", "InvalidParameters")
    assert "spec.parameters" in conditions(told)["Stalled"]["message"]


def test_what_a_retry_will_run_is_not_cleaned_up(desk: Desk) -> None:
    """However long the retry waits."""
    desk.queue("shut", state="Paused")
    desk.task("old", suspend=True, ttl=AT_ONCE)
    desk.task("again", retryOf={"name": "old"}, queueName="shut")
    desk.task("short", ttl=AT_ONCE)
    desk.change("old", suspend=False)
    desk.wait_end("old")
    desk.wait_gone("Task", "short")
    assert desk.find("Task", "old")
    desk.change("shut", "TaskQueue", state="Open")
    assert desk.wait_end("again")["status"]["phase"] == "Succeeded"
    desk.wait_gone("Task", "old")


def test_templates_may_say_what_follows(desk: Desk) -> None:
    """With parameters; two that call each other come to an end."""
    follow = {"tasks": [{"templateRef": {"name": "b"}, "parameters": [{"name": "from", "value": "a"}]}]}
    desk.create("TaskTemplate", "a", {"jobTemplate": job_template(), "onSuccess": follow})
    back = {"tasks": [{"templateRef": {"name": "a"}}]}
    spec = {"jobTemplate": job_template(), "parameters": [{"name": "from", "default": "nobody"}], "onSuccess": back}
    desk.create("TaskTemplate", "b", spec)
    desk.task("root", templateRef={"name": "a"})

    def last() -> dict[str, Any] | None:
        deepest = (task for task in desk.list("Task") if task["spec"].get("parent", {}).get("depth") == 20)
        return next((task for task in deepest if task["status"].get("settled") == "True"), None)

    end = until(last, "the twentieth of the chain is settled")
    assert [(hook["state"], "in a row" in hook["message"]) for hook in end["status"]["hooks"]] == [("Failed", True)]
    assert len(desk.list("Task")) == 21
    (child,) = desk.list("Task", "taskq.dev/parent=root")
    assert environment(desk, child["metadata"]["name"])["TASKQ_PARAM_FROM"] == "a"
