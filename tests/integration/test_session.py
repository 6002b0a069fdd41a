"""What the session believes of an API server is so on a real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import localcluster
from taskq.clock import SystemClock
from taskq.cluster.credentials import Cluster, FileLogin, from_kubeconfig, load
from taskq.cluster.session import Session
from taskq.errors import NotSent, Unanswered

WHO_AM_I = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
CLOCK = SystemClock()


def job(name: str, **labels: str) -> bytes:
    """A Job that waits for ever."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    meta = {"name": name, "labels": labels}
    spec = {"suspend": True, "template": {"spec": pod}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}).encode()


def jobs_of(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


@pytest.fixture
def access(cluster: localcluster.Cluster) -> Cluster:
    """The cluster as its administrator reaches it."""
    return load(CLOCK, kubeconfig=str(cluster.kubeconfig))


@pytest.fixture
async def session(access: Cluster) -> AsyncIterator[Session]:
    async with Session(access, CLOCK) as session:
        yield session


async def who(access: Cluster) -> str:
    """The user that the API server takes us for."""
    async with Session(access, CLOCK) as session:
        reply = await session.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=WHO_AM_I)
    return str(json.loads(reply.checked().body)["status"]["userInfo"]["username"])


async def service_account_token(session: Session, namespace: str) -> str:
    """A fresh token of a fresh service account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    await session.request("POST", path, body=json.dumps(account).encode())
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    reply = await session.request("POST", f"{path}/robot/token", body=json.dumps(asked).encode())
    return str(json.loads(reply.checked().body)["status"]["token"])


async def test_answers_come_as_they_are(session: Session, namespace: str) -> None:
    path = jobs_of(namespace)
    assert (await session.request("POST", path, body=job("a"), server_timeout=4)).status == 201
    assert (await session.request("POST", path, body=job("b"), server_timeout=0.5)).status == 201
    again = await session.request("POST", path, body=job("a"), server_timeout=4)
    assert again.error().is_already_exists
    assert (await session.request("GET", f"{path}/none")).error().is_not_found
    broken = json.dumps({"metadata": {"name": "c"}, "spec": {"template": {"spec": {}}}}).encode()
    refused = (await session.request("POST", path, body=broken)).error()
    assert refused.is_invalid
    assert "spec.template.spec.containers" in refused.fields


async def test_selectors_select(session: Session, namespace: str) -> None:
    path = jobs_of(namespace)
    await session.request("POST", path, body=job("a", team="x"))
    await session.request("POST", path, body=job("b", team="y"))
    reply = await session.request("GET", path, query={"labelSelector": "team in (y,z),!other"})
    assert [item["metadata"]["name"] for item in json.loads(reply.body)["items"]] == ["b"]


async def test_a_merge_patch_is_taken_as_one(session: Session, namespace: str) -> None:
    path = jobs_of(namespace)
    await session.request("POST", path, body=job("a"))
    change = b'{"metadata":{"labels":{"x":"y"}}}'
    reply = await session.request(
        "PATCH", f"{path}/a", body=change, content_type="application/merge-patch+json", server_timeout=4
    )
    assert json.loads(reply.body)["metadata"]["labels"]["x"] == "y"


async def test_a_watch_tells_of_changes(session: Session, namespace: str) -> None:
    path = jobs_of(namespace)
    listed = json.loads((await session.request("GET", path)).body)
    watch = session.watch(path, {"resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "30"})
    async with contextlib.aclosing(watch):
        await session.request("POST", path, body=job("a"))
        event = json.loads(await anext(watch))
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")


async def test_a_stopped_server_means_not_sent(cluster: localcluster.Cluster, access: Cluster) -> None:
    async with Session(access, CLOCK) as session:
        await asyncio.to_thread(cluster.stop_apiserver, kill=True)
        try:
            with pytest.raises(NotSent):
                await session.request("POST", jobs_of("default"), body=job("never"))
        finally:
            await asyncio.to_thread(cluster.start_apiserver)
        assert (await session.request("GET", f"{jobs_of('default')}/never")).status == 404


async def test_a_frozen_store_makes_the_answer_to_a_write_uncertain(
    cluster: localcluster.Cluster, session: Session, namespace: str
) -> None:
    path = jobs_of(namespace)
    cluster.signal("etcd", signal.SIGSTOP)
    try:
        reply = await session.request("POST", path, body=job("a"), server_timeout=1, timeout=20)
    finally:
        cluster.signal("etcd", signal.SIGCONT)
    assert reply.status == 504
    assert reply.uncertain
    certain = await session.request("POST", path, body=job("a"), server_timeout=20)
    assert certain.status in {201, 409}, "only repeating the same name tells for certain"


class Cutter:
    """A TCP proxy; once armed, it passes a request on and cuts the connection when the answer comes."""

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("https://").rpartition(":")
        self.host, self.port, self.armed, self.cut = host, int(port), False, 0
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.create_task(self.connect(reader, writer)))

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, server = await asyncio.open_connection(self.host, self.port)
        there = asyncio.create_task(self.pump(reader, server, answers=False))
        await self.pump(upstream, writer, answers=True)
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)
        for end in (writer, server):
            end.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if answers and self.armed:
                    self.cut += 1
                    return
                writer.write(data)
                await writer.drain()


@pytest.fixture
async def cutter(access: Cluster) -> AsyncIterator[tuple[Cutter, Cluster]]:
    proxy = Cutter(access.server)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    yield proxy, replace(access, server=f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    listener.close()
    for task in proxy.tasks:
        task.cancel()
    await asyncio.gather(*proxy.tasks, return_exceptions=True)


async def test_a_write_whose_answer_is_lost_is_unanswered_although_it_was_applied_once(
    cutter: tuple[Cutter, Cluster], session: Session, namespace: str
) -> None:
    proxy, through_proxy = cutter
    path = jobs_of(namespace)
    async with Session(through_proxy, CLOCK) as cut:
        assert (await cut.request("GET", path)).ok
        proxy.armed = True
        with pytest.raises(Unanswered):
            await cut.request("POST", path, body=job("a"))
        proxy.armed = False
        assert (await cut.request("GET", f"{path}/a")).ok
        proxy.armed = True
        with pytest.raises(Unanswered):
            await cut.request("DELETE", f"{path}/a", body=b'{"propagationPolicy":"Background"}')
        assert proxy.cut == 2, "each was sent once"
    assert (await session.request("GET", f"{path}/a")).status == 404


async def test_a_service_account_logs_in_from_its_files(
    access: Cluster, session: Session, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(await service_account_token(session, namespace))
    (tmp_path / "ca.crt").write_bytes(access.ca or b"")
    (tmp_path / "namespace").write_text(namespace)
    host, _, port = access.server.removeprefix("https://").rpartition(":")
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    pod = load(CLOCK, environment=environment, service_account=tmp_path)
    assert pod.namespace == namespace
    assert await who(pod) == f"system:serviceaccount:{namespace}:robot"


async def test_a_token_file_that_is_rotated_is_taken_up_when_the_old_token_is_refused(
    access: Cluster, session: Session, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("no-longer-good")
    robot = replace(access, login=FileLogin(CLOCK, token_file=file))
    async with Session(robot, CLOCK) as rotated:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/robot"
        assert (await rotated.request("GET", path)).error().is_unauthorized
        file.write_text(await service_account_token(session, namespace))
        assert (await rotated.request("GET", path)).error().is_forbidden, "known, but not allowed"


def kubeconfig_with(admin: Path, user: dict[str, Any], path: Path) -> Path:
    """The administrator's kubeconfig with another user in it."""
    document = yaml.safe_load(admin.read_text())
    for entry in document["users"]:
        entry["user"] = user
    path.write_text(yaml.safe_dump(document))
    return path


