"""How fast pending Tasks become Jobs, against a bare loop that POSTs the same Jobs with the same client."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from bench import load, stats
from bench.audit import AuditLog, Entry
from bench.context import Bench
from bench.report import Figure, Raw
from bench.rig import RAISED, Kcm, Rig

NAME = "launch-rate"
TARGET = 0.9
WITHIN_SECONDS = 300.0
IF_MISSED = (
    "the API server is the limit on this machine, and shares its CPUs with the operator's process and its watch of Jobs"
)


async def measure(bench: Bench) -> Raw:
    """Alternate operator and bare loop, each with Tasks of its own, in one cluster: without and with controllers."""
    size = bench.size
    return {
        "tasks": size.launch_tasks,
        "task_bytes": load.TASK_BYTES,
        "without_kcm": await _rounds(bench, None, size.launch_rounds),
        "with_kcm": await _rounds(bench, RAISED, size.launch_rounds_with_kcm),
        "policies": await _rounds(bench, None, size.policy_rounds, policies=True),
    }


async def _rounds(bench: Bench, kcm: Kcm, rounds: int, *, policies: bool = False) -> list[Raw]:
    found = []
    async with bench.rig(kcm) as rig:
        for number in range(rounds):
            sides = [("operator", partial(_by_operator, policies=policies)), ("bare", _by_bare_loop)]
            result: Raw = {}
            for side, run in sides if number % 2 == 0 else sides[::-1]:
                namespace = f"{side}-{number}"
                await load.create_namespace(rig.api, namespace)
                if kcm:
                    await load.wait_for_service_account(rig.api, namespace)
                result[side] = await run(rig, namespace, bench.size.launch_tasks)
            found.append(result)
    return found


async def _by_operator(rig: Rig, namespace: str, count: int, *, policies: bool) -> Raw:
    await load.create_queue(rig.api, namespace, cap=2 * count, policies=policies)
    await load.create_tasks(rig.api, namespace, count)
    replica = await rig.operator("--namespaces", namespace)
    await asyncio.sleep(1)
    audit, cpu = AuditLog(rig.cluster.audit_log), replica.cpu_seconds()
    await load.set_queue(rig.api, namespace, state=load.OPEN)
    created: list[Entry] = []
    others = 0
    async with asyncio.timeout(WITHIN_SECONDS):
        while len(created) < count:
            await asyncio.sleep(0.2)
            new = audit.new()
            jobs = [entry for entry in new if entry.is_job_created(namespace)]
            created += jobs
            others += sum(entry.resource == "tasks/status" for entry in new)
    cpu = replica.cpu_seconds() - cpu
    await replica.stop()
    return _timed(created) | {"cpu_ms_per_task": round(1000 * cpu / count, 3), "status_writes_meanwhile": others}


async def _by_bare_loop(rig: Rig, namespace: str, count: int) -> Raw:
    """The same Tasks exist here, and the same Jobs are made of them: only the operator is missing."""
    bodies = load.job_bodies(await load.create_tasks(rig.api, namespace, count, keep=True))
    await asyncio.sleep(1)
    audit, cpu = AuditLog(rig.cluster.audit_log), time.process_time()
    await load.post_only(rig.api, namespace, bodies)
    cpu = time.process_time() - cpu
    created = [entry for entry in audit.new() if entry.is_job_created(namespace)]
    return _timed(created) | {"cpu_ms_per_task": round(1000 * cpu / count, 3)}


def _timed(created: list[Entry]) -> Raw:
    seconds = max(entry.answered for entry in created) - min(entry.received for entry in created)
    answer = stats.median([entry.answered - entry.received for entry in created])
    return {
        "jobs": len(created),
        "seconds": round(seconds, 3),
        "jobs_per_second": round(len(created) / seconds, 1),
        "median_answer_ms": round(1000 * answer, 1),
    }


def summarise(raw: Raw) -> list[Figure]:
    """The ratio of the rates, in pairs that ran one after the other."""
    words = {
        "without_kcm": "no controllers, no kubelet",
        "with_kcm": "with the Job controller at work",
        "policies": "no controllers, every policy on",
    }
    figures = []
    for key, rounds in ((key, raw[key]) for key in words if raw.get(key)):
        ratios = [pair["operator"]["jobs_per_second"] / pair["bare"]["jobs_per_second"] for pair in rounds]
        rate = stats.median([pair["operator"]["jobs_per_second"] for pair in rounds])
        middle = stats.median(ratios)
        met = middle >= TARGET
        note = f"{len(ratios)} pairs, {stats.spread(ratios)}; {rate:.0f} Jobs/s by the operator"
        figures.append(
            Figure(
                name=f"launch rate, {raw['tasks']:,} pending, first to last Job, ratio to the bare loop: {words[key]}",
                target=f"≥ {TARGET}",
                measured=f"{middle:.2f}",
                met=met,
                note=note if met else f"{note}; {IF_MISSED}",
            )
        )
    cpu = [pair["operator"]["cpu_ms_per_task"] for pair in raw["without_kcm"]]
    bare = stats.median([pair["bare"]["cpu_ms_per_task"] for pair in raw["without_kcm"]])
    figures.append(
        Figure(
            name="operator CPU per Task, launch only",
            target="part of the next",
            measured=f"{stats.median(cpu):.2f} ms",
            note=f"{len(cpu)} runs, {stats.spread(cpu)}; the bare loop's own, for its requests alone: {bare:.2f} ms",
        )
    )
    return figures
