"""Creates the Tasks of Schedules when they are due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from taskq.clock import Clock
from taskq.cluster.effects import TASKS
from taskq.cluster.session import Api
from taskq.cluster.statuses import write_status
from taskq.cluster.store import Store, decode_schedule
from taskq.cluster.waker import Waker
from taskq.domain.model import Key, Schedule, Task
from taskq.domain.reasons import Reason, message
from taskq.domain.schedule import schedule_patch, task_manifest, task_name, tick
from taskq.errors import RequestError

logger = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 5.0
"""Also without any event a round is made this often: the wall clock may have been set meanwhile."""

RETRY_SECONDS = 30.0
"""Between two tries to create a Task that the API server refuses, unless the Schedule is changed."""


class Schedules:
    """The only writer of Schedules' statuses."""

    def __init__(
        self, api: Api, schedules: Store[Schedule], tasks: Store[Task], clock: Clock, *, may_write: Callable[[], bool]
    ) -> None:
        """Nothing is created before :meth:`run`."""
        self._api = api
        self._schedules = schedules
        self._tasks = tasks
        self._clock = clock
        self._may_write = may_write
        self._waker = Waker()
        self._refused: dict[tuple[str, int], float] = {}

    def wake(self) -> None:
        """A Schedule changed, or one of their Tasks ended."""
        self._waker.wake()

    async def run(self) -> None:
        """Create what is due until cancelled; a Schedule that fails does not stop the others."""
        while True:
            for schedule in list(self._schedules):
                try:
                    await self._attend(schedule)
                except RequestError as error:
                    logger.warning("Schedule %s is tried again: %s", schedule.metadata.key, error)
                except Exception:  # one that nobody foresaw must not stop the others
                    logger.exception("Schedule %s is passed over", schedule.metadata.key)
            now = self._clock.now()
            following = min((tick(schedule, now).following for schedule in self._schedules), default=None)
            wait = LONGEST_SLEEP_SECONDS if following is None else following - now
            await self._waker.rest(min(wait, LONGEST_SLEEP_SECONDS))

    async def _attend(self, schedule: Schedule) -> None:
        now = self._clock.now()
        due = tick(schedule, now).due
        if not self._may_write():
            return
        if due is None:
            await self._write(schedule, schedule_patch(schedule, now, fault=self._old_fault(schedule)))
        elif self._is_running(schedule):
            logger.info("Schedule %s: its last Task still runs, tick %d is skipped", schedule.metadata.key, due)
            await self._write(schedule, schedule_patch(schedule, now, done=due))
        elif now >= self._refused.get((schedule.metadata.uid, schedule.metadata.generation), 0.0):
            await self._create(schedule, due, now)

    async def _create(self, schedule: Schedule, due: int, now: float) -> None:
        """Create the tick's Task, then write down that it is done.

        If this process dies in between, the next one computes the same name and meets 409.
        """
        meta = schedule.metadata
        body = task_manifest(schedule, due)
        reply = await self._api.request("POST", f"{TASKS}/namespaces/{meta.namespace}/tasks", body=body)
        error = None if reply.ok else reply.error()
        if error is None or error.is_already_exists:
            await self._write(schedule, schedule_patch(schedule, now, done=due, created=task_name(schedule, due)))
        elif error.status < 500 and error.status not in (401, 409, 429):
            self._refused[meta.uid, meta.generation] = now + RETRY_SECONDS
            fault = message(Reason.TASK_REFUSED, message=error.message or error.body)
            await self._write(schedule, schedule_patch(schedule, now, fault=fault))
        else:
            raise error

    def _is_running(self, schedule: Schedule) -> bool:
        """Whether the last Task is unfinished: finished ones are not kept in memory, or say so."""
        task = self._tasks.get(Key(schedule.metadata.namespace, schedule.status.last_task_name))
        return task is not None and not task.is_terminal

    def _old_fault(self, schedule: Schedule) -> str:
        """A refusal stands until the Schedule is changed or the next Task is taken."""
        if schedule.status.observed_generation != schedule.metadata.generation:
            return ""
        return next((c.message for c in schedule.status.conditions if c.type == "Stalled"), "")

    async def _write(self, schedule: Schedule, patch: dict[str, Any] | None) -> None:
        if patch:
            await write_status(self._api, self._schedules, decode_schedule, "schedules", schedule, patch)
