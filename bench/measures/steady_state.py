"""Tasks that come and go under a cap, against Jobs created directly under the same cap; writes and CPU per Task.

The Job controller is at work, and a stand-in for the kubelet ends the pods: what a real cluster does, but for the pods'
own work. It runs twice: with Jobs that end at once, where the API server is the limit, and with Jobs of a second, where
the cap is, as in most real queues.
"""

from __future__ import annotations

import asyncio
from functools import partial

from bench import load, stats
from bench.audit import OPERATOR, AuditLog, Entry, writes_of_operator
from bench.context import Bench
from bench.finisher import finisher
from bench.report import Figure, Raw
from bench.rig import RAISED, Rig

NAME = "steady-state"
TARGET = 0.9
WRITES_TARGET = 2
CPU_TARGET_MS = 2.0
CAP = 20
WITHIN_SECONDS = 900.0
MODES = {"paced": 1.0, "at_once": 0.0, "policies": 0.0}
"""Seconds for which a pod runs; `policies` has every policy of a queue on."""
APART = ("leases", "taskqueues/status", "events")
"""Writes that do not grow with the number of Tasks, or that a plain success has none of."""
IF_MISSED = (
    "the API server's CPUs are the limit here, and each Task costs it one status write more than a bare Job does"
)


async def measure(bench: Bench) -> Raw:
    """Alternate operator and direct creation in one cluster, for both kinds of Jobs."""
    raw: Raw = {"cap": CAP, "task_bytes": load.TASK_BYTES, "tasks": {}, "rounds": {}}
    async with bench.rig(RAISED) as rig:
        for mode, seconds in MODES.items():
            count = bench.size.paced_tasks if seconds else bench.size.steady_tasks
            raw["tasks"][mode] = count
            raw["rounds"][mode] = []
            policies = mode == "policies"
            for number in range(bench.size.policy_rounds if policies else bench.size.steady_rounds):
                sides = [("operator", partial(_by_operator, policies=policies)), ("direct", _directly)]
                result: Raw = {}
                for side, run in sides if number % 2 == 0 else sides[::-1]:
                    namespace = f"{mode.replace('_', '-')}-{side}-{number}"
                    await load.create_namespace(rig.api, namespace)
                    await load.wait_for_service_account(rig.api, namespace)
                    result[side] = await run(rig, namespace, count, seconds)
                raw["rounds"][mode].append(result)
    return raw


async def _by_operator(rig: Rig, namespace: str, count: int, seconds: float, *, policies: bool) -> Raw:
    await load.create_queue(rig.api, namespace, cap=CAP, policies=policies)
    replica = await rig.operator("--namespaces", namespace)
    await asyncio.sleep(1)
    audit, cpu = AuditLog(rig.cluster.audit_log), [replica.cpu_seconds()]
    await load.create_tasks(
        rig.api, namespace, count
    )  # with the operator watching: reading them is a part of their life
    await asyncio.sleep(1)
    cpu.append(replica.cpu_seconds())
    async with finisher(rig, namespace, "pods", seconds):
        await load.set_queue(rig.api, namespace, state=load.OPEN)
        await load.until_settled(rig.api, namespace, WITHIN_SECONDS)
        cpu.append(replica.cpu_seconds())
    entries = audit.new()
    await replica.stop()
    ends = [e.answered for e in entries if e.user_agent.startswith(OPERATOR) and e.resource == "tasks/status"]
    return _timed(entries, namespace, max(ends)) | {
        "cpu_ms_per_task": {
            "arrival": round(1000 * (cpu[1] - cpu[0]) / count, 3),
            "run": round(1000 * (cpu[2] - cpu[1]) / count, 3),
        },
        "writes": dict(writes_of_operator(entries)),
        "reads": _reads(entries),
    }


