"""How long nothing is launched when the leader goes: orderly, and killed; default lease settings, a warm standby."""

from __future__ import annotations

import asyncio
import signal

from bench import load, stats
from bench.audit import AuditLog, Entry
from bench.context import CROWD, Bench
from bench.finisher import finisher
from bench.report import Figure, Raw
from bench.rig import Replica, Rig

NAME = "failover"
TARGETS_SECONDS = {"graceful": 2.0, "crash": 10.0}
SIGNALS = {"graceful": signal.SIGTERM, "crash": signal.SIGKILL}
CAP = 4
RUN_SECONDS = 0.5
WARM_SECONDS = 3.0
WITHIN_SECONDS = 90.0


async def measure(bench: Bench) -> Raw:
    """Two replicas take turns; each has an account of its own, so that the audit log tells who created what."""
    rig = await bench.crowd()
    users = [await rig.account(f"replica-{letter}") for letter in "ab"]
    raw: Raw = {"pending": bench.size.pending, "graceful": [], "crash": []}
    async with finisher(rig, CROWD, "jobs", RUN_SECONDS):
        await load.set_queue(rig.api, CROWD, state=load.OPEN, maxConcurrency=CAP)
        leader, turn = await rig.operator("--namespaces", CROWD, kubeconfig=users[0]), 0
        for kind in ("graceful", "crash"):
            for _ in range(bench.size.failovers):
                turn = 1 - turn
                standby = await rig.operator("--namespaces", CROWD, kubeconfig=users[turn], leading=False)
                raw[kind].append(await _change(rig, leader, standby, f"replica-{'ab'[turn]}", SIGNALS[kind]))
                leader = standby
        await load.set_queue(rig.api, CROWD, state=load.PAUSED)
        await leader.stop()
    return raw


async def _change(rig: Rig, leader: Replica, standby: Replica, user: str, number: signal.Signals) -> Raw:
    audit = AuditLog(rig.cluster.audit_log)
    await standby.wait_until_ready()
    await asyncio.sleep(WARM_SECONDS)
    created = [entry for entry in audit.new() if entry.is_job_created(CROWD)]
    sent = leader.signal(number)
    first: Entry | None = None
    async with asyncio.timeout(WITHIN_SECONDS):
        while first is None:
            await asyncio.sleep(0.05)
            new = [entry for entry in audit.new() if entry.is_job_created(CROWD)]
            first = next((entry for entry in new if entry.user.username.endswith(f":{user}")), None)
            created += [entry for entry in new if not entry.user.username.endswith(f":{user}")]
    await leader.stop()
    last = max((entry.answered for entry in created), default=sent)
    return {"seconds": round(first.received - sent, 3), "gap_seconds": round(first.received - last, 3)}


def summarise(raw: Raw) -> list[Figure]:
    """The median of each kind."""
    figures = []
    for kind, target in TARGETS_SECONDS.items():
        found = [change["seconds"] for change in raw[kind]]
        middle = stats.median(found)
        note = (
            f"{len(found)} times, {stats.spread(found)}; {raw['pending']:,} pending, "
            f"from the signal to the successor's first Job"
        )
        why = "the successor lists the metadata of everything again before its first start"
        figures.append(
            Figure(
                name=f"failover: {kind}",
                target=f"≤ {target:g} s",
                measured=f"{middle:.2f} s",
                met=middle <= target,
                note=note if middle <= target else f"{note}; {why}",
            )
        )
    return figures
