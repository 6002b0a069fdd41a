"""What follows when a Task has ended: which hooks it has, when each is due, and what is created and sent.

The status write that ends a Task also writes the list of its hooks, all Pending, and leaves ``settled`` unset. From
then on the list alone tells what is left to do, so a successor goes on where a crash left it: a Task is created once,
since its name is computed from its parent's uid and from the hook; a webhook is called at least once, each time with
the same id.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from taskq.domain.following import Hooks, HookStatus, HookTask
from taskq.domain.model import Key, Task, seconds, stamp
from taskq.resources.common import (
    API_VERSION,
    LABEL_PARENT,
    MAX_CHAIN_DEPTH,
    MAX_HOOK_TRIES,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
)

BACKOFF_FACTOR = 3
"""10, 30, 90 and 270 s between five tries, unless the base is set otherwise: a receiver may restart meanwhile."""

_HASH_LENGTH = 12
_FIELDS = {"Succeeded": "onSuccess", "Failed": "onFailure", "Expired": "onFailure"}
"""Which hooks follow which end. Who cancels a Task knows that it ended, and why."""

_encode = msgspec.json.Encoder().encode


class Step(NamedTuple):
    """What a Task that has ended needs next; without an entry, only that it is settled."""

    entry: HookStatus | None
    at: float
    """Epoch seconds before which nothing is to be done."""


class ChainTooLongError(ValueError):
    """A Task would follow too many others."""


def planned(task: Task, phase: str) -> list[dict[str, Any]]:
    """The hooks of a Task that ends so, as its status lists them."""
    field = _FIELDS.get(phase, "")
    wanted = _wanted(task, field) or Hooks()
    tasks = [
        HookStatus(hook=f"{field}.tasks[{n}]", kind="Task", name=child_name(task, f"{field}.tasks[{n}]"))
        for n in range(len(wanted.tasks))
    ]
    calls = [
        HookStatus(hook=f"{field}.webhooks[{n}]", kind="Webhook", name=webhook.name)
        for n, webhook in enumerate(wanted.webhooks)
    ]
    retried = task.spec.retry_of if phase == "Succeeded" else None
    letters = [HookStatus(hook="retryOf", kind="DeadLetter", name=retried.name)] if retried else []
    return [entry(status) for status in (*tasks, *calls, *letters)]


def entry(status: HookStatus) -> dict[str, Any]:
    """A hook as a status lists it."""
    return {
        "hook": status.hook,
        "kind": status.kind,
        "name": status.name,
        "state": status.state,
        "attempts": status.attempts,
        "message": status.message,
        **({"time": stamp(seconds(status.time))} if status.time else {}),
    }


def next_step(task: Task, base_seconds: float) -> Step:
    """The hook that is due first; a Task none of whose hooks is Pending is to be settled."""
    waiting = [Step(hook, due_time(hook, base_seconds)) for hook in task.status.hooks if hook.state == "Pending"]
    return min(waiting, key=lambda step: step.at, default=Step(None, 0.0))


def due_time(hook: HookStatus, base_seconds: float) -> float:
    """When a hook is to be tried (again), epoch seconds."""
    if hook.time is None or not hook.attempts:
        return 0.0
    return seconds(hook.time) + base_seconds * float(BACKOFF_FACTOR ** (hook.attempts - 1))


def after_try(hook: HookStatus, fault: str, now: float, *, final: bool) -> HookStatus:
    """A hook after one more try; ``fault`` is empty when it went well, ``final`` that trying again is of no use."""
    attempts = hook.attempts + 1
    over = final or attempts >= MAX_HOOK_TRIES
    return msgspec.structs.replace(
        hook,
        state="Done" if not fault else "Failed" if over else "Pending",
        attempts=attempts,
        message=fault[:MAX_TEXT_LENGTH],
        time=datetime.fromtimestamp(int(now), UTC),
    )


def merged(present: tuple[HookStatus, ...], changed: HookStatus | None) -> tuple[list[dict[str, Any]], bool]:
    """The list to write, and whether nothing is left to do."""
    hooks = [changed if changed and hook.hook == changed.hook else hook for hook in present]
    return [entry(hook) for hook in hooks], all(hook.state != "Pending" for hook in hooks)


# --- Tasks that follow --------------------------------------------------------------------------------------------


def child_name(parent: Task, hook: str) -> str:
    """The name of the Task that a hook creates: creating it is the lock that makes it the only one."""
    digest = hashlib.sha256(f"{parent.metadata.uid}/{hook}".encode()).hexdigest()
    prefix = parent.metadata.name[: MAX_NAME_LENGTH - _HASH_LENGTH - 1].rstrip("-.")
    return f"{prefix}-{digest[:_HASH_LENGTH]}"


def child_key(parent: Task, hook: HookStatus) -> Key:
    """Where the Task of a hook is."""
    return Key(parent.metadata.namespace, hook.name)


def child_manifest(parent: Task, hook: HookStatus) -> bytes:
    """The Task to create. It has none of its parent's labels, and no owner: it stays when its parent goes.

    Raises :class:`ChainTooLongError`; :class:`LookupError` when the parent's spec has no such hook.
    """
    wanted = _task_of(parent, hook)
    depth = 1 + (parent.spec.parent.depth if parent.spec.parent else 0)
    if depth > MAX_CHAIN_DEPTH:
        text = f"{MAX_CHAIN_DEPTH} Tasks in a row were created one after the other's end; this chain goes no further"
        raise ChainTooLongError(text)
    spec: dict[str, Any] = {"templateRef": {"name": wanted.template_ref.name}}
    if wanted.queue_name is not None:
        spec["queueName"] = wanted.queue_name
    if wanted.priority is not None:
        spec["priority"] = wanted.priority
    if wanted.parameters:
        spec["parameters"] = wanted.parameters
    spec["parent"] = {"name": parent.metadata.name, "uid": parent.metadata.uid, **_end(parent), "depth": depth}
    meta = parent.metadata
    metadata = {"name": hook.name, "namespace": meta.namespace, "labels": {LABEL_PARENT: meta.name}}
    return _encode({"apiVersion": API_VERSION, "kind": "Task", "metadata": metadata, "spec": spec})


def is_ours(parent: Task, child: Task) -> bool:
    """Whether a Task that has the name already was created by this parent's hook."""
    return child.spec.parent is not None and child.spec.parent.uid == parent.metadata.uid


