"""Tasks that take their Job from a TaskTemplate."""

from __future__ import annotations

from itertools import count

import pytest

from cluster_tools.desk import Desk, conditions, job_template, retries
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def test_a_task_runs_the_job_of_its_template(desk: Desk) -> None:
    """With the Task's own name, labels and environment."""
    template = job_template({"message": "from the template"})
    template["metadata"] = {"labels": {"team": "blue"}}
    desk.create("TaskTemplate", "report", {"description": "The report", "jobTemplate": template})
    for name in ("monday", "tuesday"):
        desk.task(name, templateRef={"name": "report"})
    for name in ("monday", "tuesday"):
        assert desk.wait_end(name)["status"]["result"] == "from the template"
        (job,) = desk.jobs(name)
        assert job["metadata"]["labels"]["team"] == "blue"
        assert {"name": "TASKQ_TASK_NAME", "value": name} in job["spec"]["template"]["spec"]["containers"][0]["env"]


def test_a_task_waits_for_its_template(desk: Desk) -> None:
    """It says which one is missing, and goes on when it is there."""
    desk.task("early", templateRef={"name": "late"})
    task = desk.wait_condition("early", "Stalled", "True", "TemplateNotFound")
    assert "spec.templateRef.name" in conditions(task)["Stalled"]["message"]
    assert "late" in conditions(task)["Stalled"]["message"]
    desk.create("TaskTemplate", "late", {"jobTemplate": job_template()})
    task = desk.wait_end("early")
    assert task["status"]["phase"] == "Succeeded"
    assert "Stalled" not in conditions(task)


def test_the_next_start_uses_the_template_as_it_is_then(desk: Desk) -> None:
    """Not as it was when the Task was created."""
    desk.create("TaskTemplate", "shared", {"jobTemplate": job_template({"message": "old"})})
    desk.task("waits", templateRef={"name": "shared"}, suspend=True)
    desk.change("shared", "TaskTemplate", jobTemplate=job_template({"message": "new"}))
    probes = count()

    def noticed() -> bool:
        name = f"probe-{next(probes)}"
        desk.task(name, templateRef={"name": "shared"})
        result: str = desk.wait_end(name)["status"]["result"]
        return result == "new"

    until(noticed, "the operator has seen the change")
    desk.change("waits", suspend=False)
    assert desk.wait_end("waits")["status"]["result"] == "new"


def test_a_task_takes_what_it_does_not_say_from_its_template(desk: Desk) -> None:
    """Queue, priority, limits and retries; what the Task or its queue says itself stays, in this order."""
    desk.queue("nightly", taskDefaults={"priority": 1, "retryPolicy": retries(9), "timeouts": {"softSeconds": 99}})
    desk.queue("other")
    spec = {"queueName": "nightly", "priority": 7, "retryPolicy": retries(2), "timeouts": {"softSeconds": 30}}
    desk.create("TaskTemplate", "report", {**spec, "jobTemplate": job_template({"exitCode": 1})})
    desk.task("plain", templateRef={"name": "report"})
    desk.task("own", templateRef={"name": "report"}, queueName="other", priority=2, retryPolicy=retries(1))
    plain, own = desk.wait_end("plain")["status"], desk.wait_end("own")["status"]
    assert (plain["queueName"], plain["effectivePriority"], plain["failedAttempts"]) == ("nightly", 7, 2)
    assert (own["queueName"], own["effectivePriority"], own["failedAttempts"]) == ("other", 2, 1)
    for name in ("plain", "own"):
        (job, *_) = desk.jobs(name)
        assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 30
        assert job["metadata"]["labels"]["taskq.dev/queue"] == desk.get(name)["status"]["queueName"]


def test_a_template_moves_its_waiting_tasks_to_another_queue(desk: Desk) -> None:
    """Those that have never started; one that runs stays where it holds its place."""
    desk.queue("narrow", maxConcurrency=1)
    desk.queue("wide")
    job = job_template({"hold": True})
    desk.create("TaskTemplate", "moves", {"queueName": "narrow", "jobTemplate": job})
    desk.task("first", templateRef={"name": "moves"})
    desk.wait_phase("first", "Running")
    desk.task("second", templateRef={"name": "moves"})
    desk.change("moves", "TaskTemplate", queueName="wide")
    assert desk.wait_phase("second", "Running")["status"]["queueName"] == "wide"
    assert desk.get("first")["status"]["queueName"] == "narrow"
    desk.wait("narrow", lambda queue: queue["status"].get("running") == 1, "one runs", "TaskQueue")
    desk.wait("wide", lambda queue: queue["status"].get("running") == 1, "one runs", "TaskQueue")
