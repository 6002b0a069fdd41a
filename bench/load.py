"""What measurements do to a cluster: Tasks by the thousand, queues opened and closed, Jobs without an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from taskq.cluster.session import Session
from taskq.domain.decoding import decode_job
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import Job, QueueSpec, Task

TASKS = "/apis/taskq.dev/v1alpha1"
JOBS = "/apis/batch/v1"
MERGE_PATCH = "application/merge-patch+json"
QUEUE = "bench"
LOADERS = 32
LAUNCHERS = 16
"""As the operator's default: the bare loop gets the same concurrency."""
CREATE_SECONDS = 4.0

TASK_BYTES = 2048
LARGE_TASK_BYTES = 100_000
PAUSED, OPEN = "Paused", "Open"

FAMILY = "family"
TENANTS, ACCOUNTS = 100, 40
POLICIES: dict[str, Any] = {
    "maxPending": 1_000_000,
    "concurrencyLabelKey": "example.org/account",
    "fairShareLabelKey": "example.org/tenant",
    "priorityAging": {"periodSeconds": 3600, "increment": 1, "maxIncrease": 50},
    "rateLimit": {"maxStarts": 100_000, "periodSeconds": 60},
    "parent": {"name": FAMILY},
    "priority": 3,
    "retention": {"maxSucceeded": 1000, "maxFailed": 1000},
    "taskDefaults": {"retryPolicy": {"maxAttempts": 3}, "timeouts": {"hardSeconds": 600}},
    "alerts": {"queueDepth": 1_000_000, "stuckSeconds": 3600},
}
"""Every sharing policy of a queue at work, none of them in the way of what is measured."""

T = TypeVar("T")
encode = msgspec.json.Encoder().encode
_decode_task = msgspec.json.Decoder(Task).decode


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Jobs(msgspec.Struct):
    items: list[Job]


_decode_event = msgspec.json.Decoder(_Event).decode


