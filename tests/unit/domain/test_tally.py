"""Totals: what a queue's status said when a leader began, and what it has seen end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from builders import make_queue
from taskq.domain.model import Queue
from taskq.domain.tally import Tally


def queue(uid: str = "q1", **totals: int) -> Queue:
    """A queue whose status counts so."""
    made = make_queue().meta(uid=uid)
    return (made._with("status", totals=totals) if totals else made).build()


def counted(tally: Tally, of: Queue, **kept: Any) -> dict[str, int]:
    """The totals, without zeros."""
    return dict(+tally.totals(of, Counter(kept)))


def test_what_ends_is_added_to_what_the_status_said() -> None:
    """A status that this process wrote itself is not the base: an answer that got lost adds nothing twice."""
    tally, key = Tally(), queue().metadata.key
    assert counted(tally, queue(succeeded=5, failed=1)) == {"Succeeded": 5, "Failed": 1}
    tally.ended(key, "Succeeded", "u1")
    for shown in (5, 6):
        assert counted(tally, queue(succeeded=shown, failed=1)) == {"Succeeded": 6, "Failed": 1}


def test_what_is_kept_is_counted_at_least() -> None:
    """A crash forgot two ends whose Tasks are there; when they are cleaned up, they stay counted."""
    tally, key = Tally(), queue().metadata.key
    tally.ended(key, "Failed", "u1")
    assert counted(tally, queue(succeeded=1), Succeeded=3, Failed=1) == {"Succeeded": 3, "Failed": 1}
    assert counted(tally, queue(succeeded=3, failed=1)) == {"Succeeded": 3, "Failed": 1}


def test_an_end_that_a_list_showed_before_it_was_told_counts_once() -> None:
    """The answer to the write that ended a Task comes after the list of finished Tasks, which has it already."""
    tally, key = Tally(), queue().metadata.key
    assert +tally.totals(queue(), Counter(Failed=2), ["u2"]) == {"Failed": 2}
    tally.ended(key, "Failed", "u2")
    assert counted(tally, queue(failed=2), Failed=2) == {"Failed": 2}
    tally.ended(key, "Failed", "u3")
    assert counted(tally, queue(failed=2), Failed=3) == {"Failed": 3}


def test_a_queue_made_anew_begins_anew() -> None:
    """Under the same name."""
    tally, key = Tally(), queue().metadata.key
    tally.ended(key, "Succeeded", "u1")
    assert counted(tally, queue()) == {"Succeeded": 1}
    assert counted(tally, queue("q2")) == {}
