"""The policy in force for one Task."""

from __future__ import annotations

import pytest

from builders import T0, at, make_queue, make_task
from taskq.domain import policy

OPEN = make_queue().build().spec


def test_a_queue_without_an_object_has_all_defaults() -> None:
    """The implicit queue is a queue with an empty spec."""
    assert policy.spec_of(None) == make_queue().build().spec


def test_a_given_object_replaces_the_queues_whole_object() -> None:
    """Policies are not merged field by field."""
    queue = make_queue(taskDefaults={"timeouts": {"softSeconds": 5, "pendingSeconds": 9}}).build().spec
    assert policy.timeouts(make_task(timeouts={"hardSeconds": 7}).build(), queue).soft_seconds is None
    assert policy.timeouts(make_task().build(), queue).pending_seconds == 9


def test_a_starting_deadline_counts_from_the_due_time() -> None:
    """It counts from notBeforeTime when that lies after the creation."""
    assert policy.expiry_time(make_task(startingDeadlineSeconds=10).build(), OPEN) == T0 + 10
    later = make_task(startingDeadlineSeconds=10, notBeforeTime=at(100)).build()
    assert policy.expiry_time(later, OPEN) == T0 + 110


def test_the_queues_starting_deadline_fills_in() -> None:
    """A Task that says nothing has its queue's."""
    rules = make_queue(taskDefaults={"startingDeadlineSeconds": 3}).build().spec
    assert policy.expiry_time(make_task().build(), rules) == T0 + 3
    assert policy.expiry_time(make_task(startingDeadlineSeconds=8).build(), rules) == T0 + 8


def test_what_has_started_once_does_not_expire() -> None:
    """A retry is never too late to start."""
    task = make_task(startingDeadlineSeconds=10)
    assert policy.expiry_time(task.running().build(), OPEN) is None
    assert policy.expiry_time(task.failed_once(ended=1, due=99).build(), OPEN) is None


@pytest.mark.parametrize(
    ("ttl", "defaults", "succeeded", "kept"),
    [
        (None, None, True, 86_400),
        ({"afterSuccessSeconds": 5}, None, True, 5),
        ({"afterSuccessSeconds": 5}, {"afterFailureSeconds": 7}, False, 86_400),
        (None, {"afterFailureSeconds": 7}, False, 7),
        ({"afterSuccessSeconds": 0}, None, True, 0),
    ],
)
def test_how_long_a_finished_task_is_kept(ttl: object, defaults: object, succeeded: object, kept: int) -> None:
    """Its own ttl, else its queue's, else a day; zero is a value."""
    task = (make_task(ttl=ttl) if ttl else make_task()).build()
    queue = make_queue(taskDefaults={"ttl": defaults} if defaults else {}).build().spec
    assert policy.ttl_seconds(task, queue, succeeded=bool(succeeded)) == kept
