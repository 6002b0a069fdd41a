"""Least privilege, proven: with the chart's permissions nothing is refused, and without any one of them something is.

The operator is a process here, but it is a ServiceAccount with a token to the API server, with a Role of the chart's
rules, rendered by helm. What it asked for and what it was answered is read from the audit log.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes

import localcluster
from cluster_tools import chart
from cluster_tools.account import Requests, account
from cluster_tools.chart import Json, Permission, documented
from cluster_tools.desk import Desk, job_template
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, SHORT_LEASES, OperatorProcess, free_port
from cluster_tools.waiting import until
from localcluster.tools import tool

LEASE = "operator"
READ_AGAIN = {(resource, verb) for resource, verb in documented() if verb == "get"} - {("leases", "get")}
"""Single objects are read when a list names a version that the watch has not brought: so the watch is taken, too."""

REVIEWS = {"tokenreviews": "authentication.k8s.io", "subjectaccessreviews": "authorization.k8s.io"}
"""What the chart adds with the setting api_address, by binding Kubernetes' own ClusterRole system:auth-delegator."""

STUBBORN = {"hold": True, "stopSeconds": 60}
HOLD = {"hold": True}


@pytest.fixture(scope="module")
def rules() -> list[Json]:
    """The chart's, for the Lease's name that is used here."""
    rendered = chart.render(tool("helm"), fullnameOverride=LEASE)
    return rendered.one("ClusterRole", LEASE)["rules"] + rendered.one("Role", f"{LEASE}-lease")["rules"]


class Work:
    """All that makes the operator use its permissions, as far as it comes with those that it has."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._steps: list[tuple[Callable[[], object], Callable[[], object]]] = [
            (lambda: True, self._begin),
            (lambda: desk.pods("stopped"), lambda: desk.change("stopped", cancellation={"mode": "Immediate"})),
            (lambda: desk.pods("asked"), lambda: desk.change("asked", cancellation={})),
            (self._runs, lambda: self._ask("two")),
        ]

    def go_on(self) -> None:
        """Do what can be done by now; each step once."""
        for step in tuple(self._steps):
            can, do = step
            if can():
                do()
                self._steps.remove(step)

    def _begin(self) -> None:
        desk = self._desk
        desk.task("brief", ttl={"afterSuccessSeconds": 0})
        desk.task("fails", {"exitCode": 1})
        desk.task("stopped", jobTemplate=job_template(STUBBORN, terminationGracePeriodSeconds=120))
        desk.task("asked", HOLD)
        self._ask("one")

    def _ask(self, nonce: str) -> None:
        self._desk.patch("Schedule", "known", {"metadata": {"annotations": {"taskq.dev/run-now": nonce}}})

    def _runs(self) -> bool:
        return any(self._desk.pods(task["metadata"]["name"]) for task in self._desk.tasks_of("known"))


def objects_of_every_kind(desk: Desk) -> None:
    """What the operator finds when it starts."""
    desk.queue("known")
    desk.create("TaskTemplate", "known", {"jobTemplate": job_template()})
    desk.schedule("known", HOLD, everySeconds=10_000_000, concurrencyPolicy="Replace")
    desk.task("known", suspend=True)
    labels = {"taskq.dev/task": "nobody"}
    job = {**job_template()["spec"], "suspend": True}
    job["template"]["spec"]["restartPolicy"] = "Never"
    desk.create("Job", "known", job, labels=labels)
    pod = {"containers": [{"name": "main", "image": "busybox:1.36"}], "schedulerName": "nobody"}
    desk.core.create_namespaced_pod(desk.namespace, {"metadata": {"name": "known", "labels": labels}, "spec": pod})


def touch_all(desk: Desk) -> None:
    """Make newer versions of them, without a change that matters."""
    touch = {"metadata": {"labels": {"touched": "yes"}}}
    for kind in ("TaskQueue", "TaskTemplate", "Schedule", "Task", "Job"):
        desk.patch(kind, "known", touch)
    desk.core.patch_namespaced_pod("known", desk.namespace, touch)


@contextmanager
def lease_of_somebody_else(client: kubernetes.ApiClient, desk: Desk) -> Iterator[Callable[[], object]]:
    """Keep the operator a standby until what this gives is called."""
    api: Any = kubernetes.CoordinationV1Api(client)
    body = {"metadata": {"name": LEASE}, "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 600}}
    api.create_namespaced_lease(desk.namespace, body)
    yield lambda: api.patch_namespaced_lease(LEASE, desk.namespace, {"spec": {"holderIdentity": ""}})


class Trial:
    """An operator with some permissions, in a namespace of its own."""

    def __init__(
        self, desk: Desk, client: kubernetes.ApiClient, cluster: localcluster.Cluster, folder: Path, rules: list[Json]
    ) -> None:
        self.desk = desk
        user = account(client, desk.namespace, "operator", rules, cluster.kubeconfig, folder / "kubeconfig")
        self.requests = Requests(cluster.audit_log, user)
        settings = {**PROMPT, **SHORT_LEASES, "namespaces": desk.namespace, "retention_scan_seconds": 1}
        settings |= {"lease_namespace": desk.namespace, "lease_name": LEASE}
        self.kubeconfig = folder / "kubeconfig"
        self.api = f"127.0.0.1:{free_port()}"
        self.operator = OperatorProcess(self.kubeconfig, folder / "operator.log", api_address=self.api, **settings)

    def ready(self) -> bool:
        """Whether its caches are complete."""
        return self.operator.get("/readyz")[0] == 200

    def why(self) -> int:
        """Ask why a Task waits, with the operator's own token; the status of the answer."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        asked = urllib.request.Request(f"http://{self.api}/v1/namespaces/{self.desk.namespace}/tasks/known/why")
        asked.add_header("Authorization", f"Bearer {config['users'][0]['user']['token']}")
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture
def trial(
    desk: Desk, client: kubernetes.ApiClient, cluster: localcluster.Cluster, kubelet: FakeKubelet, tmp_path: Path
) -> Callable[[list[Json]], Trial]:
    """Make a trial with rules."""
    objects_of_every_kind(desk)
    return lambda rules: Trial(desk, client, cluster, tmp_path, rules)


