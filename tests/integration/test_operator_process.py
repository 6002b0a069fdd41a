"""The operator as a process: how it starts, what it says, how it stops, and what it costs the API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess
from cluster_tools.waiting import until
from integration.conftest import apply_crds, connected

Starter = Any


@pytest.fixture
def start(cluster: localcluster.Cluster, desk: Desk, tmp_path: Path) -> Iterator[Starter]:
    """Starts replicas that serve the namespace of the test, with a lease of their own; none outlives the test."""
    started: list[OperatorProcess] = []

    def begin(**settings: object) -> OperatorProcess:
        log = tmp_path / f"operator-{len(started)}.log"
        settings = {**PROMPT, "namespaces": desk.namespace, "lease_name": desk.namespace, **settings}
        started.append(OperatorProcess(cluster.kubeconfig, log, **settings).start())
        return started[-1]

    yield begin
    for process in started:
        process.kill()


NAMELESS = """
import os, pwd

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
from taskq.__main__ import main
main()
"""
"""The operator as a user whom the system has no name for."""


def lease_of(desk: Desk, client: kubernetes.ApiClient) -> Any:
    """The Lease of the test's replicas."""
    return kubernetes.CoordinationV1Api(client).read_namespaced_lease(desk.namespace, "default")


# --- start --------------------------------------------------------------------------------------------------------


def test_it_runs_as_a_user_without_a_name(cluster: localcluster.Cluster, desk: Desk, tmp_path: Path) -> None:
    """Where the cluster assigns the uid, as OpenShift does, the image's list of users does not know it."""
    own = {"namespaces": desk.namespace, "lease_name": desk.namespace}
    log = tmp_path / "operator.log"
    with OperatorProcess(cluster.kubeconfig, log, program=("-c", NAMELESS), **PROMPT, **own) as operator:
        operator.wait_leading()
        assert operator.terminate() == 0


def test_without_crds_it_says_what_is_missing_and_recovers(tmp_path: Path) -> None:
    """Whoever installs them later need not restart it."""
    bare = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    try:
        with (
            OperatorProcess(bare.kubeconfig, tmp_path / "operator.log", **PROMPT) as operator,
            connected(bare.kubeconfig) as client,
        ):
            until(lambda: operator.get("/readyz")[0] == 503, "it is not ready")
            text = until(lambda: (t := operator.get("/readyz")[1]) and "jobs" not in t and t, "only ours are missing")
            for plural in ("tasks", "taskqueues", "tasktemplates"):
                assert plural in text
            assert "CRD" in text
            assert operator.get("/healthz")[0] == 200
            assert "Traceback" not in operator.output()
            apply_crds(client)
            operator.wait_leading()
            assert operator.get("/readyz")[0] == 200
            assert operator.terminate() == 0
    finally:
        bare.stop()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "nowhere"),
        ("{]", "kubeconfig"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: []\nclusters: []\nusers: []\n", "x"),
    ],
    ids=["missing", "no-yaml", "no-context"],
)
def test_a_wrong_kubeconfig_ends_it_with_one_line(tmp_path: Path, content: str | None, words: str) -> None:
    """Which names the file or what is wrong in it."""
    kubeconfig = tmp_path / ("nowhere" if content is None else "kubeconfig")
    if content is not None:
        kubeconfig.write_text(content, encoding="utf-8")
    with OperatorProcess(kubeconfig, tmp_path / "operator.log") as operator:
        assert operator.wait() == 1
        lines = operator.output().splitlines()
    assert len(lines) == 1, lines
    assert words in lines[0]


def test_an_api_server_that_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    """Not ready, but alive; it takes up work when the server is there, and goes on after a restart of it."""
    cluster = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    try:
        with connected(cluster.kubeconfig) as client, FakeKubelet(cluster.kubeconfig):
            apply_crds(client)
            desk = Desk(client, "default", cluster.audit_log)
            cluster.stop_apiserver(kill=True)
            with OperatorProcess(cluster.kubeconfig, tmp_path / "operator.log", **PROMPT) as operator:
                until(lambda: operator.get("/readyz")[0] == 503, "it is not ready")
                assert operator.get("/healthz")[0] == 200
                cluster.start_apiserver()
                operator.wait_leading()
                desk.task("before")
                assert desk.wait_end("before")["status"]["phase"] == "Succeeded"
                cluster.restart_apiserver(kill=True)
                desk.task("after")
                until(lambda: operator.running or operator.start(), "it runs, or is started again")
                assert desk.wait_end("after")["status"]["phase"] == "Succeeded"
    finally:
        cluster.stop()


