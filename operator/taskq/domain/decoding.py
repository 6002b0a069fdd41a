"""Objects as decisions read them, from the JSON of the API; what can't be read is told and stops nobody else."""

from __future__ import annotations

import sys
from functools import lru_cache

import msgspec

from taskq.domain.model import (
    INDEX_LABEL,
    JOB_LABEL,
    Job,
    Metadata,
    OwnerReference,
    Pod,
    PodStatus,
    Queue,
    QueueMetadata,
    QueueStatus,
    SlimMetadata,
    Task,
    TaskSpec,
    TaskStatus,
    Template,
    TemplateStatus,
)
from taskq.resources.common import LABEL_QUEUE

NOTHING_OF_ITS_OWN = b'{"spec":{}}'
"""What a launch reads of a Task that leaves everything to its template: one for all of them."""


class _Minimal(msgspec.Struct):
    """What must be readable of any object."""

    metadata: SlimMetadata


class _KeptSpec(msgspec.Struct, omit_defaults=True):
    job_template: msgspec.Raw = msgspec.field(name="jobTemplate", default_factory=msgspec.Raw)
    parameters: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _Kept(msgspec.Struct):
    """What is read of a Task's manifest at launch."""

    spec: _KeptSpec = msgspec.field(default_factory=_KeptSpec)


class _TemplateButSpec(msgspec.Struct):
    """What is kept of a TaskTemplate that can't be read."""

    metadata: Metadata
    status: TemplateStatus = msgspec.field(default_factory=TemplateStatus)


class _QueueButSpec(msgspec.Struct):
    """What is kept of a queue whose rules can't be read."""

    metadata: QueueMetadata
    status: QueueStatus = msgspec.field(default_factory=QueueStatus)


_task = msgspec.json.Decoder(Task)
_minimal = msgspec.json.Decoder(_Minimal)
_kept = msgspec.json.Decoder(_Kept)
_template = msgspec.json.Decoder(Template)
_template_but_spec = msgspec.json.Decoder(_TemplateButSpec)
decode_job = msgspec.json.Decoder(Job).decode
_pod = msgspec.json.Decoder(Pod)
_queue = msgspec.json.Decoder(Queue)
_queue_but_spec = msgspec.json.Decoder(_QueueButSpec)


class TaskDecoder:
    """Reads Tasks; a manifest larger than ``raw_limit`` bytes is not kept but fetched again at launch."""

    def __init__(self, raw_limit: int) -> None:
        """Keep manifests up to so many bytes."""
        self._raw_limit = raw_limit

    def __call__(self, raw: bytes) -> Task:
        """A Task, with a defect instead of its content when that can't be read.

        Raises :class:`msgspec.DecodeError` when not even its metadata can.
        """
        try:
            task = _task.decode(raw)
        except (msgspec.DecodeError, ValueError) as error:
            return Task(_minimal.decode(raw).metadata, TaskSpec(), TaskStatus(), defect=str(error))
        if len(raw) <= self._raw_limit and not task.is_terminal:
            task.raw = _kept_of(raw)
        _share_names(task)
        return task


def _kept_of(raw: bytes) -> bytes:
    """What a launch reads of a Task's manifest, and no more."""
    spec = _kept.decode(raw).spec
    parts = {"jobTemplate": bytes(spec.job_template), "parameters": bytes(spec.parameters)}
    kept = b",".join(b'"%b":%b' % (name.encode(), part) for name, part in parts.items() if part)
    return b'{"spec":{%b}}' % kept if kept else NOTHING_OF_ITS_OWN


def _share_names(task: Task) -> None:
    """Let ten thousand Tasks of one queue share its name: a string each would cost a tenth of their memory."""
    task.metadata.namespace = sys.intern(task.metadata.namespace)
    task.status.phase = sys.intern(task.status.phase)
    task.status.queue_name = sys.intern(task.status.queue_name)
    if task.spec.queue_name:
        task.spec.queue_name = sys.intern(task.spec.queue_name)


_POD_LABELS = frozenset({INDEX_LABEL, JOB_LABEL, LABEL_QUEUE})
_NO_ANNOTATIONS: dict[str, str] = {}
_ITEM_DONE = PodStatus(phase="Succeeded")


def decode_pod(raw: bytes) -> Pod:
    """A pod without what nobody reads: a batch leaves ten thousand behind, which stay as long as its Job."""
    pod = _pod.decode(raw)
    meta = pod.metadata
    meta.labels = {sys.intern(key): sys.intern(meta.labels[key]) for key in _POD_LABELS & meta.labels.keys()}
    meta.annotations = _NO_ANNOTATIONS
    meta.owner_references = _shared_owner(meta.controller_uid)
    meta.namespace = sys.intern(meta.namespace)
    if pod.index is not None and pod.status.phase == "Succeeded":
        pod.status = _ITEM_DONE
    else:
        pod.status.conditions = tuple(condition for condition in pod.status.conditions if condition.reason)
    return pod


@lru_cache(maxsize=1024)
def _shared_owner(uid: str) -> tuple[OwnerReference, ...]:
    return (OwnerReference(uid=uid, controller=True),) if uid else ()


def decode_queue(raw: bytes) -> Queue:
    """A TaskQueue, with a defect instead of its rules when these can't be read.

    Raises :class:`msgspec.DecodeError` when not even its metadata and status can.
    """
    try:
        return _queue.decode(raw)
    except (msgspec.DecodeError, ValueError) as error:
        rest = _queue_but_spec.decode(raw)
        return Queue(rest.metadata, status=rest.status, defect=str(error))


def decode_template(raw: bytes) -> Template:
    """A TaskTemplate with its document, and with a defect instead of its spec when that can't be read.

    Raises :class:`msgspec.DecodeError` when not even its metadata and status can.
    """
    try:
        template = _template.decode(raw)
    except (msgspec.DecodeError, ValueError) as error:
        rest = _template_but_spec.decode(raw)
        return Template(rest.metadata, status=rest.status, defect=str(error))
    template.raw = bytes(raw)
    return template
