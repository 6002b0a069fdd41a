"""At most one replica may write at any moment, and another takes over when it ends, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taskq.cluster.lease import Lease
from taskq.cluster.session import Reply
from taskq.errors import NotSent, Unanswered
from unit.cluster.doubles import Collection, LoopClock, failure, settle, stop, virtual


class Replica:
    """A process that stands for election; `reach` is its own way to the API server."""

    def __init__(self, api: Collection, identity: str, **settings: Any) -> None:
        self.clock = LoopClock()
        self.reach = Reach(api)
        self.elected: list[float] = []
        self.lease = Lease(
            self.reach,
            namespace="taskq",
            name="operator",
            identity=identity,
            clock=self.clock,
            jitter=lambda: 0.0,
            **settings,
        )
        self.task = asyncio.create_task(self.lease.run(self._on_elected))

    async def _on_elected(self) -> None:
        self.elected.append(self.clock.uptime())

    def age(self) -> float:
        return self.lease.age

    async def kill(self) -> None:
        """End without a word, as kill -9 does."""
        await stop(self.task)


class Reach(Collection):
    """One replica's requests to a shared API server, which may be made to hang, fail or get lost."""

    def __init__(self, server: Collection) -> None:
        super().__init__()
        self.server = server
        self.timeouts: list[float] = []

    async def request(self, method: str, path: str, **how: Any) -> Reply:
        self.timeouts.append(how["timeout"])
        if method != "GET":
            assert how["server_timeout"] == how["timeout"], "a late write must not be applied"
        self.requests.append((method, path, {}))
        instead = await self.before(method, path) if self.before else None
        answer = instead or await self.server.request(method, path, **how)
        instead = await self.after(method, path) if self.after else None
        return instead or answer


def spec(api: Collection) -> dict[str, Any]:
    found: dict[str, Any] = api.objects["operator"]["spec"]
    return found


def edit(api: Collection, **changes: Any) -> None:
    """Change the record as a human with kubectl does."""
    api.put("operator", spec={**spec(api), **changes})


async def hang(method: str, path: str) -> None:
    await asyncio.sleep(1e9)


def fails(error: Exception) -> Callable[[str, str], Awaitable[None]]:
    async def fail(method: str, path: str) -> None:
        raise error

    return fail


@virtual
async def test_the_first_replica_creates_the_lease_and_is_elected_at_once() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle()
    assert one.elected == [0.0]
    assert one.lease.may_write()
    assert spec(api) == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 8,
        "acquireTime": "2023-11-14T22:13:20.000000Z",
        "renewTime": "2023-11-14T22:13:20.000000Z",
        "leaseTransitions": 0,
    }
    await one.kill()


@virtual
async def test_the_holder_renews_and_the_standby_waits() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    for _ in range(600):
        await settle(0.1)
        assert one.lease.may_write()
        assert not two.lease.may_write()
        assert one.age() < 2.2
    assert spec(api)["renewTime"] > "2023-11-14T22:14:17"
    assert spec(api)["leaseTransitions"] == 0
    assert two.lease.holder == "one"
    assert two.elected == []
    await one.kill()
    await two.kill()


@virtual
async def test_a_holder_that_dies_is_succeeded_after_the_duration_and_not_before() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)
    await one.kill()
    last = one.lease.age
    died = two.clock.uptime()
    await settle(20)
    [took] = two.elected
    assert took - died + last >= 8
    assert took - died <= 9
    assert spec(api)["leaseTransitions"] == 1
    assert spec(api)["holderIdentity"] == "two"
    await two.kill()


@virtual
async def test_a_released_lease_is_taken_at_the_next_poll() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)
    await one.lease.release()
    assert not one.lease.may_write()
    assert spec(api)["holderIdentity"] == ""
    assert not one.lease.lost.is_set()
    await settle(1)
    assert two.lease.may_write()
    assert one.task.done()
    assert one.task.result() is None
    await two.kill()


@virtual
async def test_a_standby_that_is_released_ends_and_leaves_the_lease_alone() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)
    await two.lease.release()
    await settle(2)
    assert two.task.done()
    assert one.lease.may_write()
    await one.kill()


@virtual
async def test_of_two_that_see_it_expired_one_wins() -> None:
    api = Collection()
    zero = Replica(api, "zero")
    await settle(1)
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(1)
    await zero.kill()
    await settle(30)
    assert sorted([one.lease.is_holder, two.lease.is_holder]) == [False, True]
    await one.kill()
    await two.kill()


@virtual
async def test_writing_stops_at_the_deadline_also_while_the_renewal_hangs() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(0.5)
    one.reach.before = hang
    await settle(2.4)
    assert one.lease.may_write()
    assert not one.lease.lost.is_set()
    await settle(0.1)
    assert not one.lease.may_write()
    await settle(0.1)
    assert one.lease.lost.is_set()
    assert one.task.done()


