"""The informer's store equals the API server's, whatever happens to the watch in between."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskq.cluster.informer import METADATA, MOST_STALE, Informer, ObjectId, Source
from taskq.cluster.session import Reply
from taskq.errors import ApiError, NotSent, Unanswered
from unit.cluster.doubles import Collection, LoopClock, failure, settle, stop, virtual

Object = dict[str, Any]


class Store:
    """A sink that keeps to the rules that the protocol asks of one."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.sweeps: list[int] = []
        self.applied = 0

    def knows(self, namespace: str, name: str, uid: str, resource_version: int) -> bool:
        return uid in self.objects and _version(self.objects[uid]) >= resource_version

    def apply(self, obj: Object) -> None:
        self.applied += 1
        known = self.objects.get(obj["metadata"]["uid"])
        if known is None or _version(known) < _version(obj):
            self.objects[obj["metadata"]["uid"]] = obj

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        known = self.objects.get(uid)
        if known is not None and _version(known) <= resource_version:
            del self.objects[uid]

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        self.sweeps.append(resource_version)
        for uid, obj in list(self.objects.items()):
            if uid not in seen and _version(obj) <= resource_version:
                del self.objects[uid]

    def names(self) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.objects.values()}


def _version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


def _decode(raw: bytes) -> Object:
    assert type(raw) is bytes
    obj: Object = json.loads(raw)
    if obj.get("poison"):
        raise ValueError("it is poison")
    return obj


class Rig:
    """An informer on a collection, running."""

    def __init__(self, api: Collection, **settings: Any) -> None:
        self.api, self.store, self.clock = api, Store(), LoopClock()
        self.poison: list[tuple[ObjectId, Exception]] = []
        self.informer: Informer[Object] = Informer(
            api,
            Source("/apis/batch/v1", "jobs"),
            _decode,
            self.store,
            clock=self.clock,
            jitter=lambda: 0.0,
            on_poison=lambda found, error: self.poison.append((found, error)),
            **{"resync_seconds": 0.0, **settings},
        )

    def agrees(self) -> bool:
        return {o["metadata"]["uid"]: o for o in self.api.objects.values()} == self.store.objects


@asynccontextmanager
async def running(api: Collection, **settings: Any) -> AsyncIterator[Rig]:
    rig = Rig(api, **settings)
    task = asyncio.create_task(rig.informer.run())
    try:
        await settle()
        yield rig
        assert not task.done(), "the informer died"
    finally:
        await stop(task)
    assert not api.watching, "a watch was left open"


def api_with(*names: str) -> Collection:
    api = Collection()
    for name in names:
        api.put(name)
    return api


@virtual
async def test_it_lists_all_pages_sweeps_and_then_follows_the_watch() -> None:
    api = api_with(*(f"job-{n:03}" for n in range(250)))
    async with running(api, chunk_size=120) as rig:
        assert rig.informer.synced
        assert rig.agrees()
        assert [query["limit"] for _, _, query in api.requests] == ["100", "120", "120"]
        assert api.watches[0]["resourceVersion"] == str(rig.store.sweeps[0])
        api.put("new")
        api.put("job-001", spec=2)
        api.delete("job-002")
        await settle()
        assert rig.agrees()
        assert rig.informer.events == {"ADDED": 1, "MODIFIED": 1, "DELETED": 1}


@virtual
async def test_a_list_asks_for_the_newest_state_of_a_quorum() -> None:
    async with running(api_with("a")) as rig:
        assert "resourceVersion" not in rig.api.requests[0][2]


@virtual
async def test_selectors_and_namespace_reach_list_and_watch() -> None:
    api = api_with("a")
    rig = Rig(api)
    source = Source("/apis/batch/v1", "jobs", "team-a", "taskq.dev/task", "status.settled!=True")
    informer: Informer[Object] = Informer(
        api, source, _decode, rig.store, clock=rig.clock, jitter=lambda: 0.0, on_poison=lambda *_: None
    )
    task = asyncio.create_task(informer.run())
    await settle()
    for query in (api.requests[0][2], api.watches[0]):
        assert query["labelSelector"] == "taskq.dev/task"
        assert query["fieldSelector"] == "status.settled!=True"
    assert api.requests[0][1] == "/apis/batch/v1/namespaces/team-a/jobs"
    await stop(task)


