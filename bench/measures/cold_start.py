"""From starting the process to its first Job, with thousands of Tasks pending and no live lease to wait for."""

from __future__ import annotations

import asyncio

from bench import load, stats
from bench.audit import OPERATOR, AuditLog
from bench.context import CROWD, Bench
from bench.report import Figure, Raw
from bench.rig import Rig

NAME = "cold-start"
TARGET_SECONDS = 3.0
LAUNCHES = 10
WITHIN_SECONDS = 120.0
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/taskq-operator"
IF_MISSED = "Python's imports take the first part, reading the Tasks, and reading them again once elected, the rest"


async def measure(bench: Bench) -> Raw:
    """Start, wait for the first Jobs, stop; several times."""
    rig = await bench.crowd()
    await load.set_queue(rig.api, CROWD, state=load.OPEN)
    starts = [await _start(rig) for _ in range(bench.size.cold_starts)]
    await load.set_queue(rig.api, CROWD, state=load.PAUSED)
    return {"pending": bench.size.pending, "task_bytes": load.TASK_BYTES, "starts": starts}


async def _start(rig: Rig) -> Raw:
    await rig.api.request("DELETE", LEASE)
    running = await load.unfinished_jobs(rig.api, CROWD)
    await load.set_queue(rig.api, CROWD, maxConcurrency=running + LAUNCHES)
    audit = AuditLog(rig.cluster.audit_log)
    replica = await rig.operator("--namespaces", CROWD, leading=False)
    milestones: dict[str, float] = {}
    async with asyncio.timeout(WITHIN_SECONDS):
        while "first Job" not in milestones:
            await asyncio.sleep(0.1)
            for entry in audit.new():
                if not entry.user_agent.startswith(OPERATOR):
                    continue
                name = {"list tasks": "first list", "update leases": "lease", "create leases": "lease"}.get(
                    f"{entry.verb} {entry.resource}", ""
                )
                if entry.is_job_created(CROWD):
                    name = "first Job"
                if name:
                    milestones.setdefault(name, round(entry.received - replica.started_at, 3))
    milestones["cpu"] = replica.cpu_seconds()
    await replica.stop()
    return milestones


def summarise(raw: Raw) -> list[Figure]:
    """The median of the starts."""
    first = [start["first Job"] for start in raw["starts"]]
    middle = stats.median(first)
    listing = stats.median([start["first list"] for start in raw["starts"]])
    elected = stats.median([start["lease"] for start in raw["starts"]])
    note = (
        f"{len(first)} starts, {stats.spread(first)}; the process asks for the first Tasks after {listing:.1f} s, "
        f"for the lease after {elected:.1f} s"
    )
    return [
        Figure(
            name=f"cold start with {raw['pending']:,} pending Tasks: process start to first Job",
            target=f"≤ {TARGET_SECONDS:g} s",
            measured=f"{middle:.2f} s",
            met=middle <= TARGET_SECONDS,
            note=note if middle <= TARGET_SECONDS else f"{note}; {IF_MISSED}",
        )
    ]
