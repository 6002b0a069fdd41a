"""One random walk: operators, a cluster and its users under faults, then peace, in which every Task must end."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sim.faults import Dice
from sim.linejudge import LineJudge
from sim.records import RecordJudge
from sim.referee import Broken, Judge
from sim.simapi import Caller, SimApi
from sim.simcluster import Server
from sim.simloop import Process, SimClock, SimLoop
from sim.simnode import Node
from sim.timekeeper import Timekeeper
from sim.world import World
from taskq.controller.replica import Operator
from taskq.domain.actions import Launch
from taskq.observability.metrics import Metrics
from taskq.settings import Settings

SPINNING = 1000
"""Passes without any time passing, after which a dispatcher is taken to spin."""

TROUBLE_SECONDS = 150.0
PEACE_SECONDS = 3 * 3600.0
RESYNC_SECONDS = 40
LOST_EVENT_HEALS = RESYNC_SECONDS * 1.1 + 35
"""Seconds until a list shows what a watch has lost: the resync, and the back-off when it fails."""


@dataclass
class Report:
    """What a walk has seen."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    tallies: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    seconds: float = 0.0
    steps: int = 0
    fingerprint: tuple[Any, ...] = ()


class WalkFailed(AssertionError):  # noqa: N818 - a verdict
    """A walk broke a rule; the message has the seed and the last steps."""


