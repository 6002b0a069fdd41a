"""Passes over Schedules: their order, what goes wrong with one of them, and what costs nothing. Time is the loop's."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from taskq.cluster.gate import Gate
from taskq.cluster.scheduled import decode_schedule, decode_scheduled_task
from taskq.cluster.session import Reply
from taskq.cluster.store import Store
from taskq.controller import schedules as module
from taskq.controller.schedules import REQUESTS_AT_ONCE, Schedules
from taskq.domain.model import Key
from taskq.domain.schedules.objects import Schedule
from taskq.domain.schedules.spec import LedgerEntry
from taskq.errors import Unanswered
from unit.cluster.doubles import T0, LoopClock, reply, settle, stop, virtual

CREATED = datetime.fromtimestamp(T0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Server:
    """Keeps Schedules and their Tasks, and tells nobody: stores are fed by hand, as a watch would."""

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.unanswered: Counter[str] = Counter()
        self.conflicts = 0
        self.version = 1

    async def request(self, method: str, path: str, *, body: bytes | None = None, **_: Any) -> Reply:
        """Answer after a millisecond; «unanswered» requests are carried out, and their answers lost."""
        self.asked.append((method, path.rpartition("namespaces/n/")[2]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        answer = self._answer(method, path, json.loads(body) if body else {})
        if self.unanswered[method]:
            self.unanswered[method] -= 1
            raise Unanswered("the answer was lost")
        return answer

    def watch(self, path: str, query: Any) -> Any:
        """Nobody watches here."""
        raise NotImplementedError

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        name = path.split("/")[-1]
        self.version += 1
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.tasks:
                return reply(409, {"kind": "Status", "reason": "AlreadyExists", "code": 409, "message": "exists"})
            body["metadata"] |= {
                "uid": f"uid-{name}",
                "resourceVersion": str(self.version),
                "creationTimestamp": CREATED,
            }
            self.tasks[name] = body
            return reply(201, body)
        if method == "GET":
            return reply(200, self.tasks[name])
        if method == "DELETE":
            return reply(200, self.tasks.pop(name, {}))
        return self._write(path.split("/")[-2], body)

    def _write(self, name: str, body: dict[str, Any]) -> Reply:
        found = self.schedules[name]
        if self.conflicts or body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            self.conflicts = max(0, self.conflicts - 1)
            return reply(409, {"kind": "Status", "reason": "Conflict", "code": 409, "message": "newer"})
        found["status"] = {k: v for k, v in (found["status"] | body["status"]).items() if v is not None}
        found["metadata"]["resourceVersion"] = str(self.version)
        return reply(200, found)

    def add(self, name: str, **spec: Any) -> Schedule:
        """A Schedule."""
        template = {"spec": {"jobTemplate": {"spec": {}}}}
        self.version += 1
        metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}", "generation": 1, "creationTimestamp": CREATED}
        metadata["resourceVersion"] = str(self.version)
        self.schedules[name] = {"metadata": metadata, "spec": {**spec, "taskTemplate": template}, "status": {}}
        return self.get(name)

    def get(self, name: str) -> Schedule:
        """As the operator reads it."""
        return decode_schedule(json.dumps(self.schedules[name]).encode())


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.rows: list[LedgerEntry] = []
        self.lags: list[float] = []
        self.missed = 0

    def schedule_known(self, schedule: Key) -> None:
        """One more."""

    def schedule_gone(self, schedule: Key) -> None:
        """One less."""

    def schedule_ran(self, _schedule: Schedule, entry: LedgerEntry) -> None:
        """A run, or a skip."""
        self.rows.append(entry)

    def schedule_missed(self, _schedule: Schedule, count: int) -> None:
        """So many."""
        self.missed += count

    def schedule_lagged(self, seconds: float) -> None:
        """So late."""
        self.lags.append(seconds)


class Stage:
    """The operator's part and the server."""

    def __init__(self) -> None:
        self.server, self.told, self.clock = Server(), Told(), LoopClock()
        self.leads = True
        self.needed: set[str] = set()
        self.parts = Schedules(
            self.server,
            self.clock,
            Store(lambda _old, _new: None),
            self.told,
            may_write=lambda: self.leads,
            is_needed=lambda key, _uid: key.name in self.needed,
            create_timeout=4,
            request_timeout=30,
        )
        self.run = asyncio.create_task(self.parts.run())

    def add(self, name: str, **spec: Any) -> None:
        """A Schedule comes to be, and is seen."""
        self.parts.schedules.apply(self.server.add(name, **spec))

    def ends(self, name: str, phase: str = "Succeeded") -> None:
        """A Task ends, and that is seen."""
        task = self.server.tasks[name]
        self.server.version += 1
        task["metadata"]["resourceVersion"] = str(self.server.version)
        now = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        task["status"] = {"phase": phase, "completionTime": now, "settled": "True"}
        self.parts.tasks.apply(decode_scheduled_task(json.dumps(task).encode()))

    def ticks(self, name: str) -> list[float]:
        """When, in seconds from the start, the ticks of its Tasks were."""
        return sorted(int(task.rpartition("-")[2]) - T0 for task in self.server.tasks if task.startswith(f"{name}-"))


