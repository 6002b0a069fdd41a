"""Deletes finished Tasks when their time is over; their Jobs and pods go with them, by owner reference.

The archive is filled by what the operator itself writes, and made anew from a list from time to time, which also
forgets what others deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet

import msgspec

from taskq.clock import Clock
from taskq.cluster.effects import MERGE_PATCH, TASKS
from taskq.cluster.session import Api
from taskq.cluster.waker import Waker
from taskq.domain.archive import Archive, Due, Finished, finished
from taskq.domain.decoding import TaskDecoder
from taskq.domain.deduplication import Deduplication, Ended, Group, note_end
from taskq.domain.model import Key, QueueSpec, Task
from taskq.errors import RequestError

logger = logging.getLogger(__name__)

REQUESTS_IN_FLIGHT = 4
"""Clean-up is never urgent: it must not take the API server's time from launches."""

LONGEST_SLEEP_SECONDS = 60.0
FIRST_SCAN_RETRY_SECONDS = 5.0
"""Tasks with a window wait for the first list, so it is tried again soon."""
TURN = 200


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
        is_needed: Callable[[Key, str], bool],
        keys: Deduplication,
        may_write: Callable[[], bool],
        namespaces: tuple[str, ...],
        scan_seconds: float,
        chunk_size: int,
    ) -> None:
        """``rules_of`` gives a queue's rules, for the Tasks that leave their time to live to it.

        ``is_needed`` says of a Task, by its name and uid, whether it must stay for now. ``keys`` is told what the
        list shows of deduplication keys.
        """
        self._api = api
        self._clock = clock
        self._rules_of = rules_of
        self._is_needed = is_needed
        self._keys = keys
        self._may_write = may_write
        self._paths = [f"{TASKS}/namespaces/{name}/tasks" for name in namespaces] or [f"{TASKS}/tasks"]
        self._scan_seconds = scan_seconds
        self._chunk_size = chunk_size
        self._decode = TaskDecoder(0)
        self._archive = Archive()
        self.scanned = False
        """Whether all finished Tasks were listed at least once."""
        self._waker = Waker()

    def add(self, task: Task) -> None:
        """A Task has ended."""
        rules = self._rules_of(task.queue)
        self._archive.add(finished(task, rules), rules)
        self._waker.wake()

    def knows(self, uid: str) -> bool:
        """Whether it counts this Task among the finished ones."""
        return uid in self._archive

    def counts(self, queue: Key) -> Counter[str]:
        """How many finished Tasks of a queue are kept, by phase."""
        return self._archive.counts(queue)

    def retries_of(self, task: Key) -> AbstractSet[Key]:
        """The finished Tasks that ran this one's Job again."""
        return self._archive.retries_of(task)

    async def run(self) -> None:
        """List, then delete what is due, until cancelled."""
        while True:
            try:
                await self._scan()
            except RequestError as error:
                logger.warning("finished Tasks not listed, clean-up waits: %s", error)
            pause = self._scan_seconds if self.scanned else min(self._scan_seconds, FIRST_SCAN_RETRY_SECONDS)
            scan_again_at = self._clock.uptime() + pause
            while self._clock.uptime() < scan_again_at:
                await self._clean_up()
                await self._waker.rest(self._until_next(scan_again_at - self._clock.uptime()))

    async def _scan(self) -> None:
        """Make the archive anew, without what others deleted meanwhile."""
        before = {known.uid for known in self._archive}
        archive, ends = Archive(), dict[Group, Ended]()
        self._keys.begin()
        for path in self._paths:
            async for task in self._settled(path):
                rules = self._rules_of(task.queue)
                archive.add(finished(task, rules), rules)
                note_end(task, ends)
        for known in self._archive:
            if known.uid not in before:  # it ended while the list was read
                archive.add(known, self._rules_of(known.queue))
        self._archive = archive
        self._keys.complete(ends)
        self.scanned = True

    async def _settled(self, path: str) -> AsyncIterator[Task]:
        token = ""
        while True:
            query = {"fieldSelector": "status.settled=True", "limit": str(self._chunk_size)}
            if token:
                query["continue"] = token
            page = _decode_page((await self._api.request("GET", path, query=query, timeout=60)).checked().body)
            for number, raw in enumerate(page.items, 1):
                yield self._decode(bytes(raw))
                if number % TURN == 0:
                    await asyncio.sleep(0)
            token = page.metadata.token
            if not token:
                return

    async def _clean_up(self) -> None:
        while due := self._archive.take_due(self._clock.now(), REQUESTS_IN_FLIGHT, self._is_needed):
            await asyncio.gather(*(self._deal_with(one) for one in due))

    async def _deal_with(self, due: Due) -> None:
        if not self._may_write():
            return
        try:
            await (self._forget_result(due.finished) if due.forget_result_only else self._delete(due.finished))
        except RequestError as error:
            logger.warning("clean-up of Task %s failed, the next list finds it again: %s", due.finished.task, error)

    async def _delete(self, task: Finished) -> None:
        """Delete this very Task; a new one under its name is left alone by the precondition."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": task.uid}}
        reply = await self._api.request("DELETE", _path(task), body=_encode(body), timeout=30)
        if reply.status not in (404, 409):
            reply.checked()
        self._archive.discard(task.uid)

    async def _forget_result(self, task: Finished) -> None:
        body = {"metadata": {"uid": task.uid}, "status": {"result": None}}
        reply = await self._api.request(
            "PATCH", f"{_path(task)}/status", body=_encode(body), content_type=MERGE_PATCH, timeout=30
        )
        if reply.status not in (404, 409):
            reply.checked()

    def _until_next(self, most: float) -> float:
        due, wait = self._archive.next_due(), min(most, LONGEST_SLEEP_SECONDS)
        return wait if due is None else min(wait, due - self._clock.now())


def _path(task: Finished) -> str:
    return f"{TASKS}/namespaces/{task.task.namespace}/tasks/{task.task.name}"
