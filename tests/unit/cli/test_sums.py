"""Sums over Tasks, and what a Task's document says of its times."""

from __future__ import annotations

import pytest

from taskq.cli import tasks
from taskq.cli.sums import Sum, ended_at, percentile

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def at(minute, second=0):
    """A time in the hour before now."""
    return f"2026-03-01T11:{minute:02}:{second:02}Z"


def task(phase="Succeeded", *, created=0, attempts=(), spec=None, **status):
    """A Task with attempts given as (start, end) in minutes."""
    known = [
        {"number": number, "startTime": at(start), "completionTime": at(end), "reason": "Error"}
        for number, (start, end) in enumerate(attempts, 1)
    ]
    if known:
        status |= {"attempts": known, "attempt": len(known), "startTime": known[-1]["startTime"]}
    meta = {"name": "t", "namespace": "n", "creationTimestamp": at(created)}
    return {"metadata": meta, "spec": spec or {}, "status": {"phase": phase, **status}}


def test_a_wait_ends_with_the_first_attempt():
    """Backoff between attempts is no wait for a place."""
    found = task(created=1, attempts=[(3, 5), (10, 30)], completionTime=at(30))
    assert tasks.waited_seconds(found, NOW) == 120
    assert tasks.ran_seconds(found, NOW) == 20 * 60
    assert ended_at(found) == NOW - 30 * 60


def test_a_wait_begins_when_it_may_start():
    """Not before notBeforeTime; and goes on while nothing has started."""
    assert tasks.waited_seconds(task("Pending", spec={"notBeforeTime": at(50)}), NOW) == 600
    assert tasks.waited_seconds(task("Pending", created=59), NOW) == 60
    assert tasks.waited_seconds(task("Cancelled", created=10, completionTime=at(15)), NOW) == 300


def test_a_run_goes_on_until_it_has_ended():
    """A Task that waits for its next attempt shows how long the last one ran."""
    assert tasks.ran_seconds(task("Running", attempt=1, startTime=at(59)), NOW) == 60
    assert tasks.ran_seconds(task("Retrying", attempts=[(10, 12)]), NOW) == 120
    assert tasks.ran_seconds(task("Pending"), NOW) is None


def test_failures_are_what_somebody_wanted_and_did_not_get():
    """Expired counts, Cancelled does not."""
    found = Sum()
    for phase in ("Succeeded", "Succeeded", "Failed", "Expired", "Cancelled"):
        found.add(task(phase, attempts=[(1, 2)], completionTime=at(2)), NOW)
    assert (found.count, found.succeeded, found.failed, found.attempts) == (5, 2, 2, 5)
    assert found.failure_ratio == 0.5
    assert Sum().failure_ratio is None


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 4), (0.99, 4), (0.25, 1)])
def test_percentiles_are_values_that_occurred(share, value):
    """By nearest rank."""
    assert percentile([4, 1, 3, 2], share) == value
    assert percentile([], share) is None
