"""Deletes finished Tasks when their time to live is over; their Jobs and pods go with them, by owner reference.

Finished Tasks are not kept in memory. This index has for each only what a deletion needs; it is filled by what the
operator itself writes, and made anew from a list from time to time, which also forgets what others deleted.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from taskq.clock import Clock
from taskq.cluster.effects import TASKS
from taskq.cluster.session import Api
from taskq.cluster.store import TaskDecoder
from taskq.cluster.waker import Waker
from taskq.domain import policy
from taskq.domain.model import Key, QueueSpec, Task, seconds
from taskq.errors import RequestError

logger = logging.getLogger(__name__)

DELETES_IN_FLIGHT = 4
"""Clean-up is never urgent: it must not take the API server's time from launches."""

LONGEST_SLEEP_SECONDS = 60.0
TURN = 200


class Finished(NamedTuple):
    """A finished Task; ``expires`` is epoch seconds."""

    expires: float
    uid: str
    task: Key
    queue: Key
    phase: str


class _Meta(msgspec.Struct):
    token: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw] = []


_decode_page = msgspec.json.Decoder(_Page).decode
_encode = msgspec.json.Encoder().encode


class Retention:
    """The index, and the loop that deletes."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        rules_of: Callable[[Key], QueueSpec],
        may_write: Callable[[], bool],
        namespaces: tuple[str, ...],
        scan_seconds: float,
        chunk_size: int,
    ) -> None:
        """``rules_of`` gives a queue's rules, for the Tasks that leave their time to live to it."""
        self._api = api
        self._clock = clock
        self._rules_of = rules_of
        self._may_write = may_write
        self._paths = [f"{TASKS}/namespaces/{name}/tasks" for name in namespaces] or [f"{TASKS}/tasks"]
        self._scan_seconds = scan_seconds
        self._chunk_size = chunk_size
        self._decode = TaskDecoder(0)
        self._index: dict[str, Finished] = {}
        self._counts: dict[Key, Counter[str]] = {}
        self._due: list[tuple[float, str]] = []
        self._waker = Waker()

    def add(self, task: Task) -> None:
        """A Task has ended."""
        finished = self._finished(task)
        if finished.uid in self._index:
            return
        self._index[finished.uid] = finished
        self._count(finished, 1)
        heapq.heappush(self._due, (finished.expires, finished.uid))
        self._waker.wake()

    def counts(self, queue: Key) -> Counter[str]:
        """How many finished Tasks of a queue are kept, by phase."""
        return self._counts.get(queue, Counter())

    async def run(self) -> None:
        """List, then delete what is due, until cancelled."""
        while True:
            try:
                await self._scan()
            except RequestError as error:
                logger.warning("finished Tasks not listed, clean-up waits: %s", error)
            scan_again_at = self._clock.uptime() + self._scan_seconds
            while self._clock.uptime() < scan_again_at:
                await self._delete_due()
                await self._waker.rest(self._until_next(scan_again_at - self._clock.uptime()))

    async def _scan(self) -> None:
        index: dict[str, Finished] = {}
        before = dict(self._index)
        for path in self._paths:
            token = ""
            while True:
                query = {"fieldSelector": "status.settled=True", "limit": str(self._chunk_size)}
                if token:
                    query["continue"] = token
                page = _decode_page((await self._api.request("GET", path, query=query, timeout=60)).checked().body)
                for number, raw in enumerate(page.items, 1):
                    finished = self._finished(self._decode(bytes(raw)))
                    index[finished.uid] = finished
                    if number % TURN == 0:
                        await asyncio.sleep(0)
                token = page.metadata.token
                if not token:
                    break
        added = {uid: finished for uid, finished in self._index.items() if uid not in before}
        self._index = index | added  # what ended while the list was read
        self._due = [(finished.expires, uid) for uid, finished in self._index.items()]
        heapq.heapify(self._due)
        self._counts = {}
        for finished in self._index.values():
            self._count(finished, 1)

    def _count(self, finished: Finished, change: int) -> None:
        self._counts.setdefault(finished.queue, Counter())[finished.phase] += change

    def _finished(self, task: Task) -> Finished:
        meta = task.metadata
        succeeded = task.status.phase == "Succeeded"
        ended = seconds(task.status.completion_time) if task.status.completion_time else meta.created
        kept = policy.ttl_seconds(task, self._rules_of(task.queue), succeeded=succeeded)
        return Finished(ended + kept, meta.uid, meta.key, task.queue, task.status.phase)

    async def _delete_due(self) -> None:
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            batch: list[Finished] = []
            while self._due and self._due[0][0] <= now and len(batch) < DELETES_IN_FLIGHT:
                uid = heapq.heappop(self._due)[1]
                if uid in self._index:
                    batch.append(self._index[uid])
            await asyncio.gather(*(self._delete(finished) for finished in batch))

    async def _delete(self, finished: Finished) -> None:
        """Delete this very Task; a new one under its name is left alone by the precondition."""
        if not self._may_write():
            return
        body = {"propagationPolicy": "Background", "preconditions": {"uid": finished.uid}}
        path = f"{TASKS}/namespaces/{finished.task.namespace}/tasks/{finished.task.name}"
        try:
            reply = await self._api.request("DELETE", path, body=_encode(body), timeout=30)
            if reply.status not in (404, 409):
                reply.checked()
        except RequestError as error:
            logger.warning("finished Task %s not deleted, the next list finds it again: %s", finished.task, error)
        if self._index.pop(finished.uid, None):
            self._count(finished, -1)

    def _until_next(self, most: float) -> float:
        wait = min(most, LONGEST_SLEEP_SECONDS)
        return min(wait, self._due[0][0] - self._clock.now()) if self._due else wait