def environment(task: Task) -> list[dict[str, Any]]:
    """What a Task's containers are told of the Task before it. It is data: nothing in it is expanded."""
    parent = task.spec.parent
    if parent is None:
        return []
    exit_code = "" if parent.exit_code is None else str(parent.exit_code)
    facts = {"NAME": parent.name, "REASON": parent.reason, "EXIT_CODE": exit_code, "MESSAGE": parent.message}
    return [{"name": f"TASKQ_PARENT_{name}", "value": value.replace("$", "$$")} for name, value in facts.items()]


# --- Webhooks -----------------------------------------------------------------------------------------------------


def call_id(task: Task, hook: HookStatus) -> str:
    """The same for each try, so that a receiver can tell a repetition."""
    return f"{task.metadata.uid}/{hook.hook}"


def call_body(task: Task, hook: HookStatus) -> bytes:
    """What a webhook is told, as JSON: the same bytes for each try."""
    meta, status = task.metadata, task.status
    times = {
        "creationTime": meta.creation_timestamp,
        "startTime": status.start_time,
        "completionTime": status.completion_time,
    }
    return _encode(
        {
            "id": call_id(task, hook),
            "hook": hook.hook,
            "task": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid, "queue": task.queue.name},
            "phase": status.phase,
            **_end(task),
            "result": status.result,
            "attempt": status.attempt,
            **{name: stamp(seconds(time)) for name, time in times.items() if time},
        }
    )


# --- what both tell -----------------------------------------------------------------------------------------------


def _end(task: Task) -> dict[str, Any]:
    finished, attempts = task.condition("Finished"), task.status.attempts
    exit_code = attempts[-1].exit_code if attempts else None
    return {
        "reason": task.status.reason[:MAX_TEXT_LENGTH],
        **({} if exit_code is None else {"exitCode": exit_code}),
        "message": finished.message[:MAX_TEXT_LENGTH] if finished else "",
    }


def _wanted(task: Task, field: str) -> Hooks | None:
    return {"onSuccess": task.spec.on_success, "onFailure": task.spec.on_failure}.get(field)


def _task_of(task: Task, hook: HookStatus) -> HookTask:
    field, _, index = hook.hook.partition(".tasks[")
    wanted = _wanted(task, field)
    return (wanted.tasks if wanted else ())[int(index.removesuffix("]"))]