# --- while it runs ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kubelet")
def test_a_short_task_costs_two_writes(desk: Desk, start: Starter) -> None:
    """One Job, one status; no Event, no annotation, nothing else."""
    operator = start(running_after_seconds=600, queue_status_seconds=3600).wait_leading()
    for number in range(5):
        desk.task(f"short-{number}", {"message": "done"})
    for number in range(5):
        assert desk.wait_end(f"short-{number}")["status"]["phase"] == "Succeeded"
    assert operator.terminate() == 0
    written = [
        (event["verb"], event["objectRef"]["resource"], event["objectRef"].get("subresource", ""))
        for event in desk.audit()
        if "taskq-operator" in event.get("userAgent", "")
        and event["verb"] not in ("get", "list", "watch")
        and event["stage"] == "ResponseComplete"
    ]
    assert sorted(written) == [("create", "jobs", "")] * 5 + [("patch", "tasks", "status")] * 5


@pytest.mark.usefixtures("kubelet")
def test_other_namespaces_are_left_alone(
    desk: Desk, start: Starter, client: kubernetes.ApiClient, namespace: str
) -> None:
    """And need not be readable: every request of it names its namespace."""
    core: Any = kubernetes.CoreV1Api(client)
    foreign: str = core.create_namespace({"metadata": {"generateName": "foreign-"}}).metadata.name
    try:
        abroad = Desk(client, foreign, desk._audit_log)
        abroad.task("ignored")
        operator = start(running_after_seconds=1).wait_leading()
        desk.task("served")
        desk.wait_end("served")
        assert operator.terminate() == 0
        assert abroad.list("Job") == []
        assert abroad.get("ignored")["status"] == {"observedGeneration": -1, "phase": "Pending"}
        started_at = audit.requests(desk.audit(), "create", "tasks")[0]["requestReceivedTimestamp"]
        everywhere = [
            event["requestURI"]
            for event in audit.read(desk._audit_log)
            if "taskq-operator" in event.get("userAgent", "")
            and event["requestReceivedTimestamp"] > started_at
            and "objectRef" in event
            and event["objectRef"].get("namespace") not in (namespace, "default")
        ]
        assert everywhere == []
    finally:
        core.delete_namespace(foreign)


@pytest.mark.usefixtures("kubelet")
def test_an_implicit_default_queue_can_be_forbidden(desk: Desk, start: Starter) -> None:
    """Then a namespace needs a TaskQueue named default."""
    start(implicit_default_queue=False).wait_leading()
    desk.task("waits")
    task = desk.wait_condition("waits", "Stalled", "True", "QueueNotFound")
    assert "default" in conditions(task)["Stalled"]["message"]
    desk.queue("default")
    assert desk.wait_end("waits")["status"]["phase"] == "Succeeded"


@pytest.mark.usefixtures("kubelet")
def test_probes_and_metrics_answer(desk: Desk, start: Starter) -> None:
    """And count what happened."""
    operator = start().wait_leading()
    assert operator.get("/healthz")[0] == 200
    assert operator.get("/readyz")[0] == 200
    desk.queue("metered", maxConcurrency=3)
    desk.task("good", queueName="metered")
    desk.task("bad", {"exitCode": 1}, queueName="metered")
    for name in ("good", "bad"):
        desk.wait_end(name)
    labels = f'namespace="{desk.namespace}",queue="metered"'
    assert operator.metric(f"taskq_tasks_started_total{{{labels}}}") == 2
    assert operator.metric(f'taskq_tasks_finished_total{{{labels},result="succeeded"}}') == 1
    assert operator.metric(f'taskq_tasks_finished_total{{{labels},result="failed"}}') == 1
    assert operator.metric(f'taskq_attempts_failed_total{{{labels},reason="Error"}}') == 1
    assert operator.metric(f"taskq_queue_concurrency_limit{{{labels}}}") == 3
    assert operator.metric("taskq_leader") == 1
    assert operator.get("/nothing")[0] == 404


# --- stop and hand over -------------------------------------------------------------------------------------------


def test_sigterm_gives_the_lease_back(desk: Desk, start: Starter, client: kubernetes.ApiClient) -> None:
    """And ends it with 0."""
    operator = start().wait_leading()
    assert lease_of(desk, client).spec.holder_identity
    assert operator.terminate() == 0
    assert not lease_of(desk, client).spec.holder_identity
    assert "Traceback" not in operator.output()


