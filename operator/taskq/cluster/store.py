"""What is known of one kind: the newest version wins, whoever brings it (a list, a watch, an answer to a write)."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import msgspec

from taskq.domain.model import (
    INDEX_LABEL,
    JOB_LABEL,
    Job,
    Key,
    Metadata,
    OwnerReference,
    Pod,
    PodStatus,
    Queue,
    QueueStatus,
    SlimMetadata,
    Task,
    TaskSpec,
    TaskStatus,
    Template,
    TemplateStatus,
)
from taskq.resources.common import LABEL_QUEUE

GRAVES = 4096
"""Removed objects that are remembered: an answer to a write may arrive after the watch has told of the removal."""


NOTHING_OF_ITS_OWN = b'{"spec":{}}'
"""What a launch reads of a Task that leaves everything to its template: one for all of them."""


class Known(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> Metadata | SlimMetadata:
        """Name, uid and version."""


T = TypeVar("T", bound=Known)


class Store(Generic[T]):
    """Objects of one kind by namespace and name; a listener is told of every change as (before, after)."""

    def __init__(self, listener: Callable[[T | None, T | None], None]) -> None:
        """The listener is called synchronously and must not change this store."""
        self._objects: dict[Key, T] = {}
        self._graves: OrderedDict[str, int] = OrderedDict()
        self._listener = listener

    def __len__(self) -> int:
        """How many objects are known."""
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """All objects, in no order."""
        return iter(self._objects.values())

    def get(self, key: Key, uid: str | None = None) -> T | None:
        """The object of this name, if it is known and has this uid."""
        found = self._objects.get(key)
        return found if found and uid in (None, found.metadata.uid) else None

    def knows(self, namespace: str, name: str, uid: str, resource_version: int) -> bool:
        """Whether this object is here, in this version or a newer one."""
        found = self.get(Key(namespace, name), uid)
        return found is not None and found.metadata.version >= resource_version

    def apply(self, obj: T) -> None:
        """Take an object in, unless it is older than what is known, or known to be gone."""
        meta = obj.metadata
        old = self._objects.get(meta.key)
        if self._graves.get(meta.uid, -1) >= meta.version:
            return
        if old and old.metadata.version >= meta.version:
            return
        self._objects[meta.key] = obj
        if old and old.metadata.uid != meta.uid:
            self._bury(old.metadata.uid, meta.version)
        self._listener(old, obj)

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        """Drop an object, unless a newer version, or another object of its name, is known."""
        key = Key(namespace, name)
        old = self._objects.get(key)
        self._bury(uid, resource_version)
        if old and old.metadata.uid == uid and old.metadata.version <= resource_version:
            del self._objects[key]
            self._listener(old, None)

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        """Drop what a full list of this version does not have."""
        gone = [
            obj
            for obj in self._objects.values()
            if obj.metadata.uid not in seen
            and obj.metadata.version <= resource_version
            and namespace in (None, obj.metadata.namespace)
        ]
        for obj in gone:
            meta = obj.metadata
            self.remove(meta.namespace, meta.name, meta.uid, max(meta.version, resource_version))

    def _bury(self, uid: str, version: int) -> None:
        self._graves[uid] = max(version, self._graves.pop(uid, -1))
        if len(self._graves) > GRAVES:
            self._graves.popitem(last=False)


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

    metadata: Metadata
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