@virtual
async def test_a_watch_that_ends_is_taken_up_at_once_from_the_last_bookmark() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.revision = 500
        api.bookmark()
        await settle()
        api.compact()
        before = rig.clock.uptime()
        api.hang_up()
        await settle()
        assert api.watches[-1]["resourceVersion"] == "500"
        assert rig.clock.uptime() == before
        assert len(rig.store.sweeps) == 1


@virtual
async def test_a_watch_that_ends_at_once_without_an_event_is_not_repeated_hotly() -> None:
    api = api_with("a")
    async with running(api):
        for _ in range(5):
            api.hang_up()
            await settle()
        assert len(api.watches) == 1
        for _ in range(300):
            api.hang_up()
            await settle(0.1)
        assert len(api.watches) <= 7


@virtual
async def test_410_lists_again_at_once_and_sweeps_what_was_deleted_meanwhile() -> None:
    api = api_with("a", "b", "c")
    async with running(api) as rig:
        api.delete("b", silently=True)
        api.put("d", silently=True)
        api.compact()
        api.say({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})
        await settle()
        assert rig.agrees()
        assert rig.informer.restarts == {"expired": 1}
        assert rig.clock.uptime() == 0.0


@virtual
async def test_410_after_410_backs_off() -> None:
    api = api_with("a")
    api.watch_errors = [ApiError(410, "Expired")] * 5
    async with running(api) as rig:
        assert len(rig.store.sweeps) == 2, "the first time at once"
        await settle(60)
        assert rig.agrees()
        assert rig.informer.restarts["expired"] == 5
        assert len(rig.store.sweeps) == 6
        api.put("b")
        await settle()
        assert rig.agrees()


@virtual
async def test_another_error_event_backs_off_and_lists() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.put("b", silently=True)
        api.say({"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError"}})
        await settle()
        assert len(rig.store.sweeps) == 1
        await settle(2)
        assert rig.agrees()


@pytest.mark.parametrize("error", [NotSent("no route"), Unanswered("reset"), ApiError(503), ApiError(403)])
@virtual
async def test_other_trouble_backs_off_and_goes_on_from_the_last_event(error: Any) -> None:
    api = api_with("a")
    api.watch_errors = [error] * 4
    async with running(api) as rig:
        await settle(14.9)
        assert len(api.watches) == 4  # at 0, 1, 3 and 7 s; the next at 15 s
        api.put("b")
        await settle(0.2)
        assert rig.agrees()
        assert len(rig.store.sweeps) == 1


@virtual
async def test_patience_that_the_server_asks_for_is_given() -> None:
    api = api_with("a")
    api.watch_errors = [ApiError(429, "TooManyRequests", retry_after=9)]
    async with running(api):
        await settle(8)
        assert len(api.watches) == 1
        await settle(2)
        assert len(api.watches) == 2


@virtual
async def test_a_line_that_is_no_event_ends_only_that_watch() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.say(b"<html>bad gateway</html>")
        await settle(2)
        api.put("b")
        await settle()
        assert rig.agrees()
        assert rig.informer.restarts == {"broken": 1}


@virtual
async def test_a_poison_object_stops_nobody_and_is_reported_with_its_name() -> None:
    api = api_with("a")
    api.put("listed", poison=True)
    async with running(api) as rig:
        api.put("watched", poison=True)
        api.put("b")
        await settle()
        assert rig.store.names() == {"a", "b"}
        assert [(found.namespace, found.name) for found, _ in rig.poison] == [("ns", "listed"), ("ns", "watched")]
        assert rig.informer.poisoned == 2
        assert rig.informer.resource_version == api.revision


@virtual
async def test_an_object_that_turns_to_poison_keeps_its_older_version_in_the_store() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.put("a", poison=True)
        await settle()
        await rig.informer.refresh()
        assert rig.store.names() == {"a"}


@virtual
async def test_metadata_that_cannot_be_read_is_survived() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.say({"type": "ADDED", "object": {"metadata": {"resourceVersion": "many", "name": 7}}})
        api.say({"type": "ADDED", "object": None})
        api.put("b")
        await settle()
        assert rig.store.names() == {"a", "b"}
        assert len(rig.poison) == 2


@virtual
async def test_a_sink_that_raises_is_reported_as_poison() -> None:
    api = api_with("a")
    async with running(api) as rig:
        rig.store.remove = None  # type: ignore[method-assign,assignment]
        api.delete("a")
        api.put("b")
        await settle()
        assert "b" in rig.store.names()
        assert len(rig.poison) == 1