async def _directly(rig: Rig, namespace: str, count: int, seconds: float) -> Raw:
    bodies = load.job_bodies(await load.create_tasks(rig.api, namespace, count, keep=True))
    await asyncio.sleep(1)
    audit = AuditLog(rig.cluster.audit_log)
    async with finisher(rig, namespace, "pods", seconds):
        await load.post_under_cap(rig.api, namespace, bodies, CAP)
    entries = audit.new()
    ends = [e.answered for e in entries if e.resource == "jobs/status" and e.object_ref.namespace == namespace]
    return _timed(entries, namespace, max(ends))


def _reads(entries: list[Entry]) -> dict[str, int]:
    asked = [e for e in entries if e.user_agent.startswith(OPERATOR) and e.verb in {"get", "list"}]
    return {
        name: sum(f"{e.verb} {e.resource}" == name for e in asked) for name in {f"{e.verb} {e.resource}" for e in asked}
    }


def _timed(entries: list[Entry], namespace: str, ended: float) -> Raw:
    """From the first Job to the last word on the last one: a status of the Task's, or the Job's own."""
    created = [entry for entry in entries if entry.is_job_created(namespace)]
    seconds = ended - min(entry.received for entry in created)
    return {"jobs": len(created), "seconds": round(seconds, 3), "per_second": round(len(created) / seconds, 2)}


def writes_per_task(operator: Raw) -> float:
    """The operator's writes for a Task, without those that do not grow with the number of Tasks."""
    return sum(n for what, n in operator["writes"].items() if what.split()[1] not in APART) / operator["jobs"]


def summarise(raw: Raw) -> list[Figure]:
    """Ratios of rates, then what one Task costs."""
    words = {
        "paced": "pods of 1 s",
        "at_once": "pods that end at once",
        "policies": "pods that end at once, every policy on",
    }
    figures = []
    for mode, rounds in raw["rounds"].items():
        ratios = [pair["operator"]["per_second"] / pair["direct"]["per_second"] for pair in rounds]
        rate = stats.median([pair["operator"]["per_second"] for pair in rounds])
        middle = stats.median(ratios)
        note = f"{len(ratios)} pairs of {raw['tasks'][mode]}, {stats.spread(ratios)}; {rate:.1f} Tasks/s"
        figures.append(
            Figure(
                name=f"steady state with completions, ratio to Jobs created directly, cap {raw['cap']}: {words[mode]}",
                target=f"≥ {TARGET}",
                measured=f"{middle:.2f}",
                met=middle >= TARGET,
                note=note if middle >= TARGET else f"{note}; {IF_MISSED}",
            )
        )
    figures += _costs([pair["operator"] for pair in raw["rounds"]["at_once"]])
    if shared := raw["rounds"].get("policies"):
        figures.append(_cpu([pair["operator"] for pair in shared], "operator CPU per Task, the same, every policy on"))
    return figures


def _costs(runs: list[Raw]) -> list[Figure]:
    writes = stats.median([writes_per_task(run) for run in runs])
    return [
        Figure(
            name="API writes by the operator for a short successful Task",
            target=f"{WRITES_TARGET}",
            measured=f"{writes:.2f}",
            met=round(writes, 2) <= WRITES_TARGET,
            note="from the audit log: one Job, one status; Lease and queue status, a write each two seconds, are apart"
            + (
                ""
                if round(writes, 2) <= WRITES_TARGET
                else "; Tasks that took longer than two seconds also got Running written"
            ),
        ),
        _cpu(runs, "operator CPU per Task, whole life"),
    ]


def _cpu(runs: list[Raw], name: str) -> Figure:
    total = [sum(run["cpu_ms_per_task"].values()) for run in runs]
    arrival = stats.median([run["cpu_ms_per_task"]["arrival"] for run in runs])
    middle = stats.median(total)
    return Figure(
        name=name,
        target=f"≤ {CPU_TARGET_MS:g} ms",
        measured=f"{middle:.2f} ms",
        met=middle <= CPU_TARGET_MS,
        note=f"{len(total)} runs, {stats.spread(total)}; of it {arrival:.2f} ms when the Task arrives; "
        "pods' events and idle time included",
    )
