"""Creates the Tasks of Schedules when they are due: carries out what is decided about each of them.

A pass deals with one Schedule: decide, do, write its status. Passes are made when something happened to a Schedule or
to its Tasks, and at the moment that the last pass named; ten thousand Schedules of which none is due cost nothing.
Many passes go on side by side, one at most for each Schedule.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

import msgspec

from taskq.clock import Clock
from taskq.cluster.effects import MERGE_PATCH, TASKS
from taskq.cluster.gate import Gate
from taskq.cluster.scheduled import TasksByOwner, decode_schedule, decode_scheduled_task
from taskq.cluster.session import Api, Reply
from taskq.cluster.statuses import write_status
from taskq.cluster.store import Store
from taskq.cluster.waker import Waker
from taskq.domain.model import Key, Task
from taskq.domain.schedules.decide import Refusal, ScheduleDecision, ScheduleView, decide_schedule
from taskq.domain.schedules.objects import Schedule, ScheduledTask, task_key, task_manifest
from taskq.domain.schedules.runs import Action, CancelTask, CreateTask, DeleteTask, TaskFact
from taskq.domain.schedules.spec import LedgerEntry, Trigger
from taskq.domain.schedules.ticks import compile_plan, fire_time
from taskq.errors import ApiError, RequestError, TaskQError
from taskq.resources.common import BACKFILL_ANNOTATION, RUN_NOW_ANNOTATION

logger = logging.getLogger(__name__)

REQUESTS_AT_ONCE = 16
PASSES_AT_ONCE = 2_000
"""Each holds a decision of a few kilobytes; more than these are due at once only at the start."""
PASSES_IN_A_ROW = 8
"""Decisions made before other parts of the program get their turn."""
LONGEST_SLEEP_SECONDS = 5.0
"""Also without any event the clocks are compared this often: the wall clock may have been set meanwhile."""
CLOCK_STEP_SECONDS = 5.0
"""A wall clock that moved this much against the time that passed was set: everything is decided anew."""
REFUSED_SECONDS = 30.0
"""Between two tries to create a Task that the API server refuses, unless the Schedule is changed."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between passes that came to nothing, one after another."""

CREATE, CANCEL, WRITE, DELETE = range(4)
"""What goes first when requests wait for their turn: a Task that is due before all that is written about others."""

_encode = msgspec.json.Encoder().encode


class _AbandonedError(TaskQError):
    """The pass ends here: what it was decided on has changed, or this process may not write any more."""


class Told(Protocol):
    """Who is told of what happened, after the write that made it true."""

    def schedule_known(self, schedule: Key) -> None:
        """There is such a Schedule."""

    def schedule_gone(self, schedule: Key) -> None:
        """There is no such Schedule any more."""

    def schedule_ran(self, schedule: Schedule, entry: LedgerEntry) -> None:
        """A run was started, or ticks were skipped."""

    def schedule_missed(self, schedule: Schedule, count: int) -> None:
        """Ticks were missed, or given up, and are not made up for."""

    def schedule_lagged(self, seconds: float) -> None:
        """A Task was created so long after its moment."""


