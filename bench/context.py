"""What measurements share: the numbers of the run, and one cluster with thousands of pending Tasks."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from bench import load
from bench.rig import Kcm, Rig, rig
from bench.size import Size

CROWD = "crowd"
"""The namespace of the pending Tasks."""


class Bench:
    """One run."""

    def __init__(self, size: Size) -> None:
        """Start nothing."""
        self.size = size
        self._stack = AsyncExitStack()
        self._crowd: Rig | None = None
        self._made = 0

    async def __aenter__(self) -> Self:
        """Nothing to do yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what is shared."""
        await self._stack.__aexit__(kind, error, trace)

    def rig(self, kcm: Kcm) -> AbstractAsyncContextManager[Rig]:
        """A fresh cluster for one measurement."""
        return rig(kcm=kcm, lean=self.size.lean)

    async def crowd(self) -> Rig:
        """The shared cluster: the queue is paused, no operator runs, and so many Tasks are pending as the size says.

        It is made when first asked for; later, what was started meanwhile is made good for.
        """
        if self._crowd is None:
            self._crowd = await self._stack.enter_async_context(self.rig(None))
            await load.create_namespace(self._crowd.api, CROWD)
            await load.create_queue(self._crowd.api, CROWD, cap=1)
        await load.set_queue(self._crowd.api, CROWD, state=load.PAUSED)
        missing = self.size.pending - await _pending(self._crowd)
        if missing > 0:
            await load.create_tasks(self._crowd.api, CROWD, missing, first=self._made)
            self._made += missing
        return self._crowd


async def _pending(crowd: Rig) -> int:
    """Tasks without a Job."""
    count = [0, 0]
    for index, path in enumerate((f"{load.TASKS}/namespaces/{CROWD}/tasks", f"{load.JOBS}/namespaces/{CROWD}/jobs")):
        query = {"limit": "1"}
        reply = await crowd.api.request("GET", path, query=query)
        page = msgspec.json.decode(reply.checked().body)
        count[index] = len(page["items"]) + page["metadata"].get("remainingItemCount", 0)
    return count[0] - count[1]
