"""Leader election: one coordination.k8s.io Lease, and a clock that counts suspends.

Two clocks never have to agree. The holder measures from the start of its own renewals; the others
measure how long they have seen the record unchanged; the times written in it are for humans. A record is
only ever replaced under its resourceVersion, so of two that judge it expired one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from taskq.clock import Clock
from taskq.cluster.session import Api, Reply
from taskq.errors import RequestError, Unanswered

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 3600
"""The longest duration believed of somebody else's record: one edited by hand must not stop us for ever."""

RETRY_SECONDS = 0.25
"""Between tries of a renewal that failed: the deadline is near, and one small write is cheap."""

RELEASE_SECONDS = 2.0
"""How long giving back may take: after that the others find out by waiting."""

Record = dict[str, Any]


class Lease:
    """One replica's claim to be the only writer.

    `identity` must be new for every process (pod name and a random part): a restarted process is not
    the holder that it was before.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        jitter: Callable[[], float],
        duration_seconds: float = 8.0,
        renew_every_seconds: float = 2.0,
        renew_deadline_seconds: float = 3.0,
        give_up_seconds: float | None = None,
        standby_poll_seconds: float = 0.5,
    ) -> None:
        """Nothing is requested before `run`. `jitter` returns [0, 1).

        `give_up_seconds` is the age at which the lease counts as lost, by default the renewal deadline.
        A later one only pauses writing at the deadline: a renewal that succeeds after it proves, by the
        resourceVersion that it replaced, that nobody held the lease meanwhile.
        """
        self.lost = asyncio.Event()
        """Set once, for good, when the lease was held and is not any more: the process should end."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._jitter = jitter
        self._duration = duration_seconds
        self._every = renew_every_seconds
        self._deadline = renew_deadline_seconds
        self._give_up = renew_deadline_seconds if give_up_seconds is None else give_up_seconds
        self._poll = standby_poll_seconds
        self._over = asyncio.Event()  # lost or released
        self._writing = asyncio.Lock()  # a renewal and the release must not cross
        self._renewed_at: float | None = None
        self._mine: Record | None = None  # the object as last written by us; None: read it before writing
        self._seen: tuple[object, ...] | None = None  # what others' record said, unchanged since …
        self._seen_at = 0.0
        self._seen_for = duration_seconds  # how long it must stay unchanged to be expired
        self._holder = ""

    @property
    def is_holder(self) -> bool:
        """Whether the lease was acquired and neither lost nor released since."""
        return self._renewed_at is not None and not self._over.is_set()

    @property
    def holder(self) -> str:
        """Identity of the last holder that was seen, empty for none: for logs and metrics."""
        return self._holder

    @property
    def age(self) -> float:
        """Seconds since the START of the last renewal that succeeded; infinite when never held."""
        return math.inf if self._renewed_at is None else self._clock.uptime() - self._renewed_at

    def may_write(self) -> bool:
        """Whether a write begun now comes before any other holder's; ask at every POST."""
        return self.is_holder and self.age < self._deadline

    async def take(self) -> bool:
        """Take the lease if it is free now, and say so; :meth:`run` must follow, since it renews.

        An API server that does not answer counts as not free.
        """
        try:
            async with self._writing:
                return not self._over.is_set() and await self._acquire()
        except RequestError as error:
            logger.warning("cannot read or take the lease: %s", error)
            return False

    async def run(self, on_elected: Callable[[], Awaitable[None]]) -> None:
        """Stand by until the lease is ours, start `on_elected`, renew; returns when lost or released.

        `on_elected` may be short or last as long as the term; it is cancelled when the term ends,
        and what it raises is raised here.
        """

        async def elected() -> None:
            await on_elected()

        if not await self._stand_by() or self._over.is_set():
            return
        logger.info("elected leader as %s", self._identity)
        guards = {asyncio.create_task(self._keep()), asyncio.create_task(self._guard())}
        guards.add(asyncio.create_task(self._ended()))
        tasks = {asyncio.create_task(elected()), *guards}
        running = set(tasks)
        try:
            while guards <= running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def release(self) -> None:
        """Stop renewing and give the lease back, so that the next one need not wait for it to expire.

        Call it when every write has been answered: another holder may write the moment this returns.
        """
        self._over.set()
        async with self._writing:
            if self._renewed_at is None:
                return
            try:
                for _ in range(2):  # the second time with what a human, or an unanswered renewal, left there
                    record = self._mine or await self._read(RELEASE_SECONDS)
                    if record is None or _holder(record) != self._identity:
                        return
                    if await self._write(record, "", RELEASE_SECONDS):
                        logger.info("gave the lease back")
                        return
            except RequestError as error:
                logger.warning("could not give the lease back, it will expire: %s", error)

    async def _ended(self) -> None:
        await self._over.wait()

    async def _guard(self) -> None:
        """Notice the deadline also while a renewal hangs, and soon after a suspend."""
        while (left := self._give_up - self.age) > 0:  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(min(left, self._every / 2))
        self._lose(f"not renewed for {self.age:.1f} s")

    def _lose(self, why: str) -> None:
        if not self._over.is_set():
            logger.error("lost the lease: %s", why)
            self._over.set()
            self.lost.set()

    async def _stand_by(self) -> bool:
        """Return True once the lease is ours, False when released before."""
        complaint = ""
        while not self._over.is_set():
            if self.is_holder:  # taken before
                return True
            try:
                async with self._writing:
                    if not self._over.is_set() and await self._acquire():
                        return True
                complaint = ""
            except RequestError as error:
                if str(error) != complaint:
                    logger.warning("cannot read or take the lease: %s", error)
                complaint = str(error)
            await asyncio.sleep(self._pause())
        return False

    def _pause(self) -> float:
        """Poll soon, and at the moment when the record that we watch expires."""
        poll = self._poll * (1 - self._jitter() / 4)
        left = self._seen_at + self._seen_for - self._clock.uptime() if self._seen else poll
        return min(poll, left) if left > 0 else poll

    async def _acquire(self) -> bool:
        record = await self._read(self._deadline)
        if record is None:
            # Deleted under a holder that we saw: it may write until its deadline, and is likely to be back.
            return self._is_expired() and await self._write(None, self._identity, self._deadline)
        self._observe(record)
        if self._holder not in {"", self._identity} and not self._is_expired():
            return False
        return await self._write(record, self._identity, self._deadline)

    def _observe(self, record: Record) -> None:
        """Start the wait anew when the holder gave a sign of life; a human's edit elsewhere is none."""
        spec = record.get("spec") or {}
        self._holder = _holder(record)
        said = (self._holder, spec.get("renewTime"), spec.get("acquireTime"), spec.get("leaseTransitions"))
        if said == self._seen:
            return
        self._seen, self._seen_at = said, self._clock.uptime()
        duration = spec.get("leaseDurationSeconds")
        asked = min(duration, LONGEST_SECONDS) if isinstance(duration, int) else 0
        self._seen_for = max(self._duration, asked) if self._holder else 0.0

    def _is_expired(self) -> bool:
        return self._seen is None or self._clock.uptime() - self._seen_at >= self._seen_for

    async def _keep(self) -> None:
        """Renew until cancelled; failures are tried again until the deadline ends the term."""
        while not self._over.is_set():
            due = self._every * (1 - self._jitter() / 10) - self.age
            await asyncio.sleep(max(due, RETRY_SECONDS))
            try:
                async with self._writing:
                    await self._renew()
            except RequestError as error:
                logger.warning("renewing the lease failed %.1f s after the last time: %s", self.age, error)

    async def _renew(self) -> None:
        for _ in range(2):
            if self.age >= self._give_up:  # after a suspend we may come here before the guard does
                self._lose(f"not renewed for {self.age:.1f} s")
            if self._over.is_set():
                return
            left = max(min(self._give_up - self.age, self._deadline), RETRY_SECONDS)
            if self._mine is None:
                record = await self._read(left)
                if record is not None and _holder(record) != self._identity:
                    self._holder = _holder(record)
                    self._lose(f"held by {self._holder or 'nobody: somebody cleared it'}")
                    return
                self._mine = record
            if await self._write(self._mine, self._identity, left):
                return

    async def _read(self, timeout: float) -> Record | None:
        """Return the object, None when there is none."""
        reply = await self._api.request("GET", f"{self._collection}/{self._name}", timeout=timeout)
        return None if reply.status == 404 else _object(reply.checked())

    async def _write(self, record: Record | None, holder: str, timeout: float) -> bool:
        """Create the object, or replace the one given; False when it is no longer as given.

        The age counts from before the request: from then on, what others see can only be newer.
        """
        started, wall = self._clock.uptime(), datetime.fromtimestamp(self._clock.now(), UTC)
        body = msgspec.json.encode(self._written(record, holder, wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")))
        method, path = ("PUT", f"{self._collection}/{self._name}") if record else ("POST", self._collection)
        reply = await self._api.request(method, path, body=body, timeout=timeout, server_timeout=timeout)
        if reply.status in {404, 409} and (record or reply.status == 409):
            self._mine = None
            return False
        self._mine = _object(reply.checked())
        self._holder = holder
        if holder:
            self._renewed_at = started
        return True

    def _written(self, record: Record | None, holder: str, now: str) -> Record:
        """Return the object to write; what is not ours in it, such as labels, stays."""
        fresh = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
        }
        spec = dict((record or {}).get("spec") or {})
        if not record or _holder(record) != holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + (1 if record and holder else 0)
        spec |= {
            "holderIdentity": holder,
            "leaseDurationSeconds": math.ceil(self._duration),
            "renewTime": now,
        }
        return {**(record or fresh), "spec": spec}


def _holder(record: Record) -> str:
    return str((record.get("spec") or {}).get("holderIdentity") or "")


def _object(reply: Reply) -> Record:
    try:
        return msgspec.json.decode(reply.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unanswered(f"not a Lease: {reply.body[:80]!r}") from error