def test_with_all_of_them_nothing_is_refused_and_each_is_used(
    trial: Callable[[list[Json]], Trial], rules: list[Json]
) -> None:
    """No 403, and no permission that could be left out; for reading single objects see below."""
    one = trial(rules)
    expected = set(documented()) - READ_AGAIN
    with one.operator:
        work = Work(one.desk)

        def all_used() -> bool:
            work.go_on()
            assert not one.requests.refused()
            return expected <= one.requests.granted()

        until(all_used, lambda: f"every permission is used; not yet {sorted(expected - one.requests.granted())}")
        one.desk.wait_gone("Task", "brief")
        assert one.operator.terminate() == 0
    assert not one.requests.refused()


@pytest.mark.parametrize("taken", sorted(set(documented()) - READ_AGAIN), ids=" ".join)
def test_without_one_it_is_refused(trial: Callable[[list[Json]], Trial], rules: list[Json], taken: Permission) -> None:
    """The API server answers 403 to this verb on this resource, and to nothing else."""
    one = trial(chart.without(rules, {taken}))
    with one.operator:
        work = Work(one.desk)

        def refused() -> bool:
            work.go_on()
            return bool(one.requests.refused())

        until(refused, lambda: f"a 403 for {taken}; seen: {one.requests.codes()}")
        assert one.requests.refused() == {taken}


@pytest.mark.parametrize("taken", sorted(READ_AGAIN), ids=" ".join)
def test_without_reading_single_objects_it_is_refused(
    trial: Callable[[list[Json]], Trial], rules: list[Json], client: kubernetes.ApiClient, taken: Permission
) -> None:
    """A new leader that was told of a change by its list, and not by its watch, reads the object."""
    watch = (taken[0], "watch")
    one = trial(chart.without(rules, {taken, watch}))
    with lease_of_somebody_else(client, one.desk) as give_up, one.operator:
        until(one.ready, "its caches are complete")
        touch_all(one.desk)
        give_up()
        until(lambda: taken in one.requests.refused(), lambda: f"a 403 for {taken}; seen: {one.requests.codes()}")
        assert one.requests.refused() == {taken, watch}


@contextmanager
def reviews(client: kubernetes.ApiClient, namespace: str, taken: str) -> Iterator[None]:
    """Give the operator all reviews of the cluster but one."""
    api: Any = kubernetes.RbacAuthorizationV1Api(client)
    rules = [
        {"apiGroups": [group], "resources": [kind], "verbs": ["create"]}
        for kind, group in REVIEWS.items()
        if kind != taken
    ]
    api.create_cluster_role({"metadata": {"name": namespace}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    subjects = [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}]
    api.create_cluster_role_binding({"metadata": {"name": namespace}, "roleRef": reference, "subjects": subjects})
    yield
    api.delete_cluster_role_binding(namespace)
    api.delete_cluster_role(namespace)


@pytest.mark.parametrize("taken", ["", *REVIEWS])
def test_answers_need_the_reviews(
    trial: Callable[[list[Json]], Trial], rules: list[Json], client: kubernetes.ApiClient, taken: str
) -> None:
    """Who asks, and may he: without either, nobody is answered, and the audit log has the 403."""
    one = trial(rules)
    with reviews(client, one.desk.namespace, taken), one.operator:
        one.operator.wait_leading()
        if taken:
            until(lambda: one.why() >= 400 and one.requests.refused(), f"a 403 for {taken}")
            assert one.requests.refused() == {(taken, "create")}
        else:
            until(lambda: one.why() == 200, lambda: f"an answer; the last was {one.why()}")
            assert {(kind, "create") for kind in REVIEWS} <= one.requests.granted()
            assert not one.requests.refused()
