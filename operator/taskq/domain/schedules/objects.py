"""A Schedule and its Tasks as the API gives them, and the Task of a tick as the API gets it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from taskq.domain.model import Key, Metadata, OwnerReference, SlimMetadata
from taskq.domain.schedules.runs import CreateTask, TaskFact
from taskq.domain.schedules.spec import ScheduleSpec, ScheduleStatus
from taskq.resources.common import API_VERSION, LABEL_SCHEDULE


class _Facts(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Base of everything decoded from the API."""


class Schedule(_Facts):
    """A Schedule; the Task to create is read from the raw document."""

    metadata: Metadata
    spec: ScheduleSpec
    status: ScheduleStatus = msgspec.field(default_factory=ScheduleStatus)
    raw: bytes = b""


class _OwnedMetadata(SlimMetadata):
    owner_references: tuple[OwnerReference, ...] = ()


class _TaskSpec(_Facts):
    cancellation: dict[str, object] | None = None


class _TaskStatus(_Facts):
    phase: str = "Pending"
    completion_time: datetime | None = None
    settled: str = ""


class ScheduledTask(_Facts):
    """What is known of a Task with the label of a Schedule, until it is deleted: finished ones too."""

    metadata: _OwnedMetadata
    spec: _TaskSpec = msgspec.field(default_factory=_TaskSpec)
    status: _TaskStatus = msgspec.field(default_factory=_TaskStatus)

    @property
    def owner(self) -> str:
        """The uid of the controlling owner, or an empty string."""
        return next((owner.uid for owner in self.metadata.owner_references if owner.controller), "")

    @property
    def fact(self) -> TaskFact:
        """What a decision reads of it."""
        meta, done = self.metadata, self.status.completion_time
        return TaskFact(
            name=meta.name,
            uid=meta.uid,
            phase=self.status.phase,
            completed=None if done is None else done.timestamp(),
            settled=self.status.settled == "True",
            cancelling=self.spec.cancellation is not None or meta.deletion_timestamp is not None,
        )


class _Template(msgspec.Struct):
    spec: dict[str, Any]
    metadata: dict[str, Any] = {}


class _Spec(msgspec.Struct):
    task_template: _Template = msgspec.field(name="taskTemplate")


class _Document(msgspec.Struct):
    spec: _Spec


_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


def task_key(schedule: Schedule, action: CreateTask) -> Key:
    """Where the Task of a run is."""
    return Key(schedule.metadata.namespace, action.name)


def task_manifest(schedule: Schedule, action: CreateTask) -> bytes:
    """The Task of a run, owned by its Schedule."""
    template = _decoder.decode(schedule.raw).spec.task_template
    meta = schedule.metadata
    owner = {"apiVersion": API_VERSION, "kind": "Schedule", "name": meta.name, "uid": meta.uid, "controller": True}
    metadata = {
        "name": action.name,
        "namespace": meta.namespace,
        "labels": (template.metadata.get("labels") or {}) | {LABEL_SCHEDULE: meta.name},
        "annotations": template.metadata.get("annotations") or {},
        "ownerReferences": [owner],
    }
    return _encoder.encode({"apiVersion": API_VERSION, "kind": "Task", "metadata": metadata, "spec": template.spec})