class _Alarm(logging.Handler):
    """What the operator logs with a traceback is a defect that it survived."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


class Replica:
    """One machine on which the operator is started again and again."""

    def __init__(self, walk: Walk, name: str) -> None:
        self.walk = walk
        self.name = name
        self.clock = SimClock(walk.loop)
        self.process: Process | None = None
        self.operator: Operator | None = None
        self.lives = 0
        self._crashed = asyncio.Event()
        self._crash_of: Process | None = None

    async def live(self) -> None:
        """Start, run, crash, and start again."""
        while not self.walk.over:
            self.lives += 1
            process = self.process = Process(f"{self.name}.{self.lives}")
            self._crashed.clear()
            caller = Caller(process, crash=lambda process=process: self.crash(process))  # type: ignore[misc]
            self.operator = self._build(caller)
            running = process.start(self.operator.run())
            waiter = asyncio.ensure_future(self._crashed.wait())
            await asyncio.wait({running, waiter}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if running.done() and not running.cancelled() and (error := running.exception()):
                raise Broken(f"{process.name} ended by an exception") from error
            await process.kill()
            self.walk.dice.say(f"{process.name} is dead")
            self.operator = None
            await asyncio.sleep(self.walk.dice.between(0.1, 12))

    def crash(self, process: Process) -> None:
        """kill -9, if that process still runs."""
        if process is self.process and not process.dead:
            process.dead = True
            self._crashed.set()

    def _build(self, caller: Caller) -> Operator:
        walk = self.walk
        settings = Settings(
            identity=caller.name,
            lease_namespace="taskq",
            resync_seconds=RESYNC_SECONDS,
            retention_scan_seconds=30,
            list_chunk_size=walk.chunk,
            raw_limit_bytes=walk.raw_limit,
            launchers=walk.launchers,
            status_writers=2,
            cluster_max_concurrency=walk.cluster_cap or 0,
        )
        api = SimApi(walk.server, caller, walk.dice)
        jitter = random.Random(walk.dice.random.getrandbits(32)).random
        operator = Operator(api, settings, self.clock, Metrics(), jitter=jitter)
        self._watch_plans(operator, caller)
        return operator

    def _watch_plans(self, operator: Operator, caller: Caller) -> None:
        plan, loop, clock = operator.board.plan, self.walk.loop, self.clock
        at_once = [0.0, 0]

        def judged(now: float) -> Any:
            made = plan(now)
            at_once[:] = [loop.time(), at_once[1] + 1 if at_once[0] == loop.time() else 0]
            if at_once[1] > SPINNING:
                self.walk.broken.append(Broken(f"{self.name} spins: {made.actions[:3]} {made.wake_at} {now}"))
                raise self.walk.broken[-1]
            launches = [action for action in made.actions if isinstance(action, Launch)]
            self.walk.judge_order(operator, caller.name, launches, now)
            self.walk.judge_rate(operator, launches, clock_is_right=not clock.skew)
            return made

        operator.board.plan = judged  # type: ignore[method-assign]


class Walk:
    """See the module."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        """Choose the shape of this walk."""
        self.loop = loop
        self.dice = Dice(seed, loop.time)
        self.chunk = self.dice.random.choice((2, 5, 500))
        self.raw_limit = self.dice.random.choice((0, 8192, 8192))
        self.launchers = self.dice.random.choice((1, 3, 16))
        self.cluster_cap = self.dice.random.choice((None, None, 4))
        self.server = Server(loop, self.dice)
        self.node = Node(self.server, self.dice)
        self.judge = Judge(self.server, self.dice, slack=LOST_EVENT_HEALS, cluster_cap=self.cluster_cap)
        self.linejudge = LineJudge(self.server, self.judge.tallies)
        self.records = RecordJudge(self.server, self.judge.tallies)
        self.timekeeper = Timekeeper(self.server, self.judge.tallies)
        self.world = World(self.server, self.node, self.dice)
        self.replicas = [Replica(self, name) for name in ("ada", "bob")[: self.dice.random.choice((1, 2))]]
        self.over = False
        self.broken: list[BaseException] = []
        self.alarm = _Alarm()

    def judge_order(self, operator: Operator, name: str, launches: list[Launch], now: float) -> None:
        """Rule 4; what it finds ends the walk, whoever called."""
        try:
            self.linejudge.launches(operator, name, launches, now)
        except Broken as error:
            self.broken.append(error)
            raise

    def judge_rate(self, operator: Operator, launches: list[Launch], *, clock_is_right: bool) -> None:
        """The starts of a period; what it finds ends the walk, whoever called."""
        try:
            self.judge.starts(operator, launches, clock_is_right=clock_is_right)
        except Broken as error:
            self.broken.append(error)
            raise

    def clock_set(self) -> None:
        """A clock has jumped."""
        self.judge.clock_set()
        self.linejudge.clock_set()
        self.records.clock_set()
        self.timekeeper.clock_set()

    async def run(self) -> None:
        """Trouble, then peace."""
        self.world.begin()
        lives = [asyncio.ensure_future(replica.live()) for replica in self.replicas]
        troubles = asyncio.ensure_future(self._trouble())
        try:
            await self._until_done([*lives, troubles], troubles)
            self.dice.on = False
            self.dice.say("--- peace ---")
            self._calm_down()
            await self._peace(lives)
            self._nothing_leaks()
            self.records.finish()
            self.timekeeper.finish()
        finally:
            self.over = True
            for running in (*lives, troubles):
                running.cancel()
            await asyncio.gather(*lives, troubles, return_exceptions=True)
            for replica in self.replicas:
                if replica.process:
                    await replica.process.kill()

    async def _until_done(self, running: list[asyncio.Future[Any]], wanted: asyncio.Future[Any]) -> None:
        while not wanted.done():
            await asyncio.wait(running, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            self._look(running)

    def _look(self, running: list[asyncio.Future[Any]]) -> None:
        for future in running:
            if future.done() and not future.cancelled() and (error := future.exception()):
                raise error
        if self.broken:
            raise self.broken[0]
        if self.alarm.found:
            raise Broken(f"the operator logged a defect:\n{self.alarm.found[0]}")
        if self.loop.broken:
            raise self.loop.broken[0]

    async def _peace(self, lives: list[asyncio.Future[Any]]) -> None:
        end = self.loop.time() + PEACE_SECONDS
        while self.unfinished():
            if self.loop.time() > end:
                raise Broken(f"rule 2: without an end: {', '.join(self.unfinished())}")
            await asyncio.sleep(5)
            self._look(lives)
        await asyncio.sleep(RESYNC_SECONDS * 3)
        self._look(lives)

    def unfinished(self) -> list[str]:
        """The Tasks that have not ended, or for which something is left to do."""
        tasks = self.server.every("tasks")
        return [key.name for key, kept in tasks if kept.document["status"].get("settled") != "True"]

    def _nothing_leaks(self) -> None:
        """When all is over, no leader believes that a slot is taken or a request under way."""
        for replica in self.replicas:
            if replica.operator is None or not replica.operator.lease.is_holder:
                continue
            board = replica.operator.board
            held = {str(s.key): sorted(map(str, s.holding)) for s in board.queues if s.holding}
            busy = [str(entry.busy) for entry in board.entries.values() if entry.busy]
            left = {"busy": len(busy), "ghosts": len(board._ghosts)}
            left |= {"waited for": len(board.dependencies._dependents), "keys": len(board.deduplication._groups)}
            alive = {uid for uid, entry in board.entries.items() if not entry.task.is_terminal}
            if held or any(left.values()) or alive:
                raise Broken(f"rule 2: {replica.name} still believes in {held} {left} {sorted(alive)}")

    # --- machines --------------------------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        machines = [asyncio.ensure_future(self._hurt(replica)) for replica in self.replicas]
        try:
            await self.world.live(TROUBLE_SECONDS)
        finally:
            for machine in machines:
                machine.cancel()

    async def _hurt(self, replica: Replica) -> None:
        dice = self.dice
        kinds = ("clock forward", "clock back", "clock right again", "crash", "freeze", "graceful stop")
        weights = [dice.deeds[kind] for kind in kinds]
        while any(weights):
            await asyncio.sleep(dice.between(1, 30))
            kind = dice.random.choices(kinds, weights)[0]
            process, operator = replica.process, replica.operator
            if process is None or operator is None or process.dead:
                continue
            if kind.startswith("clock"):
                self.clock_set()
                step = dice.random.choice((5, 60, 3600))
                replica.clock.skew = {"clock forward": step, "clock back": -step}.get(kind, 0.0)
            elif kind == "crash":
                replica.crash(process)
            elif kind == "graceful stop":
                process.start(self._stop(replica, process, operator))
            else:
                await self._freeze(process, operator)
            dice.count(kind)

    async def _stop(self, replica: Replica, process: Process, operator: Operator) -> None:
        """SIGTERM: what the program does, which ends whatever became of its requests."""
        await operator.stop()
        self.loop.outside(0, replica.crash, process)

    async def _freeze(self, process: Process, operator: Operator) -> None:
        if operator.lease.is_holder:
            self.dice.count("leader frozen")
        process.freeze()
        await asyncio.sleep(self.dice.between(0.5, 40))
        if process.frozen:
            process.thaw()
            self.dice.say(f"{process.name} thawed")

    def _calm_down(self) -> None:
        if any(replica.clock.skew for replica in self.replicas):
            self.clock_set()
        for replica in self.replicas:
            replica.clock.skew = 0.0
            if replica.process and replica.process.frozen:
                replica.process.thaw()
        self.world.mend()


def run(seed: int) -> Report:
    """Walk once; raises :class:`WalkFailed` with the seed and the last steps."""
    loop = SimLoop()
    logger = logging.getLogger("taskq")
    before = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    asyncio.set_event_loop(loop)
    walk = Walk(seed, loop)
    logger.addHandler(walk.alarm)
    try:
        loop.run_until_complete(walk.run())
    except Exception as error:
        raise WalkFailed(_story(walk, error)) from error
    finally:
        logger.removeHandler(walk.alarm)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        asyncio.set_event_loop(None)
        loop.close()
        gc.unfreeze()
    return Report(
        seed,
        walk.dice.counts,
        walk.judge.tallies,
        tasks=len(walk.judge.ended),
        seconds=loop.time(),
        steps=walk.server.revision,
        fingerprint=(walk.server.revision, loop._tasks_made, loop.time(), tuple(walk.dice.trace)),
    )


def _story(walk: Walk, error: Exception) -> str:
    lines = [f"{time:9.3f}  {line}" for time, line in walk.dice.trace]
    again = f"again with: TASKQ_SIM_SEED={walk.dice.seed} python -m pytest tests/sim/test_walk.py"
    cause = f" ({error.__cause__!r})" if error.__cause__ else ""
    return "\n".join(
        [f"seed {walk.dice.seed}: {error}{cause}", *lines, f"seed {walk.dice.seed}: {error}{cause}", again]
    )
