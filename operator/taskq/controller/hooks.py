"""Carries out what follows when Tasks have ended, and settles them: outside the queue's way.

Nothing here is waited for by a launch or by a status write. Work waits in lanes: one for Tasks to create, one for each
webhook's target, each with a few places, so that a target that does not answer holds up nothing but its own calls.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from taskq.clock import Clock
from taskq.cluster.effects import MERGE_PATCH, TASKS
from taskq.cluster.session import Api
from taskq.cluster.statuses import write_status
from taskq.cluster.store import Store
from taskq.cluster.waker import Waker
from taskq.cluster.webhooks import Webhooks
from taskq.domain import hooks
from taskq.domain.decoding import TaskDecoder
from taskq.domain.following import HookStatus
from taskq.domain.model import Key, Task
from taskq.errors import ApiError, RequestError
from taskq.resources.common import MAX_RETRY_CHAIN

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""In one lane: what follows an end is never urgent, and must not take the API server's time from launches."""

TROUBLED_SECONDS = 5.0
"""Until a hook is looked at again whose request to the API server, or whose record, came to nothing."""

DEFECT_SECONDS = 60.0
LONGEST_SLEEP_SECONDS = 5.0
CREATE = ""
"""The lane of all that is done at the API server alone. No target can be called so."""

_encode = msgspec.json.Encoder().encode

Item = tuple[Key, str]
"""A Task's name and uid."""


class Told(Protocol):
    """Who is told of what happened, after it stands in the Task's status."""

    def hook_ran(self, task: Task, hook: HookStatus) -> None:
        """A hook is Done, or has Failed for good."""


class _Lane:
    def __init__(self) -> None:
        self.waiting: deque[Item] = deque()
        self.busy = 0