@virtual
async def test_the_age_counts_from_the_start_of_the_renewal() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)

    async def slow(method: str, path: str) -> None:
        await asyncio.sleep(0.9)

    one.reach.after = slow
    await settle(1.95)
    assert one.age() == pytest.approx(0.95)
    await one.kill()


@virtual
async def test_failed_renewals_are_tried_again_until_the_deadline() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1.5)
    one.reach.before = fails(NotSent("refused"))
    await settle(1.2)
    one.reach.before = None
    await settle(0.4)
    assert one.lease.may_write()
    one.reach.before = fails(NotSent("refused"))
    await settle(4)
    assert one.lease.lost.is_set()


@virtual
async def test_a_renewal_applied_but_unanswered_is_recognised_as_ours() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1.5)
    lose = [True]

    async def cut(method: str, path: str) -> None:
        if lose and method == "PUT":
            lose.clear()
            raise Unanswered("reset")

    one.reach.after = cut
    await settle(2)
    assert not lose
    assert one.lease.may_write()
    await settle(20)
    assert one.lease.may_write()
    await one.kill()


@virtual
async def test_an_election_applied_but_unanswered_is_taken_up() -> None:
    api = Collection()
    one = Replica(api, "one")
    lose = [True]

    async def cut(method: str, path: str) -> None:
        if lose and method == "POST":
            lose.clear()
            raise Unanswered("reset")

    one.reach.after = cut
    await settle(2)
    assert one.lease.may_write()
    assert len(one.elected) == 1
    await one.kill()


@virtual
async def test_after_a_suspend_nothing_is_written_and_the_lease_counts_as_lost() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(5)
    one.clock.suspend(3600)
    assert not one.lease.may_write()
    assert one.lease.is_holder, "nobody has looked at the clock yet"
    await settle(1)
    assert one.lease.lost.is_set()


@virtual
async def test_a_renewal_that_spans_a_suspend_does_not_revive_the_right_to_write() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1.5)

    async def freeze(method: str, path: str) -> None:
        one.reach.after = None
        one.clock.suspend(10)

    one.reach.after = freeze
    await settle(0.6)
    assert not one.lease.may_write()
    await settle(1)
    assert one.lease.lost.is_set()


@virtual
async def test_a_standby_woken_from_a_freeze_does_not_take_a_lease_that_lives() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)

    async def freeze(method: str, path: str) -> None:
        if method == "GET" and len(two.reach.requests) % 2:
            await asyncio.sleep(60.7)  # with what it read before in its hands

    two.reach.after = freeze
    await settle(1200)
    assert "PUT" in {method for method, _, _ in two.reach.requests}, "it did take the lease for expired"
    assert one.lease.may_write()
    assert two.elected == []
    await one.kill()
    await two.kill()


@virtual
async def test_a_lease_deleted_by_hand_is_made_again_by_its_holder() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)
    api.delete("operator")
    await settle(5)
    assert one.lease.may_write()
    assert two.elected == []
    assert spec(api)["holderIdentity"] == "one"
    await one.kill()
    await two.kill()


@virtual
async def test_a_lease_deleted_after_its_holder_died_is_made_by_the_standby_after_the_wait() -> None:
    api = Collection()
    one, two = Replica(api, "one"), Replica(api, "two")
    await settle(5)
    await one.kill()
    api.delete("operator")
    await settle(5)
    assert two.elected == []
    await settle(5)
    assert two.lease.may_write()
    await two.kill()


@virtual
async def test_labels_that_a_human_adds_stay_and_do_not_cost_the_lease() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)
    labelled = api.put("operator", spec=spec(api))
    labelled["metadata"]["labels"] = {"team": "a"}
    await settle(10)
    assert one.lease.may_write()
    assert api.objects["operator"]["metadata"]["labels"] == {"team": "a"}
    await one.kill()


@pytest.mark.parametrize("holder", ["somebody", ""])
@virtual
async def test_a_holder_replaced_by_hand_loses_at_its_next_renewal(holder: str) -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)
    edit(api, holderIdentity=holder)
    await settle(1.1)
    assert one.lease.lost.is_set()
    assert not one.lease.may_write()


@virtual
async def test_edits_of_a_dead_holders_record_do_not_keep_it_alive() -> None:
    api = Collection()
    api.put("operator", spec={"holderIdentity": "dead", "leaseDurationSeconds": 8, "renewTime": "x"})
    one = Replica(api, "one")
    for _ in range(10):
        await settle(1)
        api.put("operator", spec=spec(api))
    assert one.lease.may_write()
    await one.kill()


@pytest.mark.parametrize(("asked", "waited"), [(20, 20), (1, 8), (10**9, 3600), (None, 8), ("x", 8)])
@virtual
async def test_the_longer_of_both_durations_is_waited_for_within_reason(asked: object, waited: float) -> None:
    api = Collection()
    api.put("operator", spec={"holderIdentity": "dead", "leaseDurationSeconds": asked})
    one = Replica(api, "one")
    await settle(5000)
    [took] = one.elected
    assert waited <= took <= waited + 1.1
    await one.kill()


