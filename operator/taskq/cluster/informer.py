"""Keeps a store equal to what the API server has of one kind: list, watch, list again when in doubt."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from taskq.clock import Clock
from taskq.cluster.session import Api
from taskq.errors import ApiError, NotSent, RequestError, Unanswered

logger = logging.getLogger(__name__)

TURN = 200
"""Objects taken in before others get the loop: 200 Pods are 8 ms, and the lease must be renewed."""

FIRST_PAGE = 100
"""Objects asked for before their size is known."""

PAGE_BYTES = 4 * 1024 * 1024
"""What a page should weigh: with objects of 100 KB, pages of 500 would take 50 MB of memory at once."""

METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"
"""Asks for a list without specs and statuses: a third of the bytes, and of the API server's time."""

MOST_STALE = 100
"""Objects that a list of metadata may show to be old: they are read one by one, and more are listed sooner."""

WATCH_SECONDS = 300
"""A watch is asked to end between one and two times this, so that its load moves to other servers."""

HASTE_SECONDS = 1.0
"""A watch that ends sooner without an event was not served: wait before the next one."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """The store of one kind. Called on the loop, never concurrently; must not block nor await."""

    def knows(self, namespace: str, name: str, uid: str, resource_version: int) -> bool:
        """Whether this object is stored, in this version or a newer one; asked only by a lean refresh."""

    def apply(self, obj: T_contra) -> None:
        """Take an object in, unless a newer resourceVersion of its uid is already there."""

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        """Drop an object, unless what is stored is newer than `resource_version` or has another uid."""

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        """A full list ended: of that namespace (None: of all), what is not in `seen` (uids) and
        has a resourceVersion up to this one is gone.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """Where the objects of one kind are: `Source("/apis/batch/v1", "jobs")` are all Jobs."""

    prefix: str
    plural: str
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""

    @property
    def path(self) -> str:
        """The path of the collection."""
        scope = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{self.prefix}{scope}/{self.plural}"

    def path_of(self, namespace: str, name: str) -> str:
        """The path of one object."""
        return f"{self.prefix}/namespaces/{namespace}/{self.plural}/{name}"

    def query(self) -> dict[str, str]:
        """The selectors, as query parameters."""
        query = {}
        if self.label_selector:
            query["labelSelector"] = self.label_selector
        if self.field_selector:
            query["fieldSelector"] = self.field_selector
        return query


@dataclass(frozen=True, slots=True)
class ObjectId:
    """What could still be read of an object that could not be decoded; empty and 0 where nothing could."""

    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: int = 0


class _Meta(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = "0"


class _Head(msgspec.Struct, gc=False, frozen=True):
    metadata: _Meta

    def id(self) -> ObjectId:
        meta = self.metadata
        return ObjectId(meta.namespace, meta.name, meta.uid, int(meta.resource_version))


class _Event(msgspec.Struct, gc=False, frozen=True):
    type: str
    object: msgspec.Raw


class _PageMeta(msgspec.Struct, gc=False, frozen=True):
    resource_version: str = msgspec.field(name="resourceVersion")
    token: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, gc=False, frozen=True):
    metadata: _PageMeta
    items: list[msgspec.Raw] | None = None


class _Fault(msgspec.Struct, gc=False, frozen=True):
    code: int = 500


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_fault = msgspec.json.Decoder(_Fault).decode


