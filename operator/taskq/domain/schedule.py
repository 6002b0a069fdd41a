"""When a Schedule creates Tasks, and which."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from taskq.domain.model import Schedule, seconds, stamp
from taskq.domain.reasons import Reason
from taskq.domain.status import State, conditions
from taskq.resources.common import API_VERSION, LABEL_SCHEDULE


class Tick(NamedTuple):
    """The tick that is due, if one is, and the next one; epoch seconds."""

    due: int | None
    following: int


class _Template(msgspec.Struct):
    spec: dict[str, Any]
    metadata: dict[str, Any] = {}


class _Spec(msgspec.Struct):
    task_template: _Template = msgspec.field(name="taskTemplate")


class _Document(msgspec.Struct):
    spec: _Spec


_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


def tick(schedule: Schedule, now: float) -> Tick:
    """Where a Schedule stands: ticks are its creation plus whole multiples of ``everySeconds``.

    Of ticks that were missed only the latest is due: after a week's outage an hourly Schedule runs once.
    """
    every, created = schedule.spec.every_seconds, int(schedule.metadata.created)
    latest = created + int(max(0.0, now - created) // every) * every
    last = schedule.status.last_schedule_time
    done_until = int(seconds(last)) if last else created
    due = latest if latest > done_until and not schedule.spec.suspend else None
    return Tick(due, latest + every)


def task_name(schedule: Schedule, due: int) -> str:
    """The name of a tick's Task: whoever creates it, however often, it is the same one."""
    return f"{schedule.metadata.name}-{due}"


def task_manifest(schedule: Schedule, due: int) -> bytes:
    """The Task of a tick, owned by its Schedule."""
    template = _decoder.decode(schedule.raw).spec.task_template
    meta = schedule.metadata
    owner = {"apiVersion": API_VERSION, "kind": "Schedule", "name": meta.name, "uid": meta.uid, "controller": True}
    metadata = {
        "name": task_name(schedule, due),
        "namespace": meta.namespace,
        "labels": (template.metadata.get("labels") or {}) | {LABEL_SCHEDULE: meta.name},
        "annotations": template.metadata.get("annotations") or {},
        "ownerReferences": [owner],
    }
    return _encoder.encode({"apiVersion": API_VERSION, "kind": "Task", "metadata": metadata, "spec": template.spec})


def schedule_patch(
    schedule: Schedule, now: float, *, done: int | None = None, created: str = "", fault: str = ""
) -> dict[str, Any] | None:
    """The status to write, or None when it stands already.

    ``done`` is the tick that is dealt with, ``created`` the Task made for it (empty when it was skipped), ``fault`` why
    the Task can't be made.
    """
    states: dict[str, State | None] = {
        "Ready": ("False", Reason.TASK_REFUSED, fault)
        if fault
        else ("True", Reason.READY, "Tasks are created in time"),
        "Stalled": ("True", Reason.TASK_REFUSED, fault) if fault else None,
    }
    if schedule.spec.suspend and not fault:
        states["Ready"] = ("True", Reason.SUSPENDED, "Creates no Tasks until spec.suspend is false")
    present, meta = schedule.status, schedule.metadata
    patch: dict[str, Any] = {
        "observedGeneration": meta.generation,
        "nextScheduleTime": None if schedule.spec.suspend else stamp(tick(schedule, now).following),
        "conditions": conditions(present.conditions, meta.generation, states, now),
    }
    if done is not None:
        patch["lastScheduleTime"] = stamp(done)
    if created:
        patch["lastTaskName"] = created
    return None if done is None and _stands(schedule, patch) else patch


def _stands(schedule: Schedule, patch: dict[str, Any]) -> bool:
    present = schedule.status
    following = stamp(seconds(present.next_schedule_time)) if present.next_schedule_time else None
    wanted = {(c["type"], c["status"], c["reason"], c["message"]) for c in patch["conditions"]}
    return (
        present.observed_generation == patch["observedGeneration"]
        and following == patch["nextScheduleTime"]
        and wanted == {(c.type, c.status, c.reason, c.message) for c in present.conditions}
    )
