"""Whether a Task may stand in its queue's order, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest

from builders import T0, QueueBuilder, TaskBuilder, make_queue, make_task
from taskq.domain.admission import Refusal, may_start, why_blocked


def blocked(task: TaskBuilder, queue: QueueBuilder | None = None, now: float = 10, **facts: Any) -> str:
    """The reason that blocks, else an empty string."""
    facts = {"queue_exists": True, "refusal": None} | facts
    fault, _ = why_blocked(task.build(), queue.build() if queue else None, now=T0 + now, **facts)
    return fault[0] if fault else ""


def test_nothing_blocks_an_ordinary_task() -> None:
    """A Task in an open queue waits for its turn only."""
    assert blocked(make_task(), make_queue()) == ""


def test_an_absent_queue_blocks() -> None:
    """A queueName without a queue is named as the fault."""
    task = make_task(queueName="nope").build()
    fault, again = why_blocked(task, None, queue_exists=False, refusal=None, now=T0)
    assert fault is not None
    assert fault[0] == "QueueNotFound"
    assert "spec.queueName" in fault[1]
    assert "nope" in fault[1]
    assert again is None


def test_a_queue_that_could_not_be_read_blocks() -> None:
    """Its rules are unknown, so nothing starts by them; what was wrong is told."""
    queue = make_queue().build()
    queue.defect = "Expected `int`, got `str` - at `$.spec.maxConcurrency`"
    fault, _ = why_blocked(make_task().build(), queue, queue_exists=True, refusal=None, now=T0)
    assert fault is not None
    assert fault[0] == "InvalidQueue"
    assert "$.spec.maxConcurrency" in fault[1]


def test_a_closed_queue_takes_nothing_new() -> None:
    """Closed accepts no Task."""
    assert blocked(make_task(), make_queue(state="Closed")) == "QueueClosed"


def test_a_closed_queue_says_nothing_about_a_retry() -> None:
    """A Task whose first attempt has run was accepted long ago; it just does not start."""
    assert blocked(make_task().failed_once(ended=1, due=2), make_queue(state="Closed")) == ""


def test_a_draining_queue_works_off_what_it_had() -> None:
    """What was created before the second in which Accepting turned False still runs, and nothing newer."""
    draining = make_queue(state="Draining").condition("Accepting", "False", since=5)
    assert blocked(make_task(created=4), draining) == ""
    assert blocked(make_task(created=5), draining) == "QueueDraining"


def test_a_queue_drains_from_now_on_until_its_condition_stands() -> None:
    """Before the condition is written, all that exists belongs to the work to drain."""
    accepting = make_queue(state="Draining").condition("Accepting", "True", since=0)
    assert blocked(make_task(created=9), make_queue(state="Draining")) == ""
    assert blocked(make_task(created=9), accepting) == ""


def test_an_absent_template_blocks() -> None:
    """A templateRef without its TaskTemplate is named as the fault."""
    assert blocked(make_task(), template_fault=("TemplateNotFound", "")) == "TemplateNotFound"


def test_a_refusal_blocks_until_its_time() -> None:
    """What the API server refused is asked again later, without any event."""
    refusal = Refusal("QuotaExceeded", "no room", until=T0 + 30)
    fault, again = why_blocked(make_task().build(), None, queue_exists=True, refusal=refusal, now=T0 + 10)
    assert (fault, again) == (("QuotaExceeded", "no room"), T0 + 30)
    assert blocked(make_task(), now=30, refusal=refusal) == ""


@pytest.mark.parametrize(
    ("state", "starts"),
    [("Open", True), ("Paused", False), ("Draining", True), ("Closed", False), ("DryRun", False)],
)
def test_which_states_start_tasks(state: str, *, starts: bool) -> None:
    """Only an open or a draining queue starts anything."""
    assert may_start(make_queue(state=state).build().spec) is starts