class _Backoff:
    """Waits that double, each shortened by up to a half so that many clients spread out."""

    def __init__(self, first: float, most: float, jitter: Callable[[], float]) -> None:
        self._first, self._most, self._jitter = first, most, jitter
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    async def wait(self, error: Exception | None = None) -> None:
        """Sleep, at least as long as the server asked for, if it did."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        delay, self._next = self._next, min(2 * self._next, self._most)
        await asyncio.sleep(max(delay * (1 - self._jitter() / 2), min(asked or 0.0, self._most)))


class Informer(Generic[T]):
    """List, sweep, watch; forever, whatever the API server or a single object does.

    Revisions make it safe that a list may run beside the watch. A list reflects exactly one revision R.
    Objects that the watch removed during the list are not taken from its pages again. What the list does
    not have and is not newer than R is swept. And what the watch, lagging behind, still tells of
    revisions up to R is passed over after the sweep.
    """

    def __init__(
        self,
        api: Api,
        source: Source,
        decode: Callable[[bytes], T],
        sink: Sink[T],
        *,
        clock: Clock,
        jitter: Callable[[], float],
        on_poison: Callable[[ObjectId, Exception], None],
        chunk_size: int = 500,
        resync_seconds: float = 600.0,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
        request_timeout_seconds: float = 60.0,
    ) -> None:
        """Nothing is requested before `run` or `refresh`. `jitter` returns [0, 1). `decode` gets one
        object's JSON; what it or the sink raises goes to `on_poison`, and an older version of that object
        stays in the store. `resync_seconds` 0 never lists without a reason.
        """
        self.events: Counter[str] = Counter()
        """Watch events so far, by type."""
        self.restarts: Counter[str] = Counter()
        """Watches that ended and lists that failed, by reason."""
        self.poisoned: int = 0
        """Objects that could not be decoded or applied, each time counted."""
        self._api = api
        self._source = source
        self._decode = decode
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._on_poison = on_poison
        self._chunk_size = chunk_size
        self._resync_seconds = resync_seconds
        self._backoff_seconds = backoff_seconds
        self._timeout = request_timeout_seconds
        self._listing = asyncio.Lock()
        self._begun = 0  # lists begun so far
        self._swept = 0  # the number of the newest list that was swept
        self._synced = asyncio.Event()
        self._revision = 0  # of the last sweep, or of the last event that was asked for it
        self._last: msgspec.Raw | None = None  # the last event's object: its revision is read when needed
        self._floor = 0  # events up to this revision are old news; 0 once one above it came
        self._removed: dict[str, int] | None = None  # during a list: uid → revision of removals by the watch
        self._heard_at = clock.uptime()
        self._lines = 0  # of all watches so far
        self._relisted = False  # a watch expired, was answered by a list, and no event came since

    @property
    def synced(self) -> bool:
        """Whether the store has been complete at least once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until the first full list has been swept."""
        await self._synced.wait()

    @property
    def resource_version(self) -> int:
        """The newest revision the store is known to reflect; 0 before the first list."""
        if self._last is not None:
            self._revision = max(self._revision, _identify(self._last).resource_version)
            self._last = None
        return self._revision

    @property
    def silence(self) -> float:
        """Seconds since the server was last heard of (a list, an event or a bookmark)."""
        return self._clock.uptime() - self._heard_at

    async def run(self) -> None:
        """Keep the store fresh until cancelled; no answer and no object ends it."""
        resync = asyncio.create_task(self._resync(), name=f"resync {self._source.plural}")
        backoff = _Backoff(*self._backoff_seconds, self._jitter)
        try:
            await self.refresh()
            while True:
                await self._watch_once(backoff)
        finally:
            resync.cancel()
            await asyncio.gather(resync, return_exceptions=True)

    async def refresh(self, *, lean: bool = False) -> None:
        """Return once a full quorum list begun after this call has been swept; the watch goes on.

        Callers share a list: who waits while one runs gets the next. Failed lists are tried again for
        ever, so bound the wait from outside. A `lean` one is for a store that is likely to be current: the
        list has only metadata, which name each object's version, and what is newer than stored is read.
        """
        wanted = self._begun + 1
        backoff = _Backoff(*self._backoff_seconds, self._jitter)
        async with self._listing:
            while self._swept < wanted:
                try:
                    await self._list(lean=lean and self.synced)
                    lean = False
                except RequestError as error:
                    lean = False
                    reason = "list_expired" if isinstance(error, ApiError) and error.is_gone else "list_failed"
                    self.restarts[reason] += 1
                    logger.warning("listing %s failed: %s", self._source.plural, error)
                    await backoff.wait(error)

    async def _resync(self) -> None:
        while self._resync_seconds > 0:
            await asyncio.sleep(self._resync_seconds * (0.9 + 0.2 * self._jitter()))
            await self.refresh()

    async def _list(self, *, lean: bool) -> None:
        """Read all pages of one revision into the sink, then sweep; raises `RequestError` half-way.

        A lean one gives up, without a sweep, when too much is new, or has gone since.
        """
        self._begun += 1
        number, seen, revision, token = self._begun, set[str](), 0, ""
        stale: list[ObjectId] = []
        limit = min(FIRST_PAGE, self._chunk_size)
        self._removed = {}
        try:
            while not revision or token:
                query = {**self._source.query(), "limit": str(limit)}
                if token:
                    query["continue"] = token
                reply = await self._api.request(
                    "GET",
                    self._source.path,
                    query=query,
                    accept=METADATA if lean else "application/json",
                    timeout=self._timeout,
                )
                page = _read_page(reply.checked().body)
                self._heard_at = self._clock.uptime()
                await self._take_page(page.items or [], seen, stale if lean else None)
                if len(stale) > MOST_STALE:
                    return
                revision, token = revision or int(page.metadata.resource_version), page.metadata.token
                if page.items:
                    limit = min(self._chunk_size, max(1, PAGE_BYTES * len(page.items) // len(reply.body)))
            for found in stale:
                if not await self._read(found, seen):
                    return
            self._sink.sweep(self._source.namespace, seen, revision)
        finally:
            self._removed = None
        self._swept = number
        self._revision = self._floor = max(self.resource_version, revision)
        self._synced.set()

    async def _take_page(self, items: list[msgspec.Raw], seen: set[str], stale: list[ObjectId] | None) -> None:
        """Take objects in; with `stale`, they are metadata only, and what is newer than stored is added to it."""
        removed = self._removed
        assert removed is not None
        for index, raw in enumerate(items):
            if index % TURN == 0:
                await asyncio.sleep(0)
            found = _identify(raw)
            if removed.get(found.uid, -1) >= found.resource_version:
                continue
            if stale is None:
                seen.add(found.uid)
                self._apply(raw)
            elif self._sink.knows(found.namespace, found.name, found.uid, found.resource_version):
                seen.add(found.uid)
            else:
                stale.append(found)

    async def _read(self, wanted: ObjectId, seen: set[str]) -> bool:
        """Take in the newest version of one object; False when it has gone since the list.

        To sweep it then would be to know more than the list's revision, and the watch, which may lag behind,
        would bring it back.
        """
        path = self._source.path_of(wanted.namespace, wanted.name)
        reply = await self._api.request("GET", path, timeout=self._timeout)
        removed = self._removed or {}
        if removed.get(wanted.uid, -1) >= wanted.resource_version:
            return True
        if reply.status == 404:
            return False
        raw = msgspec.Raw(reply.checked().body)
        if _identify(raw).uid != wanted.uid:
            return False
        seen.add(wanted.uid)
        self._apply(raw)
        return True

    async def _watch_once(self, backoff: _Backoff) -> None:
        """Watch until it ends for whatever reason, then do what that reason asks for."""
        lines, began, error = self._lines, self._clock.uptime(), None
        try:
            await self._watch()
        except RequestError as caught:
            error = caught
        reason, served = _reason(error), self._lines > lines
        self.restarts[reason] += 1
        if served:
            backoff.reset()
            self._relisted = False
        if error is None:
            if not served and self._clock.uptime() - began < HASTE_SECONDS:
                await backoff.wait()
            return
        logger.warning("the watch of %s ended (%s): %s", self._source.plural, reason, error)
        if reason != "expired" or self._relisted:  # a list that did not help is not repeated at once
            await backoff.wait(error)
        if reason in {"expired", "fault"}:
            await self.refresh()
            self._relisted = True

    async def _watch(self) -> None:
        """Follow the events from where the store is; returns when the server ends the watch."""
        query = {
            **self._source.query(),
            "resourceVersion": str(self.resource_version),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._jitter()))),
        }
        async with aclosing(self._api.watch(self._source.path, query)) as lines:
            async for line in lines:
                self._take(line)
                if self._lines % TURN == 0:
                    await asyncio.sleep(0)

    def _take(self, line: bytes) -> None:
        """Take one event in; raises `RequestError` on what is none, and on the server's ERROR event."""
        try:
            event = _decode_event(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unanswered(f"not a watch event: {line[:80]!r}") from error
        if event.type == "ERROR":
            raise _fault(event.object)
        self._lines += 1
        self.events[event.type] += 1
        self._heard_at = self._clock.uptime()
        if self._floor and self._is_old(event.object):
            return
        if event.type in {"ADDED", "MODIFIED"}:
            self._apply(event.object)
        elif event.type == "DELETED":
            self._remove(_identify(event.object))
        self._last = event.object

    def _is_old(self, raw: msgspec.Raw) -> bool:
        if 0 < _identify(raw).resource_version <= self._floor:
            return True
        self._floor = 0  # a watch tells of revisions in their order
        return False

    def _apply(self, raw: msgspec.Raw) -> None:
        try:
            self._sink.apply(self._decode(bytes(raw)))
        except Exception as error:  # noqa: BLE001 - whatever one object does, the others go on
            self._poison(_identify(raw), error)

    def _remove(self, gone: ObjectId) -> None:
        if self._removed is not None:
            self._removed[gone.uid] = gone.resource_version
        try:
            self._sink.remove(gone.namespace, gone.name, gone.uid, gone.resource_version)
        except Exception as error:  # noqa: BLE001 - same
            self._poison(gone, error)

    def _poison(self, found: ObjectId, error: Exception) -> None:
        self.poisoned += 1
        try:
            self._on_poison(found, error)
        except Exception:
            logger.exception("reporting %s %s/%s failed", self._source.plural, found.namespace, found.name)


def _identify(raw: msgspec.Raw) -> ObjectId:
    """Return what an object's metadata says, as far as it can be read."""
    try:
        return _decode_head(raw).id()
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return ObjectId()


def _read_page(body: bytes) -> _Page:
    try:
        page = _decode_page(body)
        int(page.metadata.resource_version)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Unanswered(f"not a list: {body[:80]!r}") from error
    return page


class _WatchFault(ApiError):  # noqa: N818 - the named like NotSent and Unanswered
    """The ERROR event of a watch: what it missed, only a list can tell."""


def _fault(raw: msgspec.Raw) -> _WatchFault:
    try:
        code = _decode_fault(raw).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        code = 500
    told = ApiError.from_answer(code, bytes(raw))
    return _WatchFault(code, told.reason, told.message, body=told.body)


def _reason(error: RequestError | None) -> str:
    """Name why a watch ended, as a metric label."""
    if error is None:
        return "ended"
    if isinstance(error, ApiError) and error.is_gone:
        return "expired"
    if isinstance(error, _WatchFault):
        return "fault"
    if isinstance(error, ApiError):
        return "refused"
    return "not_sent" if isinstance(error, NotSent) else "broken"