async def in_parallel(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do the work for every item, so many at a time, in order of the items."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


def every_policy(cap: int) -> dict[str, Any]:
    """The spec of a queue with this cap and every policy; its parent must exist, see :func:`create_family`."""
    return POLICIES | {"maxConcurrency": cap, "maxConcurrencyPerKey": max(5, cap // 10)}


def sharing_labels(number: int) -> dict[str, str]:
    """Whose Task this is, for the policies that go by labels."""
    return {"example.org/tenant": f"t{number % TENANTS}", "example.org/account": f"a{number % ACCOUNTS}"}


def task_manifest(
    namespace: str, name: str, size: int = TASK_BYTES, priority: int = 0, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A Task like those that people write, its JSON filled up to `size` bytes by one environment variable."""
    container: dict[str, Any] = {
        "name": "main",
        "image": "registry.example.org/reports/render:2026.11.3",
        "command": ["python", "-m", "reports.render", "--customer", "4711", "--month", "2026-10"],
        "env": [
            {"name": "DATABASE_HOST", "value": "reports-db.reports.svc.cluster.local"},
            {"name": "DATABASE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "reports-db", "key": "password"}}},
            {"name": "OUTPUT_BUCKET", "value": "s3://reports-production/monthly"},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]}
    manifest = {
        "apiVersion": "taskq.dev/v1alpha1",
        "kind": "Task",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "reports", **(labels or {})},
        },
        "spec": {"queueName": QUEUE, "priority": priority, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    filler = {"name": "OPTIONS", "value": ""}
    container["env"].append(filler)
    filler["value"] = "x" * max(0, size - len(encode(manifest)))
    return manifest


async def create_namespace(api: Session, name: str) -> None:
    """A namespace, ready for pods: the Job controller needs its default service account."""
    (await api.request("POST", "/api/v1/namespaces", body=encode({"metadata": {"name": name}}))).checked()


async def wait_for_service_account(api: Session, namespace: str) -> None:
    """With a controller-manager, pods are refused until the namespace has its service account."""
    async with asyncio.timeout(60):
        while not (await api.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")).ok:
            await asyncio.sleep(0.1)


async def create_queue(api: Session, namespace: str, cap: int, *, policies: bool = False) -> None:
    """The TaskQueue of this namespace, paused; with ``policies`` it has a parent and every policy."""
    if policies:
        await create_family(api, namespace, cap)
    spec = every_policy(cap) if policies else {"maxConcurrency": cap}
    await _create_queue(api, namespace, QUEUE, spec | {"state": PAUSED})


async def create_family(api: Session, namespace: str, cap: int) -> None:
    """The parent that a queue with every policy takes its room from."""
    await _create_queue(api, namespace, FAMILY, {"maxConcurrency": cap})


async def _create_queue(api: Session, namespace: str, name: str, spec: dict[str, Any]) -> None:
    body = {"apiVersion": "taskq.dev/v1alpha1", "kind": "TaskQueue", "metadata": {"name": name}, "spec": spec}
    (await api.request("POST", f"{TASKS}/namespaces/{namespace}/taskqueues", body=encode(body))).checked()


async def set_queue(api: Session, namespace: str, **spec: object) -> None:
    """Change its spec."""
    path = f"{TASKS}/namespaces/{namespace}/taskqueues/{QUEUE}"
    (await api.request("PATCH", path, body=encode({"spec": spec}), content_type=MERGE_PATCH)).checked()


async def create_tasks(
    api: Session, namespace: str, count: int, *, size: int = TASK_BYTES, first: int = 0, keep: bool = False
) -> list[Task]:
    """Create Tasks; with `keep`, return them as the API server stored them, with their manifests."""
    made: list[Task] = []

    async def create(number: int) -> None:
        labels = sharing_labels(number)
        body = encode(task_manifest(namespace, f"task-{number:06d}", size, priority=number % 10, labels=labels))
        reply = await api.request("POST", f"{TASKS}/namespaces/{namespace}/tasks", body=body, timeout=120)
        answer = reply.checked().body
        if keep:
            task = _decode_task(answer)
            task.raw = answer
            made.append(task)

    await in_parallel(range(first, first + count), create, LOADERS)
    return made


def job_bodies(tasks: Iterable[Task]) -> list[bytes]:
    """The Jobs that the operator would create for these Tasks, byte for byte but for the moment."""
    return [job_manifest(task, task.raw, QueueSpec()) for task in tasks]


async def post_job(api: Session, namespace: str, body: bytes) -> Job:
    """Create a Job as the operator does, and read the answer as it does."""
    path = f"{JOBS}/namespaces/{namespace}/jobs"
    reply = await api.request("POST", path, body=body, timeout=CREATE_SECONDS + 3, server_timeout=CREATE_SECONDS)
    return decode_job(reply.checked().body)


async def post_only(api: Session, namespace: str, bodies: list[bytes]) -> None:
    """The bare loop that launching is compared with: nothing but the requests."""

    async def post(body: bytes) -> None:
        path = f"{JOBS}/namespaces/{namespace}/jobs"
        reply = await api.request("POST", path, body=body, timeout=CREATE_SECONDS + 3, server_timeout=CREATE_SECONDS)
        reply.checked()

    await in_parallel(bodies, post, LAUNCHERS)


async def post_under_cap(api: Session, namespace: str, bodies: list[bytes], cap: int) -> None:
    """What the steady state is compared with: a watch on Jobs, and a new Job for each that has finished."""
    finished: dict[str, asyncio.Event] = {}
    posting = asyncio.Semaphore(LAUNCHERS)
    listed = (await api.request("GET", f"{JOBS}/namespaces/{namespace}/jobs", query={"limit": "1"})).checked().body
    version = str(msgspec.json.decode(listed)["metadata"]["resourceVersion"])

    async def follow() -> None:
        query = {"resourceVersion": version, "labelSelector": "taskq.dev/task", "timeoutSeconds": "3600"}
        async with aclosing(api.watch(f"{JOBS}/namespaces/{namespace}/jobs", query)) as lines:
            async for line in lines:
                event = _decode_event(line)
                if event.type in {"ADDED", "MODIFIED"} and (job := decode_job(bytes(event.object))).finished:
                    finished.setdefault(job.metadata.uid, asyncio.Event()).set()

    async def run(body: bytes) -> None:
        async with posting:
            job = await post_job(api, namespace, body)
        await finished.setdefault(job.metadata.uid, asyncio.Event()).wait()

    watching = asyncio.create_task(follow())
    try:
        await in_parallel(bodies, run, cap)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def unfinished(api: Session, namespace: str) -> bool:
    """Whether a Task of this namespace is not settled yet."""
    query = {"fieldSelector": "status.settled!=True", "limit": "1"}
    reply = await api.request("GET", f"{TASKS}/namespaces/{namespace}/tasks", query=query)
    return bool(msgspec.json.decode(reply.checked().body)["items"])


async def unfinished_jobs(api: Session, namespace: str) -> int:
    """How many Jobs of this namespace have not ended."""
    reply = await api.request("GET", f"{JOBS}/namespaces/{namespace}/jobs", timeout=120)
    items = msgspec.json.decode(reply.checked().body, type=_Jobs).items
    return sum(not job.finished for job in items)


async def until_settled(api: Session, namespace: str, within: float) -> None:
    """Wait until every Task of this namespace is settled."""
    async with asyncio.timeout(within):
        while await unfinished(api, namespace):
            await asyncio.sleep(0.3)
