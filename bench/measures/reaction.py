"""How soon a freed slot is used: from the event that a Job ended to the next Job's request, thousands pending."""

from __future__ import annotations

import asyncio

from bench import load, stats
from bench.audit import AuditLog
from bench.context import CROWD, Bench
from bench.finisher import finisher
from bench.report import Figure, Raw
from bench.rig import Rig

NAME = "reaction"
TARGET_MS = 10.0
CAP = 10
RUN_SECONDS = 0.25
WITHIN_SECONDS = 600.0
METRIC = "taskq_completion_to_launch_seconds"
LAG = "taskq_event_loop_lag_seconds"


async def measure(bench: Bench) -> Raw:
    """Without any policy, and with every one."""
    rig = await bench.crowd()
    raw = await _react(rig, bench)
    await load.create_family(rig.api, CROWD, CAP)
    await load.set_queue(rig.api, CROWD, **load.every_policy(CAP))
    await bench.crowd()  # as many are pending as before
    raw["policies"] = await _react(rig, bench)
    await load.set_queue(rig.api, CROWD, **dict.fromkeys((*load.POLICIES, "maxConcurrencyPerKey")))
    return raw


async def _react(rig: Rig, bench: Bench) -> Raw:
    """Jobs of a quarter of a second, ten at once; the operator's own histogram, between two scrapes."""
    replica = await rig.operator("--namespaces", CROWD)
    await asyncio.sleep(2)
    async with finisher(rig, CROWD, "jobs", RUN_SECONDS):
        await load.set_queue(rig.api, CROWD, state=load.OPEN, maxConcurrency=CAP)
        await asyncio.sleep(2)  # the first slots are filled, nothing is freed by that
        before, cpu = await replica.metrics(), replica.cpu_seconds()
        created, audit = 0, AuditLog(rig.cluster.audit_log)
        async with asyncio.timeout(WITHIN_SECONDS):
            while created < bench.size.completions:
                await asyncio.sleep(0.5)
                created += sum(entry.is_job_created(CROWD) for entry in audit.new())
        after, cpu = await replica.metrics(), replica.cpu_seconds() - cpu
        await load.set_queue(rig.api, CROWD, state=load.PAUSED)
        await asyncio.sleep(1)
    await replica.stop()
    reaction = stats.since(stats.histogram(before, METRIC), stats.histogram(after, METRIC))
    return {
        "pending": bench.size.pending,
        "cap": CAP,
        "run_seconds": RUN_SECONDS,
        "launched": created,
        "cpu_ms_per_task": round(1000 * cpu / created, 3),
        "reaction_seconds": reaction,
        "event_loop_lag_seconds": stats.since(stats.histogram(before, LAG), stats.histogram(after, LAG)),
    }


def summarise(raw: Raw) -> list[Figure]:
    """The 99th percentile of each histogram."""
    pending = f"{raw['pending']:,} pending"
    found = [_figure(raw, pending)]
    if shared := raw.get("policies"):
        found.append(_figure(shared, f"{pending}, every policy on"))
    return found


def _figure(raw: Raw, words: str) -> Figure:
    buckets = raw["reaction_seconds"]
    p50, p99 = (1000 * stats.estimated_quantile(buckets, share) for share in (0.5, 0.99))
    low, high = (1000 * bound for bound in stats.bucket_of_quantile(buckets, 0.99))
    lag = 1000 * stats.bucket_of_quantile(raw["event_loop_lag_seconds"], 0.99)[1]
    note = (
        f"{buckets['+Inf']:.0f} freed slots; in the bucket {low:g} to {high:g} ms; median {p50:.1f} ms; "
        f"the event loop's own lag has its p99 below {lag:g} ms"
    )
    return Figure(
        name=f"a Job's end received → next Job's request sent, {words}, p99",
        target=f"≤ {TARGET_MS:g} ms",
        measured=f"{p99:.1f} ms",
        met=p99 <= TARGET_MS,
        note=note if p99 <= TARGET_MS else f"{note}; on busy CPUs the process waits for its turn",
    )
