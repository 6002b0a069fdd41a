"""What TaskQ relies on in an API server, asked of the simulated one and of a real one by the same tests.

The random walk (tests/sim) is worth as much as its server is like the real one: this suite says where they agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from sim.faults import Dice
from sim.simapi import Caller, SimApi
from sim.simcluster import Server
from sim.simloop import Process
from taskq.clock import SystemClock
from taskq.cluster.credentials import load
from taskq.cluster.session import Api, Reply, Session
from taskq.errors import ApiError

OTHER = "11111111-2222-3333-4444-555555555555"
MERGE = "application/merge-patch+json"
POD = {"containers": [{"name": "main", "image": "none"}], "restartPolicy": "Never"}


class _RealTimeLoop:
    """As much of the simulation's loop as its server needs, on the loop of the test."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        asyncio.get_running_loop().call_later(delay, callback, *args)


@pytest.fixture(params=["simulated", "real"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Each test runs on both."""
    if request.param == "simulated":
        loop: Any = _RealTimeLoop()
        dice = Dice(0, loop.time)
        dice.on = False
        yield SimApi(Server(loop, dice), Caller(Process("test")), dice, calm=True)
        return
    clock = SystemClock()
    cluster = load(clock, kubeconfig=str(request.getfixturevalue("cluster").kubeconfig))
    async with Session(cluster, clock) as session:
        yield session


@pytest.fixture
def place(api: Api, request: pytest.FixtureRequest) -> Place:
    """A namespace of the test's own."""
    namespace = "test" if isinstance(api, SimApi) else request.getfixturevalue("namespace")
    return Place(api, namespace)


class Place:
    """The objects of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.tasks = f"/apis/taskq.dev/v1alpha1/namespaces/{namespace}/tasks"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def task(self, name: str, **spec: Any) -> dict[str, Any]:
        """Create a Task."""
        spec = {"jobTemplate": {"spec": {"template": {"spec": {"containers": POD["containers"]}}}}} | spec
        document = {"apiVersion": "taskq.dev/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": spec}
        return found(await self.send("POST", self.tasks, document))

    async def send(self, method: str, path: str, document: Any = None, **options: Any) -> Reply:
        """One request."""
        body = None if document is None else json.dumps(document).encode()
        kind = {"content_type": MERGE} if method == "PATCH" else {}
        return await self.api.request(method, path, body=body, **kind, **options)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read an object or a list."""
        return found(await self.send("GET", path, query=query))

    async def status(self, name: str, status: dict[str, Any], **metadata: str) -> Reply:
        """Merge into a Task's status."""
        return await self.send("PATCH", f"{self.tasks}/{name}/status", {"metadata": metadata, "status": status})


def found(reply: Reply) -> dict[str, Any]:
    """The document of a good answer."""
    return dict(json.loads(reply.checked().body))


def job(name: str, **metadata: Any) -> dict[str, Any]:
    """A Job that starts nothing."""
    spec = {"suspend": True, "template": {"spec": POD}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": spec}


async def events(lines: AsyncGenerator[bytes, None], wanted: int, kinds: set[str]) -> list[tuple[str, dict[str, Any]]]:
    """The first so many events of these types."""
    seen = []
    async with contextlib.aclosing(lines), asyncio.timeout(20):
        async for line in lines:
            event = json.loads(line)
            if event["type"] in kinds:
                seen.append((event["type"], event["object"]))
            if len(seen) == wanted:
                break
    return seen


async def test_a_new_task_gets_its_defaults(place: Place) -> None:
    """The server sets uid, generation 1, a time of whole seconds and the status default."""
    made = await place.task("a")
    assert made["status"] == {"observedGeneration": -1, "phase": "Pending"}
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    assert len(made["metadata"]["creationTimestamp"]) == len("2026-01-01T00:00:00Z")


async def test_a_name_taken_is_already_exists(place: Place) -> None:
    """The 409 of a POST differs from that of a precondition."""
    await place.send("POST", place.jobs, job("a"))
    error = (await place.send("POST", place.jobs, job("a"))).error()
    assert (error.status, error.is_already_exists, error.is_conflict) == (409, True, False)


async def test_what_is_not_there_is_404(place: Place) -> None:
    """Reading, patching and deleting say so alike."""
    for method, path in (("GET", "x"), ("DELETE", "x"), ("PATCH", "x/status")):
        reply = await place.send(method, f"{place.tasks}/{path}", {"status": {}} if method == "PATCH" else None)
        assert reply.error().is_not_found, method


async def test_a_status_patch_keeps_its_version(place: Place) -> None:
    """A merge patch of the status that names an older version is a Conflict, and changes nothing."""
    made = await place.task("a")
    error = (await place.status("a", {"phase": "Running"}, resourceVersion="1")).error()
    assert (error.status, error.is_conflict, error.is_already_exists) == (409, True, False)
    assert await place.get(f"{place.tasks}/a") == made
    right = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    assert found(await place.status("a", {"phase": "Running"}, **right))["status"]["phase"] == "Running"


async def test_a_uid_alone_does_not_guard_a_status(place: Place) -> None:
    """The status of a custom resource ignores it: only the version keeps a write from a Task's namesake."""
    await place.task("a")
    reply = await place.status("a", {"phase": "Running"}, uid=OTHER)
    assert found(reply)["status"]["phase"] == "Running"


async def test_a_job_patch_keeps_its_uid(place: Place) -> None:
    """Stopping a Job that was made anew under its name is refused, as a change of what can't change."""
    made = found(await place.send("POST", place.jobs, job("a")))
    patch = {"metadata": {"uid": OTHER, "annotations": {"a": "b"}}, "spec": {"suspend": True}}
    error = (await place.send("PATCH", f"{place.jobs}/a", patch)).error()
    assert (error.status, error.reason) == (422, "Invalid")
    patch["metadata"]["uid"] = made["metadata"]["uid"]
    assert (await place.send("PATCH", f"{place.jobs}/a", patch)).ok


async def test_the_status_is_written_apart(place: Place) -> None:
    """A write to the status changes neither spec nor generation, and one to the object no status."""
    await place.task("a", priority=1)
    both = {"spec": {"priority": 7}, "status": {"phase": "Running"}}
    after = found(await place.send("PATCH", f"{place.tasks}/a/status", both))
    assert (after["spec"]["priority"], after["status"]["phase"], after["metadata"]["generation"]) == (1, "Running", 1)
    both["status"] = {"phase": "Failed"}
    after = found(await place.send("PATCH", f"{place.tasks}/a", both))
    assert (after["spec"]["priority"], after["status"]["phase"], after["metadata"]["generation"]) == (7, "Running", 2)


async def test_a_merge_patch_removes_with_null_and_replaces_lists(place: Place) -> None:
    """As RFC 7386 says."""
    await place.task("a")
    attempts = [{"number": 1, "reason": "Error"}]
    await place.status("a", {"phase": "Retrying", "reason": "Error", "attempts": attempts})
    after = found(await place.status("a", {"reason": None, "attempts": [{"number": 2}]}))["status"]
    assert after["attempts"] == [{"number": 2}]
    assert "reason" not in after
    assert after["phase"] == "Retrying"


async def test_a_patch_that_changes_nothing_makes_no_version(place: Place) -> None:
    """The same words again leave the resourceVersion where it was."""
    await place.task("a")
    first = found(await place.status("a", {"phase": "Running"}))
    again = found(await place.status("a", {"phase": "Running"}))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_pages_show_one_revision(place: Place) -> None:
    """All pages of a list carry the revision of the first, and what came later is not in them."""
    for name in "abc":
        await place.task(name)
    first = await place.get(place.tasks, limit="2")
    await place.task("d")
    rest = await place.get(place.tasks, **{"limit": "2", "continue": first["metadata"]["continue"]})
    names = [item["metadata"]["name"] for page in (first, rest) for item in page["items"]]
    assert names == ["a", "b", "c"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not rest["metadata"].get("continue")


async def test_lists_are_selected(place: Place) -> None:
    """By the presence of a label, its value, and by a field of the status."""
    await place.send("POST", place.jobs, job("a", labels={"taskq.dev/task": "a"}))
    await place.send("POST", place.jobs, job("b", labels={"taskq.dev/task": "b"}))
    await place.send("POST", place.jobs, job("c"))
    for selector, wanted in (("taskq.dev/task", ["a", "b"]), ("taskq.dev/task=b", ["b"])):
        items = (await place.get(place.jobs, labelSelector=selector))["items"]
        assert [item["metadata"]["name"] for item in items] == wanted
    await place.task("open")
    await place.task("done")
    await place.status("done", {"phase": "Succeeded", "settled": "True"})
    for selector, wanted in (("status.settled!=True", ["open"]), ("status.settled=True", ["done"])):
        items = (await place.get(place.tasks, fieldSelector=selector))["items"]
        assert [item["metadata"]["name"] for item in items] == wanted


async def test_a_watch_tells_what_leaves_its_selection(place: Place) -> None:
    """DELETED carries the object as it was before, under the version of the change; it still exists."""
    await place.task("a")
    start = (await place.get(place.tasks))["metadata"]["resourceVersion"]
    await place.status("a", {"phase": "Running"})
    ended = found(await place.status("a", {"phase": "Succeeded", "settled": "True"}))
    query = {"resourceVersion": start, "fieldSelector": "status.settled!=True", "timeoutSeconds": "15"}
    seen = await events(place.api.watch(place.tasks, query), 2, {"ADDED", "MODIFIED", "DELETED"})
    assert [(kind, task["status"]["phase"]) for kind, task in seen] == [("MODIFIED", "Running"), ("DELETED", "Running")]
    assert seen[1][1]["metadata"]["resourceVersion"] == ended["metadata"]["resourceVersion"]


async def test_a_watch_tells_a_life(place: Place) -> None:
    """ADDED, MODIFIED, and DELETED under a version of its own."""
    start = (await place.get(place.tasks))["metadata"]["resourceVersion"]
    await place.task("a")
    last = found(await place.status("a", {"phase": "Running"}))
    await place.send("DELETE", f"{place.tasks}/a")
    query = {"resourceVersion": start, "timeoutSeconds": "15"}
    seen = await events(place.api.watch(place.tasks, query), 3, {"ADDED", "MODIFIED", "DELETED"})
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(task["metadata"]["resourceVersion"]) for _, task in seen]
    assert versions == sorted(set(versions))
    assert versions[1] == int(last["metadata"]["resourceVersion"])


async def test_a_watch_ends_when_its_time_is_over(place: Place) -> None:
    """timeoutSeconds is kept, without an error."""
    start = (await place.get(place.tasks))["metadata"]["resourceVersion"]
    query = {"resourceVersion": start, "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    assert await events(place.api.watch(place.tasks, query), 1, {"ADDED"}) == []


async def test_deletions_keep_their_preconditions(place: Place) -> None:
    """A DELETE that names another uid is a Conflict; with the right one the object goes."""
    made = await place.task("a")
    other = {"preconditions": {"uid": OTHER}}
    assert (await place.send("DELETE", f"{place.tasks}/a", other)).error().is_conflict
    mine = {"preconditions": {"uid": made["metadata"]["uid"]}, "propagationPolicy": "Background"}
    assert (await place.send("DELETE", f"{place.tasks}/a", mine)).ok
    assert (await place.send("GET", f"{place.tasks}/a")).error().is_not_found


async def test_a_foreground_deletion_shows_first(place: Place) -> None:
    """The answer carries a deletionTimestamp, and the object goes once what it owns has gone."""
    await place.send("POST", place.jobs, job("a"))
    reply = await place.send("DELETE", f"{place.jobs}/a", {"propagationPolicy": "Foreground"})
    assert found(reply)["metadata"]["deletionTimestamp"]
    async with asyncio.timeout(20):
        while (await place.send("GET", f"{place.jobs}/a")).ok:
            await asyncio.sleep(0.1)


async def test_what_nobody_owns_any_more_is_collected(place: Place) -> None:
    """A Job goes with its Task, also when the Task went before the Job came."""
    task = await place.task("a")
    owner = {"apiVersion": "taskq.dev/v1alpha1", "kind": "Task", "name": "a", "uid": task["metadata"]["uid"]}
    await place.send("POST", place.jobs, job("early", ownerReferences=[owner]))
    await place.send("DELETE", f"{place.tasks}/a")
    await place.send("POST", place.jobs, job("late", ownerReferences=[owner]))
    async with asyncio.timeout(60):
        while (await place.get(place.jobs))["items"]:
            await asyncio.sleep(0.2)


async def test_a_servers_time_limit_is_accepted(place: Place) -> None:
    """Creating a Job with a limit of the server's own works as without."""
    assert (await place.send("POST", place.jobs, job("a"), server_timeout=4)).status == 201


async def test_a_dry_run_leaves_nothing(place: Place) -> None:
    """It is answered like the real thing, and nothing is there afterwards."""
    assert (await place.send("POST", place.jobs, job("a"), query={"dryRun": "All"})).status == 201
    assert (await place.send("GET", f"{place.jobs}/a")).error().is_not_found


async def test_a_lease_is_replaced_at_its_version_only(place: Place) -> None:
    """A PUT with an older resourceVersion is a Conflict."""
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": {}}
    made = found(await place.send("POST", place.leases, lease))
    mine = made | {"spec": {"holderIdentity": "me"}}
    assert (await place.send("PUT", f"{place.leases}/a", mine)).ok
    theirs = made | {"spec": {"holderIdentity": "you"}}
    assert (await place.send("PUT", f"{place.leases}/a", theirs)).error().is_conflict
    assert (await place.get(f"{place.leases}/a"))["spec"]["holderIdentity"] == "me"


async def test_a_watch_from_a_forgotten_version_is_gone(place: Place) -> None:
    """Only a list helps after 410, whether it comes as the answer or as an event."""
    if isinstance(place.api, SimApi):
        await place.task("a")
        place.api._server.compact()
    try:
        ((_, document),) = await events(place.api.watch(place.tasks, {"resourceVersion": "1"}), 1, {"ERROR"})
        error = ApiError(document["code"], document["reason"])
    except ApiError as answer:
        error = answer
    assert error.is_gone
