"""Two replicas and a real API server: one writes, and the other follows, whatever ends the first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import localcluster
from taskq.clock import SystemClock
from taskq.cluster.credentials import load
from taskq.cluster.lease import Lease
from taskq.cluster.session import Session

CLOCK = SystemClock()


class Replica:
    """One candidate, with a session of its own."""

    def __init__(self, session: Session, namespace: str, identity: str, **settings: Any) -> None:
        self.elected = asyncio.Event()
        self.lease = Lease(
            session,
            namespace=namespace,
            name="taskq-operator",
            identity=identity,
            clock=CLOCK,
            jitter=lambda: 0.5,
            **{
                "duration_seconds": 3.0,
                "renew_every_seconds": 0.3,
                "renew_deadline_seconds": 1.0,
                "standby_poll_seconds": 0.2,
                **settings,
            },
        )
        self.task = asyncio.create_task(self.lease.run(self._on_elected))

    async def _on_elected(self) -> None:
        self.elected.set()

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def session(cluster: localcluster.Cluster) -> AsyncIterator[Session]:
    async with Session(load(CLOCK, kubeconfig=str(cluster.kubeconfig)), CLOCK) as session:
        yield session


Elect = Callable[..., Replica]


@pytest.fixture
async def replica(session: Session, namespace: str) -> AsyncIterator[Elect]:
    made: list[Replica] = []

    def make(identity: str, **settings: Any) -> Replica:
        made.append(Replica(session, namespace, identity, **settings))
        return made[-1]

    yield make
    for one in made:
        await one.kill()


def path_in(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/taskq-operator"


async def elected(one: Replica, within: float) -> float:
    """Wait for an election; the seconds that it took."""
    began = CLOCK.uptime()
    await asyncio.wait_for(one.elected.wait(), within)
    assert one.lease.may_write()
    return CLOCK.uptime() - began


async def test_a_released_lease_is_handed_over_at_once(replica: Elect, session: Session, namespace: str) -> None:
    one = replica("one")
    await elected(one, 5)
    two = replica("two")
    await asyncio.sleep(1)
    assert one.lease.may_write()
    assert not two.lease.may_write()
    await one.lease.release()
    assert not one.lease.may_write()
    assert await elected(two, 5) < 2
    record = json.loads((await session.request("GET", path_in(namespace))).body)["spec"]
    assert (record["holderIdentity"], record["leaseTransitions"], record["leaseDurationSeconds"]) == ("two", 1, 3)


async def test_a_killed_holder_is_succeeded_after_the_duration(replica: Elect) -> None:
    one, two = replica("one"), replica("two")
    await asyncio.sleep(1)
    first, second = (one, two) if one.lease.is_holder else (two, one)
    assert not second.lease.is_holder
    await first.kill()
    assert 2 < await elected(second, 10) < 6


async def test_a_lease_deleted_or_labelled_by_hand_stays_with_its_holder(
    replica: Elect, session: Session, namespace: str
) -> None:
    one = replica("one")
    await elected(one, 5)
    two = replica("two")
    label = b'{"metadata":{"labels":{"by":"hand"}}}'
    await session.request("PATCH", path_in(namespace), body=label, content_type="application/merge-patch+json")
    await asyncio.sleep(1)
    record = json.loads((await session.request("GET", path_in(namespace))).body)
    assert record["metadata"]["labels"] == {"by": "hand"}
    assert (await session.request("DELETE", path_in(namespace))).ok
    await asyncio.sleep(1)
    assert one.lease.may_write()
    assert not two.elected.is_set()


async def test_a_holder_replaced_by_hand_is_told_so(replica: Elect, session: Session, namespace: str) -> None:
    one = replica("one")
    await elected(one, 5)
    change = b'{"spec":{"holderIdentity":"somebody"}}'
    await session.request("PATCH", path_in(namespace), body=change, content_type="application/merge-patch+json")
    await asyncio.wait_for(one.lease.lost.wait(), 3)
    assert not one.lease.may_write()


async def test_a_patient_holder_only_pauses_while_the_api_server_is_away(
    replica: Elect, cluster: localcluster.Cluster
) -> None:
    patient = replica("patient", give_up_seconds=60)
    await elected(patient, 5)
    await asyncio.to_thread(cluster.stop_apiserver, kill=True)
    await asyncio.sleep(1.5)
    assert not patient.lease.may_write()
    await asyncio.to_thread(cluster.start_apiserver)
    async with asyncio.timeout(20):
        while not patient.lease.may_write():
            await asyncio.sleep(0.05)
    assert not patient.lease.lost.is_set()
