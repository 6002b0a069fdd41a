"""The status that TaskQ writes on a Task."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import T0, TaskBuilder, at, make_job, make_queue, make_task
from taskq.domain import status
from taskq.domain.model import Task
from taskq.domain.outcome import Outcome
from taskq.resources import task as api

RULES = make_queue().build().spec
FAILURE = Outcome("Error", "Exit code 1", 1, "pod", T0 + 1, T0 + 5)
SUCCESS = Outcome("Succeeded", "", 0, "pod", T0 + 1, T0 + 5, "42")


def valid(patch: status.Patch) -> dict[str, Any]:
    """The patch as it comes out of a merge into an empty status, which must be one that the schema takes."""
    merged = {name: value for name, value in patch.items() if value is not None}
    api.TaskStatus.model_validate_json(msgspec.json.encode(merged))
    return merged


def conditions(patch: status.Patch) -> dict[str, str]:
    """Type and status."""
    return {condition["type"]: condition["status"] for condition in patch["conditions"]}


def ended(task: Task, phase: str, outcome: Outcome | None = None) -> status.Patch:
    """A terminal patch."""
    attempt = ("job", outcome) if outcome else None
    return status.ended(task, RULES, phase, "Why", "words", T0 + 9, attempt=attempt, counts=phase == "Failed" or None)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("Succeeded", {"Complete": "True", "Finished": "True", "Admitted": "True"}),
        ("Failed", {"Failed": "True", "Finished": "True", "Admitted": "True", "Stalled": "True"}),
        ("Cancelled", {"Failed": "True", "Finished": "True", "Admitted": "True"}),
        ("Expired", {"Failed": "True", "Finished": "True", "Admitted": "True", "Stalled": "True"}),
    ],
)
def test_both_dialects_of_an_end(phase: str, expected: dict[str, str]) -> None:
    """batch/v1's Complete or Failed, kstatus' Stalled where a person should look, nothing left Reconciling."""
    outcome = SUCCESS if phase == "Succeeded" else FAILURE
    patch = ended(make_task().build(), phase, outcome)
    assert conditions(patch) == expected
    assert valid(patch)["settled"] == "True"


def test_a_wait_is_reconciling_and_a_persons_fault_stalls() -> None:
    """A quota is waited for; a missing queue waits for a person."""
    task = make_task().build()
    quota = status.waiting(task, RULES, ("QuotaExceeded", "no room"), T0)
    missing = status.waiting(task, RULES, ("QueueNotFound", "no queue"), T0)
    assert conditions(quota) == {"Admitted": "False", "Reconciling": "True"}
    assert conditions(missing) == {"Admitted": "False", "Stalled": "True"}


def test_every_condition_carries_the_generation() -> None:
    """kubectl wait passes over a condition that is older than the spec."""
    task = make_task().spec(priority=3).build()
    patch = status.waiting(task, RULES, ("QueueNotFound", "no queue"), T0)
    assert {condition["observedGeneration"] for condition in patch["conditions"]} == {2}
    assert patch["observedGeneration"] == 2


def test_a_transition_time_moves_only_with_the_status() -> None:
    """Another reason or message leaves it where it was."""
    task = make_task().condition("Admitted", "False", "QueueNotFound", "old", since=0).build()
    patch = status.waiting(task, RULES, ("TemplateNotFound", "new"), T0 + 50)
    admitted = next(c for c in patch["conditions"] if c["type"] == "Admitted")
    assert admitted["lastTransitionTime"] == at(0)
    running = status.running(task, RULES, make_job(task).build(), None, T0 + 50)
    assert next(c for c in running["conditions"] if c["type"] == "Admitted")["lastTransitionTime"] == at(50)


def test_conditions_of_others_stay() -> None:
    """A condition that TaskQ does not know is kept."""
    task = make_task().condition("example.com/Checked", "True", "Ok").build()
    assert "example.com/Checked" in conditions(status.waiting(task, RULES, None, T0))


def test_an_end_counts_its_attempt_once() -> None:
    """A failure adds one to failedAttempts, an ignored one to ignoredAttempts, a success to neither."""
    task = make_task().status(failedAttempts=2, ignoredAttempts=5).build()
    retry = status.retrying(task, RULES, "job", FAILURE, due=T0 + 9, counts=False, now=T0 + 6)
    assert retry["ignoredAttempts"] == 6
    assert "failedAttempts" not in retry
    assert ended(task, "Failed", FAILURE)["failedAttempts"] == 3
    assert not {"failedAttempts", "ignoredAttempts"} & set(ended(task, "Succeeded", SUCCESS))


def test_the_history_keeps_the_last_ten_attempts() -> None:
    """Older attempts go, their numbers do not start again."""
    task = make_task()
    for number in range(1, 13):
        patch = status.retrying(task.build(), RULES, "job", FAILURE, due=T0, counts=True, now=T0)
        task = TaskBuilder(task.document | {"status": task.document["status"] | valid(patch)})
        assert task.build().settled_attempt == number
    assert [attempt.number for attempt in task.build().status.attempts] == list(range(3, 13))


def test_later_attempts_do_not_change_when_the_first_one_started() -> None:
    """How long a Task waited and how long it took are read from these, retries included."""
    task = make_task()
    first = status.retrying(task.build(), RULES, "job", FAILURE, due=T0 + 60, counts=True, now=T0 + 6)
    assert (first["queuedTime"], first["startTime"]) == (status.stamp(T0), status.stamp(T0 + 1))
    retried = task.status(**valid(first)).build()
    last = ended(retried, "Succeeded", SUCCESS._replace(started=T0 + 61, ended=T0 + 62))
    shown = status.running(retried, RULES, make_job(retried, created=61).build(), None, T0 + 64)
    assert not {"queuedTime", "startTime"} & (set(last) | set(shown))


def test_what_a_retry_waits_for_is_precise() -> None:
    """Whole seconds would gather again what the jitter has spread."""
    patch = status.retrying(make_task().build(), RULES, "job", FAILURE, due=T0 + 1.234, counts=True, now=T0)
    assert patch["nextAttemptTime"] == at(1.234)


def test_only_a_new_fact_is_a_difference() -> None:
    """The same phase, attempt and conditions at another time are not worth a write."""
    task = make_task()
    patch = status.waiting(task.build(), RULES, ("QueueNotFound", "no queue"), T0)
    told = task.status(**patch).build()
    assert not status.differs(told, status.waiting(told, RULES, ("QueueNotFound", "no queue"), T0 + 99))
    assert status.differs(told, status.waiting(told, RULES, ("QueueNotFound", "other words"), T0 + 99))
    assert status.differs(told, status.running(told, RULES, make_job(told).build(), None, T0 + 99))


def test_the_task_keeps_to_the_schema_with_the_longest_words() -> None:
    """Messages of any length are cut to what the API server takes."""
    long = Outcome("Error", "x" * 5000, 1, "p" * 253, None, T0 + 5)
    task = make_task("a" * 63).build()
    valid(status.retrying(task, RULES, "j" * 63, long._replace(message="x" * 1024), due=T0, counts=True, now=T0))
    valid(status.waiting(task, RULES, ("QueueNotFound", "y" * 99999), T0))


@given(
    st.sampled_from(["waiting", "fault", "running", "retrying", "Succeeded", "Failed", "Cancelled", "Expired"]),
    st.floats(0, 1e6),
    st.integers(-1_000_000, 1_000_000),
)
def test_every_status_is_one_that_the_api_server_takes(kind: str, now: float, priority: int) -> None:
    """Whatever is written passes the schema of the CRD's model."""
    task = make_task(priority=priority).build()
    moment = T0 + now
    failure = FAILURE._replace(ended=moment)
    patch = {
        "waiting": lambda: status.waiting(task, RULES, None, moment),
        "fault": lambda: status.waiting(task, RULES, ("JobRefused", "no"), moment),
        "running": lambda: status.running(task, RULES, make_job(task).build(), None, moment),
        "retrying": lambda: status.retrying(task, RULES, "job", failure, due=moment + 1, counts=True, now=moment),
        "Succeeded": lambda: ended(task, "Succeeded", SUCCESS),
        "Failed": lambda: ended(task, "Failed", FAILURE),
        "Cancelled": lambda: ended(task, "Cancelled"),
        "Expired": lambda: ended(task, "Expired"),
    }[kind]()
    assert valid(patch)["effectivePriority"] == priority
