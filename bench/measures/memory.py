"""Resident memory with pending Tasks, once the operator has settled."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench import load, process
from bench.context import CROWD, Bench
from bench.report import Figure, Raw
from bench.rig import Replica, Rig
from bench.standin import standin, stored

NAME = "memory"
TARGETS_MB = {10_000: 120, 100_000: 700}
LARGE_TARGET_MB = 120
STEADY_MB = 0.5


async def measure(bench: Bench) -> Raw:
    """With no Task, with ordinary ones, and with large ones; with very many when the size of the run says so."""
    size = bench.size
    raw: Raw = {"task_bytes": load.TASK_BYTES, "large_task_bytes": load.LARGE_TASK_BYTES, "lean": size.lean}
    crowd = await bench.crowd()
    raw["pending"] = {str(size.pending): await _settled(crowd, size.settle_seconds)}
    async with bench.rig(None) as rig:
        await _prepare(rig)
        raw["empty"] = await _settled(rig, size.settle_seconds)
        await load.create_tasks(rig.api, CROWD, 1)
        model, queue = await stored(rig.api, CROWD)
        raw["stand_in"] = {}
        for count in {size.pending, size.pending_most}:  # the first to see whether it agrees with a real one
            async with standin(model, queue, count) as kubeconfig:
                raw["stand_in"][str(count)] = await _settled(rig, size.settle_seconds, kubeconfig)
    async with bench.rig(None) as rig:
        await _prepare(rig)
        await load.create_tasks(rig.api, CROWD, size.pending_large, size=load.LARGE_TASK_BYTES)
        raw["large"] = {str(size.pending_large): await _settled(rig, size.settle_seconds)}
    return raw


async def _prepare(rig: Rig) -> None:
    await load.create_namespace(rig.api, CROWD)
    await load.create_queue(rig.api, CROWD, cap=1)


async def _settled(rig: Rig, seconds: float, kubeconfig: Path | None = None) -> Raw:
    replica = await rig.operator("--namespaces", CROWD, kubeconfig=kubeconfig)
    await _settle(replica, seconds)
    now, peak = process.memory_mb(replica.pid)
    await replica.stop()
    return {"rss_mb": round(now, 1), "peak_mb": round(peak, 1)}


async def _settle(replica: Replica, seconds: float) -> None:
    """Wait until memory stands still."""
    before = 0.0
    for _ in range(10):
        await asyncio.sleep(seconds)
        now, _ = process.memory_mb(replica.pid)
        if abs(now - before) < STEADY_MB:
            return
        before = now


def summarise(raw: Raw) -> list[Figure]:
    """One figure for each number of Tasks."""
    empty = raw["empty"]["rss_mb"]
    figures = []
    for count, found in ((int(count), found) for count, found in raw["pending"].items()):
        target = TARGETS_MB.get(count)
        each = 1000 * (found["rss_mb"] - empty) / count
        note = f"{empty:.0f} MB without a Task, so {each:.1f} KB each; {found['peak_mb']:.0f} MB at most, while listing"
        figures.append(_figure(f"memory with {count:,} pending Tasks", target, found["rss_mb"], note))
    figures += _of_stand_in(raw, empty)
    for count, found in ((int(count), found) for count, found in raw["large"].items()):
        each = 1000 * (found["rss_mb"] - empty) / count
        note = f"{each:.1f} KB each: their manifests are not kept; {found['peak_mb']:.0f} MB at most, while listing"
        target = LARGE_TARGET_MB if count == 10_000 else None
        figures.append(_figure(f"memory with {count:,} pending Tasks of 100 KB", target, found["rss_mb"], note))
    return figures


def _of_stand_in(raw: Raw, empty: float) -> list[Figure]:
    found = {int(count): one["rss_mb"] for count, one in raw.get("stand_in", {}).items()}
    both = [f"{count:,} take {found[count]:.0f} MB of it" for count in found if str(count) in raw["pending"]]
    figures = []
    for count in sorted(found):
        if str(count) in raw["pending"]:
            continue
        each, peak = 1000 * (found[count] - empty) / count, raw["stand_in"][str(count)]["peak_mb"]
        note = f"{each:.1f} KB each; {peak:.0f} MB at most, while listing; a stand-in serves copies of a stored Task"
        target = TARGETS_MB.get(count)
        name = f"memory with {count:,} pending Tasks"
        figures.append(_figure(name, target, found[count], "; ".join((note, *both))))
    return figures


def _figure(name: str, target: int | None, measured: float, note: str) -> Figure:
    return Figure(
        name=name,
        target=f"≤ {target} MB" if target else "bounded",
        measured=f"{measured:.0f} MB",
        met=measured <= target if target else None,
        note=note,
    )
