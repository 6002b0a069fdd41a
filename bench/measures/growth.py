"""What a freed slot costs the decision core, as the queue grows: every sharing policy on, no server, no requests.

A board holds so many pending Tasks. Again and again one running Job ends and the next Task starts; the time of all the
calls that this takes is divided by the number of Tasks that came and went. An answer that grew with the length of the
queue would show here first.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import msgspec

from bench import load
from bench.context import Bench
from bench.report import Figure, Raw
from taskq.domain.actions import Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import Job, Key, Pod, Queue, Task, stamp

NAME = "growth"
NAMESPACE = "crowd"
TARGET_RATIO = 2.0
CAP = 50
STARTED = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
STEP_SECONDS = 0.01

PLAIN = {"maxConcurrency": CAP}
EVERY_POLICY = load.every_policy(CAP)

_task = msgspec.json.Decoder(Task).decode
_job = msgspec.json.Decoder(Job).decode
_pod = msgspec.json.Decoder(Pod).decode
_queue = msgspec.json.Decoder(Queue).decode


async def measure(bench: Bench) -> Raw:
    """Every length with every policy on, and the design's 10,000 also without any."""
    rounds = bench.size.growth_rounds
    raw: Raw = {
        "cap": CAP,
        "rounds": rounds,
        "tenants": load.TENANTS,
        "keys": load.ACCOUNTS,
        "policies": {},
        "plain": {},
    }
    for pending in bench.size.growth_pending:
        raw["policies"][str(pending)] = await asyncio.to_thread(_one, EVERY_POLICY, pending, rounds)
    middle = sorted(bench.size.growth_pending)[len(bench.size.growth_pending) // 2]
    raw["plain"][str(middle)] = await asyncio.to_thread(_one, PLAIN, middle, rounds)
    return raw


def _one(spec: dict[str, object], pending: int, rounds: int) -> Raw:
    stage = _Stage(spec, pending)
    filled = time.perf_counter()
    stage.settle()
    filled = time.perf_counter() - filled
    gc.collect()
    gc.freeze()
    passes = [stage.turn() for _ in range(min(rounds, pending // 2))]  # so that its length stays what it was
    gc.unfreeze()
    return {
        "first_order_seconds": round(filled, 3),
        "median_us": round(1e6 * statistics.median(passes), 1),
        "p99_us": round(1e6 * statistics.quantiles(passes, n=100)[98], 1),
        "left": len(stage.board.entries),
    }


class _Stage:
    """A board, and what the API server would show it."""

    def __init__(self, spec: dict[str, object], pending: int) -> None:
        self.board = Board(Limits(launches=CAP))
        self.now = STARTED + 10
        self._versions = count(1)
        self._tasks: dict[str, Task] = {}
        self._running: dict[Key, tuple[Launch, Job]] = {}
        for queue in _queues(spec):
            self.board.on_queue(None, queue)
        for number in range(pending):
            self._show(number)

    def _show(self, number: int) -> None:
        manifest = load.task_manifest(NAMESPACE, f"task-{number:06d}", priority=number % 10)
        labels = load.sharing_labels(number)
        created = {"uid": f"uid-{number:08d}", "resourceVersion": "1", "generation": 1}
        manifest["metadata"] |= created | {"labels": labels, "creationTimestamp": stamp(STARTED - number % 1000)}
        document = load.encode(manifest)
        task = _task(document)
        task.raw = document
        self._tasks[task.metadata.uid] = task
        self.board.on_task(None, task)

    def settle(self) -> None:
        """Plan until nothing more starts."""
        while True:
            plan = self.board.plan(self.now)
            launches = [action for action in plan.actions if isinstance(action, Launch)]
            self._take_up(launches)
            if not launches and (plan.wake_at is None or plan.wake_at > self.now):
                return

    def turn(self) -> float:
        """One Job ends, its Task's end is written, another Task starts; the seconds that the board took."""
        self.now += STEP_SECONDS
        key = next(iter(self._running))
        launch, job = self._running.pop(key)
        done, pod = self._ended(job)
        began = time.perf_counter()
        self.board.on_pod(None, pod)
        self.board.on_job(job, done)
        plan = self.board.plan(self.now)
        spent = time.perf_counter() - began
        writes = [action for action in plan.actions if isinstance(action, WriteStatus)]
        self._take_up([action for action in plan.actions if isinstance(action, Launch)])
        task = self._tasks.pop(launch.uid)
        began = time.perf_counter()
        for write in writes:
            self.board.on_task(task, None)
            self.board.written(write, self.now, failed=False)
        plan = self.board.plan(self.now)
        self.board.on_job(done, None)
        self.board.on_pod(pod, None)
        spent += time.perf_counter() - began
        self._take_up([action for action in plan.actions if isinstance(action, Launch)])
        began = time.perf_counter()
        self.board.plan(self.now)
        return spent + time.perf_counter() - began

    def _take_up(self, launches: list[Launch]) -> None:
        for launch in launches:
            task = self._tasks[launch.uid]
            manifest = msgspec.json.decode(job_manifest(task, task.raw, self.board.queues.of(launch.queue).rules))
            manifest["metadata"] |= {
                "uid": f"uid-of-{launch.job.name}",
                "resourceVersion": str(next(self._versions)),
                "creationTimestamp": stamp(self.now),
            }
            job = _job(load.encode(manifest | {"status": {"active": 1}}))
            self._running[launch.job] = launch, job
            self.board.on_job(None, job)
            self.board.launched(launch)

    def _ended(self, job: Job) -> tuple[Job, Pod]:
        meta = job.metadata
        common = {"namespace": meta.namespace, "resourceVersion": str(next(self._versions))}
        condition = {"type": "Complete", "status": "True", "lastTransitionTime": stamp(self.now)}
        document = msgspec.to_builtins(job)
        done = _job(load.encode(document | {"status": {"active": 0, "succeeded": 1, "conditions": [condition]}}))
        ended = {"exitCode": 0, "startedAt": stamp(meta.created), "finishedAt": stamp(self.now)}
        pod = {
            "metadata": common
            | {
                "name": f"{meta.name}-x",
                "uid": f"uid-of-{meta.name}-x",
                "creationTimestamp": stamp(self.now),
                "labels": meta.labels | {"batch.kubernetes.io/job-name": meta.name},
                "ownerReferences": [{"uid": meta.uid, "kind": "Job", "name": meta.name, "controller": True}],
            },
            "status": {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]},
        }
        return done, _pod(load.encode(pod))


def _queues(spec: dict[str, object]) -> Iterator[Queue]:
    specs = {load.QUEUE: spec} | ({load.FAMILY: {"maxConcurrency": CAP}} if "parent" in spec else {})
    for name, rules in specs.items():
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": stamp(STARTED),
        }
        yield _queue(load.encode({"metadata": metadata, "spec": rules}))


def summarise(raw: Raw) -> list[Figure]:
    """The growth, and what the policies cost at all."""
    found = {int(pending): result for pending, result in raw["policies"].items()}
    least, most = min(found), max(found)
    ratio = found[most]["median_us"] / found[least]["median_us"]
    each = ", ".join(f"{pending:,}: {found[pending]['median_us']:.0f} µs" for pending in sorted(found))
    worst = max(found[pending]["p99_us"] for pending in found)
    first = f"the first order of {most:,} takes {found[most]['first_order_seconds']:.1f} s in bounded passes"
    plain_pending, plain = next(iter(raw["plain"].items()))
    costs = found[int(plain_pending)]["median_us"] / plain["median_us"]
    return [
        Figure(
            name=f"decisions for one freed slot, {most:,} pending to {least:,}, every sharing policy on",
            target=f"≤ {TARGET_RATIO:g} x",
            measured=f"{ratio:.2f} x",
            met=ratio <= TARGET_RATIO,
            note=f"CPU of the core alone, a Task's end and the next one's start; {each}; p99 {worst:.0f} µs; {first}",
        ),
        Figure(
            name=f"the same, {int(plain_pending):,} pending, every sharing policy on to none",
            target="none",
            measured=f"{costs:.2f} x",
            note=f"{plain['median_us']:.0f} µs without",
        ),
    ]