def plug_in(folder: Path, status: dict[str, str]) -> dict[str, Any]:
    """An exec plug-in which prints that status, as a user of a kubeconfig."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (folder / "answer.json").write_text(json.dumps(answer))
    (folder / "plugin").write_text(f"#!{sys.executable}\nprint(open({str(folder / 'answer.json')!r}).read())\n")
    (folder / "plugin").chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "interactiveMode": "Never",
        }
    }


async def test_an_exec_plug_in_gives_a_token(
    cluster: localcluster.Cluster, session: Session, namespace: str, tmp_path: Path
) -> None:
    user = plug_in(tmp_path, {"token": await service_account_token(session, namespace)})
    path = kubeconfig_with(cluster.kubeconfig, user, tmp_path / "config")
    assert await who(from_kubeconfig([path], CLOCK)) == f"system:serviceaccount:{namespace}:robot"


async def test_an_exec_plug_in_gives_a_client_certificate_and_then_another(
    cluster: localcluster.Cluster, access: Cluster, session: Session, namespace: str, tmp_path: Path
) -> None:
    pair = (await access.login.current()).key_pair
    assert pair is not None
    user = plug_in(tmp_path, {"token": "no-longer-good"})
    config = kubeconfig_with(cluster.kubeconfig, user, tmp_path / "config")
    async with Session(from_kubeconfig([config], CLOCK), CLOCK) as renewed:
        assert (await renewed.request("GET", "/version")).status == 401
        status = {"clientCertificateData": pair.certificate.decode(), "clientKeyData": pair.key.decode()}
        plug_in(tmp_path, status)
        assert (await renewed.request("GET", "/api/v1/namespaces/default")).ok


async def test_a_server_with_another_certificate_is_not_talked_to(access: Cluster) -> None:
    async with Session(replace(access, ca=None), CLOCK) as stranger:
        with pytest.raises(NotSent, match="certificate"):
            await stranger.request("GET", "/version")
    async with Session(replace(access, ca=None, insecure=True), CLOCK) as careless:
        assert (await careless.request("GET", "/version")).ok
    async with Session(replace(access, tls_server_name="kubernetes.default"), CLOCK) as named:
        assert (await named.request("GET", "/version")).ok
    async with Session(replace(access, tls_server_name="elsewhere.example"), CLOCK) as misnamed:
        with pytest.raises(NotSent, match="elsewhere"):
            await misnamed.request("GET", "/version")


def test_the_administrators_kubeconfig_has_what_kubectl_would_use(access: Cluster) -> None:
    assert access.ca is not None
    assert access.ca.startswith(b"-----BEGIN CERTIFICATE-----")
