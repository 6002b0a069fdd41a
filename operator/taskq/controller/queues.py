"""Writes the status of every TaskQueue, at most once in its interval, and only when it says something new."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from taskq.clock import Clock
from taskq.cluster.retention import Retention
from taskq.cluster.session import Api
from taskq.cluster.statuses import write_status
from taskq.cluster.store import Store
from taskq.controller.observer import Observer
from taskq.domain import stuck
from taskq.domain.board import Board
from taskq.domain.decoding import decode_queue
from taskq.domain.model import Key, Queue, Task
from taskq.domain.queue_status import queue_patch, stops_accepting
from taskq.domain.requests import OpenRequests
from taskq.domain.stuck_queue import QuietQueues
from taskq.domain.tally import Tally
from taskq.errors import RequestError

logger = logging.getLogger(__name__)


class QueueStatuses:
    """The only writer of TaskQueues' statuses."""

    def __init__(
        self,
        api: Api,
        board: Board,
        queues: Store[Queue],
        retention: Retention,
        observer: Observer,
        clock: Clock,
        *,
        may_write: Callable[[], bool],
        every_seconds: float,
    ) -> None:
        """Nothing is written before :meth:`run`."""
        self._api = api
        self._board = board
        self._queues = queues
        self._retention = retention
        self._observer = observer
        self._quiet = QuietQueues(board)
        self._clock = clock
        self._may_write = may_write
        self._every = every_seconds
        self._tally = Tally()
        self._stopping: dict[Key, float] = {}
        """When the queues that are about to accept no more may say so, epoch seconds."""
        self._asked = OpenRequests()

    async def run(self) -> None:
        """Compare and write until cancelled."""
        while True:
            await self.write_all()
            await asyncio.sleep(min(self._every, self._next_due()))

    async def write_all(self) -> None:
        """Bring every status up to date; what can't be written now is left for the next time."""
        queues = list(self._queues)
        self._stopping = self._still_stopping(queues, self._clock.now())
        self._asked.look(queues, self._clock.now(), self._clock.uptime())
        for queue in queues:
            try:
                await self._attend(queue)
            except RequestError as error:
                logger.warning("status of TaskQueue %s not written: %s", queue.metadata.key, error)
            except Exception:  # one that nobody foresaw must not stop the others
                logger.exception("TaskQueue %s is passed over", queue.metadata.key)

    def ended(self, task: Task) -> None:
        """A Task has ended; its status says so."""
        self._tally.ended(task.queue, task.status.phase, task.metadata.uid)

    async def _attend(self, queue: Queue) -> None:
        state = self._board.queues.find(queue.metadata.key)
        now = self._clock.now()
        if state is None or not self._may_write() or now < self._stopping.get(queue.metadata.key, now):
            return
        kept = self._retention.counts(queue.metadata.key)
        fault = self._board.queues.fault_of(state)
        untold = (uid for uid in state.members if self._retention.knows(uid))
        totals = self._tally.totals(queue, kept, untold) if self._retention.scanned else None
        why = self._quiet.judge(queue, state, now)
        patch = queue_patch(
            queue,
            state.counts(),
            kept,
            state.last_start,
            now,
            totals=totals,
            fault=fault,
            stuck=why,
            asked=self._asked.due(queue, self._clock.uptime()),
        )
        if not patch or not await write_status(self._api, self._queues, decode_queue, "taskqueues", queue, patch):
            return
        if note := stuck.note(queue.condition(stuck.STUCK), why):
            self._observer.queue_told(queue, note)

    def _still_stopping(self, queues: list[Queue], now: float) -> dict[Key, float]:
        """Each at the beginning of the second after it was first seen; a clock that was set back begins anew."""
        soon = math.floor(now) + 1
        stopping = (queue.metadata.key for queue in queues if stops_accepting(queue))
        return {key: min(self._stopping.get(key, soon), soon) for key in stopping}

    def _next_due(self) -> float:
        """Seconds until something may be written that has to wait for the end of a second; infinite for nothing."""
        now, uptime = self._clock.now(), self._clock.uptime()
        asked = self._asked.next_due(uptime)
        soon = [at - now for at in self._stopping.values() if at > now]
        return min([*soon, math.inf if asked is None else asked - uptime])
