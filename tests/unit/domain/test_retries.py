"""A retry of a Task that has ended: what it runs, and what must stay for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import TaskBuilder, at, make_task
from taskq.domain.archive import Archive, finished
from taskq.domain.dependencies import outcome_of
from taskq.domain.model import Key, QueueSpec, Task
from taskq.domain.parameters import results_in
from taskq.domain.registry import Unlaunchable
from taskq.domain.retries import Originals, Source, follow


def given(**values: str) -> list[dict[str, str]]:
    """Parameters as a manifest has them."""
    return [{"name": name, "value": value} for name, value in values.items()]


def follow_to(source: Source, original: TaskBuilder) -> Source:
    """What a retry runs by an original."""
    return follow(source, original.ended("Failed").build(), original.json())


def start(task: TaskBuilder) -> Source:
    """A retry before anything was looked at."""
    return Source(task.build(), task.json())


def parameters(source: Source) -> dict[str, Any]:
    """Those that its template gets."""
    return {one["name"]: one["value"] for one in json.loads(source.document)["spec"]["parameters"]}


def test_a_retry_runs_the_originals_own_job() -> None:
    """Its document is the original's."""
    original = make_task("dead", jobTemplate={"spec": {"original": True}})
    source = follow_to(start(make_task(retryOf={"name": "dead"})), original)
    assert source.document == original.json()
    assert source.task.spec.template_ref is None


def test_the_nearest_one_that_gives_a_parameter_is_right() -> None:
    """Over a retry of a retry to the template."""
    first = make_task("first", templateRef={"name": "import"}, parameters=given(a="1", b="1", c="1"))
    second = make_task("second", retryOf={"name": "first"}, parameters=given(b="2", c="2"))
    third = start(make_task("third", retryOf={"name": "second"}, parameters=given(c="3")))
    source = follow_to(third, second)
    assert source.task.spec.retry_of is not None
    assert source.task.spec.retry_of.name == "first"
    source = follow_to(source, first)
    assert source.task.spec.template_ref is not None
    assert (source.task.spec.template_ref.name, source.task.spec.retry_of) == ("import", None)
    assert parameters(source) == {"a": "1", "b": "2", "c": "3"}
    assert source.task.metadata.name == "third"


def test_parameters_for_a_job_that_takes_none_are_refused() -> None:
    """They would be ignored without a word."""
    retry = start(make_task(retryOf={"name": "dead"}, parameters=given(a="1")))
    with pytest.raises(Unlaunchable) as refusal:
        follow_to(retry, make_task("dead", jobTemplate={"spec": {}}))
    assert "has a Job of its own" in refusal.value.fault[1]


# --- what must stay ------------------------------------------------------------------------------------------------


def retry(name: str, original: str) -> TaskBuilder:
    """A Task that runs another one's Job again."""
    return make_task(name, uid=name, retryOf={"name": original})


def ended(task: TaskBuilder) -> Task:
    """It has Failed."""
    return task.status(phase="Failed", completionTime=at(0)).build()


def test_an_original_is_needed_while_a_retry_is_unfinished() -> None:
    """Also the original of an original, as long as a finished retry between the two is there."""
    archive = Archive()
    originals = Originals(archive.retries_of)
    first, second, other = Key("shop", "first"), Key("shop", "second"), Key("shop", "other")
    between = finished(ended(retry("second", "first")), QueueSpec())
    archive.add(between, QueueSpec())
    assert not originals.is_needed(first)
    third = retry("third", "second")
    originals.on_task(None, third.build())
    assert originals.is_needed(second)
    assert originals.is_needed(first)
    assert not originals.is_needed(other)
    archive.discard(between.uid)
    assert not originals.is_needed(first)
    originals.on_task(third.build(), ended(third))
    assert not originals.is_needed(second)


def test_names_that_go_round_in_a_circle_end() -> None:
    """Tasks made anew under old names can name each other."""
    archive = Archive()
    for name, original in (("a", "b"), ("b", "a")):
        archive.add(finished(ended(retry(name, original)), QueueSpec()), QueueSpec())
    assert not Originals(archive.retries_of).is_needed(Key("shop", "a"))


def test_a_retry_hands_on_the_results_that_its_original_did() -> None:
    """It waits for nobody itself: which Task of a name is meant stands in the original's status."""
    recorded = {"name": "counts", "uid": "u1", "phase": "Succeeded"}
    handed = [{"name": "rows", "valueFrom": {"taskResult": {"name": "counts"}}}]
    original = make_task(
        "dead", templateRef={"name": "report"}, parameters=handed, dependsOn=[{"name": "counts"}]
    ).status(dependencies=[recorded])
    source = follow_to(start(make_task(retryOf={"name": "dead"})), original)
    assert results_in(source.document) == {"counts"}
    outcome = outcome_of(source.task, "counts")
    assert outcome is not None
    assert outcome.uid == "u1"
