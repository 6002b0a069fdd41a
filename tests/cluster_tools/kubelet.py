"""A kubelet that runs no container: it takes every pod of a Job, and reports what the pod's script says.

It runs beside a real API server and a real Job controller in a cluster without a node. Pods are bound to a node of its
own, so that their deletion is graceful, as it is on a real one. The script is JSON in the pod's annotation
``fake.taskq.dev/run``: one step, or a list of them, one for each attempt of a Task (the last one serves the rest)::

    {"seconds": 2, "exitCode": 1, "message": "out of luck"}
    [{"exitCode": 75}, {"reason": "OOMKilled"}, {"evict": true}, {}]

- ``seconds`` it runs (0), ``hold`` it runs until :meth:`FakeKubelet.finish`
- ``exitCode`` (0), ``reason`` and ``message`` of the terminated container
- ``evict``: the pod ends as evicted; ``waiting``: no container starts, for this reason (``ImagePullBackOff``)
- ``byIndex``: what is different for the pods of one index of an Indexed Job, ``{"3": {"exitCode": 1}}``
- ``stopSeconds`` that it takes to end after SIGTERM (0), within its grace period; ``stopCode`` it then ends with (143)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

RUN = "fake.taskq.dev/run"
USER_AGENT = "fake-kubelet"
NODE = "fake-node"
HEARTBEAT_SECONDS = 10.0
CONNECTIONS = 12
RECONNECT_SECONDS = 0.2
CLOSING_SECONDS = 0.1
"""TLS connections that were closed need the loop a little longer; left open, they are warned about."""

KILLED = 137
NEVER_STARTED = {
    "exitCode": KILLED,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}
"""What a kubelet says of a container that never started when it finishes with its pod."""

Json = dict[str, Any]


def script(*steps: Json) -> dict[str, str]:
    """The annotation for these steps."""
    return {RUN: json.dumps(list(steps))}


@dataclass
class Step:
    """What one pod does."""

    seconds: float = 0.0
    hold: bool = False
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    evict: bool = False
    waiting: str = ""
    stop_seconds: float = 0.0
    stop_code: int = 143

    @classmethod
    def of(cls, pod: Json) -> Self:
        """The step of this pod: by the attempt that its label tells."""
        meta = pod["metadata"]
        steps = json.loads(meta.get("annotations", {}).get(RUN, "{}"))
        if isinstance(steps, list):
            attempt = int(meta.get("labels", {}).get("taskq.dev/attempt", 1))
            steps = steps[min(attempt, len(steps)) - 1]
        index = meta.get("labels", {}).get("batch.kubernetes.io/job-completion-index", "")
        steps = steps | steps.pop("byIndex", {}).get(index, {})
        names = {"exitCode": "exit_code", "stopSeconds": "stop_seconds", "stopCode": "stop_code"}
        return cls(**{names.get(name, name): value for name, value in steps.items()})


@dataclass
class _Pod:
    """A pod under way."""

    newest: Json
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def grace(self) -> float | None:
        """Seconds that a requested deletion gives it, None without one."""
        meta = self.newest["metadata"]
        return float(meta.get("deletionGracePeriodSeconds", 30)) if "deletionTimestamp" in meta else None


class FakeKubelet:
    """Use as a context manager; it works in a thread of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="fake-kubelet", daemon=True)
        self._stop = asyncio.Event()
        self._pods: dict[str, _Pod] = {}
        self._living: set[asyncio.Task[None]] = set()
        self._verdicts: dict[tuple[str, str], Json] = {}
        self._said: dict[tuple[str, str], asyncio.Event] = {}
        self._http: aiohttp.ClientSession
        self.failures: list[str] = []
        """What went wrong inside: a test may look when nothing moves."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=20)
        if self.failures and kind is not None:
            sys.stderr.write("--- the fake kubelet's troubles:\n" + "\n".join(self.failures[-20:]) + "\n")

    def finish(self, namespace: str, task: str, **outcome: Any) -> None:
        """End the held pod of a Task, now or as soon as it is there; ``outcome`` replaces fields of its step."""
        self._loop.call_soon_threadsafe(self._say, (namespace, task), outcome)

    def _say(self, key: tuple[str, str], outcome: Json) -> None:
        self._verdicts[key] = outcome
        self._said.setdefault(key, asyncio.Event()).set()

    # --- the loop --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(asyncio.sleep(CLOSING_SECONDS))
        finally:
            self._loop.close()

    async def _main(self) -> None:
        server, tls = _access(self._kubeconfig)
        connector = aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS)
        async with aiohttp.ClientSession(server, connector=connector, headers={"User-Agent": USER_AGENT}) as self._http:
            loops = [asyncio.create_task(loop) for loop in (self._beat(), self._watch())]
            await self._stop.wait()
            for task in (*loops, *self._living):
                task.cancel()
            await asyncio.gather(*loops, *self._living, return_exceptions=True)

    async def _beat(self) -> None:
        """Be a node that is ready, so that nobody evicts our pods."""
        lease: Json = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NODE, "namespace": "kube-node-lease"},
        }
        while True:
            try:
                now = datetime.now(UTC)
                await self._send("POST", "/api/v1/nodes", {"metadata": {"name": NODE}}, good=(201, 409))
                ready = {"type": "Ready", "status": "True", "reason": "Fake", "lastHeartbeatTime": _stamp(now)}
                await self._patch(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [ready]}})
                lease["spec"] = {"holderIdentity": NODE, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
                leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
                if (await self._send("POST", leases, lease, good=(201, 409, 404)))[0] == 409:
                    await self._patch(f"{leases}/{NODE}", {"spec": lease["spec"]})
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.failures.append(f"heartbeat: {error!r}")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _watch(self) -> None:
        while True:
            try:
                async for pod in self._changes():
                    self._notice(pod)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.failures.append(f"watch: {error!r}")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _changes(self) -> AsyncIterator[Json]:
        """Every pod of a Job, and every change of one, until the server ends the watch; a deleted one has no status."""
        query = {"labelSelector": "batch.kubernetes.io/job-name"}
        _, listed = await self._send("GET", "/api/v1/pods", good=(200,), query=query)
        for pod in listed["items"]:
            yield pod
        for uid in set(self._pods) - {pod["metadata"]["uid"] for pod in listed["items"]}:
            yield {"metadata": {"uid": uid}, "gone": True}
        query |= {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with self._http.get("/api/v1/pods", params=query, timeout=timeout, read_bufsize=2**20) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["object"] | {"gone": event["type"] == "DELETED"}

    def _notice(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        known = self._pods.get(uid)
        if known:
            if not pod.get("gone"):
                known.newest = pod
            else:
                known.newest["gone"] = True
            known.changed.set()
        elif not pod.get("gone") and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            self._pods[uid] = _Pod(pod)
            task = asyncio.create_task(self._shepherd(uid))
            self._living.add(task)
            task.add_done_callback(self._living.discard)

    # --- the life of one pod ---------------------------------------------------------------------------------------

    async def _shepherd(self, uid: str) -> None:
        pod = self._pods[uid]
        try:
            await self._live(pod)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.failures.append(f"pod {pod.newest['metadata']['name']}: {error!r}")
        finally:
            del self._pods[uid]

    async def _live(self, pod: _Pod) -> None:
        path = _path(pod.newest)
        step = Step.of(pod.newest)
        if not pod.newest["spec"].get("nodeName"):
            body = {
                "metadata": {"name": pod.newest["metadata"]["name"], "uid": pod.newest["metadata"]["uid"]},
                "target": {"kind": "Node", "name": NODE},
            }
            if (await self._send("POST", f"{path}/binding", body, good=(201, 404, 409)))[0] == 404:
                return
        accepted = datetime.now(UTC)
        if step.waiting:
            await self._report(pod, "Pending", accepted, {"waiting": {"reason": step.waiting, "message": step.message}})
            await self._stopped(pod)
            if not pod.newest.get("gone"):
                await self._report(pod, "Failed", accepted, {"terminated": NEVER_STARTED})
                await self._remove(pod)
            return
        if step.seconds or step.hold or pod.grace is not None:
            await self._report(pod, "Running", accepted, {"running": {"startedAt": _stamp(accepted)}})
        why = await self._run(pod, step, accepted)
        if pod.newest.get("gone"):
            return
        await self._end(pod, step, why, accepted)
        if why == "stopped":
            await self._remove(pod)

    async def _run(self, pod: _Pod, step: Step, accepted: datetime) -> str:
        """Let it run; says what ended it: ``done``, ``deadline``, ``stopped``, or ``killed``."""
        deadline = pod.newest["spec"].get("activeDeadlineSeconds")
        ends = {asyncio.create_task(self._stopped(pod)): "stopped"}
        ends[asyncio.create_task(self._done(pod, step))] = "done"
        if deadline is not None:
            ends[asyncio.create_task(asyncio.sleep(deadline))] = "deadline"
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
        for task in done:
            task.result()
        why = min(ends[task] for task in done)  # a done one before a stopped one: it came to its end
        if why == "deadline":
            await asyncio.sleep(min(step.stop_seconds, pod.newest["spec"].get("terminationGracePeriodSeconds", 30)))
        elif why == "stopped":
            await self._dying(pod, step)
        return why

    async def _done(self, pod: _Pod, step: Step) -> None:
        if not step.hold:
            await asyncio.sleep(step.seconds)
            return
        labels = pod.newest["metadata"].get("labels", {})
        key = (pod.newest["metadata"]["namespace"], labels.get("taskq.dev/task", ""))
        said = self._said.setdefault(key, asyncio.Event())
        while (outcome := self._verdicts.pop(key, None)) is None:
            said.clear()
            await said.wait()
        for name, value in outcome.items():
            setattr(step, name, value)

    async def _stopped(self, pod: _Pod) -> None:
        while pod.grace is None and not pod.newest.get("gone"):
            pod.changed.clear()
            await pod.changed.wait()

    async def _dying(self, pod: _Pod, step: Step) -> None:
        """Take the time to stop that the script says, but no longer than the grace period, which may be shortened."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not pod.newest.get("gone"):
            grace = pod.grace
            left = began + min(step.stop_seconds, grace if grace is not None else 0.0) - loop.time()
            if left <= 0:
                if step.stop_seconds > (grace or 0.0):
                    step.stop_code = KILLED
                return
            pod.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pod.changed.wait(), left)

    async def _end(self, pod: _Pod, step: Step, why: str, accepted: datetime) -> None:
        code = step.exit_code if why == "done" else step.stop_code
        ended: Json = {"exitCode": code, "message": step.message, "startedAt": _stamp(accepted)}
        ended["finishedAt"] = _stamp(datetime.now(UTC))
        ended["reason"] = step.reason or ("Completed" if code == 0 else "Error")
        if step.reason == "OOMKilled":
            ended["exitCode"] = KILLED
        extra: Json = {}
        if why == "deadline":
            extra = {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the deadline"}
        elif step.evict and why == "done":
            extra = {"reason": "Evicted", "message": "The node was low on resource: memory."}
            ended["exitCode"] = KILLED
        failed = bool(ended["exitCode"]) or bool(extra)
        await self._report(pod, "Failed" if failed else "Succeeded", accepted, {"terminated": ended}, **extra)

    async def _report(self, pod: _Pod, phase: str, accepted: datetime, state: Json, **extra: str) -> None:
        statuses = [
            {"name": c["name"], "image": c.get("image", ""), "imageID": "", "ready": phase == "Running",
             "restartCount": 0, "state": state}
            for c in pod.newest["spec"]["containers"]
        ]  # fmt: skip
        ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
        others = [c for c in pod.newest["status"].get("conditions", ()) if c["type"] != "Ready"]  # DisruptionTarget
        conditions = [*others, ready]
        status = {
            "phase": phase,
            "startTime": _stamp(accepted),
            "conditions": conditions,
            "containerStatuses": statuses,
        }
        body = {"metadata": {"uid": pod.newest["metadata"]["uid"]}, "status": status | extra}
        await self._patch(f"{_path(pod.newest)}/status", body)

    async def _remove(self, pod: _Pod) -> None:
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.newest["metadata"]["uid"]}}
        await self._send("DELETE", _path(pod.newest), body, good=(200, 202, 404, 409))

    # --- requests --------------------------------------------------------------------------------------------------

    async def _patch(self, path: str, body: Json) -> None:
        await self._send("PATCH", path, body, good=(200, 404, 409), content_type="application/merge-patch+json")

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        good: tuple[int, ...],
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Json]:
        """Send until the server says something else than «not now»; ValueError for an answer that is not good."""
        data = None if body is None else json.dumps(body)
        for tries in range(30):
            try:
                async with self._http.request(
                    method, path, params=query, data=data, headers={"Content-Type": content_type}
                ) as answer:
                    text = await answer.text()
                    if answer.status in good:
                        return answer.status, json.loads(text)
                    if answer.status < 500 and answer.status != 429:
                        raise ValueError(f"{method} {path}: {answer.status} {text[:300]}")
            except aiohttp.ClientError:
                if tries == 29:
                    raise
            await asyncio.sleep(RECONNECT_SECONDS)
        raise ValueError(f"{method} {path}: no good answer")


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _access(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """Address and TLS of a kubeconfig with a client certificate in it."""
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster = document["clusters"][0]["cluster"]
    user = document["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "client.pem"
        pem.touch(mode=0o600)
        parts = (user["client-certificate-data"], user["client-key-data"])
        pem.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
        tls.load_cert_chain(pem)
    return cluster["server"], tls
