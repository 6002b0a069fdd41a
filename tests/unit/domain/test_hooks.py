"""What follows an end: planned with it, due in its turn, and told without a word too much."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import T0, TaskBuilder, make_job, make_pod, make_queue, make_task
from taskq.domain import hooks, status
from taskq.domain.following import HookStatus
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import QueueSpec, Task
from taskq.domain.outcome import of_attempt
from taskq.domain.policy import timeouts
from taskq.resources.common import MAX_CHAIN_DEPTH

AFTER = {"tasks": [{"templateRef": {"name": "mop-up"}, "priority": 3}], "webhooks": [{"name": "pager"}]}


def failed(task: TaskBuilder, message: str = "disk full") -> Task:
    """The Task after its only attempt failed with 9."""
    built = task.build()
    job = make_job(built).failed(8).build()
    pods = (make_pod(job).failed(9, 8, message=message).build(),)
    outcome = of_attempt(job, pods, timeouts(built, QueueSpec()), T0 + 9)
    text = f"Attempt 1 ended as Error: {message}"
    patch = status.ended(
        built, QueueSpec(), "Failed", "RetriesExhausted", text, T0 + 9, attempt=(job.metadata.name, outcome)
    )
    return task.status(**patch).build()


def first(task: Task) -> HookStatus:
    """The first of its hooks."""
    return task.status.hooks[0]


# --- the plan ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "planned"),
    [
        ("Succeeded", ["onSuccess.webhooks[0]"]),
        ("Failed", ["onFailure.tasks[0]", "onFailure.webhooks[0]"]),
        ("Expired", ["onFailure.tasks[0]", "onFailure.webhooks[0]"]),
        ("Cancelled", []),
    ],
)
def test_the_end_says_what_follows(phase: str, planned: list[str]) -> None:
    """In the write that ends the Task, which is settled only when nothing does."""
    task = make_task(onFailure=AFTER, onSuccess={"webhooks": [{"name": "pager"}]}).build()
    patch = status.ended(task, QueueSpec(), phase, "Why", "text", T0)
    assert [hook["hook"] for hook in patch.get("hooks", [])] == planned
    assert patch["settled"] == (None if planned else "True")


def test_a_dead_letter_is_marked_with_the_end() -> None:
    """Only what Failed, and only where the queue keeps them."""
    keeps = make_queue(retention={"deadLetterSeconds": 60}).build().spec
    for phase in ("Succeeded", "Failed", "Expired", "Cancelled"):
        patch = status.ended(make_task().build(), keeps, phase, "Why", "text", T0)
        assert patch.get("deadLetter") == ("True" if phase == "Failed" else None)
    assert "deadLetter" not in status.ended(make_task().build(), QueueSpec(), "Failed", "Why", "text", T0)


def test_what_is_left_to_do_stands_in_the_status() -> None:
    """The earliest first; a Task none of whose hooks is Pending is to be settled."""
    task = failed(make_task(onFailure=AFTER))
    steps = []
    while (step := hooks.next_step(task, 10)).entry is not None:
        steps.append((step.entry.hook, round(step.at - T0, 1) if step.at else 0))
        fault = "busy" if step.entry.kind == "Webhook" else ""
        after = hooks.after_try(step.entry, fault, max(step.at, T0 + 20), final=False)
        entries, _ = hooks.merged(task.status.hooks, after)
        task.status.hooks = msgspec.convert(entries, tuple[HookStatus, ...])
    call = "onFailure.webhooks[0]"
    assert steps == [("onFailure.tasks[0]", 0), (call, 0), (call, 30), (call, 60), (call, 150), (call, 420)]
    assert [(hook.state, hook.attempts, hook.message) for hook in task.status.hooks] == [
        ("Done", 1, ""),
        ("Failed", 5, "busy"),
    ]


# --- Tasks that follow -----------------------------------------------------------------------------------------------


def test_the_task_that_follows() -> None:
    """Named after its parent, told of its end, without its labels and without an owner."""
    parent = failed(make_task("import", onFailure=AFTER).meta(labels={"tenant": "red", "taskq.dev/schedule": "s"}))
    child = json.loads(hooks.child_manifest(parent, first(parent)))
    assert child["metadata"] == {
        "name": first(parent).name,
        "namespace": "shop",
        "labels": {"taskq.dev/parent": "import"},
    }
    assert child["spec"] == {
        "templateRef": {"name": "mop-up"},
        "priority": 3,
        "parent": {
            "name": "import",
            "uid": parent.metadata.uid,
            "reason": "RetriesExhausted",
            "exitCode": 9,
            "message": "Attempt 1 ended as Error: disk full",
            "depth": 1,
        },
    }
    assert hooks.is_ours(parent, msgspec.json.decode(msgspec.json.encode(_stored(child)), type=Task))
    assert not hooks.is_ours(parent, make_task().build())


def test_a_name_is_for_one_hook_of_one_task() -> None:
    """Whatever is crowded into 63 characters."""
    long = "n" * 62 + "."
    names = {
        hooks.child_name(make_task(name, uid=uid).build(), hook)
        for name in ("a", long)
        for uid in ("u1", "u2")
        for hook in ("onFailure.tasks[0]", "onFailure.tasks[1]", "onSuccess.tasks[0]")
    }
    assert len(names) == 12
    assert all(len(name) <= 63 and ".-" not in name for name in names)


def test_a_chain_has_an_end() -> None:
    """Each Task says how many came before it."""
    last = {"name": "p", "uid": "u", "depth": MAX_CHAIN_DEPTH}
    before = {**last, "depth": MAX_CHAIN_DEPTH - 1}
    parent = failed(make_task(onFailure=AFTER, parent=before))
    assert json.loads(hooks.child_manifest(parent, first(parent)))["spec"]["parent"]["depth"] == MAX_CHAIN_DEPTH
    parent = failed(make_task(onFailure=AFTER, parent=last))
    with pytest.raises(hooks.ChainTooLongError):
        hooks.child_manifest(parent, first(parent))


@given(st.text(max_size=40).map(lambda text: text + "$(HOME) $$(X) $"))
def test_a_parents_words_are_data(words: str) -> None:
    """Kubernetes expands $(NAME) in a variable's value, and makes $$ a single $: nothing else is left to expand."""
    parent = {"name": "p", "uid": "u", "reason": "Error", "message": words}
    task = make_task(parent=parent, jobTemplate={"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}})
    manifest = json.loads(job_manifest(task.build(), task.json(), QueueSpec()))
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    told = {v["name"]: v["value"] for v in container["env"] if v["name"].startswith("TASKQ_PARENT_")}
    assert told.keys() == {f"TASKQ_PARENT_{name}" for name in ("NAME", "REASON", "EXIT_CODE", "MESSAGE")}
    message = told["TASKQ_PARENT_MESSAGE"]
    assert message.replace("$$", "") == words.replace("$", "")
    assert message.replace("$$", "$") == words
    assert told["TASKQ_PARENT_EXIT_CODE"] == ""


# --- Webhooks ------------------------------------------------------------------------------------------------------


def test_a_webhook_is_told_the_end() -> None:
    """The same bytes and the same id for each try."""
    task = failed(make_task("import", uid="u1", onFailure=AFTER))
    call = task.status.hooks[1]
    told = json.loads(hooks.call_body(task, call))
    assert told.pop("task") == {"namespace": "shop", "name": "import", "uid": "u1", "queue": "default"}
    assert {name: told[name] for name in ("id", "hook", "phase", "reason", "exitCode", "attempt")} == {
        "id": "u1/onFailure.webhooks[0]",
        "hook": "onFailure.webhooks[0]",
        "phase": "Failed",
        "reason": "RetriesExhausted",
        "exitCode": 9,
        "attempt": 1,
    }
    later = hooks.after_try(call, "busy", T0 + 99, final=False)
    assert hooks.call_body(task, later) == hooks.call_body(task, call)


def _stored(manifest: dict[str, Any]) -> dict[str, Any]:
    given_by_the_server = {"uid": "c1", "resourceVersion": "1", "creationTimestamp": "2026-03-02T12:00:00Z"}
    return {**manifest, "metadata": manifest["metadata"] | given_by_the_server}
