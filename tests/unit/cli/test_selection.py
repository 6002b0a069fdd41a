"""Filters: what the API server is asked for, and what is looked for here."""

from __future__ import annotations

import itertools

import pytest

from taskq.cli.selection import Selection
from taskq.resources.common import Phase

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z


def task(name="t", **status):
    """A Task of an hour ago."""
    meta = {"name": name, "namespace": "n", "creationTimestamp": "2026-03-01T11:00:00Z", "uid": "u"}
    return {"metadata": meta, "spec": {}, "status": {"phase": "Pending", **status}}


def answers(selector, fields):
    """Whether the API server's field selector lets an object with these fields pass."""
    for part in filter(None, selector.split(",")):
        name, differs, value = part.partition("!=") if "!=" in part else part.partition("=")
        if (fields.get(name, "") == value) is (differs == "!="):
            return False
    return True


@pytest.mark.parametrize("queues", [(), ("default",), ("a",), ("a", "default"), ("a", "b")])
@pytest.mark.parametrize("phases", [(), (Phase.FAILED,), (Phase.PENDING, Phase.RUNNING)])
def test_the_server_is_asked_for_each_task_once_and_for_no_other(queues, phases):
    """Whatever of its queue is known: in the status, in the spec, or nowhere."""
    selection = Selection(queues=queues, phases=phases)
    for spec, status, phase in itertools.product(("", "a", "b", "default"), ("", "a", "b", "default"), Phase):
        fields = {"spec.queueName": spec, "status.queueName": status, "status.phase": phase.value}
        of_queue = not queues or (status or spec or queues[0]) in queues  # a template may name it: looked at here
        wanted = (not phases or phase in phases) and of_queue
        assert sum(answers(selector, fields) for selector in selection.field_selectors()) == int(wanted), fields


def test_ages_bound_from_both_sides():
    """Newer and older together are an interval."""
    assert Selection(newer=3_700).holds(task(), NOW)
    assert not Selection(newer=3_500).holds(task(), NOW)
    assert Selection(older=3_500, newer=3_700).holds(task(), NOW)
    assert not Selection(older=3_700).holds(task(), NOW)


def test_text_is_looked_for_wherever_people_put_it():
    """In any case of letters."""
    found = task("import-customers", reason="RetriesExhausted", message="No Such Table")
    found["spec"]["parameters"] = [{"name": "region", "value": "emea"}]
    found["metadata"]["labels"] = {"team": "Blue"}
    for text in ("CUSTOMERS", "exhausted", "such table", "emea", "blue"):
        assert Selection(text=text).holds(found, NOW), text
    assert not Selection(text="green").holds(found, NOW)


def test_a_selection_says_itself_in_words():
    """For questions before something is changed."""
    assert not Selection().is_given
    assert Selection(queues=("a",), text="x", older=5).words() == "queue a; text 'x'; an age limit"
