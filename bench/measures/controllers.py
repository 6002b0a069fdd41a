"""What the controller-manager's own request limit does to the whole cluster: stock flags against raised ones."""

from __future__ import annotations

import asyncio

from bench import load
from bench.audit import OPERATOR, AuditLog
from bench.context import Bench
from bench.finisher import finisher
from bench.report import Figure, Raw
from bench.rig import RAISED, STOCK, Kcm

NAME = "controllers"
NAMESPACE = "controllers"
WITHIN_SECONDS = 600.0


async def measure(bench: Bench) -> Raw:
    """The same Tasks, end to end, with pods that end at once."""
    raw: Raw = {"tasks": bench.size.stock_jobs}
    for name, kcm in (("stock", STOCK), ("raised", RAISED)):
        flags = {"kube-api-qps": kcm.qps, "kube-api-burst": kcm.burst, "concurrent-job-syncs": kcm.concurrent_job_syncs}
        raw[name] = {
            "flags": " ".join(f"--{flag}={value}" for flag, value in flags.items()),
            "per_second": await _run(bench, kcm),
        }
    return raw


async def _run(bench: Bench, kcm: Kcm) -> float:
    count = bench.size.stock_jobs
    async with bench.rig(kcm) as rig:
        await load.create_namespace(rig.api, NAMESPACE)
        await load.wait_for_service_account(rig.api, NAMESPACE)
        await load.create_queue(rig.api, NAMESPACE, cap=count)
        await load.create_tasks(rig.api, NAMESPACE, count)
        replica = await rig.operator("--namespaces", NAMESPACE)
        await asyncio.sleep(1)
        audit = AuditLog(rig.cluster.audit_log)
        async with finisher(rig, NAMESPACE, "pods", 0):
            await load.set_queue(rig.api, NAMESPACE, state=load.OPEN)
            await load.until_settled(rig.api, NAMESPACE, WITHIN_SECONDS)
        entries = audit.new()
        await replica.stop()
    first = min(entry.received for entry in entries if entry.is_job_created(NAMESPACE))
    ends = [e.answered for e in entries if e.user_agent.startswith(OPERATOR) and e.resource == "tasks/status"]
    return round(count / (max(ends) - first), 2)


def summarise(raw: Raw) -> list[Figure]:
    """No target: it is the cluster's limit, not TaskQ's."""
    return [
        Figure(
            name=f"Tasks end to end, controller-manager with {words} flags",
            target="none",
            measured=f"{raw[name]['per_second']:.1f} /s",
            note=f"{raw['tasks']} Tasks at once; `{raw[name]['flags']}`",
        )
        for name, words in (("stock", "stock"), ("raised", "raised"))
    ]