def test_sigterm_before_it_leads_ends_it_as_well(desk: Desk, start: Starter, client: kubernetes.ApiClient) -> None:
    """A standby holds nothing that it could give back."""
    first = start().wait_leading()
    holder = lease_of(desk, client).spec.holder_identity
    second = start()
    until(lambda: second.get("/readyz")[0] == 200, "the standby is ready")
    assert second.terminate() == 0
    assert lease_of(desk, client).spec.holder_identity == holder
    assert first.running


@pytest.mark.usefixtures("kubelet")
def test_the_standby_writes_nothing_and_takes_over_at_once(
    desk: Desk, start: Starter, client: kubernetes.ApiClient, kubelet: FakeKubelet
) -> None:
    """What runs goes on; the second replica finds out how it ended."""
    first = start(identity="first").wait_leading()
    second = start(identity="second")
    until(lambda: second.get("/readyz")[0] == 200, "the standby is ready")
    desk.task("short")
    desk.task("long", {"hold": True})
    desk.wait_end("short")
    desk.wait_phase("long", "Running")
    assert second.metric("taskq_leader") == 0
    assert not any(second.get("/metrics")[1].count(f'verb="{verb}"') for verb in ("POST", "PUT", "PATCH", "DELETE"))
    assert first.terminate() == 0
    second.wait_leading()
    assert lease_of(desk, client).spec.holder_identity == "second"
    kubelet.finish(desk.namespace, "long")
    desk.task("next")
    for name in ("long", "next"):
        assert desk.wait_end(name)["status"]["phase"] == "Succeeded"
    assert audit.repeated_attempts(audit.starts(desk.audit())) == []
    assert lease_of(desk, client).spec.lease_transitions == 1


# --- what happened while nobody watched ---------------------------------------------------------------------------


def test_what_ended_while_it_was_down_is_written_down(desk: Desk, start: Starter, kubelet: FakeKubelet) -> None:
    """The Job tells."""
    operator = start(**SHORT_LEASES).wait_leading()
    desk.task("ends", {"hold": True, "message": "meanwhile"})
    desk.wait_pod("ends")
    operator.kill()
    kubelet.finish(desk.namespace, "ends")
    job = desk.jobs("ends")[0]["metadata"]["name"]
    desk.wait_condition(job, "Complete", of="Job")
    operator.start()
    status = desk.wait_end("ends")["status"]
    assert (status["phase"], status["result"], status["attempt"]) == ("Succeeded", "meanwhile", 1)


@pytest.mark.usefixtures("kubelet")
def test_a_job_deleted_while_it_was_down_ends_its_attempt(desk: Desk, start: Starter) -> None:
    """Once the attempt stands in the status."""
    operator = start(**SHORT_LEASES).wait_leading()
    desk.task("robbed", {"hold": True}, {}, retryPolicy=retries(2))
    desk.wait_phase("robbed", "Running")
    operator.kill()
    job = desk.jobs("robbed")[0]["metadata"]["name"]
    desk.delete("Job", job)
    desk.wait_gone("Job", job)
    until(lambda: not desk.pods("robbed"), "its pod is gone")
    operator.start()
    status = desk.wait_end("robbed")["status"]
    assert [attempt["reason"] for attempt in status["attempts"]] == ["JobDeleted", "Succeeded"]


@pytest.mark.usefixtures("kubelet")
def test_a_cap_holds_for_pods_that_outlive_their_job_and_the_operator(
    desk: Desk, start: Starter, kubelet: FakeKubelet
) -> None:
    """A new process learns from the pods alone that the slot is taken."""
    desk.queue("single", maxConcurrency=1)
    operator = start(**SHORT_LEASES).wait_leading()
    desk.task("first", {"hold": True, "stopSeconds": 60}, queueName="single")
    pod = desk.wait_pod("first")["metadata"]["name"]
    desk.wait_phase("first", "Running")
    operator.kill()
    desk.delete("Job", desk.jobs("first")[0]["metadata"]["name"], "Orphan")
    desk.delete("Task", "first")
    desk.task("second", queueName="single")
    desk.task("elsewhere")
    operator.start()
    desk.wait_end("elsewhere")
    assert desk.jobs("second") == []
    desk.core.delete_namespaced_pod(pod, desk.namespace, grace_period_seconds=1)
    assert desk.wait_end("second")["status"]["phase"] == "Succeeded"
