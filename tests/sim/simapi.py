"""The operator's connection to the simulated API server, and all that can go wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from sim.faults import Dice
from sim.simcluster import Change, Kept, Refused, Server, selector
from sim.simloop import Process
from taskq.cluster.session import Reply
from taskq.domain.model import Key
from taskq.errors import ApiError, NotSent, Unanswered

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


SHOWN = ("jobs", "tasks")
"""The kinds of which it is kept which operator was shown which object."""


class Place(NamedTuple):
    """What a path names."""

    resource: str
    namespace: str | None
    name: str
    status: bool


def place(path: str) -> Place:
    """Read a path."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    return Place(parts[0], namespace, parts[1] if len(parts) > 1 else "", parts[2:] == ["status"])


@dataclass
class Call:
    """One request under way."""

    who: Caller
    method: str
    path: str
    query: dict[str, str]
    body: bytes | None
    limit: float
    """Seconds after which the server does not carry it out any more."""
    began: float
    answer: asyncio.Future[Reply | None]
    thawed: bool = False
    """Its process was frozen between the decision to send it and the sending."""
    late: bool = False
    knew: frozenset[str] = frozenset()
    """The uids of Jobs and Tasks that its sender had been shown when it was sent."""
    document: Any = None

    @property
    def name(self) -> str:
        """For the trace."""
        return f"{self.who.name}{' (late)' if self.late else ''}{' (thawed)' if self.thawed else ''}"


@dataclass
class Caller:
    """One process as the server sees it."""

    process: Process
    shown: set[str] = field(default_factory=set)
    """Uids of the Jobs and Tasks that it has been shown; not those that went before it watched every kind."""
    complete: bool = False
    crash: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """For the trace."""
        return self.process.name


