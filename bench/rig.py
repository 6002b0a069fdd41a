"""The servers and operators that a measurement runs against: all made here, on 127.0.0.1, and all stopped again."""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from bench import process
from taskq.clock import SystemClock
from taskq.cluster import credentials
from taskq.cluster.session import Session

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "local-cluster"))  # a folder with a dash is no package

import localcluster  # noqa: E402
from localcluster.settings import free_port  # noqa: E402

LOCK = REPO / "requirements-operator.lock"
START_SECONDS = 120.0
STOP_SECONDS = 30.0

BENCH_AGENT = "taskq-bench"
"""So that the audit log tells our requests from the operator's, though both use the same session class."""

RAISED, STOCK = localcluster.ControllerManager(), localcluster.ControllerManager.stock()
Kcm = localcluster.ControllerManager | None


@contextlib.contextmanager
def cluster(kcm: Kcm) -> Iterator[localcluster.Cluster]:
    """A fresh control plane without a node, with the CRDs of this checkout; it is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="taskq-bench-"))
    try:
        started = localcluster.start(nodeless=True, directory=directory / "cluster", name="bench", kcm=kcm)
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class _BenchSession(Session):
    """The operator's own client class, under another name."""

    def _client(self) -> aiohttp.ClientSession:
        client = super()._client()
        client.headers["User-Agent"] = BENCH_AGENT
        return client


@contextlib.asynccontextmanager
async def session(kubeconfig: Path, *, pool_limit: int = 40) -> AsyncIterator[Session]:
    """A client for this cluster, with so many connections."""
    clock = SystemClock()
    found = credentials.load(clock, kubeconfig=str(kubeconfig))
    async with _BenchSession(found, clock, pool_limit=pool_limit, inactivity_seconds=600) as opened:
        yield opened


async def apply_crds(api: Session) -> None:
    """Create the CRDs and wait until they are served."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crds = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((REPO / "crds").glob("*.yaml"))]
    for crd in crds:
        (await api.request("POST", path, body=msgspec.json.encode(crd))).checked()
    async with asyncio.timeout(START_SECONDS):
        for crd in crds:
            plural, version = crd["spec"]["names"]["plural"], crd["spec"]["versions"][0]["name"]
            while not (await api.request("GET", f"/apis/{crd['spec']['group']}/{version}/{plural}")).ok:
                await asyncio.sleep(0.1)


def operator_python(*, lean: bool) -> Path:
    """An interpreter that has just what the operator's image has: kopf imports `kubernetes` where it finds it.

    It is made once for each lock file, in the user's cache folder. Without `lean`, this interpreter. Modules are
    compiled beforehand, as they are in the image.
    """
    compileall.compile_dir(REPO / "operator" / "taskq", quiet=1)
    if not lean:
        return Path(sys.executable)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskq"
    venv = base / f"bench-venv-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    python = venv / "bin" / "python"
    if not (venv / ".ready").exists():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", LOCK], check=True)
        (venv / ".ready").touch()
    return python


async def cluster_versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of what is measured: Kubernetes, and the operator's interpreter and main packages."""
    with cluster(None) as made:
        async with session(made.kubeconfig) as api:
            answer = (await api.request("GET", "/version")).checked().body
    code = f"import importlib.metadata as m; print(*map(m.version, {packages!r}))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    kubernetes = str(msgspec.json.decode(answer)["gitVersion"]).removeprefix("v")
    return {"Kubernetes": kubernetes, **dict(zip(packages, found, strict=True))}


OF_THE_IMAGE = {"MALLOC_MMAP_THRESHOLD_": "262144"}
"""What its image sets and a figure depends on."""


class Replica:
    """One operator process."""

    def __init__(self, python: Path, kubeconfig: Path, log: Path, *flags: str) -> None:
        """Start it."""
        self.port = free_port()
        self._log = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKQ_")}
        environment |= {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(REPO / "operator"), **OF_THE_IMAGE}
        command = [str(python), "-m", "taskq", "--http-address", f"127.0.0.1:{self.port}", *flags]
        with log.open("wb") as output:
            self.started_at = time.time()
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=REPO)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """CPU time it has used so far."""
        return process.cpu_seconds(self.pid)

    async def wait_for_log(self, words: str) -> None:
        """Wait until a line of its log has these words: asking its port would cost it CPU time."""
        async with asyncio.timeout(START_SECONDS):
            while words not in self._log.read_text(errors="replace"):
                self._check()
                await asyncio.sleep(0.05)

    async def wait_until_leading(self) -> None:
        """Wait until it acts."""
        await self.wait_for_log("leading:")

    async def wait_until_ready(self) -> None:
        """Wait until its caches are complete, leading or not."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                self._check()
                try:
                    await asyncio.to_thread(self._get, "/readyz")
                except OSError:
                    await asyncio.sleep(0.2)
                else:
                    return

    async def metrics(self) -> str:
        """A scrape."""
        return await asyncio.to_thread(self._get, "/metrics")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read().decode()

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the operator ended with {self._process.returncode}:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when, epoch seconds."""
        sent = time.time()
        self._process.send_signal(number)
        return sent

    async def stop(self) -> None:
        """End it in good order, so that its lease is free at once; or, if that takes too long, at all."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class Rig:
    """A cluster, a client, and the operators started on it."""

    def __init__(self, made: localcluster.Cluster, api: Session, python: Path) -> None:
        """See :func:`rig`."""
        self.cluster = made
        self.api = api
        self._python = python
        self._started: list[Replica] = []

    async def operator(self, *flags: str, kubeconfig: Path | None = None, leading: bool = True) -> Replica:
        """A new operator process, that leads unless told otherwise."""
        log = self.cluster.directory / f"operator-{len(self._started)}.log"
        replica = Replica(self._python, kubeconfig or self.cluster.kubeconfig, log, *flags)
        self._started.append(replica)
        if leading:
            await replica.wait_until_leading()
        return replica

    def kill_all(self) -> None:
        """Leave no process behind."""
        for replica in self._started:
            replica.kill()

    async def account(self, name: str) -> Path:
        """A kubeconfig of a service account with all rights: the audit log then tells replicas apart."""
        core, rbac = "/api/v1/namespaces/default/serviceaccounts", "/apis/rbac.authorization.k8s.io/v1"
        await self._create(core, {"metadata": {"name": name}})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        await self._create(f"{rbac}/clusterrolebindings", binding)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        }
        answer = await self._create(f"{core}/{name}/token", request)
        document = yaml.safe_load(self.cluster.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": answer["status"]["token"]}
        path = self.cluster.directory / f"kubeconfig-{name}"
        path.write_text(yaml.safe_dump(document))
        return path

    async def _create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self.api.request("POST", path, body=msgspec.json.encode(body))
        return msgspec.json.decode(reply.checked().body)


@contextlib.asynccontextmanager
async def rig(*, kcm: Kcm, lean: bool = True) -> AsyncIterator[Rig]:
    """A fresh cluster with the CRDs, and a client for it; all gone afterwards."""
    python = operator_python(lean=lean)
    with cluster(kcm) as made:
        async with session(made.kubeconfig) as api:
            await apply_crds(api)
            running = Rig(made, api, python)
            try:
                yield running
            finally:
                running.kill_all()
