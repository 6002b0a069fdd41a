"""The chart's policy that Tasks come from TaskTemplates only, on a real API server, for users and for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes

from cluster_tools.desk import Desk, conditions, job_template
from cluster_tools.policies import installed, refusal
from cluster_tools.waiting import until

LABEL = "taskq.dev/templates-only"
BY_TEMPLATE = {"templateRef": {"name": "report"}}
BY_SECRET = [{"name": "password", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]


def select(desk: Desk) -> None:
    """Let the policy hold in this namespace, and wait until it does."""
    desk.core.patch_namespace(desk.namespace, {"metadata": {"labels": {LABEL: "true"}}})
    spec = {"suspend": True, "jobTemplate": job_template()}
    probe = {"apiVersion": "taskq.dev/v1alpha1", "kind": "Task", "metadata": {"generateName": "probe-"}, "spec": spec}
    api: Any = kubernetes.CustomObjectsApi(desk.core.api_client)

    def holds() -> bool:
        try:
            api.create_namespaced_custom_object("taskq.dev", "v1alpha1", desk.namespace, "tasks", probe, dry_run="All")
        except kubernetes.ApiException as error:
            return error.status == 403
        return False

    until(holds, "the policy holds")


@pytest.fixture
def policy(client: kubernetes.ApiClient) -> Iterator[None]:
    """Where the label is, and without Secrets as parameters."""
    wanted = {"enabled": True, "namespaceSelector": {"matchLabels": {LABEL: "true"}}, "allowSecretParameters": False}
    with installed(client, "taskq-templates-only", admissionPolicies={"templatesOnly": wanted}):
        yield


@pytest.mark.usefixtures("operator", "policy")
def test_tasks_come_from_templates_only_whoever_creates_them(desk: Desk) -> None:
    """An administrator, a Schedule that is older than the policy, and one that is changed, are all refused a Job."""
    desk.create("TaskTemplate", "report", {"jobTemplate": job_template({"message": "done"})})
    desk.task("old", suspend=True)
    desk.task("running", {"hold": True})
    desk.wait_phase("running", "Running")
    every = {"everySeconds": 3600, "suspend": True}
    desk.schedule("older", **every)
    desk.schedule("by-template", **every, taskTemplate={"spec": BY_TEMPLATE})
    select(desk)

    says = refusal(desk.task, "own-job")
    assert "jobTemplate must not be set in this namespace: Tasks come from TaskTemplates only" in says
    assert "jobTemplate must not be set" in refusal(desk.schedule, "own-job", **every)
    assert "jobTemplate must not be set" in refusal(
        desk.change,
        "by-template",
        "Schedule",
        taskTemplate={"spec": {"templateRef": None, "jobTemplate": job_template()}},
    )
    assert "jobTemplate must not be set" in refusal(desk.change, "old", jobTemplate=job_template({"message": "other"}))
    assert "secretKeyRef" in refusal(desk.task, "secret", **BY_TEMPLATE, parameters=BY_SECRET)
    assert "secretKeyRef" in refusal(
        desk.schedule, "secret", **every, taskTemplate={"spec": {**BY_TEMPLATE, "parameters": BY_SECRET}}
    )

    desk.task("fine", **BY_TEMPLATE)
    assert desk.wait_end("fine")["status"]["result"] == "done"
    desk.patch("Schedule", "by-template", {"metadata": {"annotations": {"taskq.dev/run-now": "1"}}})
    assert until(lambda: desk.tasks_of("by-template"), "its Task")

    desk.patch("Schedule", "older", {"metadata": {"annotations": {"taskq.dev/run-now": "1"}}})
    refused = desk.wait_condition("older", "Ready", "False", "TaskRefused", of="Schedule")
    assert "Tasks come from TaskTemplates only" in conditions(refused)["Ready"]["message"]
    desk.change("older", "Schedule", taskTemplate={"spec": {"jobTemplate": None, **BY_TEMPLATE}}, suspend=True)

    desk.change("running", cancellation={})
    assert desk.wait_end("running")["status"]["phase"] == "Cancelled"
    desk.change("old", suspend=False)
    desk.wait_end("old")


@pytest.mark.usefixtures("policy")
def test_other_namespaces_are_left_alone(desk: Desk) -> None:
    """The label decides."""
    desk.task("own-job", suspend=True)