@virtual
async def test_a_list_that_expires_between_pages_begins_again() -> None:
    api = api_with(*(f"job-{n:03}" for n in range(150)))
    expired = False

    async def expire(method: str, path: str) -> None:
        nonlocal expired
        if len(api.requests) == 2 and not expired:
            expired = True
            api.compact()

    api.before = expire
    async with running(api) as rig:
        await settle(2)
        assert expired
        assert rig.agrees()
        assert rig.informer.restarts == {"list_expired": 1}
        assert len(rig.store.sweeps) == 1


@virtual
async def test_a_list_that_fails_is_tried_until_it_works() -> None:
    api = api_with("a")
    answers: list[Any] = [NotSent("refused"), Unanswered("cut"), failure(500, "InternalError"), Reply(200, b"<html>")]

    async def trouble(method: str, path: str) -> Reply | None:
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    api.before = trouble
    async with running(api) as rig:
        assert not rig.informer.synced
        waiting = asyncio.create_task(rig.informer.wait_synced())
        await settle(16)
        assert waiting.done()
        assert rig.agrees()


@virtual
async def test_refresh_returns_only_after_a_list_that_began_after_the_call() -> None:
    api = api_with("a")
    async with running(api) as rig:

        async def slowly(method: str, path: str) -> None:
            await asyncio.sleep(5)

        api.after = slowly  # the state is read, then the answer takes its time
        first = asyncio.create_task(rig.informer.refresh())
        await settle(1)
        api.put("b", silently=True)
        second = asyncio.create_task(rig.informer.refresh())
        third = asyncio.create_task(rig.informer.refresh())
        await settle(4.5)
        assert first.done()
        assert rig.store.names() == {"a"}
        assert not second.done()
        await settle(5)
        assert second.done()
        assert third.done()
        assert rig.store.names() == {"a", "b"}
        assert len(rig.store.sweeps) == 3, "those who wait share one list"
        assert len(api.watches) == 1, "the watch went on"


@virtual
async def test_what_the_watch_removes_during_a_list_does_not_come_back_with_its_pages() -> None:
    api = api_with("a", "b")
    async with running(api) as rig:

        async def slowly(method: str, path: str) -> None:
            await asyncio.sleep(5)

        api.after = slowly
        refresh = asyncio.create_task(rig.informer.refresh())
        await settle(1)
        api.delete("a")
        api.put("c")
        api.put("b", spec=2)
        await settle(1)
        await refresh
        assert rig.agrees()


@virtual
async def test_what_a_lagging_watch_tells_of_the_time_before_a_list_is_old_news() -> None:
    api = api_with("a")
    async with running(api) as rig:
        ghost = api.put("ghost", silently=True)
        added = {"type": "ADDED", "object": json.loads(json.dumps(ghost))}
        api.delete("ghost", silently=True)
        await rig.informer.refresh()
        api.say(added)
        await settle()
        assert rig.store.names() == {"a"}
        api.put("b")
        api.put("ghost")
        await settle()
        assert rig.agrees()


@virtual
async def test_a_watch_begun_after_a_refresh_starts_at_what_the_refresh_saw() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.put("b", silently=True)
        await rig.informer.refresh()
        api.hang_up()
        await settle(2)
        assert api.watches[-1]["resourceVersion"] == str(api.revision)


@virtual
async def test_refresh_tries_until_a_list_works() -> None:
    api = api_with("a")
    async with running(api) as rig:
        answers = [failure(503, "ServiceUnavailable")] * 3

        async def trouble(method: str, path: str) -> Reply | None:
            return answers.pop() if answers else None

        api.before = trouble
        await rig.informer.refresh()
        assert rig.clock.uptime() == pytest.approx(1 + 2 + 4)


@virtual
async def test_a_refresh_that_is_cancelled_leaves_the_informer_working() -> None:
    api = api_with("a")
    async with running(api) as rig:

        async def forever(method: str, path: str) -> None:
            await asyncio.sleep(1e6)

        api.after = forever
        refresh = asyncio.create_task(rig.informer.refresh())
        await settle(1)
        await stop(refresh)
        api.after = None
        api.put("b")
        await rig.informer.refresh()
        assert rig.agrees()


