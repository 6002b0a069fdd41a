"""The chart with the real image on a cluster with a node: installed, upgraded, rolled back, uninstalled.

It has a cluster of its own, since the demo's has an operator already. docs/how-to/install.md is typed first; what
follows installs once more and looks closer. At the end the audit log is read: the pod was refused nothing.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

import localcluster
from cluster_tools.account import Requests
from cluster_tools.desk import Desk
from cluster_tools.waiting import until
from doc_blocks import blocks, shows
from e2e.conftest import REPO, Shell
from e2e.test_real_pods import TRAP, job
from localcluster.tools import tool

pytestmark = pytest.mark.slow

PAGE = "docs/how-to/install.md"
NAMESPACE = "taskq-system"
RELEASE = f"taskq helm/taskq --namespace {NAMESPACE} --wait --timeout 3m"
IMAGE = "taskq-operator.tar"
MOST_BYTES = 120_000_000
"""With a Python whose libraries can't be stripped; else it is 71 MB."""

OPERATOR = f"system:serviceaccount:{NAMESPACE}:taskq"
CHART_OF_A_TASK = {
    "Chart.yaml": "{apiVersion: v2, name: once, version: 0.1.0}",
    "values.yaml": "exitCode: 0",
    "templates/task.yaml": json.dumps(
        {
            "apiVersion": "taskq.dev/v1alpha1",
            "kind": "Task",
            "metadata": {"name": "{{ .Release.Name }}"},
            "spec": {"jobTemplate": job("sleep 2; exit {{ .Values.exitCode }}")},
        }
    ),
}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder beside that of the other tests."""
    if os.geteuid() != 0:
        pytest.skip("a node needs root")
    folder = Path(tempfile.mkdtemp(prefix="taskq-chart-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(home: Path) -> Iterator[localcluster.Cluster]:
    """Without an operator; the namespace for it admits only what Kubernetes calls restricted."""
    started = localcluster.start(directory=home / "taskq" / "taskq")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def client(cluster: localcluster.Cluster) -> Iterator[kubernetes.ApiClient]:
    """The official client, as a cluster administrator."""
    with config.new_client_from_config(config_file=str(cluster.kubeconfig)) as api_client:  # type: ignore[no-untyped-call]
        yield api_client
        api_client.rest_client.pool_manager.clear()


@pytest.fixture(scope="module")
def shell(home: Path, cluster: localcluster.Cluster) -> Shell:
    """Somebody with helm on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TASKQ_", "HELM_"))}
    own = Shell(
        {
            **{name: value for name, value in kept.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")},
            "PATH": f"{tool('helm').parent}:{os.environ['PATH']}",
            **{f"HELM_{name}_HOME": str(home / "helm") for name in ("CACHE", "CONFIG", "DATA")},
            "XDG_STATE_HOME": str(home),
            "TASKQ_CLUSTER": "built",
            "KUBECONFIG": str(cluster.kubeconfig),
        }
    )
    own(f"kubectl create namespace {NAMESPACE}")
    own(f"kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=restricted")
    return own


@pytest.fixture(scope="module")
def desk(client: kubernetes.ApiClient, cluster: localcluster.Cluster) -> Desk:
    """A namespace of a user."""
    name = kubernetes.CoreV1Api(client).create_namespace({"metadata": {"generateName": "chart-"}}).metadata.name
    return Desk(client, name, cluster.audit_log)


@pytest.fixture(scope="module")
def installed(typed: None, shell: Shell, cluster: localcluster.Cluster) -> Requests:
    """Once more, after the page has uninstalled it: with two replicas; all that they ask for from now on."""
    requests = Requests(cluster.audit_log, OPERATOR)
    shell(f"helm install {RELEASE} --set replicas=2")
    return requests


@pytest.fixture(scope="module")
def typed(shell: Shell) -> None:
    """The page's commands, one after the other, each with what it shows."""
    for block in blocks(PAGE):
        for command in block.commands() if block.language == "console" else ():
            said = shell(command.text)
            assert shows(command.shown, said), f"$ {command.text}\n{said}\ninstead of\n" + "\n".join(command.shown)


def pods(shell: Shell) -> list[dict[str, Any]]:
    """The operator's."""
    said = shell(f"kubectl -n {NAMESPACE} get pods -l app.kubernetes.io/name=taskq -o json")
    found: list[dict[str, Any]] = json.loads(said)["items"]
    return found


def holder(shell: Shell) -> str:
    """The pod that has the Lease; an empty string when none of those that there are has it."""
    said = shell(f"kubectl -n {NAMESPACE} get lease taskq -o jsonpath={{.spec.holderIdentity}}")
    name = said.partition("_")[0]
    return name if name in {pod["metadata"]["name"] for pod in pods(shell)} else ""


def test_the_page_can_be_typed(typed: None) -> None:
    """Image, install, a Task, upgrade, rollback, uninstall, and the CRDs deleted in the end."""


def test_the_image_is_small_and_the_same_when_built_again(typed: None, shell: Shell, tmp_path: Path) -> None:
    """Byte for byte; and nothing crept in that makes it large."""
    shell(f".venv/bin/python image/build.py {tmp_path / 'again.tar'}")
    first, again = ((folder / name).read_bytes() for folder, name in ((REPO / "dist", IMAGE), (tmp_path, "again.tar")))
    assert first == again
    assert len(first) < MOST_BYTES


def test_the_pod_is_what_the_chart_promises(installed: Requests, shell: Shell) -> None:
    """Not root, nothing to write to, no capability, under «restricted»; and the image has no shell."""
    name = until(lambda: holder(shell), "a pod has the Lease")

    def python(script: str, code: int = 0) -> str:
        return shell(f"kubectl -n {NAMESPACE} exec {name} -- python3 -c {shlex.quote(script)}", code=code)

    assert python("import os; print(os.getuid(), os.getgid())") == "65532 65532\n"
    assert "Read-only file system" in python("open('/x', 'w')", code=1)
    assert "CapEff:\t0000000000000000" in python("print(open('/proc/self/status').read())")
    shell(f"kubectl -n {NAMESPACE} exec {name} -- sh", code=1)


def test_tasks_of_every_kind_run(installed: Requests, desk: Desk) -> None:
    """A success, retries, a cancelled one, a template's, a Schedule's that replaces the run before."""
    policy = {"maxAttempts": 2, "backoff": {"type": "Fixed", "baseSeconds": 0}}
    desk.task("brief", jobTemplate=job("true"), ttl={"afterSuccessSeconds": 0})
    desk.task("twice", jobTemplate=job("[ $TASKQ_TASK_ATTEMPT = 2 ]"), retryPolicy=policy)
    desk.task("stopped", jobTemplate=job("sleep 600"))
    desk.create("TaskTemplate", "kind", {"jobTemplate": job("true")})
    desk.task("templated", templateRef={"name": "kind"})
    template = {"spec": {"jobTemplate": job(TRAP.format(words="over", code=0))}}
    desk.schedule("often", everySeconds=10_000_000, concurrencyPolicy="Replace", taskTemplate=template)
    desk.patch("Schedule", "often", {"metadata": {"annotations": {"taskq.dev/run-now": "one"}}})
    desk.wait_pod("stopped")
    desk.change("stopped", cancellation={"mode": "Immediate"})
    [first] = until(lambda: desk.tasks_of("often"), "the Schedule's Task")
    desk.wait_pod(first["metadata"]["name"])
    desk.patch("Schedule", "often", {"metadata": {"annotations": {"taskq.dev/run-now": "two"}}})
    desk.wait_phase("twice", "Succeeded")
    desk.wait_phase("templated", "Succeeded")
    desk.wait_phase("stopped", "Cancelled")
    desk.wait_phase(first["metadata"]["name"], "Cancelled")
    desk.wait_gone("Task", "brief")
    desk.patch("Schedule", "often", {"spec": {"suspend": True}})


def test_the_second_replica_takes_over(installed: Requests, shell: Shell, desk: Desk) -> None:
    """The leader's pod is deleted; a Task that ran goes on, and a new one starts under the other."""
    desk.task("outlives", jobTemplate=job("sleep 8"))
    desk.wait_pod("outlives")
    first = holder(shell)
    shell(f"kubectl -n {NAMESPACE} delete pod {first} --wait=false")
    until(lambda: holder(shell) not in ("", first), "another pod has the Lease")
    desk.task("next", jobTemplate=job("true"))
    desk.wait_phase("next", "Succeeded")
    assert len(desk.wait_phase("outlives", "Succeeded")["status"]["attempts"]) == 1


def test_users_have_the_roles_of_kubernetes(installed: Requests, shell: Shell, desk: Desk) -> None:
    """view looks, edit works with Tasks, admin sets up queues; a submitter makes Tasks and no pods."""
    allowed = {
        "view": {"get tasks.taskq.dev"},
        "edit": {"get tasks.taskq.dev", "create tasks.taskq.dev", "create pods"},
        "admin": {"get tasks.taskq.dev", "create tasks.taskq.dev", "create pods", "create taskqueues.taskq.dev"},
        "taskq-submitter": {"get tasks.taskq.dev", "create tasks.taskq.dev"},
    }
    asked = sorted(set().union(*allowed.values()) | {"patch tasks.taskq.dev/status"})
    namespace = f"-n {desk.namespace}"
    for role in allowed:
        shell(f"kubectl create rolebinding {role} --clusterrole={role} --user=has-{role} {namespace}")
    for role, may in allowed.items():
        for request in asked:
            verb, resource = request.split()
            resource, _, sub = resource.partition("/")
            flags = f"--as=has-{role} {namespace}" + (f" --subresource={sub}" if sub else "")
            shell(f"kubectl auth can-i {verb} {resource} {flags}", code=0 if request in may else 1)


def test_helm_waits_for_a_task_in_a_chart(installed: Requests, shell: Shell, desk: Desk, tmp_path: Path) -> None:
    """Helm 4 reads its conditions: `--wait` ends with the Task, well or badly."""
    for name, text in CHART_OF_A_TASK.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    flags = f"{tmp_path} -n {desk.namespace} --wait --timeout 2m"
    shell(f"helm install good {flags}")
    assert desk.get("good")["status"]["phase"] == "Succeeded"
    said = shell(f"helm install bad {flags} --set exitCode=3", code=1)
    assert desk.get("bad")["status"]["phase"] == "Failed"
    assert "context deadline exceeded" not in said


def test_nothing_was_refused(installed: Requests) -> None:
    """In all of the above."""
    assert installed.granted() >= {("jobs", "create"), ("tasks/status", "patch"), ("pods", "delete"), ("leases", "get")}
    assert not installed.refused()


def test_it_is_restricted_to_namespaces(
    installed: Requests, shell: Shell, desk: Desk, cluster: localcluster.Cluster
) -> None:
    """Upgraded to serve one: it has no ClusterRole any more, works there, and leaves others alone."""
    shell("kubectl create namespace served")
    shell(f"helm upgrade {RELEASE} --set namespaces={{served}} --set replicas=2")
    assert "not found" in shell("kubectl get clusterrole taskq", code=1)
    until(lambda: len(pods(shell)) == 2, "the pods of the former version are gone")
    requests = Requests(cluster.audit_log, OPERATOR)
    desk.task("elsewhere", jobTemplate=job("true"))
    shell("kubectl apply -n served -f examples/hello.yaml")
    shell("kubectl wait -n served --for=condition=Complete tasks.taskq.dev/hello --timeout=90s")
    assert desk.get("elsewhere")["status"]["phase"] == "Pending"
    assert ("jobs", "create") in requests.granted()
    assert not requests.refused()
    shell(f"helm rollback taskq -n {NAMESPACE} --wait --timeout 3m")
    desk.wait_phase("elsewhere", "Succeeded")


def test_uninstall_leaves_users_their_objects_and_nothing_wedged(installed: Requests, shell: Shell, desk: Desk) -> None:
    """A Task that runs keeps running; what is there can be deleted; the next installation ends what it finds."""
    desk.task("runs-on", jobTemplate=job("sleep 12"))
    desk.task("waits", jobTemplate=job("true"), notBeforeTime="2099-01-01T00:00:00Z")
    pod = desk.wait_pod("runs-on")["metadata"]["name"]
    shell(f"helm uninstall taskq -n {NAMESPACE} --wait --timeout 3m")
    until(lambda: not pods(shell), "its pods are gone")
    kinds = "all,role,rolebinding,serviceaccount,secret,configmap,clusterrole,clusterrolebinding"
    assert "No resources found" in shell(f"kubectl -n {NAMESPACE} get {kinds} -l app.kubernetes.io/part-of=taskq")
    desk.delete("Task", "waits")
    desk.wait_gone("Task", "waits")
    until(lambda: desk.core.read_namespaced_pod(pod, desk.namespace).status.phase == "Succeeded", "its pod ran on")
    assert desk.get("runs-on")["status"]["phase"] in ("Pending", "Running")
    shell(f"helm install {RELEASE}")
    assert len(desk.wait_phase("runs-on", "Succeeded")["status"]["attempts"]) == 1
    shell(f"helm uninstall taskq -n {NAMESPACE} --wait --timeout 3m")
    shell(f"kubectl delete namespace {desk.namespace} --timeout=90s")
    shell("kubectl delete crd -l app.kubernetes.io/part-of=taskq --timeout=90s")
