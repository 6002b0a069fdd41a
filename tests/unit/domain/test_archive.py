"""Finished Tasks: counted, kept so many and so long, and let go."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import T0, at, make_queue, make_task
from taskq.domain.archive import Archive, Finished, finished
from taskq.domain.model import QueueSpec


def rules(**spec: Any) -> QueueSpec:
    """A queue's rules."""
    return make_queue(**spec).build().spec


def ended(name: str, phase: str = "Succeeded", at_: float = 0, result: str = "", **spec: Any) -> Finished:
    """A Task that has ended, as a queue without rules of its own keeps it."""
    task = make_task(name, uid=name, **spec).status(phase=phase, completionTime=at(at_), result=result).build()
    return finished(task, rules())


def due(archive: Archive, seconds: float) -> list[tuple[str, bool]]:
    """Names of what is due so many seconds after T0, and whether only the result is to go."""
    return [(one.finished.uid, one.forget_result_only) for one in archive.take_due(T0 + seconds, 100)]


def test_a_task_goes_when_its_time_is_over() -> None:
    """Not before, and once."""
    archive = Archive()
    archive.add(ended("a", at_=10, ttl={"afterSuccessSeconds": 60}), rules())
    assert archive.next_due() == T0 + 70
    assert due(archive, 69) == []
    assert due(archive, 70) == [("a", False)]
    assert due(archive, 71) == []


def test_a_result_may_go_before_its_task() -> None:
    """First the result, then the Task."""
    archive = Archive()
    archive.add(ended("a", result="42", ttl={"afterSuccessSeconds": 60, "resultSeconds": 20}), rules())
    assert due(archive, 59) == [("a", True)]
    assert due(archive, 60) == [("a", False)]


def test_a_task_without_a_result_has_none_to_forget() -> None:
    """Nothing is written for nothing."""
    archive = Archive()
    archive.add(ended("a", ttl={"afterSuccessSeconds": 60, "resultSeconds": 20}), rules())
    assert due(archive, 59) == []


def test_above_the_limit_the_oldest_go() -> None:
    """Succeeded ones by their limit, all others by theirs."""
    archive, most = Archive(), rules(retention={"maxSucceeded": 2, "maxFailed": 1})
    for number in (3, 1, 2):
        archive.add(ended(f"s{number}", at_=number), most)
    for number, phase in enumerate(("Failed", "Expired", "Cancelled")):
        archive.add(ended(f"f{number}", phase, at_=number), most)
    assert {name for name, _ in due(archive, 10)} == {"s1", "f0", "f1"}


def test_what_counts_for_a_rate_is_kept_until_it_does_not() -> None:
    """A Task that goes takes its Job along, whose creation time the rate is read from."""
    queue = rules(rateLimit={"maxStarts": 1, "periodSeconds": 300}, retention={"maxSucceeded": 0})
    task = make_task("a", uid="a", ttl={"afterSuccessSeconds": 0}).status(phase="Succeeded", completionTime=at(0))
    archive = Archive()
    archive.add(finished(task.build(), queue), queue)
    assert due(archive, 299) == []
    assert due(archive, 300)[0] == ("a", False)


def test_a_dead_letter_is_kept_whatever_else_is_said() -> None:
    """Only while the queue keeps dead letters, and only what was one when it failed."""
    keeps, keeps_none = rules(retention={"maxFailed": 0, "deadLetterSeconds": 300}), rules(retention={"maxFailed": 0})
    task = make_task("a", uid="a", ttl={"afterFailureSeconds": 0}).status(phase="Failed", completionTime=at(0))
    for made, queue, kept in (
        (task.status(deadLetter="True"), keeps, 300),
        (task.status(deadLetter="True"), keeps_none, 0),
        (task, keeps, 0),
    ):
        archive = Archive()
        archive.add(finished(made.build(), queue), queue)
        assert due(archive, kept - 1) == []
        assert due(archive, kept)[0] == ("a", False)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 50))), st.integers(0, 3))
def test_no_more_are_kept_than_allowed(ends: list[tuple[int, bool, int]], most: int) -> None:
    """Whatever ends in whatever order: after clean-up the newest so many of each kind are left."""
    archive, queue = Archive(), rules(retention={"maxSucceeded": most, "maxFailed": most})
    kept: dict[str, tuple[bool, int]] = {}
    for number, good, time in ends:
        name = f"t{number}"
        if name not in kept:
            kept[name] = (good, time)
            archive.add(ended(name, "Succeeded" if good else "Failed", at_=time), queue)
    for name, _ in due(archive, 60):
        archive.discard(name)
    for good in (True, False):
        newest = sorted(((time, name) for name, (is_good, time) in kept.items() if is_good is good), reverse=True)
        assert {name for _, name in newest[:most]} == {one.uid for one in archive if one.succeeded is good}
    assert sum(archive.counts(one.queue)[one.phase] > 0 for one in archive) == len(list(archive))