@virtual
async def test_a_resync_heals_lost_events() -> None:
    api = api_with("a", "b")
    async with running(api, resync_seconds=600) as rig:
        api.delete("a", silently=True)
        api.put("c", silently=True)
        await settle(500)
        assert rig.store.names() == {"a", "b"}
        await settle(100)
        assert rig.agrees()
        assert len(api.watches) == 1


@virtual
async def test_big_objects_make_small_pages() -> None:
    api = Collection()
    for n in range(400):
        api.put(f"job-{n:03}", blob="x" * 100_000)
    async with running(api) as rig:
        assert rig.agrees()
        limits = [int(query["limit"]) for _, _, query in api.requests]
        assert limits[0] == 100
        assert set(limits[1:]) == {41}


@virtual
async def test_others_get_the_loop_while_many_objects_come_in() -> None:
    api = api_with(*(f"job-{n:04}" for n in range(2000)))
    rig = Rig(api, chunk_size=2000)
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(rig.store.applied)
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    task = asyncio.create_task(rig.informer.run())
    await rig.informer.wait_synced()
    await stop(task)
    await stop(beside)
    assert max(b - a for a, b in itertools.pairwise(turns)) <= 200


@virtual
async def test_silence_grows_until_the_server_is_heard_of() -> None:
    api = api_with("a")
    async with running(api) as rig:
        await settle(45)
        assert rig.informer.silence == 45
        api.bookmark()
        await settle()
        assert rig.informer.silence == 0


@virtual
async def test_a_lean_refresh_reads_only_what_is_new() -> None:
    api = api_with(*(f"job-{n:03}" for n in range(150)))
    async with running(api) as rig:
        api.put("job-007", silently=True, spec=2)
        api.put("new", silently=True)
        api.delete("job-008", silently=True)
        applied, before = rig.store.applied, len(api.requests)
        await rig.informer.refresh(lean=True)
        assert rig.agrees()
        assert rig.store.applied == applied + 2
        assert api.accepted[before:] == [METADATA, METADATA, "application/json", "application/json"]
        assert len(api.watches) == 1, "the watch went on"


@virtual
async def test_a_lean_refresh_of_an_empty_store_is_a_full_one() -> None:
    api = api_with("a")
    rig = Rig(api)
    await rig.informer.refresh(lean=True)
    assert rig.agrees()
    assert api.accepted == ["application/json"]


@virtual
async def test_a_lean_refresh_that_finds_too_much_new_lists_everything() -> None:
    api = api_with("a")
    async with running(api) as rig:
        for n in range(MOST_STALE + 50):
            api.put(f"job-{n:03}", silently=True)
        await rig.informer.refresh(lean=True)
        assert rig.agrees()
        assert all("limit" in query for _, _, query in api.requests), "nothing was read one by one"


@virtual
async def test_what_goes_before_a_lean_refresh_reads_it_makes_it_a_full_one() -> None:
    api = api_with("a", "b")
    async with running(api) as rig:
        api.put("a", silently=True, spec=2)

        async def deleted(method: str, path: str) -> None:
            if path.endswith("/a"):
                api.delete("a", silently=True)

        api.before = deleted
        await rig.informer.refresh(lean=True)
        assert rig.store.names() == {"b"}
        assert api.accepted[-3:] == [METADATA, "application/json", "application/json"]


@virtual
async def test_what_the_watch_removes_while_a_lean_refresh_reads_it_does_not_come_back() -> None:
    api = api_with("a", "b")
    async with running(api) as rig:
        api.put("a", silently=True, spec=2)

        async def removed(method: str, path: str) -> None:
            if path.endswith("/a"):
                api.delete("a")
                await asyncio.sleep(1)

        api.after = removed
        await rig.informer.refresh(lean=True)
        assert rig.store.names() == {"b"}


@virtual
async def test_a_lean_refresh_that_fails_is_followed_by_a_full_one() -> None:
    api = api_with("a")
    async with running(api) as rig:
        api.put("a", silently=True, spec=2)
        before = len(api.requests)

        async def forbidden(method: str, path: str) -> Reply | None:
            return failure(403, "Forbidden") if path.endswith("/a") else None

        api.before = forbidden
        await rig.informer.refresh(lean=True)
        assert rig.agrees()
        assert api.accepted[before:] == [METADATA, "application/json", "application/json"]
