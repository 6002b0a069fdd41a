"""Why does it not run? Asked over HTTP, with tokens that the API server knows, of the leader and of a stand-by."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes

import localcluster
from cluster_tools.desk import Desk
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, OperatorProcess, free_port
from cluster_tools.waiting import until

Json = dict[str, Any]


class Answer(NamedTuple):
    """What came back."""

    code: int
    body: Json
    headers: dict[str, str]


class Replica(NamedTuple):
    """An operator that answers questions."""

    process: OperatorProcess
    address: str
    identity: str

    def ask(self, path: str, token: str = "", host: str = "") -> Answer:
        """With a token, or under another host's name."""
        request = urllib.request.Request(f"http://{self.address}/v1/namespaces/{path}/why")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if host:
            request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, json.load(answer), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error), dict(error.headers))


def replica(cluster: localcluster.Cluster, log: Any, name: str, **settings: object) -> Replica:
    address = f"127.0.0.1:{free_port()}"
    return Replica(
        OperatorProcess(cluster.kubeconfig, log, **PROMPT, api_address=address, identity=name, **settings),
        address,
        name,
    )


@pytest.fixture(scope="module")
def leader(
    cluster: localcluster.Cluster, kubelet: FakeKubelet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    """The one that acts; this machine needs no token."""
    made = replica(cluster, tmp_path_factory.mktemp("leader") / "log", "the-leader", api_anonymous=True)
    with made.process as process:
        process.wait_leading()
        yield made
        assert process.terminate() == 0, process.tail()


class User:
    """A ServiceAccount of a namespace, with the rights that it is given there."""

    def __init__(self, desk: Desk, client: kubernetes.ApiClient, name: str) -> None:
        self._rbac: Any = kubernetes.RbacAuthorizationV1Api(client)
        self._desk, self.name = desk, name
        desk.core.create_namespaced_service_account(desk.namespace, {"metadata": {"name": name}})
        made = desk.core.create_namespaced_service_account_token(name, desk.namespace, {"spec": {}})
        self.token: str = made.status.token

    def may(self, *verbs: str, resource: str, names: list[str] | None = None) -> None:
        rule = {"apiGroups": ["taskq.dev"], "resources": [resource], "verbs": list(verbs), "resourceNames": names or []}
        meta = {"metadata": {"generateName": f"{self.name}-"}}
        role = self._rbac.create_namespaced_role(self._desk.namespace, {**meta, "rules": [rule]})
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": self._desk.namespace}
        self._rbac.create_namespaced_role_binding(
            self._desk.namespace,
            {
                **meta,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
                "subjects": [subject],
            },
        )


@pytest.fixture
def line(leader: Replica, desk: Desk) -> Desk:
    """One Task runs, two wait behind it."""
    desk.queue("line", maxConcurrency=1)
    desk.task("runs", {"hold": True}, queueName="line", priority=9)
    desk.wait_pod("runs")
    desk.task("next", queueName="line", priority=5)
    desk.task("last", queueName="line")
    until(lambda: leader.ask(f"{desk.namespace}/tasks/last").body.get("position") == 2, "both stand in the queue")
    return desk


def test_who_may_get_a_task_is_told_why_it_waits(leader: Replica, line: Desk, client: kubernetes.ApiClient) -> None:
    """With a real token; other Tasks are named only to who may list them."""
    path = f"{line.namespace}/tasks/last"
    narrow, wide = User(line, client, "narrow"), User(line, client, "wide")
    narrow.may("get", resource="tasks", names=["last"])
    wide.may("get", "list", resource="tasks")
    wide.may("get", resource="taskqueues")
    told = leader.ask(path, wide.token)
    assert told.code == 200
    assert told.body["reason"] == "ConcurrencyLimit"
    assert "runs 1 of 1 (spec.maxConcurrency): runs" in told.body["message"]
    assert told.body["position"] == 2
    assert [task["name"] for task in told.body["ahead"]["first"]] == ["next"]
    assert told.headers["Cache-Control"] == "no-store"
    counted = leader.ask(path, narrow.token)
    assert counted.body["position"] == 2
    assert counted.body["ahead"] == {"count": 1, "more": False, "first": []}
    assert counted.body["limits"][0]["holders"] == []
    queue = leader.ask(f"{line.namespace}/queues/line", wide.token)
    assert queue.body["waitingFor"] == {"ConcurrencyLimit": 2}
    assert [task["name"] for task in queue.body["next"]] == ["next", "last"]


def test_who_may_not_learns_nothing(leader: Replica, line: Desk, client: kubernetes.ApiClient) -> None:
    """The answer is the same for what is there and for what is not."""
    stranger = User(line, client, "stranger")
    stranger.may("get", resource="tasks", names=["next"])
    there = leader.ask(f"{line.namespace}/tasks/last", stranger.token)
    absent = leader.ask(f"{line.namespace}/tasks/ghost", stranger.token)
    assert there.code == absent.code == 403
    assert there.body["reason"] == "Forbidden"
    assert there.body["message"].replace("last", "ghost") == absent.body["message"]
    assert f"system:serviceaccount:{line.namespace}:stranger may not get tasks.taskq.dev" in there.body["message"]
    assert leader.ask(f"{line.namespace}/queues/line", stranger.token).code == 403
    assert leader.ask(f"{line.namespace}/tasks/next", stranger.token).code == 200


def test_a_token_is_needed_but_on_this_machine(leader: Replica, line: Desk) -> None:
    """Without one from here: an answer. Under another host's name, as a web page would ask, or with a bad one: none."""
    path = f"{line.namespace}/tasks/last"
    assert leader.ask(path).body["ahead"]["first"][0]["name"] == "next"
    rebound = leader.ask(path, host="evil.example")
    assert rebound.code == 401
    assert "kubectl create token" in rebound.body["message"]
    assert rebound.headers["WWW-Authenticate"] == "Bearer"
    assert leader.ask(path, token="nonsense").code == 401


def test_what_is_not_there_is_404_and_what_has_ended_is_told(leader: Replica, line: Desk, kubelet: FakeKubelet) -> None:
    """Ended Tasks are read from the API server: the operator does not keep them."""
    assert leader.ask(f"{line.namespace}/tasks/ghost").code == 404
    assert leader.ask(f"{line.namespace}/queues/ghost").code == 404
    assert leader.ask(f"{line.namespace}/queues/default").body["reason"] == "NothingReady"
    assert leader.ask("Bad_Name/tasks/x").code == 400
    kubelet.finish(line.namespace, "runs")
    line.wait_phase("last", "Succeeded")
    ended = leader.ask(f"{line.namespace}/tasks/last").body
    assert (ended["phase"], ended["reason"], ended["position"]) == ("Succeeded", "Succeeded", None)


def test_a_replica_that_stands_by_names_the_leader(
    cluster: localcluster.Cluster, leader: Replica, line: Desk, client: kubernetes.ApiClient, tmp_path: Any
) -> None:
    """Its caches are warm, but it keeps no order; and without the setting nobody is answered without a token."""
    user = User(line, client, "user")
    user.may("get", resource="tasks")
    standby = replica(cluster, tmp_path / "log", "the-other")
    with standby.process as process:
        path = f"{line.namespace}/tasks/last"
        until(lambda: process.get("/readyz")[0] == 200, "it is ready")
        assert standby.ask(path).code == 401

        def told() -> Answer | None:
            answer = standby.ask(path, user.token)
            return answer if leader.identity in answer.body["message"] else None

        answer = until(told, "it has seen the leader")
        assert answer.code == 503
        assert answer.headers["Retry-After"] == "2"
        assert process.terminate() == 0