@virtual
async def test_a_thousand_that_are_due_at_once_are_created_before_anything_is_written() -> None:
    """By so many requests at once, and no more."""
    stage = Stage()
    for number in range(1000):
        stage.add(f"s{number}", everySeconds=3600)
    await settle(100)
    stage.server.asked.clear()
    await settle(3510)
    methods = [method for method, _ in stage.server.asked]
    assert methods[:1000].count("POST") == 1000
    assert methods[1000:] == ["PATCH"] * 1000
    assert stage.server.most_at_once == REQUESTS_AT_ONCE
    assert max(stage.told.lags) < 1
    await stop(stage.run)


@virtual
async def test_schedules_of_which_none_is_due_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours pass, and nothing is decided."""
    stage = Stage()
    for number in range(50):
        stage.add(f"s{number}", schedules=["0 3 1 1 *"])
    await settle(10)
    decided = []
    monkeypatch.setattr(module, "decide_schedule", lambda view, now: decided.append(view))
    await settle(3600)
    assert decided == []
    await stop(stage.run)


@virtual
async def test_a_request_without_an_answer_is_found_out() -> None:
    """Whether a POST or a PATCH: each tick has one Task, and none is left out."""
    stage = Stage()
    stage.add("s", everySeconds=10, concurrencyPolicy="Allow", successfulTasksHistoryLimit=100)
    await settle(5)
    for method in ("POST", "PATCH"):
        stage.server.unanswered[method] = 1
        await settle(10)
        stage.parts.schedules.apply(stage.server.get("s"))  # as the watch tells
    await settle(10)
    assert stage.ticks("s") == [10, 20, 30]
    await stop(stage.run)


@virtual
async def test_a_write_that_met_a_newer_version_is_made_anew() -> None:
    """As soon as the newer one is seen."""
    stage = Stage()
    stage.server.conflicts = 1
    stage.add("s", everySeconds=10)
    await settle(5)
    assert stage.server.schedules["s"]["status"]["observedGeneration"] == 1
    await stop(stage.run)


@virtual
async def test_one_that_nobody_foresaw_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again later."""
    stage, decide = Stage(), module.decide_schedule

    def breaks(view: Any, now: float) -> Any:
        if view.name == "bad":
            raise ZeroDivisionError
        return decide(view, now)

    monkeypatch.setattr(module, "decide_schedule", breaks)
    stage.add("bad", everySeconds=10)
    stage.add("good", everySeconds=10)
    await settle(15)
    assert (stage.ticks("bad"), stage.ticks("good")) == ([], [10])
    await stop(stage.run)


@virtual
async def test_nothing_is_written_without_the_lease() -> None:
    """And what was due meanwhile is when it is back."""
    stage = Stage()
    stage.add("s", everySeconds=10, concurrencyPolicy="Allow")
    await settle(5)
    stage.leads = False
    before = len(stage.server.asked)
    await settle(8)
    assert len(stage.server.asked) == before
    stage.leads = True
    await settle(3)
    assert stage.ticks("s") == [10]
    await stop(stage.run)


@virtual
async def test_a_clock_that_was_set_back_is_noticed_and_fires_nothing_twice() -> None:
    """The Schedule says so, and goes on when the clock has caught up."""
    stage = Stage()
    stage.add("s", everySeconds=10, concurrencyPolicy="Allow", successfulTasksHistoryLimit=100)
    await settle(25)
    clock = stage.clock
    real = clock.now
    clock.now = lambda: real() - 3600  # type: ignore[method-assign]
    await settle(20)
    ready = next(c for c in stage.server.schedules["s"]["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ClockWentBack")
    assert stage.ticks("s") == [10, 20]
    clock.now = real  # type: ignore[method-assign]
    await settle(20)
    assert stage.ticks("s")[:2] == [10, 20]
    assert len(stage.ticks("s")) > 2
    await stop(stage.run)


@virtual
async def test_finished_tasks_beyond_the_limit_go_after_their_results_stand() -> None:
    """The delete comes after the write that has the result."""
    stage = Stage()
    stage.add("s", everySeconds=10, successfulTasksHistoryLimit=0)
    await settle(11)
    (name,) = stage.server.tasks
    stage.ends(name)
    await settle(25)
    assert name not in stage.server.tasks
    methods = [method for method, _ in stage.server.asked]
    assert methods.index("DELETE") > methods.index("PATCH")
    await stop(stage.run)


@virtual
async def test_a_finished_task_that_others_need_stays_until_they_do_not() -> None:
    """The limit of the history is kept at the next tick after that."""
    stage = Stage()
    stage.add("s", everySeconds=10, successfulTasksHistoryLimit=0)
    await settle(11)
    (name,) = stage.server.tasks
    stage.needed = {name}
    stage.ends(name)
    await settle(25)
    assert name in stage.server.tasks
    stage.needed = set()
    await settle(45)
    assert name not in stage.server.tasks
    await stop(stage.run)


@virtual
async def test_the_gate_lets_the_lowest_rank_in_first() -> None:
    """And whoever gives up waiting takes no place."""
    gate, order = Gate(1), []

    async def enter(rank: int) -> None:
        async with gate.turn(rank):
            order.append(rank)
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(enter(rank)) for rank in (0, 3, 2, 1)]
    await settle(0.5)
    tasks[2].cancel()
    await settle(5)
    assert order == [0, 1, 3]
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait_for(enter(9), 5)
