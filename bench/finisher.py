"""Stands in for what is missing, as a process of its own: the Job controller, or the kubelet.

`python -m bench.finisher KUBECONFIG NAMESPACE jobs|pods SECONDS`: with `jobs` every Job is marked complete so many
seconds after it appeared (where no controller-manager runs); with `pods` every pod is marked running at once and
succeeded so many seconds later, and the Job controller does the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.load import MERGE_PATCH
from bench.rig import REPO, Rig, session
from taskq.cluster.session import Session

IN_FLIGHT = 32


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    deletion_timestamp: str | None = None


class _Condition(msgspec.Struct):
    type: str
    status: str


class _State(msgspec.Struct):
    phase: str = ""
    conditions: list[_Condition] = []


class _Object(msgspec.Struct):
    metadata: _Meta
    status: _State = msgspec.field(default_factory=_State)


class _Event(msgspec.Struct):
    type: str
    object: _Object


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode
Finish = Callable[[Session, str, float], Awaitable[None]]


def _stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def complete_status(started: float, now: float) -> dict[str, Any]:
    """The status of a Job whose only pod has succeeded, complete enough for the API server's checks."""
    conditions = [
        {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": _stamp(now)}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {
        "startTime": _stamp(started),
        "completionTime": _stamp(now),
        "succeeded": 1,
        "ready": 0,
        "conditions": conditions,
    }


def pod_status(started: float, ended: float | None) -> dict[str, Any]:
    """The status of a pod with one container, running or ended with 0."""
    state: dict[str, Any] = {"running": {"startedAt": _stamp(started)}}
    if ended is not None:
        code = {"exitCode": 0, "reason": "Completed", "startedAt": _stamp(started), "finishedAt": _stamp(ended)}
        state = {"terminated": code}
    container = {
        "name": "main",
        "image": "bench",
        "imageID": "",
        "restartCount": 0,
        "ready": ended is None,
        "started": ended is None,
        "state": state,
    }
    ready = {"type": "Ready", "status": "True" if ended is None else "False", "lastTransitionTime": _stamp(started)}
    return {
        "phase": "Running" if ended is None else "Succeeded",
        "startTime": _stamp(started),
        "conditions": [ready],
        "containerStatuses": [container],
    }


async def _patch(api: Session, path: str, status: dict[str, Any]) -> None:
    reply = await api.request("PATCH", f"{path}/status", body=_encode({"status": status}), content_type=MERGE_PATCH)
    if reply.status not in (404, 409):
        reply.checked()


async def finish_job(api: Session, path: str, seconds: float) -> None:
    """Play the Job controller."""
    started = time.time()
    await asyncio.sleep(seconds)
    await _patch(api, path, complete_status(started, time.time()))


async def finish_pod(api: Session, path: str, seconds: float) -> None:
    """Play the kubelet."""
    started = time.time()
    await _patch(api, path, pod_status(started, None))
    await asyncio.sleep(seconds)
    await _patch(api, path, pod_status(started, time.time()))


def _is_over(status: _State) -> bool:
    done = any(c.type in ("Complete", "Failed") and c.status == "True" for c in status.conditions)
    return done or status.phase in ("Succeeded", "Failed")


async def serve(kubeconfig: Path, namespace: str, kind: str, seconds: float) -> None:
    """Finish whatever appears, until cancelled; says `ready` once it watches."""
    base = {"jobs": "/apis/batch/v1", "pods": "/api/v1"}[kind]
    path = f"{base}/namespaces/{namespace}/{kind}"
    finish: Finish = {"jobs": finish_job, "pods": finish_pod}[kind]
    seen: set[str] = set()
    async with session(kubeconfig, pool_limit=IN_FLIGHT) as api, asyncio.TaskGroup() as group:
        print("ready", flush=True)
        while True:
            async with aclosing(api.watch(path, {"resourceVersion": "0", "timeoutSeconds": "3600"})) as lines:
                async for line in lines:
                    event = _decode(line)
                    meta = event.object.metadata
                    if event.type == "DELETED":
                        seen.discard(meta.uid)
                    elif meta.uid not in seen and not _is_over(event.object.status):
                        seen.add(meta.uid)
                        group.create_task(finish(api, f"{path}/{meta.name}", seconds))


@contextlib.asynccontextmanager
async def finisher(rig: Rig, namespace: str, kind: str, seconds: float) -> AsyncIterator[None]:
    """Run this module beside a measurement."""
    arguments = [str(rig.cluster.kubeconfig), namespace, kind, str(seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.finisher", *arguments, cwd=REPO, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError("the finisher did not start")
        yield
        if process.returncode is not None:
            raise RuntimeError(f"the finisher ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
