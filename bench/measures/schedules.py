"""Schedules: a thousand due in the same second against a bare loop of the same POSTs, among ten thousand in all."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from bench import load, stats
from bench.audit import AuditLog, Entry
from bench.context import Bench
from bench.report import Figure, Raw
from bench.rig import Replica, Rig

NAME = "schedules"
TARGET = 1.3
NAMESPACE = "scheduled"
PATH = f"{load.TASKS}/namespaces/{NAMESPACE}/schedules"
DAY_SECONDS = 86_400
CALM_SECONDS = 3.0
"""Between the last status that was written in advance and the tick."""
IDLE_SECONDS = 20.0
WITHIN_SECONDS = 600.0
IF_MISSED = "the operator decides, decodes two watches' events of each Task, and shares the CPUs with the API server"


async def measure(bench: Bench) -> Raw:
    """Fill a cluster with Schedules, let the operator come to rest, then let some of them be due, time and again."""
    size = bench.size
    found: Raw = {"schedules": size.schedules, "due": size.schedules_due, "rounds": []}
    async with bench.rig(None) as rig:
        await load.create_namespace(rig.api, NAMESPACE)
        await load.create_queue(rig.api, NAMESPACE, cap=1)
        replica = await rig.operator("--namespaces", NAMESPACE)
        audit, begun = AuditLog(rig.cluster.audit_log), time.time()
        await _create(rig, size.schedules, size.schedules_due)
        await _until_written(audit, size.schedules)
        found["created_in_seconds"] = round(time.time() - begun, 1)
        found["idle_cpu_percent"] = await _idle(replica)
        for number in range(size.schedule_rounds):
            bare = await _by_bare_loop(rig, f"bare-{number}", size.schedules_due)
            found["rounds"].append({"operator": await _by_operator(rig, replica, size.schedules_due), "bare": bare})
    return found


def _schedule(number: int, *, due: bool) -> dict[str, Any]:
    template = {"spec": load.task_manifest(NAMESPACE, "x")["spec"]}
    if due:
        times: dict[str, Any] = {"everySeconds": DAY_SECONDS, "startTime": "2999-01-01T00:00:00Z"}
    else:  # half a day away: none of them is due while this is measured
        later = (datetime.now(UTC).hour + 12) % 24
        times = {"schedules": [f"{number % 60} {later} * * *"], "timeZone": "Etc/UTC"}
    return {
        "apiVersion": "taskq.dev/v1alpha1",
        "kind": "Schedule",
        "metadata": {"name": f"schedule-{number:05d}"},
        "spec": {**times, "concurrencyPolicy": "Allow", "lookaheadSeconds": 0, "taskTemplate": template},
    }


async def _create(rig: Rig, count: int, due: int) -> None:
    async def create(number: int) -> None:
        body = load.encode(_schedule(number, due=number < due))
        (await rig.api.request("POST", PATH, body=body, timeout=120)).checked()

    await load.in_parallel(range(count), create, load.LOADERS)


async def _until_written(audit: AuditLog, count: int) -> None:
    """Until the status of so many Schedules was written; listing them would load the API server."""
    names: set[str] = set()
    async with asyncio.timeout(WITHIN_SECONDS):
        while len(names) < count:
            await asyncio.sleep(0.2)
            names |= {entry.object_ref.name for entry in audit.new() if entry.resource == "schedules/status"}


async def _idle(replica: Replica) -> float:
    """CPU in per cent of one core, once the operator has come to rest."""
    before = replica.cpu_seconds()
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            await asyncio.sleep(CALM_SECONDS)
            used, before = replica.cpu_seconds() - before, replica.cpu_seconds()
            if used < 0.1 * CALM_SECONDS:
                break
    begun = time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    return round(100 * (replica.cpu_seconds() - before) / (time.monotonic() - begun), 2)


async def _by_operator(rig: Rig, replica: Replica, due: int) -> Raw:
    """Give all that are to be due the same second, wait until that is known, then see when their Tasks come."""
    tick = int(time.time()) + 5 + due // 20
    times = {"startTime": datetime.fromtimestamp(tick, UTC).isoformat()}

    async def change(number: int) -> None:
        body = load.encode({"spec": times})
        path = f"{PATH}/schedule-{number:05d}"
        (await rig.api.request("PATCH", path, body=body, content_type=load.MERGE_PATCH)).checked()

    audit = AuditLog(rig.cluster.audit_log)
    await load.in_parallel(range(due), change, load.LOADERS)
    await _until_written(audit, due)
    calm = tick - time.time()
    if calm < CALM_SECONDS:
        raise RuntimeError(f"the tick came {CALM_SECONDS - calm:.0f} s too soon: this machine is too busy")
    await asyncio.sleep(max(0.0, calm - 1))
    audit, written, cpu = AuditLog(rig.cluster.audit_log), AuditLog(rig.cluster.audit_log), replica.cpu_seconds()
    created = await _created(audit, NAMESPACE, due)
    await _until_written(written, due)  # else the bare loop that follows would share the server with these writes
    cpu = replica.cpu_seconds() - cpu
    lags = sorted(entry.answered - tick for entry in created)
    return _timed(created) | {
        "lag_p50_seconds": round(lags[len(lags) // 2], 3),
        "lag_p99_seconds": round(lags[int(len(lags) * 0.99)], 3),
        "first_received_seconds": round(min(entry.received for entry in created) - tick, 3),
        "cpu_ms_per_task": round(1000 * cpu / due, 2),
    }


async def _by_bare_loop(rig: Rig, namespace: str, count: int) -> Raw:
    """The same POSTs, as many at once, and nothing else."""
    await load.create_namespace(rig.api, namespace)
    bodies = [load.encode(load.task_manifest(namespace, f"task-{number:05d}")) for number in range(count)]
    audit = AuditLog(rig.cluster.audit_log)

    async def post(body: bytes) -> None:
        path = f"{load.TASKS}/namespaces/{namespace}/tasks"
        (await rig.api.request("POST", path, body=body, server_timeout=load.CREATE_SECONDS)).checked()

    await load.in_parallel(bodies, post, load.LAUNCHERS)
    return _timed(await _created(audit, namespace, count))


async def _created(audit: AuditLog, namespace: str, count: int) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(WITHIN_SECONDS):
        while len(found) < count:
            found += [entry for entry in audit.new() if _is_task_created(entry, namespace)]
            await asyncio.sleep(0.2)
    return found


def _is_task_created(entry: Entry, namespace: str) -> bool:
    made = entry.verb == "create" and entry.resource == "tasks" and entry.response_status.code == 201
    return made and entry.object_ref.namespace == namespace


def _timed(created: list[Entry]) -> Raw:
    seconds = max(entry.answered for entry in created) - min(entry.received for entry in created)
    return {"tasks": len(created), "seconds": round(seconds, 3)}


def summarise(raw: Raw) -> list[Figure]:
    """The ratio of the times, in pairs that ran one after the other; the lag; the CPU at rest."""
    rounds = raw["rounds"]
    ratios = [pair["operator"]["seconds"] / pair["bare"]["seconds"] for pair in rounds]
    middle = stats.median(ratios)
    p50 = [pair["operator"]["lag_p50_seconds"] for pair in rounds]
    p99 = [pair["operator"]["lag_p99_seconds"] for pair in rounds]
    bare = stats.median([pair["bare"]["seconds"] for pair in rounds])
    note = f"{len(ratios)} pairs, {stats.spread(ratios)}; {raw['schedules']:,} Schedules in all"
    return [
        Figure(
            name=f"{raw['due']:,} Schedules due in the same second, first to last Task, ratio to the bare loop's time",
            target=f"≤ {TARGET}",
            measured=f"{middle:.2f}",
            met=middle <= TARGET,
            note=note if middle <= TARGET else f"{note}; {IF_MISSED}",
        ),
        Figure(
            name="their lag, from the tick to the Task's creation, p50 · p99",
            target="measured",
            measured=f"{stats.median(p50):.2f} s · {stats.median(p99):.2f} s",
            note=f"p99: {stats.spread(p99)}; the bare loop takes {bare:.2f} s for all",
        ),
        Figure(
            name=f"operator CPU with {raw['schedules']:,} Schedules of which none is due",
            target="measured",
            measured=f"{raw['idle_cpu_percent']:.2f} % of a core",
        ),
    ]
