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


class Dispatcher:
    """Runs while this replica leads."""

    def __init__(
        self,
        board: Board,
        effects: Effects,
        clock: Clock,
        *,
        measure: Callable[[float], None] = lambda _: None,
    ) -> None:
        """``measure`` is given the duration of each pass in seconds."""
        self._board = board
        self._effects = effects
        self._clock = clock
        self._measure = measure
        self._waker = Waker()
        self._running: set[asyncio.Task[None]] = set()
        self._passed_at = clock.uptime()
        self.stopping = False

    def wake(self) -> None:
        """Something changed."""
        self._waker.wake()

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
                started = self._clock.uptime()
                plan = self._board.plan(self._clock.now())
                for action in plan.actions:
                    self._start(action)
                self._passed_at = self._clock.uptime()
                self._measure(self._passed_at - started)
                wait = LONGEST_SLEEP_SECONDS if plan.wake_at is None else plan.wake_at - self._clock.now()
                await self._waker.rest(min(wait, LONGEST_SLEEP_SECONDS))
            await self._finish()
        finally:
            for task in self._running:
                task.cancel()

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
