"""The loop: plan, act, and wait for the next event or due time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from taskq.clock import Clock
from taskq.cluster.effects import Effects
from taskq.cluster.waker import Waker
from taskq.domain.actions import Action
from taskq.domain.board import Board

logger = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 5.0
"""Also without any event a pass is made this often: the wall clock may have been set meanwhile."""


LEASE_POLL_SECONDS = 0.2

SOON_SECONDS = 0.1
"""How long a pass waits for more when nothing can start or end by it: a Task's life brings a dozen events, most of them
for the record, and a pass for each was a quarter of the operator's CPU time."""


class Dispatcher:
    """Runs while this replica leads."""

    def __init__(
        self,
        board: Board,
        effects: Effects,
        clock: Clock,
        *,
        may_act: Callable[[], bool] = lambda: True,
        measure: Callable[[float], None] = lambda _: None,
        on_defect: Callable[[], None] = lambda: None,
    ) -> None:
        """``may_act`` is false while the lease is not renewed; ``measure`` gets each pass's duration in seconds.

        ``on_defect`` is called for each Task that could not be decided on.
        """
        self._board = board
        self._effects = effects
        self._clock = clock
        self._may_act = may_act
        self._measure = measure
        self._on_defect = on_defect
        self._waker = Waker()
        self._running: set[asyncio.Task[None]] = set()
        self._passed_at = clock.uptime()
        self._soon: asyncio.TimerHandle | None = None
        self.stopping = False

    def wake(self) -> None:
        """Something changed: a pass is made at once if it may start or end something, else soon."""
        if self.stopping or self._board.is_pressed:
            self._waker.wake()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON_SECONDS, self._waker.wake)

    @property
    def idle_for(self) -> float:
        """Seconds since the last pass."""
        return self._clock.uptime() - self._passed_at

    @property
    def in_flight(self) -> int:
        """Effects under way."""
        return len(self._running)

    async def run(self) -> None:
        """Plan and act until :attr:`stopping` is set, or cancelled; then what is under way is given up."""
        self._passed_at = self._clock.uptime()
        try:
            while not self.stopping:
                if self._may_act():
                    wake_at = self._pass()
                    wait = LONGEST_SLEEP_SECONDS if wake_at is None else wake_at - self._clock.now()
                    await self._waker.rest(min(wait, LONGEST_SLEEP_SECONDS))
                else:  # whatever were planned now, nothing of it could be sent
                    await asyncio.sleep(LEASE_POLL_SECONDS)
            await self._finish()
        finally:
            for task in self._running:
                task.cancel()

    def _pass(self) -> float | None:
        """One pass; returns when the next one is due, epoch seconds."""
        started = self._clock.uptime()
        if self._soon:
            self._soon.cancel()
            self._soon = None
        plan = self._board.plan(self._clock.now())
        for key, error in plan.defects:
            logger.error("Task %s can't be decided on and is passed over for a while", key, exc_info=error)
            self._on_defect()
        for action in plan.actions:
            self._start(action)
        self._passed_at = self._clock.uptime()
        self._measure(self._passed_at - started)
        return plan.wake_at

    async def _finish(self) -> None:
        """Let what is under way come to its end: nothing new is begun."""
        while self._running:
            await asyncio.wait(self._running)

    def _start(self, action: Action) -> None:
        task = asyncio.create_task(self._perform(action))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _perform(self, action: Action) -> None:
        await self._effects.perform(action)
        self.wake()
