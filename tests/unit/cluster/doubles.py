"""What the tests of the cluster edge stand on: a loop whose time costs nothing, and an API server of one kind."""

from __future__ import annotations

import asyncio
import functools
import json
import selectors
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

from taskq.cluster.session import Reply
from taskq.errors import ApiError, RequestError

T0 = 1_700_000_000.0


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer, makes it due."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("the loop waits for nothing: a deadlock")
        self.skipped += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in which an hour of sleep passes at once; its time starts at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.skipped


class LoopClock:
    """The clocks of the virtual loop; `suspend` lets time pass which the loop's timers do not see."""

    def __init__(self) -> None:
        self.suspended = 0.0

    def now(self) -> float:
        return T0 + self.uptime()

    def uptime(self) -> float:
        return asyncio.get_running_loop().time() + self.suspended

    def suspend(self, seconds: float) -> None:
        self.suspended += seconds


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a virtual loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def settle(seconds: float = 0.0) -> None:
    """Let everything run that can, after so many seconds."""
    await asyncio.sleep(seconds)
    for _ in range(20):
        await asyncio.sleep(0)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def reply(status: int, document: object) -> Reply:
    """An answer with a JSON body."""
    return Reply(status, json.dumps(document).encode())


def failure(status: int, reason: str) -> Reply:
    """An answer that is a Status of failure."""
    return reply(status, {"kind": "Status", "code": status, "reason": reason, "message": f"it is {reason}"})


Object = dict[str, Any]
Hook = Callable[[str, str], Awaitable[Reply | None]]


class Collection:
    """An API server of one collection, in memory: revisions, pages, watches, preconditions.

    `before` and `after` are awaited around a request and may raise, answer instead, or take their time.
    """

    def __init__(self) -> None:
        self.revision = 10
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, bytes]] = []
        self.oldest = 0
        self.watching: set[asyncio.Queue[bytes | None]] = set()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.accepted: list[str] = []
        self.watches: list[dict[str, str]] = []
        self.watch_errors: list[RequestError] = []
        self.before: Hook | None = None
        self.after: Hook | None = None
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    # What a test does to the objects

    def put(self, name: str, *, silently: bool = False, **fields: Any) -> Object:
        """Create or replace an object; silently: the watch loses the event."""
        known = self.objects.get(name)
        self.revision += 1
        uid = known["metadata"]["uid"] if known else f"uid-{name}-{self.revision}"
        meta = {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(self.revision)}
        found = self.objects[name] = {"metadata": meta, **fields}
        self._tell("MODIFIED" if known else "ADDED", found, silently)
        return found

    def delete(self, name: str, *, silently: bool = False) -> None:
        """Delete an object."""
        self.revision += 1
        gone = self.objects.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.revision)
        self._tell("DELETED", gone, silently)

    def bookmark(self) -> None:
        """Tell the watches of the newest revision."""
        self.say({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.revision)}}})

    def compact(self) -> None:
        """Forget the history and every page token: what is older is 410 Gone."""
        self.oldest = self.revision
        self.history.clear()
        self._pages.clear()

    def say(self, event: object) -> None:
        """Send a line to every watch."""
        line = event if isinstance(event, bytes) else json.dumps(event).encode()
        for queue in self.watching:
            queue.put_nowait(line)

    def hang_up(self) -> None:
        """End every watch, as a server does when its time is over."""
        for queue in self.watching:
            queue.put_nowait(None)

    def _tell(self, kind: str, found: Object, silently: bool) -> None:
        line = json.dumps({"type": kind, "object": found}).encode()
        if not silently:
            self.history.append((self.revision, line))
            self.say(line)

    # What the API protocol asks for

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
        server_timeout: float | None = None,
    ) -> Reply:
        self.requests.append((method, path, dict(query or {})))
        self.accepted.append(accept)
        instead = await self.before(method, path) if self.before else None
        if instead is not None:
            return instead
        name = path.rpartition("/")[2]
        answer = self._list(query or {}) if method == "GET" and "limit" in (query or {}) else None
        answer = answer or self._one(method, name, body)
        instead = await self.after(method, path) if self.after else None
        return instead or answer

    def _list(self, query: Mapping[str, str]) -> Reply:
        token, limit = query.get("continue", ""), int(query["limit"])
        if token and token not in self._pages:
            return failure(410, "Expired")
        revision, rest = self._pages.pop(token, (self.revision, sorted(self.objects.values(), key=str)))
        meta = {"resourceVersion": str(revision)}
        if rest[limit:]:
            meta["continue"] = f"token-{len(self.requests)}"
            self._pages[meta["continue"]] = (revision, json.loads(json.dumps(rest[limit:])))
        return reply(200, {"metadata": meta, "items": rest[:limit]})

    def _one(self, method: str, name: str, body: bytes | None) -> Reply:
        document = json.loads(body) if body else {}
        if method == "POST":
            name = document["metadata"]["name"]
            if name in self.objects:
                return failure(409, "AlreadyExists")
            return reply(201, self.put(name, spec=document["spec"]))
        if name not in self.objects:
            return failure(404, "NotFound")
        if method == "PUT":
            asked = document["metadata"]["resourceVersion"]
            if asked != self.objects[name]["metadata"]["resourceVersion"]:
                return failure(409, "Conflict")
            labels = document["metadata"].get("labels")
            found = self.put(name, spec=document["spec"])
            if labels:
                found["metadata"]["labels"] = labels
        return reply(200, self.objects[name])

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        self.watches.append(dict(query))
        if self.watch_errors:
            raise self.watch_errors.pop(0)
        since = int(query["resourceVersion"])
        if since < self.oldest:
            raise ApiError(410, "Expired")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for revision, told in self.history:
            if revision > since:
                queue.put_nowait(told)
        self.watching.add(queue)
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            self.watching.discard(queue)
