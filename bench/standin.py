"""Stands in for an API server that holds very many Tasks: creating a hundred thousand takes a real one many minutes.

It knows lists in pages, watches that tell nothing, and a Lease; enough for one operator to start and to come to rest.
The Tasks are copies of one that a real API server has stored, managed fields and all, with names of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from aiohttp import web

from bench import load
from taskq.cluster.session import Session

REVISION = 2_000_000
"""Of every list: higher than that of any object."""

_VERSION = {"groupVersion": "taskq.dev/v1alpha1", "version": "v1alpha1"}
_QUEUES = {"name": "taskqueues", "singularName": "taskqueue", "kind": "TaskQueue", "namespaced": True}
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"versions": []},
    "/apis": {"groups": [{"name": "taskq.dev", "versions": [_VERSION], "preferredVersion": _VERSION}]},
    load.TASKS: {"resources": [_QUEUES | {"verbs": ["get", "list", "watch"]}]},
}
"""What kopf asks before it watches."""


class StandIn:
    """What it answers."""

    def __init__(self, model: dict[str, Any], queue: dict[str, Any], count: int) -> None:
        """``model`` is the Task that is copied so often."""
        self._model = model
        self._queue = queue
        self._count = count
        self.over = asyncio.Event()

    def app(self) -> web.Application:
        """All paths lead to the same three answers."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        app.router.add_route("*", "/{path:.*}", self._write)
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await self.over.wait()
            return response
        if found := DISCOVERY.get(request.path):
            return web.json_response(found)
        plural = request.path.rpartition("/")[2]
        if plural not in {"tasks", "jobs", "pods", "taskqueues", "tasktemplates", "schedules"}:
            return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
        metadata: dict[str, object] = {"resourceVersion": str(REVISION)}
        items: list[dict[str, Any]] = [self._queue] if plural == "taskqueues" else []
        if plural == "tasks" and request.query.get("fieldSelector") == "status.settled!=True":
            first = int(request.query.get("continue", "0"))
            end = min(self._count, first + int(request.query.get("limit", "500")))
            items = [self._task(number) for number in range(first, end)]
            if end < self._count:
                metadata["continue"] = str(end)
        return web.Response(body=load.encode({"metadata": metadata, "items": items}), content_type="application/json")

    async def _write(self, request: web.Request) -> web.Response:
        """A Lease is as it was written; nothing else is there to be changed."""
        if "/leases" not in request.path:
            return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
        lease = msgspec.json.decode(await request.read())
        lease["metadata"]["resourceVersion"] = "1"
        return web.json_response(lease, status=201 if request.method == "POST" else 200)

    def _task(self, number: int) -> dict[str, Any]:
        meta = self._model["metadata"]
        own = {
            "name": f"task-{number:06d}",
            "uid": f"{number:08x}{str(meta['uid'])[8:]}",
            "resourceVersion": str(REVISION - self._count + number),
            "labels": meta["labels"] | load.sharing_labels(number),
        }
        spec = self._model["spec"] | {"priority": number % 10}
        return self._model | {"metadata": meta | own, "spec": spec}


async def stored(api: Session, namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Task and the queue, as a real API server has them."""
    found = []
    for plural in ("tasks", "taskqueues"):
        reply = await api.request("GET", f"{load.TASKS}/namespaces/{namespace}/{plural}", query={"limit": "1"})
        found.append(msgspec.json.decode(reply.checked().body)["items"][0])
    return found[0], found[1]


@contextlib.asynccontextmanager
async def standin(model: dict[str, Any], queue: dict[str, Any], count: int) -> AsyncIterator[Path]:
    """Serve, and yield a kubeconfig for it."""
    server = StandIn(model, queue, count)
    runner = web.AppRunner(server.app(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    with tempfile.TemporaryDirectory(prefix="taskq-bench-") as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(f"http://127.0.0.1:{port}")), encoding="utf-8")
        try:
            yield kubeconfig
        finally:
            server.over.set()
            await runner.cleanup()


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