class Hooks:
    """The only writer of the status of Tasks that have ended and are not settled."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        tasks: Store[Task],
        webhooks: Webhooks,
        told: Told,
        *,
        decode_task: TaskDecoder,
        merged: Callable[[Task], Task],
        on_settled: Callable[[Task], None],
        may_write: Callable[[], bool],
        backoff_seconds: float,
        create_timeout: float,
    ) -> None:
        """Nothing is done before :meth:`run`.

        ``merged`` gives a Task with what its template gives it; ``backoff_seconds`` is the wait after the first try
        that failed.
        """
        self._api = api
        self._clock = clock
        self._tasks = tasks
        self._webhooks = webhooks
        self._told = told
        self._decode_task = decode_task
        self._merged = merged
        self._on_settled = on_settled
        self._may_write = may_write
        self._base = backoff_seconds
        self._create_timeout = create_timeout
        self._lanes: dict[str, _Lane] = {CREATE: _Lane()}
        self._lined_up: set[str] = set()
        self._alarms: list[tuple[float, Key, str]] = []
        self._waker = Waker()
        self._running = False

    def on_task(self, task: Task) -> None:
        """A Task has changed."""
        if self._running and _is_due(task):
            self._line_up(task, self._clock.now())
            self._waker.wake()

    async def run(self) -> None:
        """Attend to every Task that has ended and is not settled, until cancelled."""
        self._running = True
        try:
            for task in self._tasks:
                if _is_due(task):
                    self._line_up(task, self._clock.now())
            async with asyncio.TaskGroup() as group:
                while True:
                    self._ring(self._clock.now())
                    for lane in self._lanes.values():
                        while lane.waiting and lane.busy < AT_ONCE:
                            lane.busy += 1
                            group.create_task(self._serve(lane, lane.waiting.popleft()))
                    next_alarm = self._alarms[0][0] - self._clock.now() if self._alarms else LONGEST_SLEEP_SECONDS
                    await self._waker.rest(min(next_alarm, LONGEST_SLEEP_SECONDS))
        finally:
            self._running = False
            await self._webhooks.close()

    # --- whose turn it is ------------------------------------------------------------------------------------------

    def _line_up(self, task: Task, now: float) -> None:
        meta = task.metadata
        if meta.uid in self._lined_up:
            return
        step = hooks.next_step(task, self._base)
        if step.at > now:
            heapq.heappush(self._alarms, (step.at, meta.key, meta.uid))
            return
        self._lined_up.add(meta.uid)
        self._lanes.setdefault(self._lane_of(task, step.entry), _Lane()).waiting.append((meta.key, meta.uid))

    def _lane_of(self, task: Task, hook: HookStatus | None) -> str:
        """Only a target that exists gets a lane: others are recorded as unknown."""
        if hook is None or hook.kind != "Webhook":
            return CREATE
        return hook.name if self._webhooks.target(hook.name, task.metadata.namespace) else CREATE

    def _ring(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            _, key, uid = heapq.heappop(self._alarms)
            task = self._tasks.get(key, uid)
            if task and _is_due(task):
                self._line_up(task, now)

    async def _serve(self, lane: _Lane, item: Item) -> None:
        key, uid = item
        again_in = 0.0
        try:
            task = self._tasks.get(key, uid)
            if task and _is_due(task):
                if self._may_write():
                    await self._attend(task)
                else:
                    again_in = TROUBLED_SECONDS
        except RequestError as error:
            logger.warning("what follows Task %s is tried again: %s", key, error)
            again_in = TROUBLED_SECONDS
        except Exception:  # one that nobody foresaw must not stop the others
            logger.exception("what follows Task %s is passed over for a while", key)
            again_in = DEFECT_SECONDS
        lane.busy -= 1
        self._lined_up.discard(uid)
        now = self._clock.now()
        task = self._tasks.get(key, uid)
        if again_in:
            heapq.heappush(self._alarms, (now + again_in, key, uid))
        elif task and _is_due(task):
            self._line_up(task, now)
        self._waker.wake()

    # --- what is done ----------------------------------------------------------------------------------------------

    async def _attend(self, task: Task) -> None:
        """Try one hook and write down how it went; settle the Task with the last of them."""
        step = hooks.next_step(task, self._base)
        if step.at > self._clock.now():
            return
        if step.entry is None:
            await self._record(task, None)
        elif step.entry.kind == "Task":
            await self._record(task, await self._create(task, step.entry))
        elif step.entry.kind == "DeadLetter":
            await self._record(task, await self._resolve(task, step.entry))
        else:
            await self._record(task, await self._call(task, step.entry))

    async def _create(self, parent: Task, hook: HookStatus) -> HookStatus:
        now = self._clock.now()
        try:
            body = hooks.child_manifest(self._merged(parent), hook)
        except (hooks.ChainTooLongError, LookupError) as never:
            return hooks.after_try(hook, str(never), now, final=True)
        reply = await self._api.request(
            "POST",
            f"{TASKS}/namespaces/{parent.metadata.namespace}/tasks",
            body=body,
            timeout=self._create_timeout + 1.0,
            server_timeout=self._create_timeout,
        )
        if reply.ok:
            return hooks.after_try(hook, "", now, final=True)
        error = reply.error()
        if error.is_already_exists:
            found = await self._read(hooks.child_key(parent, hook))
            if found is None:  # it was there a moment ago
                return hooks.after_try(hook, "", now, final=True)
            fault = "" if hooks.is_ours(parent, found) else f"a Task named {hook.name} exists and is another one"
            return hooks.after_try(hook, fault, now, final=True)
        if error.status >= 500 or error.status in (401, 408, 409, 429):
            raise error
        return hooks.after_try(hook, _refusal(hook, error), now, final=not error.is_forbidden)

    async def _call(self, task: Task, hook: HookStatus) -> HookStatus:
        target = self._webhooks.target(hook.name, task.metadata.namespace)
        if target is None:
            fault = f"spec.{hook.hook}.name: the operator has no webhook target {hook.name} for this namespace"
            return hooks.after_try(hook, fault, self._clock.now(), final=True)
        fault = await self._webhooks.call(target, hooks.call_id(task, hook), hooks.call_body(task, hook))
        return hooks.after_try(hook, fault, self._clock.now(), final=False)

    async def _resolve(self, retry: Task, hook: HookStatus) -> HookStatus:
        """Take the mark of a dead letter from the Task that was run again, and from what that was a retry of."""
        done = hooks.after_try(hook, "", self._clock.now(), final=True)
        key = Key(retry.metadata.namespace, hook.name)
        for _ in range(MAX_RETRY_CHAIN):
            task = await self._read(key)
            if task is None or not task.is_terminal:  # it needs no mark, or is another one
                return done
            body = {
                "metadata": {"uid": task.metadata.uid},
                "status": {"deadLetter": None, "retriedBy": retry.metadata.name},
            }
            path = f"{TASKS}/namespaces/{key.namespace}/tasks/{key.name}/status"
            reply = await self._api.request("PATCH", path, body=_encode(body), content_type=MERGE_PATCH)
            if reply.status not in (404, 409):
                reply.checked()
            if task.spec.retry_of is None:
                return done
            key = Key(key.namespace, task.spec.retry_of.name)
        return done

    async def _record(self, task: Task, hook: HookStatus | None) -> None:
        """Write how a hook went, on top of whatever the Task's status is by now."""
        present: Task | None = task
        while present and present.metadata.uid == task.metadata.uid and _is_due(present):
            entries, done = hooks.merged(present.status.hooks, hook)
            patch: dict[str, object] = {"hooks": entries} if entries else {}
            if done:
                patch["settled"] = "True"
            if not self._may_write():
                return
            if await write_status(self._api, self._tasks, self._decode_task, "tasks", present, patch):
                self._tell(task, hook, done=done)
                return
            present = await self._read(task.metadata.key)

    def _tell(self, task: Task, hook: HookStatus | None, *, done: bool) -> None:
        if hook and hook.state != "Pending":
            self._told.hook_ran(task, hook)
        if done:
            self._on_settled(task)

    async def _read(self, key: Key) -> Task | None:
        reply = await self._api.request("GET", f"{TASKS}/namespaces/{key.namespace}/tasks/{key.name}")
        return None if reply.status == 404 else self._decode_task(reply.checked().body)


def _is_due(task: Task) -> bool:
    return task.is_terminal and task.status.settled != "True" and task.metadata.deletion_timestamp is None


def _refusal(hook: HookStatus, error: ApiError) -> str:
    return f"spec.{hook.hook}: the Task is refused: {error.message or error.body}"
