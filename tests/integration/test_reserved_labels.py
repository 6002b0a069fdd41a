"""The chart's policy that keeps TaskQ's labels for its own Jobs and pods, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

import localcluster
from cluster_tools.account import account
from cluster_tools.desk import Desk, job_template
from cluster_tools.policies import installed, refusal
from cluster_tools.waiting import until

TENANT = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "update", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "create", "update", "patch", "delete"]},
    {"apiGroups": ["taskq.dev"], "resources": ["tasks"], "verbs": ["get", "create", "patch", "delete"]},
]
"""As Kubernetes' role `edit` has them, and the chart adds to it."""

OURS = {"taskq.dev/task": "nobody", "taskq.dev/queue": "single", "taskq.dev/attempt": "1"}
SAYS = "are for TaskQ's own Jobs and their pods"


@pytest.fixture
def policy(client: kubernetes.ApiClient) -> Iterator[None]:
    """As the chart installs it."""
    with installed(client, "taskq-reserved-labels"):
        yield


@pytest.fixture
def tenant(
    client: kubernetes.ApiClient, cluster: localcluster.Cluster, namespace: str, tmp_path: Path
) -> Iterator[kubernetes.ApiClient]:
    """Somebody who may create Jobs, pods and Tasks in this namespace."""
    file = tmp_path / "tenant"
    account(client, namespace, "tenant", TENANT, cluster.kubeconfig, file)
    api_client: Any = config.new_client_from_config(config_file=str(file))  # type: ignore[no-untyped-call]
    with api_client:
        yield api_client
        api_client.rest_client.pool_manager.clear()


def job(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A Job that never makes a pod."""
    template = job_template()["spec"]["template"]
    template["spec"]["restartPolicy"] = "Never"
    return {"metadata": {"name": name, "labels": labels}, "spec": {"parallelism": 0, "template": template}}


def pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A pod that no node takes."""
    containers = [{"name": "main", "image": "busybox:1.36"}]
    labels = {**labels, "batch.kubernetes.io/job-name": name}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers, "schedulerName": "nobody"}}


def labelled(labels: dict[str, str | None]) -> dict[str, Any]:
    """A patch of labels."""
    return {"metadata": {"labels": labels}}


@pytest.mark.usefixtures("operator", "policy")
def test_a_place_is_taken_by_tasks_only(
    desk: Desk, tenant: kubernetes.ApiClient, cluster: localcluster.Cluster
) -> None:
    """Not by a Job or a pod that somebody labels, nor by one that gets the labels later; Tasks go on as ever."""
    batch: Any = kubernetes.BatchV1Api(tenant)
    core: Any = kubernetes.CoreV1Api(tenant)
    desk.queue("single", maxConcurrency=1)
    until(lambda: _is_refused(batch, desk.namespace), "the policy holds")

    assert SAYS in refusal(batch.create_namespaced_job, desk.namespace, job("forged", OURS))
    assert SAYS in refusal(core.create_namespaced_pod, desk.namespace, pod("forged", OURS))
    batch.create_namespaced_job(desk.namespace, job("own", {}))
    core.create_namespaced_pod(desk.namespace, pod("own", {}))
    assert SAYS in refusal(batch.patch_namespaced_job, "own", desk.namespace, labelled({**OURS}))
    assert SAYS in refusal(core.patch_namespaced_pod, "own", desk.namespace, labelled({**OURS}))

    theirs = Desk(tenant, desk.namespace, cluster.audit_log)
    theirs.task("honest", {"message": "ran"}, queueName="single")
    assert desk.wait_end("honest")["status"]["result"] == "ran"


@pytest.mark.usefixtures("operator", "policy")
def test_what_the_labels_say_stays_as_it_is(desk: Desk, tenant: kubernetes.ApiClient) -> None:
    """The Job and the pod of a Task can be changed in other ways, and deleted."""
    batch: Any = kubernetes.BatchV1Api(tenant)
    core: Any = kubernetes.CoreV1Api(tenant)
    desk.task("held", {"hold": True, "stopSeconds": 1}, retryPolicy={"maxAttempts": 1})
    running = desk.wait_pod("held")["metadata"]["name"]
    owner = desk.jobs("held")[0]["metadata"]["name"]
    until(lambda: _is_refused(batch, desk.namespace), "the policy holds")

    for changed in ({"taskq.dev/task": None}, {"taskq.dev/queue": "other"}, {"taskq.dev/attempt": "2"}):
        assert SAYS in refusal(batch.patch_namespaced_job, owner, desk.namespace, labelled(changed))
        assert SAYS in refusal(core.patch_namespaced_pod, running, desk.namespace, labelled(changed))
    core.patch_namespaced_pod(running, desk.namespace, labelled({"team": "blue"}))
    batch.patch_namespaced_job(owner, desk.namespace, labelled({"team": "blue"}))
    batch.delete_namespaced_job(owner, desk.namespace, propagation_policy="Background")
    assert desk.wait_end("held")["status"]["attempts"][0]["reason"] == "JobDeleted"


def _is_refused(batch: Any, namespace: str) -> bool:
    """Whether the API server enforces the policy by now."""
    try:
        batch.create_namespaced_job(namespace, job("probe", OURS), dry_run="All")
    except kubernetes.ApiException as error:
        return bool(error.status == 403)
    return False
