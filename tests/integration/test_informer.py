"""The informer's store equals a real API server's, through restarts, expired revisions and big objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any

import pytest

import localcluster
from taskq.clock import SystemClock
from taskq.cluster.credentials import Cluster, load
from taskq.cluster.informer import Informer, Source
from taskq.cluster.session import Reply, Session
from taskq.errors import NotSent

CLOCK = SystemClock()


class Store:
    """What came, by name; the newest revision wins."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.sweeps = 0

    def apply(self, obj: dict[str, Any]) -> None:
        known = self.objects.get(obj["metadata"]["name"])
        if known is None or _version(known) <= _version(obj):
            self.objects[obj["metadata"]["name"]] = obj

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        known = self.objects.get(name)
        if known is not None and _version(known) <= resource_version:
            del self.objects[name]

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        self.sweeps += 1
        for name, obj in list(self.objects.items()):
            if obj["metadata"]["uid"] not in seen and _version(obj) <= resource_version:
                del self.objects[name]

    def values(self) -> dict[str, str]:
        return {name: obj["data"]["value"][:20] for name, obj in self.objects.items()}


def _version(obj: dict[str, Any]) -> int:
    return int(obj["metadata"]["resourceVersion"])


class Gate:
    """An Api that can be made to refuse watches, as a network that is down does."""

    def __init__(self, session: Session) -> None:
        self.session, self.open, self.refused = session, True, 0

    async def request(self, method: str, path: str, **how: Any) -> Reply:
        return await self.session.request(method, path, **how)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        if not self.open:
            self.refused += 1
            raise NotSent("the gate is closed")
        async for line in self.session.watch(path, query):
            yield line


class ConfigMaps:
    """The ConfigMaps of one namespace, made and changed over the API."""

    def __init__(self, session: Session, namespace: str) -> None:
        self.session = session
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"

    async def put(self, name: str, value: str, **labels: str) -> None:
        meta = {"name": name, "labels": {"of": "test", **labels}}
        body = json.dumps({"metadata": meta, "data": {"value": value}}).encode()
        reply = await self.session.request("PUT", f"{self.path}/{name}", body=body)
        if reply.status == 404:
            reply = await self.session.request("POST", self.path, body=body)
        reply.checked()

    async def delete(self, name: str) -> None:
        (await self.session.request("DELETE", f"{self.path}/{name}")).checked()


@pytest.fixture
async def session(cluster: localcluster.Cluster) -> AsyncIterator[Session]:
    access: Cluster = load(CLOCK, kubeconfig=str(cluster.kubeconfig))
    async with Session(access, CLOCK) as session:
        yield session


@pytest.fixture
def maps(session: Session, namespace: str) -> ConfigMaps:
    return ConfigMaps(session, namespace)


@asynccontextmanager
async def informing(
    session: Session, namespace: str, label_selector: str = "of=test"
) -> AsyncIterator[tuple[Informer[dict[str, Any]], Store, Gate]]:
    store, gate = Store(), Gate(session)
    informer: Informer[dict[str, Any]] = Informer(
        gate,
        Source("/api/v1", "configmaps", namespace, label_selector),
        json.loads,
        store,
        clock=CLOCK,
        jitter=lambda: 0.5,
        on_poison=lambda found, error: pytest.fail(f"{found}: {error}"),
        backoff_seconds=(0.1, 0.5),
    )
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.wait_synced(), 20)
        yield informer, store, gate
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def becomes(true: Callable[[], object], within: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.02)


async def test_creations_updates_and_deletions_arrive(session: Session, namespace: str, maps: ConfigMaps) -> None:
    await maps.put("a", "listed")
    await maps.put("gone", "listed")
    async with informing(session, namespace) as (_, store, _gate):
        assert store.values() == {"a": "listed", "gone": "listed"}
        await maps.put("b", "created")
        await maps.put("a", "updated")
        await maps.delete("gone")
        await becomes(lambda: store.values() == {"a": "updated", "b": "created"})


async def test_an_object_that_leaves_the_selection_is_removed_and_may_come_back(
    session: Session, namespace: str, maps: ConfigMaps
) -> None:
    async with informing(session, namespace, "of=test,settled!=True") as (_, store, _gate):
        await maps.put("a", "1")
        await becomes(lambda: store.values() == {"a": "1"})
        await maps.put("a", "2", settled="True")
        await becomes(lambda: store.values() == {})
        await maps.put("a", "3")
        await becomes(lambda: store.values() == {"a": "3"})


async def test_many_objects_come_in_pages(session: Session, namespace: str, maps: ConfigMaps) -> None:
    await asyncio.gather(*(maps.put(f"map-{n:03}", "x") for n in range(250)))
    async with informing(session, namespace) as (informer, store, _):
        assert len(store.objects) == 250
        await informer.refresh()
        assert (len(store.objects), store.sweeps) == (250, 2)


async def test_a_big_object_passes_through_list_and_watch(session: Session, namespace: str, maps: ConfigMaps) -> None:
    await maps.put("listed", "x" * 900_000)
    async with informing(session, namespace) as (_, store, _gate):
        await maps.put("watched", "y" * 900_000)
        await becomes(lambda: "watched" in store.objects)
        assert {len(obj["data"]["value"]) for obj in store.objects.values()} == {900_000}


async def test_the_store_survives_a_killed_api_server(
    cluster: localcluster.Cluster, session: Session, namespace: str, maps: ConfigMaps
) -> None:
    await maps.put("a", "before")
    async with informing(session, namespace) as (informer, store, _):
        await asyncio.to_thread(cluster.restart_apiserver, kill=True)
        await maps.put("b", "after")
        await maps.delete("a")
        await becomes(lambda: store.values() == {"b": "after"})
        assert sum(informer.restarts.values()) > 0


async def test_deletions_missed_during_an_outage_are_found_by_the_list_after_410(
    cluster: localcluster.Cluster, session: Session, namespace: str, maps: ConfigMaps
) -> None:
    for name in ("a", "b", "c"):
        await maps.put(name, "before")
    async with informing(session, namespace) as (informer, store, gate):
        gate.open = False
        await asyncio.to_thread(cluster.restart_apiserver, kill=True)  # ends the watch
        await maps.delete("b")
        await maps.put("a", "changed")
        await becomes(lambda: gate.refused)
        assert store.values()["b"] == "before"
        await asyncio.to_thread(cluster.restart_apiserver, kill=True)  # its watch cache begins after our revision
        gate.open = True
        await becomes(lambda: store.values() == {"a": "changed", "c": "before"})
        await maps.put("d", "and on")
        await becomes(lambda: "d" in store.objects)
        assert informer.restarts["expired"] == 1
        assert store.sweeps == 2


async def test_a_refresh_shows_what_was_written_before_it_and_keeps_the_watch(
    session: Session, namespace: str, maps: ConfigMaps
) -> None:
    async with informing(session, namespace) as (informer, store, _):
        for n in range(20):
            await maps.put("a", f"value {n}")
            await informer.refresh()
            assert store.values() == {"a": f"value {n}"}
        assert informer.restarts == {}
