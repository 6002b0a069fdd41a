"""Whatever the order of writes, lags, cuts, expiries and lists, the store ends equal and never goes back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from taskq.cluster.informer import Informer, Source
from taskq.errors import ApiError, NotSent, Unanswered
from unit.cluster.doubles import Collection, LoopClock, failure, settle, stop, virtual
from unit.cluster.test_informer import Store

NAMES = [f"object-{n}" for n in range(12)]
FAULTS = ("cut", "expired", "refused", "silence", "duplicate", "lag", "list_failed", "list_slow", "compacted")


class Rough(Collection):
    """A collection whose watches lag, repeat themselves and break, and whose lists take their time or fail."""

    def __init__(self, rng: random.Random, faults: dict[str, int]) -> None:
        super().__init__()
        self.rng, self.faults, self.calm = rng, faults, False
        self.before, self.after = self._fail, self._dawdle

    def _happens(self, fault: str, chance: float) -> bool:
        happens = not self.calm and self.rng.random() < chance
        self.faults[fault] += happens
        return happens

    async def _fail(self, _method: str, _path: str) -> Any:
        return failure(503, "ServiceUnavailable") if self._happens("list_failed", 0.1) else None

    async def _dawdle(self, _method: str, _path: str) -> None:
        if self._happens("list_slow", 0.7):
            await asyncio.sleep(self.rng.uniform(0, 3))

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        if self._happens("refused", 0.2):
            raise self.rng.choice([NotSent("x"), Unanswered("x"), ApiError(429, retry_after=3)])
        async for line in super().watch(path, query):
            if self._happens("lag", 0.5):
                await asyncio.sleep(self.rng.uniform(0, 2))
            yield line
            if self._happens("duplicate", 0.1):
                yield line
            if self._happens("cut", 0.05):
                raise Unanswered("cut")
            if self._happens("silence", 0.05):
                return
            if self._happens("expired", 0.03):
                yield b'{"type":"ERROR","object":{"code":410}}'


class Walk:
    """One seeded walk, and what a refresh promised on the way."""

    def __init__(self, seed: int, faults: dict[str, int]) -> None:
        self.rng = random.Random(seed)
        self.api, self.store, self.faults = Rough(self.rng, faults), Store(), faults
        self.floor: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.known: set[str] = set()
        self.left: set[str] = set()
        self.informer: Informer[Any] = Informer(
            self.api,
            Source("/apis/x/v1", "things"),
            json.loads,
            self.store,
            clock=LoopClock(),
            jitter=self.rng.random,
            on_poison=lambda found, error: pytest.fail(f"{found}: {error}"),
            chunk_size=5,
            resync_seconds=40,
        )

    def step(self) -> None:
        name = self.rng.choice(NAMES)
        if name in self.api.objects and self.rng.random() < 0.4:
            uid = self.api.objects[name]["metadata"]["uid"]
            self.api.delete(name)
            self.gone[uid] = self.api.revision
        else:
            self.api.put(name, value=self.rng.random())
        if self.rng.random() < 0.1:
            self.api.bookmark()
        if self.rng.random() < 0.03:
            self.faults["compacted"] += 1
            self.api.compact()

    async def refresh(self) -> None:
        """What was so before a refresh is the least that the store shows ever after."""
        revision = self.api.revision
        versions = {o["metadata"]["uid"]: int(o["metadata"]["resourceVersion"]) for o in self.api.objects.values()}
        await self.informer.refresh(lean=self.rng.random() < 0.5)
        for uid, version in versions.items():
            self.floor[uid] = max(version, self.floor.get(uid, 0))
        self.floor["revision"] = max(revision, self.floor.get("revision", 0))

    def check(self) -> None:
        here = self.store.objects.keys()
        assert not here & self.left, "what left the store came back"
        self.left |= self.known - here
        self.known |= here
        for uid, obj in self.store.objects.items():
            assert self.gone.get(uid, 2**63) > self.floor.get("revision", 0), f"{uid} came back"
            assert int(obj["metadata"]["resourceVersion"]) >= self.floor.get(uid, 0), f"{uid} went back"
        for uid in self.floor.keys() - self.gone.keys() - {"revision"}:
            assert uid in self.store.objects, f"{uid} is lost"

    async def run(self) -> None:
        running = asyncio.create_task(self.informer.run())
        await self.informer.wait_synced()
        refreshes: list[asyncio.Task[None]] = []
        for _ in range(150):
            self.step()
            if self.rng.random() < 0.08:
                refreshes.append(asyncio.create_task(self.refresh()))
            await asyncio.sleep(self.rng.choice([0, 0, 0.1, 1.0]))
            self.check()
        self.api.calm = True
        await asyncio.gather(*refreshes)
        self.check()
        self.api.say({"type": "ERROR", "object": {"code": 410}})
        await settle(60)
        assert not running.done()
        assert self.store.objects == {o["metadata"]["uid"]: o for o in self.api.objects.values()}
        await stop(running)


def test_the_store_never_goes_back_and_ends_equal() -> None:
    faults = dict.fromkeys(FAULTS, 0)

    @virtual
    async def walk(seed: int) -> None:
        await Walk(seed, faults).run()

    for seed in range(60):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert all(faults.values()), f"a fault never happened: {faults}"
