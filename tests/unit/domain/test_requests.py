"""Requests on queues: up to which second each one counts, and when a status may tell of it."""

from __future__ import annotations

from typing import Any

import pytest

from builders import T0, QueueBuilder, at, make_queue
from taskq.domain.requests import OpenRequests, made_on, told

NOW = T0 + 90
"""A clock of an operator that is a minute ahead of the API server's."""


def request(time: float, nonce: str = "one") -> dict[str, str]:
    """A request as a status has it."""
    return {"nonce": nonce, "time": at(time)}


def asked(queue: QueueBuilder) -> dict[str, Any]:
    """What its status would say of the requests on a queue."""
    return told(made_on(queue.build(), NOW))


@pytest.mark.parametrize(
    ("nonce", "until"),
    [
        ("one", 30),
        (at(20), 20),
        (at(25.25), 25),
        (at(31), 30),  # none after it was asked
        ("2026-03-02T12:00:20", 30),  # without a zone it is no time
        ("20260302", 30),
        ("0001-01-01T00:00:00Z", -T0),
    ],
)
def test_a_request_counts_up_to_the_second_it_was_written_in(nonce: str, until: float) -> None:
    """By the API server's clock, whatever the operator's says; or up to an earlier time that is its value."""
    assert asked(make_queue().annotated(30, purge=nonce)) == {"purge": {"nonce": nonce, "time": at(until)}}
    assert asked(make_queue().annotated(30, cancel_all=nonce)).keys() == {"cancelAll"}


def test_a_request_is_told_of_once() -> None:
    """And no annotation at all asks for nothing."""
    queue = make_queue().annotated(30, purge="one")
    assert asked(queue._with("status", purge=request(10))) == {}
    assert asked(make_queue()) == {}


def test_a_later_request_takes_nothing_back() -> None:
    """What an earlier one concerned may not have ended yet."""
    queue = make_queue().annotated(30, purge=at(5))._with("status", purge=request(10))
    assert asked(queue) == {"purge": {"nonce": at(5), "time": at(10)}}


def test_who_repeats_a_request_does_not_extend_it() -> None:
    """The first to write a value counts; who wrote something else of the queue does not count at all."""
    queue = make_queue().annotated(10, "helm", other="x").annotated(30, purge="one").annotated(50, "flux", purge="one")
    assert asked(queue) == {"purge": request(30)}


def test_without_a_record_of_who_wrote_it_the_operators_clock_counts() -> None:
    """Somebody has cleared metadata.managedFields."""
    assert asked(make_queue().annotated(purge="one")) == {"purge": request(90)}


def test_a_request_is_told_of_when_its_second_is_over() -> None:
    """A second after it was seen, for each value anew; the first look decides up to when it counts."""
    line = OpenRequests()

    def told_of(queue: QueueBuilder, uptime: float) -> dict[str, Any]:
        line.look([queue.build()], NOW, uptime)
        return told(line.due(queue.build(), uptime))

    first = make_queue().annotated(30, purge="one")
    assert told_of(first, 5.9) == {}
    assert line.next_due(5.9) == 6.9
    edited_too = make_queue().annotated(31, purge="one")
    assert told_of(edited_too, 6.9) == {"purge": request(30)}
    assert told_of(edited_too._with("status", purge=request(30)), 7) == {}
    assert line.next_due(7) is None
    second = edited_too.annotated(33, purge="two")
    assert told_of(second, 8) == {}
    assert told_of(second, 9) == {"purge": request(33, "two")}


def test_a_queue_is_not_told_of_anothers_requests() -> None:
    """Nor of those of a queue of the same name that was deleted."""
    line = OpenRequests()
    one, anew = (make_queue().annotated(30, purge="one").meta(uid=uid).build() for uid in ("u1", "u2"))
    line.look([one], NOW, 0)
    line.look([anew], NOW, 1)
    assert line.due(anew, 1.5) == []
    assert line.due(one, 1.5) == []
    assert [found.nonce for found in line.due(anew, 2)] == ["one"]