@pytest.mark.parametrize("record", [{}, {"spec": None}, {"spec": {}}, {"spec": {"holderIdentity": None}}])
@virtual
async def test_a_record_without_a_holder_is_free(record: dict[str, Any]) -> None:
    api = Collection()
    api.put("operator", **record)
    one = Replica(api, "one")
    await settle(1)
    assert one.lease.may_write()
    assert spec(api)["leaseTransitions"] == 1
    await one.kill()


@virtual
async def test_an_api_server_that_is_away_only_delays_the_election() -> None:
    api = Collection()
    one = Replica(api, "one")
    one.reach.before = fails(NotSent("refused"))
    await settle(30)
    assert not one.task.done()
    one.reach.before = None
    await settle(1.5)
    assert one.lease.may_write()
    await one.kill()


@virtual
async def test_a_refused_lease_is_asked_for_again() -> None:
    api = Collection()
    one = Replica(api, "one")

    async def forbid(method: str, path: str) -> Reply:
        return failure(403, "Forbidden")

    one.reach.before = forbid
    await settle(30)
    one.reach.before = None
    await settle(1.5)
    assert one.lease.may_write()
    await one.kill()


@virtual
async def test_giving_up_later_than_the_deadline_pauses_writing_and_survives_an_outage() -> None:
    api = Collection()
    one = Replica(api, "one", give_up_seconds=60)
    await settle(1)
    one.reach.before = fails(NotSent("refused"))
    await settle(20)
    assert not one.lease.may_write()
    assert not one.lease.lost.is_set()
    one.reach.before = None
    await settle(1)
    assert one.lease.may_write()
    assert one.elected == [0.0]
    await one.kill()


@virtual
async def test_giving_up_later_never_writes_beside_a_successor() -> None:
    api = Collection()
    one = Replica(api, "one", give_up_seconds=60)
    await settle(1)
    two = Replica(api, "two", give_up_seconds=60)
    one.reach.before = hang
    for _ in range(300):
        await settle(0.1)
        assert not (one.lease.may_write() and two.lease.may_write())
    assert two.lease.may_write()
    one.reach.before = None
    await settle(60)
    assert one.lease.lost.is_set()
    await two.kill()


@virtual
async def test_release_waits_for_no_server_for_long() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)
    one.reach.before = fails(Unanswered("timeout"))
    await one.lease.release()
    assert not one.lease.may_write()
    assert one.reach.timeouts[-1] <= 2


@virtual
async def test_release_meets_an_edit_by_hand_and_still_gives_back() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)
    edit(api, leaseTransitions=7)
    await one.lease.release()
    assert spec(api)["holderIdentity"] == ""


@virtual
async def test_release_never_takes_the_lease_from_a_successor() -> None:
    api = Collection()
    one = Replica(api, "one")
    await settle(1)
    edit(api, holderIdentity="two")
    await one.lease.release()
    assert spec(api)["holderIdentity"] == "two"


@virtual
async def test_release_while_an_election_is_under_way_leaves_nothing_behind() -> None:
    api = Collection()
    one = Replica(api, "one")

    async def slow(method: str, path: str) -> None:
        await asyncio.sleep(0.5)

    one.reach.after = slow
    await settle(0.7)  # the POST was applied, its answer is on the way
    await one.lease.release()
    await settle(2)
    assert one.elected == []
    assert spec(api)["holderIdentity"] == ""
    assert one.task.done()


@virtual
async def test_work_begun_by_the_election_ends_with_the_term() -> None:
    api = Collection()
    one = Replica(api, "unused")
    await one.kill()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.set()

    two = Lease(api, namespace="n", name="other", identity="b", clock=LoopClock(), jitter=lambda: 0.0)
    term = asyncio.create_task(two.run(work))
    await settle(10)
    assert two.may_write()
    await two.release()
    await term
    assert ended.is_set()


@virtual
async def test_what_the_elected_work_raises_ends_the_run() -> None:
    api = Collection()
    lease = Lease(api, namespace="n", name="other", identity="b", clock=LoopClock(), jitter=lambda: 0.0)

    async def broken() -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        await lease.run(broken)


@virtual
async def test_a_free_lease_is_taken_in_one_step_and_kept() -> None:
    """Before the first list: the term then begins with `run`, without another look."""
    api = Collection()
    first = Replica(api, "a")
    await stop(first.task)
    assert await first.lease.take()
    assert first.lease.may_write()
    second = Replica(api, "b")
    assert not await second.lease.take()
    again = asyncio.create_task(first.lease.run(first._on_elected))
    await settle()
    assert first.elected
    await stop(again)
    await stop(second.task)


@virtual
async def test_a_lease_that_cannot_be_read_is_not_taken() -> None:
    """The replica then stands by as any other."""
    replica = Replica(Collection(), "a")
    await stop(replica.task)

    async def lost(_method: str, _path: str) -> Reply | None:
        raise Unanswered("no answer")

    replica.reach.before = lost
    assert not await replica.lease.take()
    assert not replica.lease.is_holder