class Schedules:
    """The only writer of Schedules' statuses."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        unfinished: Store[Task],
        told: Told,
        *,
        may_write: Callable[[], bool],
        is_needed: Callable[[Key, str], bool],
        create_timeout: float,
        request_timeout: float,
    ) -> None:
        """Nothing is created before :meth:`run`; timeouts in seconds. ``unfinished`` are the Tasks of the queues.

        ``is_needed`` says of a finished Task, by its name and uid, whether it must stay for now.
        """
        self.schedules: Store[Schedule] = Store(self._on_schedule)
        self.tasks: Store[ScheduledTask] = Store(self._on_task)
        self._owned = TasksByOwner()
        self._api = api
        self._clock = clock
        self._unfinished = unfinished
        self._told = told
        self._may_write = may_write
        self._is_needed = is_needed
        self._create_timeout = create_timeout
        self._timeout = request_timeout
        self._gate = Gate(REQUESTS_AT_ONCE)
        self._waker = Waker()
        self._by_uid: dict[str, Key] = {}
        self._due: dict[Key, None] = {}
        self._at_work: set[Key] = set()
        self._alarms: list[tuple[float, Key]] = []
        self._alarm_of: dict[Key, float] = {}
        self._tries: dict[Key, int] = {}
        self._refused: dict[str, tuple[int, Refusal]] = {}
        self._taken: defaultdict[str, set[str]] = defaultdict(set)
        self._drift = 0.0

    # --- what happens ----------------------------------------------------------------------------------------------

    def _on_schedule(self, old: Schedule | None, new: Schedule | None) -> None:
        if old and (new is None or new.metadata.uid != old.metadata.uid):
            self._forget(old)
        if new is None:
            return
        self._told.schedule_known(new.metadata.key)
        self._by_uid[new.metadata.uid] = new.metadata.key
        if old is None or _asks(old) != _asks(new):
            self._tries.pop(new.metadata.key, None)
            self._wake(new.metadata.key)

    def _forget(self, schedule: Schedule) -> None:
        meta = schedule.metadata
        for known in (self._by_uid, self._refused, self._taken):
            known.pop(meta.uid, None)
        for awaited in (self._due, self._alarm_of, self._tries):
            awaited.pop(meta.key, None)
        self._told.schedule_gone(meta.key)

    def _on_task(self, old: ScheduledTask | None, new: ScheduledTask | None) -> None:
        self._owned.change(old, new)
        if (
            old is None
            or (old.fact.finished and old.fact.settled)
            or (new and not new.fact.finished and new.owner == old.owner)
        ):
            return
        key = self._by_uid.get(old.owner)
        if key:
            self._wake(key)

    def _wake(self, key: Key) -> None:
        self._due[key] = None
        self._waker.wake()

    # --- when ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deal with whatever is due until cancelled; a Schedule that fails does not stop the others."""
        self._drift = self._clock.now() - self._clock.uptime()
        for schedule in self.schedules:
            self._due[schedule.metadata.key] = None
        async with asyncio.TaskGroup() as group:
            while True:
                await self._begin(group)
                await self._waker.rest(self._rest())

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Begin a pass for each Schedule that is due and not at work."""
        self._ring()
        begun = 0
        for key in list(self._due):
            if len(self._at_work) >= PASSES_AT_ONCE:
                return
            if key in self._at_work:
                continue
            self._due.pop(key, None)
            self._at_work.add(key)
            group.create_task(self._pass(key))
            begun += 1
            if begun % PASSES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    def _ring(self) -> None:
        """Take in the alarms whose time has come; all Schedules when the wall clock was set."""
        now = self._clock.now()
        drift = now - self._clock.uptime()
        if abs(drift - self._drift) > CLOCK_STEP_SECONDS:
            logger.warning("the wall clock was set by %+.0f s; all Schedules are decided anew", drift - self._drift)
            for schedule in self.schedules:
                self._due[schedule.metadata.key] = None
        self._drift = drift
        while self._alarms and self._alarms[0][0] <= now:
            moment, key = heapq.heappop(self._alarms)
            if self._alarm_of.get(key) == moment:
                del self._alarm_of[key]
                self._due[key] = None

    def _rest(self) -> float:
        if not self._alarms:
            return LONGEST_SLEEP_SECONDS
        return min(self._alarms[0][0] - self._clock.now(), LONGEST_SLEEP_SECONDS)

    def _set_alarm(self, key: Key, moment: float) -> None:
        self._alarm_of[key] = moment
        heapq.heappush(self._alarms, (moment, key))
        if self._alarms[0][1] == key:
            self._waker.wake()

    # --- one pass --------------------------------------------------------------------------------------------------

    async def _pass(self, key: Key) -> None:
        wake_at: float | None = None
        try:
            wake_at = await self._attend(key)
            self._tries.pop(key, None)
        except _AbandonedError:
            wake_at = self._later(key)
        except RequestError as error:
            logger.warning("Schedule %s is tried again: %s", key, error)
            wake_at = self._later(key)
        except Exception:  # one that nobody foresaw must not stop the others
            logger.exception("Schedule %s is passed over", key)
            wake_at = self._clock.now() + PAUSES[-1]
        finally:
            self._at_work.discard(key)
            if self._due:
                self._waker.wake()
        if wake_at is not None and self.schedules.get(key):
            self._set_alarm(key, wake_at)

    def _later(self, key: Key) -> float:
        tries = self._tries.get(key, 0)
        self._tries[key] = tries + 1
        return self._clock.now() + PAUSES[min(tries, len(PAUSES) - 1)]

    async def _attend(self, key: Key) -> float | None:
        """Decide and do; return when to decide again."""
        schedule = self.schedules.get(key)
        if schedule is None or schedule.metadata.deletion_timestamp:
            return None
        now = self._clock.now()
        decision = decide_schedule(self._view(schedule, now), now)
        if not decision.actions and decision.patch is None:
            return now + PAUSES[0] if decision.wake_at == now else decision.wake_at
        if not await self._carry_out(schedule, decision):
            return now
        return decision.wake_at

    def _view(self, schedule: Schedule, now: float) -> ScheduleView:
        meta = schedule.metadata
        generation, refusal = self._refused.get(meta.uid, (0, None))
        if refusal and (generation != meta.generation or refusal.retry_at <= now):
            del self._refused[meta.uid]
            refusal = None
        return ScheduleView(
            name=meta.name,
            uid=meta.uid,
            generation=meta.generation,
            created=meta.created,
            spec=schedule.spec,
            status=schedule.status,
            tasks=tuple(self._tasks_of(schedule)),
            taken=frozenset(self._taken.get(meta.uid, ())),
            run_now=meta.annotations.get(RUN_NOW_ANNOTATION, ""),
            backfill=meta.annotations.get(BACKFILL_ANNOTATION, ""),
            refusal=refusal,
        )

    def _tasks_of(self, schedule: Schedule) -> list[TaskFact]:
        """Its Tasks; an unfinished one that lost its label is still found by its name."""
        found = list(self._owned.of(schedule.metadata.uid))
        names = {task.name for task in found}
        for run in schedule.status.active:
            task = self._unfinished.get(Key(schedule.metadata.namespace, run.task_name))
            if task and run.task_name not in names:
                found.append(TaskFact(run.task_name, task.metadata.uid, task.status.phase))
        return found

    async def _carry_out(self, schedule: Schedule, decision: ScheduleDecision) -> bool:
        """Do all of it, in the order that the decision asks for; False when it must be decided anew at once."""
        creates = [action for action in decision.actions if isinstance(action, CreateTask)]
        results = await asyncio.gather(*(self._create(schedule, action) for action in creates), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if not all(results):
            return False
        for action in decision.actions:
            if isinstance(action, CancelTask):
                await self._cancel(schedule, action)
        if decision.patch is not None:
            await self._write(schedule, decision)
        for action in decision.actions:
            if isinstance(action, DeleteTask):
                await self._delete(schedule, action)
        return True

    def _check(self, schedule: Schedule) -> None:
        """Before each request: is this still the Schedule that was decided on, and may anything be written?"""
        meta = schedule.metadata
        present = self.schedules.get(meta.key, meta.uid)
        if present is None or _asks(present) != _asks(schedule) or not self._may_write():
            raise _AbandonedError

    # --- effects ---------------------------------------------------------------------------------------------------

    async def _create(self, schedule: Schedule, action: CreateTask) -> bool:
        """Create a Task; False when it can't be: then it is known why, and decided anew.

        If this process dies in between, the next one computes the same name and meets 409.
        """
        async with self._gate.turn(CREATE):
            self._check(schedule)
            reply = await self._api.request(
                "POST",
                f"{TASKS}/namespaces/{schedule.metadata.namespace}/tasks",
                body=task_manifest(schedule, action),
                timeout=self._create_timeout + 1.0,
                server_timeout=self._create_timeout,
            )
        if reply.ok:
            self.tasks.apply(decode_scheduled_task(reply.body))
            self._measure(schedule, action)
            return True
        error = reply.error()
        if error.is_already_exists:
            return await self._look_up(schedule, action)
        if error.status >= 500 or error.status in (401, 408, 409, 429):
            raise error
        self._refuse(schedule, error)
        return False

    async def _look_up(self, schedule: Schedule, action: CreateTask) -> bool:
        """Whose the Task is that has the name already."""
        async with self._gate.turn(CREATE):
            reply = await self._api.request("GET", _path(task_key(schedule, action)), timeout=self._timeout)
        task = decode_scheduled_task(reply.checked().body)
        if task.owner == schedule.metadata.uid:
            self.tasks.apply(task)
            return True
        self._taken[schedule.metadata.uid].add(action.name)
        return False

    def _refuse(self, schedule: Schedule, error: ApiError) -> None:
        meta = schedule.metadata
        logger.warning("a Task of Schedule %s is refused: %s", meta.key, error)
        refusal = Refusal(error.message or error.body, self._clock.now() + REFUSED_SECONDS)
        self._refused[meta.uid] = (meta.generation, refusal)

    def _measure(self, schedule: Schedule, action: CreateTask) -> None:
        if action.trigger != Trigger.TICK:
            return
        meta, moment = schedule.metadata, float(action.scheduled)
        if schedule.spec.jitter_seconds:
            plan = compile_plan(schedule.spec, meta.created)
            moment = fire_time(plan, action.scheduled, schedule.spec.jitter_seconds, meta.uid)
        self._told.schedule_lagged(max(0.0, self._clock.now() - moment))

    async def _cancel(self, schedule: Schedule, action: CancelTask) -> None:
        """Ask a Task to stop; one that is gone, or has ended and can't be changed any more, needs no asking."""
        body = {
            "metadata": {"uid": action.uid},
            "spec": {"cancellation": {"mode": action.mode, "reason": action.reason}},
        }
        reply = await self._request(schedule, CANCEL, "PATCH", action, _encode(body))
        if reply.status not in (404, 409, 422):
            self.tasks.apply(decode_scheduled_task(reply.checked().body))

    async def _delete(self, schedule: Schedule, action: DeleteTask) -> None:
        """Delete this very Task, unless others need it; a new one under its name is left alone by the precondition."""
        if self._is_needed(Key(schedule.metadata.namespace, action.name), action.uid):
            return  # the next pass asks again
        body = {"propagationPolicy": "Background", "preconditions": {"uid": action.uid}}
        reply = await self._request(schedule, DELETE, "DELETE", action, _encode(body))
        if reply.status not in (404, 409):
            reply.checked()

    async def _request(self, schedule: Schedule, rank: int, method: str, action: Action, body: bytes) -> Reply:
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        async with self._gate.turn(rank):
            self._check(schedule)
            return await self._api.request(
                method,
                _path(Key(schedule.metadata.namespace, action.name)),
                body=body,
                content_type=content_type,
                timeout=self._timeout,
            )

    async def _write(self, schedule: Schedule, decision: ScheduleDecision) -> None:
        async with self._gate.turn(WRITE):
            self._check(schedule)
            patch = decision.patch or {}
            stands = await write_status(self._api, self.schedules, decode_schedule, "schedules", schedule, patch)
        if not stands:
            raise _AbandonedError
        missed = patch.get("missedRuns", schedule.status.missed_runs) - schedule.status.missed_runs
        if missed > 0:
            self._told.schedule_missed(schedule, missed)
        for entry in decision.news:
            self._told.schedule_ran(schedule, entry)
            logger.info("Schedule %s: %s", schedule.metadata.key, _line(entry))


def _asks(schedule: Schedule) -> tuple[object, ...]:
    """What people say of a Schedule: all else in it is written by the operator."""
    meta = schedule.metadata
    asked = (meta.annotations.get(RUN_NOW_ANNOTATION), meta.annotations.get(BACKFILL_ANNOTATION))
    return (meta.uid, meta.generation, meta.deletion_timestamp, *asked)


def _line(entry: LedgerEntry) -> str:
    what = f"created Task {entry.task_name}" if entry.task_name else f"skipped {entry.count} ({entry.reason})"
    return f"{what} for {entry.scheduled_time:%Y-%m-%dT%H:%M:%SZ} by {entry.trigger}"


def _path(task: Key) -> str:
    return f"{TASKS}/namespaces/{task.namespace}/tasks/{task.name}"