class SimApi:
    """Implements the protocol `Api`; `calm` has no faults and no delays."""

    def __init__(self, server: Server, caller: Caller, dice: Dice, *, calm: bool = False) -> None:
        """A connection of one process."""
        self._server = server
        self._caller = caller
        self._dice = dice
        self._calm = calm
        self._loop = server.loop

    def _hit(self, fault: str) -> bool:
        return not self._calm and self._dice.hit(fault)

    # --- requests --------------------------------------------------------------------------------------------------

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
        """See `Api`."""
        assert body is None or content_type.endswith("json")
        call = Call(
            self._caller,
            method,
            path,
            dict(query or {}),
            body,
            limit=server_timeout or timeout,
            began=self._loop.time(),
            answer=self._loop.create_future(),
        )
        try:
            async with asyncio.timeout(timeout):
                await self._before_sending(call)
                self._send(call)
                reply = await call.answer
        except TimeoutError as error:
            raise Unanswered(f"no answer to {method} {path} within {timeout} s") from error
        if reply is None:
            raise Unanswered(f"the connection broke after {method} {path} was sent")
        self._show(call, reply)
        return reply

    async def _before_sending(self, call: Call) -> None:
        thaws = self._caller.process.thaws
        if self._hit("not sent"):
            await asyncio.sleep(self._dice.between(0, 0.2))
            raise NotSent("connection refused")
        if self._hit("waits for a connection"):
            await asyncio.sleep(self._dice.between(0, 0.5))
        if call.method == "POST" and call.path.endswith("/jobs") and self._hit("frozen before sending"):
            self._freeze_for(self._dice.between(1, 40))
            await asyncio.sleep(0.001)
        await self._crash_if("crash before sending")
        if self._caller.process.dead:
            raise asyncio.CancelledError
        if not self._caller.complete and "/leases" in call.path:  # asked for once every kind was listed
            self._caller.complete = True
            self._caller.shown &= {kept.uid for resource in SHOWN for _, kept in self._server.every(resource)}
        call.thawed = self._caller.process.thaws != thaws
        call.knew = frozenset(self._caller.shown)

    def _freeze_for(self, seconds: float) -> None:
        """SIGSTOP between the decision and the request, and SIGCONT later: the worst moment for a fence."""
        process = self._caller.process
        self._loop.outside(0, process.freeze)
        self._loop.outside(seconds, process.thaw)

    async def _crash_if(self, fault: str) -> None:
        if self._hit(fault):
            self._loop.outside(0, self._caller.crash)
            await asyncio.sleep(3600)

    def _send(self, call: Call) -> None:
        dice, writes = self._dice, call.method != "GET"
        delay = 0.0 if self._calm else dice.between(0.0005, 0.02)
        if self._hit("slow request"):
            delay += dice.between(0.05, 3)
        kind = {"POST": "POST late", "PATCH": "PATCH late"}.get(call.method)
        if writes and kind and self._hit(kind):
            call.late = True
            delay = dice.between(0, call.limit)
            self._loop.outside(min(dice.between(0, 1), delay), self._answer, call, None)
        if not writes and self._hit("read unanswered"):
            self._loop.outside(delay, self._answer, call, None)
            return
        self._loop.outside(delay, self._serve, call, delay)

    def _serve(self, call: Call, delay: float) -> None:
        dice = self._dice
        back = 0.0 if self._calm else dice.between(0.0005, 0.02)
        if self._hit("throttled (429)"):
            refused = Refused(429, "TooManyRequests", retry_after=1 if dice.chance(0.5) else None)
            return self._loop.outside(back, self._answer, call, refused.reply())
        if self._hit("server error before") or delay > call.limit:
            return self._loop.outside(back, self._answer, call, Refused(500, "InternalError").reply())
        reply: Reply | None
        try:
            reply = self._handle(call)
        except Refused as refused:
            reply = refused.reply()
        if call.method != "GET" and self._hit("crash after applying"):
            return self._loop.outside(0, self._caller.crash)
        if call.method != "GET" and self._hit("server error after"):
            reply = Refused(504, "Timeout", "request did not complete within the allotted timeout").reply()
        elif (call.method == "POST" and self._hit("POST ambiguous")) or (
            call.method == "PATCH" and call.path.endswith("/status") and self._hit("status PATCH ambiguous")
        ):
            reply = None
        return self._loop.outside(back, self._answer, call, reply)

    def _answer(self, call: Call, reply: Reply | None) -> None:
        if not (reply and reply.ok and call.method == "GET") and "/leases" not in call.path:
            self._dice.say(
                f"  {call.name}: {reply.status if reply else 'no answer'} to {call.method} {call.path[-60:]}"
            )
        if not call.answer.done():
            call.answer.set_result(reply)

    def _handle(self, call: Call) -> Reply:
        server, found = self._server, place(call.path)
        key = Key(found.namespace or "", found.name)
        document = _decode(call.body) if call.body else None
        if call.method == "GET" and not found.name:
            if "continue" in call.query and self._hit("list page expired (410)"):
                server.expire_pages()
            body, kept = server.list_page(found.resource, found.namespace, call.query)
            call.document = kept if found.resource in SHOWN else None
            return Reply(200, body)
        made: Kept
        if "dryRun" in call.query:
            server.admit(found.resource, key, document)
            return Reply(201, call.body or b"")
        if call.method == "GET":
            made = server.find(found.resource, key)
        elif call.method == "POST":
            made = server.create(found.resource, key.namespace, document, call)
        elif call.method == "PUT":
            made = server.update(found.resource, key, document, call)
        elif call.method == "PATCH":
            made = server.patch(found.resource, key, document, status=found.status, who=call)
        else:
            made = server.delete(found.resource, key, document, call)
        call.document = [made] if found.resource in SHOWN else None
        return Reply(201 if call.method == "POST" else 200, made.raw)

    def _show(self, call: Call, reply: Reply) -> None:
        if reply.ok:
            self._caller.shown.update(kept.uid for kept in call.document or ())

    # --- watches ---------------------------------------------------------------------------------------------------

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """See `Api`."""
        server, dice, found = self._server, self._dice, place(path)
        wanted = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        cursor = int(query["resourceVersion"])
        ends_at = self._loop.time() + float(query.get("timeoutSeconds", "300"))
        if self._hit("not sent"):
            raise NotSent("connection refused")
        if not self._calm:
            await asyncio.sleep(dice.between(0.001, 0.05))
        if self._hit("watch expired (410)"):
            raise ApiError(410, "Expired", "too old resource version")
        self._refuse_old(cursor, at_once=True)
        told_at, bookmark_at = 0.0, self._loop.time() + dice.between(1, 30)
        while self._loop.time() < ends_at:
            if self._caller.process.dead:
                raise asyncio.CancelledError
            change = self._next(found, cursor)
            if change is None:
                if self._loop.time() >= bookmark_at:
                    yield self._bookmark(cursor := server.revision)
                    bookmark_at = self._loop.time() + dice.between(5, 30)
                else:
                    await server.news(found.resource, min(bookmark_at, ends_at) - self._loop.time())
                continue
            told_at = max(told_at, change.time + self._lag())
            if told_at > self._loop.time():
                await asyncio.sleep(told_at - self._loop.time())
            cursor = change.revision
            line = self._line(change, wanted)
            if line is None or self._hit("watch event lost"):
                continue
            if found.resource in SHOWN:
                self._caller.shown.update(kept.uid for kept in (change.old, change.new) if kept)
            yield line
            if self._hit("watch event twice"):
                yield line
            if self._hit("watch cut"):
                raise Unanswered("the watch broke")
            if cursor < server.compacted and dice.chance(0.2):
                yield _encode({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})

    def _refuse_old(self, cursor: int, *, at_once: bool) -> None:
        if cursor < self._server.compacted:
            self._dice.count("watch expired (410)")
            raise ApiError(410, "Expired", "too old resource version")

    def _lag(self) -> float:
        if self._calm:
            return 0.0
        return self._dice.between(0.05, 4) if self._hit("watch lag") else self._dice.between(0.001, 0.03)

    def _next(self, found: Place, cursor: int) -> Change | None:
        """The first change after a revision; looked for from the end, where watches usually are."""
        history = self._server.history[found.resource]
        index = len(history)
        while index and history[index - 1].revision > cursor:
            index -= 1
        while index < len(history):
            if found.namespace in (None, history[index].key.namespace):
                return history[index]
            index += 1
        return None

    def _bookmark(self, revision: int) -> bytes:
        return _encode({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(revision)}}})

    def _line(self, change: Change, wanted: Callable[[Any], bool]) -> bytes | None:
        """One event as a selecting watch gets it: an object that leaves the selection is DELETED, as it was before."""
        was = change.old is not None and wanted(change.old.document)
        is_there = change.new is not None and wanted(change.new.document)
        if is_there:
            assert change.new is not None
            kind, raw = ("MODIFIED" if was else "ADDED"), change.new.raw
        elif was:
            assert change.old is not None
            metadata = {**change.old.document["metadata"], "resourceVersion": str(change.revision)}
            kind, raw = "DELETED", _encode({**change.old.document, "metadata": metadata})
        else:
            return None
        return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}"
